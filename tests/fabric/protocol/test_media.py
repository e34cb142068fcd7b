"""The medium: its XML says what the machine's owner asked for, and its disc is UDF."""

import base64
import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree
from xml.parsers import expat

import pycdlib
import pytest

from azready.fabric.machine import Machine
from azready.fabric.protocol import media

AZURE = f"{{{media.AZURE}}}"
MACHINE = Machine(
    name="vm1",
    computer_name="web-1",
    admin_password="p<&>\"'w",
    custom_data="#cloud-config\nä",
    public_keys=("ssh-ed25519 AAAA me",),
    disable_password_authentication=False,
)


@pytest.mark.parametrize("form", get_args(media.Form))
def test_the_same_elements_whatever_the_form(form: media.Form) -> None:
    root = ElementTree.fromstring(media.ovf_env(MACHINE, form))
    assert root.tag == f"{{{media.OVF}}}Environment"
    section = f"{AZURE}ProvisioningSection/{AZURE}LinuxProvisioningConfigurationSet"
    values = {child.tag.removeprefix(AZURE): child.text for child in root.find(section) or []}
    assert values["HostName"] == "web-1"
    assert values["UserName"] == "azureuser"
    assert values["UserPassword"] == MACHINE.admin_password
    assert values["DisableSshPasswordAuthentication"] == "false"
    assert base64.b64decode(values["CustomData"] or "").decode() == MACHINE.custom_data
    key = root.find(f"{section}/{AZURE}SSH/{AZURE}PublicKeys/{AZURE}PublicKey")
    assert key is not None
    assert key.findtext(f"{AZURE}Value") == "ssh-ed25519 AAAA me"
    settings = root.find(f"{AZURE}PlatformSettingsSection/{AZURE}PlatformSettings")
    assert settings is not None
    assert settings.findtext(f"{AZURE}ProvisionGuestAgent") == "false"
    assert settings.findtext(f"{AZURE}PreprovisionedVm") == "false"


def test_what_was_not_asked_for_is_absent() -> None:
    text = media.ovf_env(Machine())
    assert all(name not in text for name in ("UserPassword", "CustomData", "SSH>", "GuestProxy"))


def names_to_the_letter(text: str) -> set[str]:
    """Paths of element names as they stand, prefixes and all: what readers without namespaces see."""
    path: list[str] = []
    seen: set[str] = set()
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        path.append(name)
        seen.add("/".join(path))

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: path.pop()
    parser.Parse(text, True)
    return seen


def test_azures_form_is_read_by_those_who_go_by_the_letter() -> None:
    seen = names_to_the_letter(media.ovf_env(MACHINE))
    assert {
        "Environment/wa:ProvisioningSection/wa:Version",
        "Environment/wa:ProvisioningSection/LinuxProvisioningConfigurationSet/UserName",
        "Environment/wa:ProvisioningSection/LinuxProvisioningConfigurationSet/SSH/PublicKeys/PublicKey/Value",
        "Environment/wa:PlatformSettingsSection/wa:Version",
        "Environment/wa:PlatformSettingsSection/PlatformSettings/PreprovisionedVm",
    } <= seen


def test_the_machine_chooses_the_form() -> None:
    assert "<ns1:HostName>" in media.ovf_env(Machine(medium_form="ns1"))
    assert "<wa:HostName>" in media.ovf_env(Machine(medium_form="ns1"), "wa")


@pytest.mark.parametrize("kind", ["Standard", "TrustedLaunch"])
def test_custom_data_lies_decoded_beside_the_document(kind: str) -> None:
    assert media.files(replace(MACHINE, security_type=kind))["CustomData.bin"] == MACHINE.custom_data.encode()
    assert set(media.files(Machine(security_type=kind))) == {"ovf-env.xml"}


def test_a_confidential_vm_has_custom_data_in_the_document_only() -> None:
    files = media.files(replace(MACHINE, security_type="ConfidentialVM"))
    assert set(files) == {"ovf-env.xml"}
    assert b"<CustomData>" in files["ovf-env.xml"]


def test_the_document_asks_for_the_guest_proxy_agent_where_a_mode_does() -> None:
    for msp, wanted in (("audit", True), ("enforce", True), ("imds=enforce", True), ("disabled", False)):
        assert ("<ProvisionGuestProxyAgent>true<" in media.ovf_env(Machine(msp=msp))) is wanted


def test_the_disc_holds_the_files_in_udf_and_nothing_in_iso9660() -> None:
    disc = pycdlib.PyCdlib()
    disc.open_fp(io.BytesIO(media.medium(MACHINE)))
    out = io.BytesIO()
    disc.get_file_from_iso_fp(out, udf_path="/ovf-env.xml")
    assert out.getvalue().decode() == media.ovf_env(MACHINE)
    custom = io.BytesIO()
    disc.get_file_from_iso_fp(custom, udf_path="/CustomData.bin")
    assert custom.getvalue() == MACHINE.custom_data.encode()
    assert [child.file_identifier() for child in disc.list_children(iso_path="/")] == [b".", b".."]


def test_blkid_knows_the_disc_by_type_and_label(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:blkid")
    path = tmp_path / "medium.iso"
    path.write_bytes(media.medium(MACHINE))
    done = subprocess.run(["/usr/sbin/blkid", "-p", "-o", "export", path], capture_output=True, text=True, check=True)
    assert "TYPE=udf" in done.stdout
    assert f"LABEL={media.LABEL}" in done.stdout
