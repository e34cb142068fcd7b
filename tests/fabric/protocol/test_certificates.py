"""The certificate exchange, with openssl as the agent, by the commands that agents run."""

import base64
import datetime
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import attested, certificates, goalstate, media, wireserver
from azready.fabric.protocol.messages import Request, Rules


def _run(directory: Path, *argv: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(argv, cwd=directory, input=stdin, capture_output=True, check=True).stdout


@pytest.fixture
def machine(tmp_path: Path, need: Callable[..., None]) -> Machine:
    need("tool:openssl", "tool:ssh-keygen")
    _run(tmp_path, "ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", "key")
    words = ["-subj", "/CN=LinuxTransport", "-days", "30", "-newkey", "rsa:2048", "-keyout", "t.prv", "-out", "t.pem"]
    _run(tmp_path, "openssl", "req", "-x509", "-nodes", *words)
    return Machine(public_keys=((tmp_path / "key.pub").read_text().strip(), "ssh-ed25519 AAAA"), certificates=True)


def _ask(machine: Machine, shown: str) -> tuple[int, str]:
    target = goalstate.links(machine, "h:1")["Certificates"].removeprefix("http://h:1")
    headers = (("x-ms-version", "2012-11-30"), (certificates.HEADER, shown))
    answer = wireserver.answer(Request("GET", target, headers), machine, Ledger(), Rules())
    return answer.response.status, answer.response.body.decode()


@pytest.mark.long
def test_openssl_opens_what_the_fabric_envelops(machine: Machine, tmp_path: Path) -> None:
    shown = "".join(line for line in (tmp_path / "t.pem").read_text().splitlines() if not line.startswith("-----"))
    status, document = _ask(machine, shown)
    assert status == 200
    data = re.search(r"<Data>(.*)</Data>", document, re.DOTALL)
    assert data is not None
    (tmp_path / "c.der").write_bytes(base64.b64decode(data[1]))
    store = _run(tmp_path, "openssl", "cms", "-decrypt", "-inform", "DER", "-in", "c.der", "-inkey", "t.prv")
    pem = _run(tmp_path, "openssl", "pkcs12", "-nodes", "-password", "pass:", stdin=store)
    assert pem.count(b"BEGIN PRIVATE KEY") == 1
    blocks = re.findall(rb"-----BEGIN CERTIFICATE.*?END CERTIFICATE-----", pem, re.DOTALL)
    prints = {
        _run(tmp_path, "openssl", "x509", "-noout", "-fingerprint", "-sha1", stdin=block + b"\n"): block
        for block in blocks
    }
    (thumbprint,) = certificates.thumbprints(machine).values()
    (mine,) = [block for line, block in prints.items() if line.decode().replace(":", "").strip().endswith(thumbprint)]
    public = _run(tmp_path, "openssl", "x509", "-noout", "-pubkey", stdin=mine + b"\n")
    (tmp_path / "p.pem").write_bytes(public)
    line = _run(tmp_path, "ssh-keygen", "-i", "-m", "PKCS8", "-f", "p.pem").decode().split()
    assert line[:2] == machine.public_keys[0].split()[:2]


@pytest.mark.long
def test_the_medium_names_the_certificate_of_an_rsa_key(machine: Machine) -> None:
    (thumbprint,) = certificates.thumbprints(machine).values()
    assert f"<Fingerprint>{thumbprint}</Fingerprint>" in media.ovf_env(machine)


@pytest.mark.long
def test_another_process_makes_the_same_thumbprints(machine: Machine) -> None:
    code = (
        "import sys; from azready.fabric.machine import Machine; from azready.fabric.protocol import certificates as c;"
        "print(*c.thumbprints(Machine(public_keys=(sys.argv[1],))).values())"
    )
    done = subprocess.run([sys.executable, "-c", code, machine.public_keys[0]], capture_output=True, check=True)
    assert done.stdout.decode().split() == list(certificates.thumbprints(machine).values())


@pytest.mark.parametrize("shown", ["", "####", "AAAA"])
def test_a_bad_transport_certificate_is_refused(shown: str) -> None:
    status, _ = _ask(Machine(certificates=True), shown)
    assert status == 400


def test_the_attested_document_is_signed_and_says_by_whom(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:openssl")
    document = attested.document(Machine(), "2025-04-07", "1234567890")
    (tmp_path / "s.der").write_bytes(base64.b64decode(document["signature"]))
    content = _run(tmp_path, "openssl", "smime", "-verify", "-in", "s.der", "-inform", "DER", "-noverify")
    told = json.loads(content)
    assert told["nonce"] == "1234567890"
    written, until = (
        datetime.datetime.strptime(told["timeStamp"][each], "%m/%d/%y %H:%M:%S %z")
        for each in ("createdOn", "expiresOn")
    )
    assert until - written == datetime.timedelta(hours=6)
    issuer = _run(tmp_path, "openssl", "pkcs7", "-inform", "DER", "-in", "s.der", "-print_certs", "-noout")
    assert b"not Microsoft" in issuer
