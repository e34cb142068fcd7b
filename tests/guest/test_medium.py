"""The provisioning medium: ovf-env.xml by namespace, and its copy without secrets."""

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azready.fabric.machine import Machine
from azready.fabric.protocol.media import ovf_env

MACHINE = Machine(
    name="vm1",
    admin_username="ada",
    admin_password=" p<&\"'>word ",
    disable_password_authentication=False,
    custom_data="#!/bin/sh\necho é\n",
    public_keys=("ssh-rsa AAAA one", "ssh-rsa BBBB two"),
)


@pytest.mark.parametrize("prefix", ["azure", "wa", "ns1", "default"])
def test_the_fabrics_document_is_read_whatever_the_prefix(guest: ModuleType, prefix: str) -> None:
    medium = guest.parse_medium(ovf_env(MACHINE, prefix).encode())  # type: ignore[arg-type]
    assert (medium.hostname, medium.user, medium.password) == ("vm1", "ada", " p<&\"'>word ")
    assert medium.password_login is True
    assert guest.decode_base64(medium.custom_data).decode() == "#!/bin/sh\necho é\n"


HEAD = (
    '<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" '
    'xmlns:a="http://schemas.microsoft.com/windowsazure" '
    'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><a:ProvisioningSection><a:Version>1.0</a:Version>'
    "<a:LinuxProvisioningConfigurationSet>"
)
TAIL = "</a:LinuxProvisioningConfigurationSet></a:ProvisioningSection></Environment>"


def _document(inner: str) -> bytes:
    return (HEAD + inner + TAIL).encode()


def test_what_is_nil_or_empty_is_absent(guest: ModuleType) -> None:
    medium = guest.parse_medium(
        _document('<a:HostName>h</a:HostName><a:CustomData i:nil="true"/><a:UserName></a:UserName>')
    )
    assert (medium.hostname, medium.user, medium.custom_data, medium.password) == ("h", "", "", "")
    assert medium.password_login is None


@pytest.mark.parametrize(
    ("text", "login"), [("true", False), ("False", True), (" TRUE ", False), ("", None), ("yes", None), ("0", None)]
)
def test_the_password_policy_is_stated_or_not(guest: ModuleType, text: str, login: bool | None) -> None:
    tag = "a:DisableSshPasswordAuthentication"
    assert guest.parse_medium(_document(f"<{tag}>{text}</{tag}>")).password_login is login


def test_keys_are_taken_from_the_medium(guest: ModuleType) -> None:
    key = (
        "<a:PublicKey><a:Fingerprint>F</a:Fingerprint><a:Path>/p</a:Path><a:Value>ssh-rsa A\nB</a:Value></a:PublicKey>"
    )
    medium = guest.parse_medium(_document(f"<a:SSH><a:PublicKeys>{key}{key}</a:PublicKeys></a:SSH>"))
    assert medium.keys == ["ssh-rsa A\nB"] * 2


def test_elements_of_other_namespaces_are_not_read(guest: ModuleType) -> None:
    medium = guest.parse_medium(
        _document('<UserName>no</UserName><b:UserName xmlns:b="urn:b">no</b:UserName><a:HostName>h</a:HostName>')
    )
    assert medium.user == ""


@pytest.mark.parametrize(
    "document",
    [
        b"",
        _document("").replace(b"LinuxProv", b"WindowsProv"),
        b"<Environment/>",
        _document("<a:HostName>h</a:HostName>")[:-5],
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/shadow">]>' + _document("<a:HostName>&x;</a:HostName>"),
        _document("<a:UserName>one</a:UserName><a:UserName>two</a:UserName>"),
        _document("<a:HostName>h</a:HostName>" + " " * (1 << 20)),
    ],
    ids=["empty", "nothing", "no section", "cut", "dtd", "doubled", "large"],
)
def test_what_is_no_such_document_is_refused(guest: ModuleType, document: bytes) -> None:
    with pytest.raises(ValueError):
        guest.parse_medium(document)


@pytest.mark.parametrize("prefix", ["azure", "wa", "ns1", "default"])
def test_the_copy_has_no_secret_and_is_otherwise_the_same(guest: ModuleType, prefix: str) -> None:
    document = ovf_env(MACHINE, prefix).encode()  # type: ignore[arg-type]
    copy = guest.redact(document)
    assert b"word" not in copy.replace(b"Password", b"")
    assert copy.count(b"REDACTED") == 2
    assert b"HostName>vm1</" in copy
    assert b"DisableSshPasswordAuthentication>false</" in copy
    guest.parse_medium(copy)


@settings(max_examples=150, deadline=None)
@given(
    secret=st.text(alphabet=st.characters(min_codepoint=32, blacklist_categories=("Cs",)), min_size=6),
    form=st.integers(0, 3),
)
def test_no_spelling_of_a_password_survives(guest: ModuleType, secret: str, form: int) -> None:
    escaped = secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    cdata = "<![CDATA[" + secret.replace("]]>", "") + "]]>"
    inner = [escaped, f"<!-- c -->{escaped}", f"<b>{escaped}</b>", cdata][form]
    copy = guest.redact(
        _document(f'<a:UserPassword x="y">{inner}</a:UserPassword><a:AdminPassword/><a:HostName>h</a:HostName>')
    )
    assert copy == _document(
        '<a:UserPassword x="y">REDACTED</a:UserPassword><a:AdminPassword/><a:HostName>h</a:HostName>'
    )
