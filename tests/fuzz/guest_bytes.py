"""The readers of provision.py: what the platform, the medium, leases and settings hold. They refuse by ValueError."""

import importlib.util
import json
from collections.abc import Iterator
from types import ModuleType

from azready.fabric.machine import Machine
from azready.fabric.protocol import goalstate, instance, media
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader

MACHINE = Machine(
    name="vm1",
    admin_password="s3cret:pass",
    disable_password_authentication=False,
    public_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlZb0mFpOVY5rT0gIFbKxZ8Wcx3bqLJ9D2dJ0rCkq7Q someone@laptop",),
    custom_data="#!/bin/sh\ntrue\n",
    user_data="hello",
)
LEASES = (
    b"# This is private data. Do not parse.\nADDRESS=10.0.0.4\nOPTION_245=a83f8110\nLIFETIME=4294967295\n",
    b'lease {\n  interface "eth0";\n  option unknown-245 a8:3f:81:10;\n  expire 2 2035/01/02 03:04:05;\n}\n',
    b"opt245='168.63.129.16'\nlease=86400\ninterface=eth0\n",
    bytes(236) + b"\x63\x82\x53\x63\x35\x01\x05\xf5\x04\xa8\x3f\x81\x10\xff",
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.0 503 Busy\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
)


def program() -> ModuleType:
    """provision.py as a module; importing it does nothing."""
    from bench.lab import GUEST

    spec = importlib.util.spec_from_file_location("provision", GUEST / "provision.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def readers() -> dict[str, Reader]:
    """Each reader by the name of its function."""
    guest = program()
    refused = (ValueError, guest.Failed)
    document = json.dumps(instance.document(MACHINE, "2021-08-01", True)).encode()
    ovf = media.ovf_env(MACHINE).encode()
    goal = goalstate.goal_state(MACHINE, "168.63.129.16", "2012-11-30").encode()
    key = MACHINE.public_keys[0].encode()

    def text(data: bytes) -> str:
        return data.decode("utf-8", "surrogateescape")

    return {
        "read_json": Reader(
            lambda data: guest.read_json(text(data)), (document, b'{"a": [1, null, "\\u00e9"]}'), refused
        ),
        "parse_imds": Reader(guest.parse_imds, (document,), refused),
        "parse_goal_state": Reader(guest.parse_goal_state, (goal,), refused),
        "parse_medium": Reader(guest.parse_medium, (ovf,), refused),
        "parse_provisiondata": Reader(guest.parse_provisiondata, (ovf, document), refused),
        "parse_response": Reader(lambda data: guest.parse_response(data, True), ANSWERS, refused),
        "parse_key": Reader(lambda data: guest.parse_key(text(data)), (key,), refused),
        "split_keys": Reader(lambda data: guest.split_keys(text(data)), (key + b"\r\n" + key,)),
        "lease_option_245": Reader(guest.lease_option_245, LEASES),
        "networkctl_option_245": Reader(
            lambda data: guest.networkctl_option_245(text(data)),
            (
                b'{"Interfaces":[{"Index":2,"DHCPv4Client":{"PrivateOptions":[{"Option":245,"PrivateOptionData":[168,63]}]}}]}',
            ),
            refused,
        ),
        "parse_settings": Reader(
            lambda data: guest.parse_settings(text(data)), (b"# a\nDEADLINE=20\nSKIP=grow,sudo\n",)
        ),
        "last_word_is_include": Reader(
            lambda data: guest.last_word_is_include(text(data)), (b"@includedir /etc/sudoers.d\n",)
        ),
        "quoted_words": Reader(lambda data: guest.quoted_words(text(data)), (b'Match user "a b" host *.x\n',)),
        "carriable": Reader(lambda data: guest.carriable(text(data)).encode(), (b"useradd: caf\xc3\xa9",)),
    }


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
