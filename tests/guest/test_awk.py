"""The awk programs of provision.sh, each by itself, under every awk that is here: what they read is what others read.

provision.sh is joined of parts in src/azready/guest/sh; what is tested here are the parts.
"""

import base64
import itertools
import json
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TOP = Path(__file__).parents[2]
AWK = TOP / "src/azready/guest/sh/awk"
AWKS = [
    pytest.param(words, id=words[0] if len(words) == 1 else " ".join(words))
    for words in (["mawk"], ["gawk"], ["original-awk"], ["busybox", "awk"])
    if shutil.which(words[0])
]
SHOWN = 'function found(p, v, kind) { print p "=" v }\n'
TEXT = st.text(string.ascii_letters + string.digits + " äß€😀\"\\/:,{}[]<>&'", max_size=12)
NAMES = st.text(string.ascii_letters + " é", min_size=1, max_size=6)
DOCUMENTS = st.dictionaries(
    NAMES,
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def run(awk: list[str], *names: str, text: bytes, more: str = "", **values: str) -> subprocess.CompletedProcess[bytes]:
    """Programs of the parts, joined as provision.sh joins them, over a document."""
    program = more + "".join((AWK / f"{name}.awk").read_text() for name in names)
    words = [each for name, value in values.items() for each in ("-v", f"{name}={value}")]
    return subprocess.run(
        [*awk, *words, program],
        input=text,
        capture_output=True,
        check=False,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )


def flat(value: object, path: str = "") -> Iterator[str]:
    """A JSON document as the reader tells it: PATH=VALUE for each primitive."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from flat(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from flat(each, f"{path}.{index}" if path else str(index))
    else:
        yield f"{path}={value if isinstance(value, str) else json.dumps(value)}"


@pytest.mark.parametrize("awk", AWKS)
@settings(max_examples=25)
@given(document=DOCUMENTS, ascii=st.booleans(), indent=st.none() | st.just(2))
def test_json_is_read_as_python_reads_it(awk: list[str], document: dict[str, object], ascii: bool, indent: int) -> None:
    text = json.dumps(document, ensure_ascii=ascii, indent=indent).encode()
    done = run(awk, "shared", "read-json", text=text, more=SHOWN)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == list(flat(document))


@pytest.mark.parametrize("awk", AWKS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{]",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        '{"a":01}',
        '{"a":"\\x"}',
        '{"a":"\\u12"}',
        '{"a":tru}',
        '{"a":1}{',
        '{"a":"',
        "[1",
        '{"a" 1}',
    ],
)
def test_what_is_no_json_is_refused(awk: list[str], text: str) -> None:
    with pytest.raises(ValueError):
        json.loads(text)
    assert run(awk, "shared", "read-json", text=text.encode(), more=SHOWN).returncode == 1


@pytest.mark.parametrize("awk", AWKS)
@settings(max_examples=20)
@given(data=st.binary(max_size=60))
def test_base64_is_decoded_as_python_decodes_it(awk: list[str], data: bytes) -> None:
    escapes = run(awk, "decode", text=base64.b64encode(data) + b"\n").stdout.split()
    assert bytes(int(each, 8) for each in b"".join(escapes).decode().split("\\")[1:]) == data


@pytest.mark.parametrize("awk", AWKS)
def test_a_goal_state_is_read_as_python_reads_it(awk: list[str]) -> None:
    text = """<?xml version="1.0"?><GoalState xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:noNamespaceSchemaLocation="goalstate10.xsd"><!-- > --><Incarnation>7</Incarnation><Container>
    <ContainerId>a&amp;b</ContainerId><RoleInstanceList><RoleInstance><InstanceId>r<![CDATA[<1>]]></InstanceId>
    </RoleInstance></RoleInstanceList></Container></GoalState>"""
    done = run(awk, "shared", "read-xml", "found-goal-state", text=text.encode())
    assert done.returncode == 0, done.stderr
    theirs = [(each.text or "").strip() for each in ElementTree.fromstring(text).iter() if not len(each)]
    assert sorted(line.partition(" ")[2] for line in done.stdout.decode().splitlines()) == sorted(theirs)


@pytest.mark.parametrize("awk", AWKS)
def test_an_rsa_key_is_too_short_by_its_modulus_whatever_its_exponent(
    awk: list[str], guest: ModuleType, tmp_path: Path
) -> None:
    """PuTTY's exponent is 37, ssh-keygen's 65537: their keys of one size differ by two octets."""
    for bits, exponent in itertools.product((1024, 2048, 3072, 4096), (b"\x03", b"\x25", b"\x01\x00\x01")):
        parts = (b"ssh-rsa", exponent, b"\0" + b"\xc5" * (bits // 8))
        body = base64.b64encode(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).decode()
        key = tmp_path / "key"
        key.write_text(f"ssh-rsa {body} me\n")
        assert guest.rsa_bits(key.read_text()) == bits
        for least in (bits, bits + 256):
            said = f"flags\nrequiredrsasize\t{least}\n".encode()
            told = run(
                awk, "sshd-words", "sshd-judge", text=said, keys=str(key), has_key="1", user="me"
            ).stdout.decode()
            assert told == (
                "" if least == bits else f"keys sshd takes no RSA key of {bits} bits (RequiredRSASize {least})\n"
            )


@pytest.mark.parametrize("awk", AWKS)
@pytest.mark.parametrize("text", ["<a>", "<a></b>", "<!DOCTYPE a><a/>", "<a>&nbsp;</a>", "a", ""])
def test_what_is_no_xml_is_refused(awk: list[str], text: str) -> None:
    assert run(awk, "shared", "read-xml", text=text.encode(), more=SHOWN).returncode == 1


@pytest.mark.parametrize("awk", AWKS)
def test_secrets_are_taken_out_of_a_document_and_nothing_else(awk: list[str]) -> None:
    text = b"<e><UserName>me</UserName><UserPassword>secret</UserPassword><CustomData>c2VjcmV0</CustomData><A>b</A></e>"
    done = run(awk, "redact", text=text)
    assert b"secret" not in done.stdout and b"c2VjcmV0" not in done.stdout
    assert b"<UserName>me</UserName>" in done.stdout and b"<A>b</A>" in done.stdout
