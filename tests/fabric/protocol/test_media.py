"""The medium: its XML says what the machine's owner asked for, and its disc is UDF."""

import base64
import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

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


@pytest.mark.parametrize("prefix", get_args(media.Prefix))
def test_the_same_elements_whatever_the_prefix(prefix: media.Prefix) -> None:
    root = ElementTree.fromstring(media.ovf_env(MACHINE, prefix))
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
    assert all(name not in text for name in ("UserPassword", "CustomData", "SSH>"))


def test_the_disc_holds_the_file_in_udf_and_nothing_in_iso9660() -> None:
    disc = pycdlib.PyCdlib()
    disc.open_fp(io.BytesIO(media.medium(MACHINE)))
    out = io.BytesIO()
    disc.get_file_from_iso_fp(out, udf_path="/ovf-env.xml")
    assert out.getvalue().decode() == media.ovf_env(MACHINE)
    assert [child.file_identifier() for child in disc.list_children(iso_path="/")] == [b".", b".."]


def test_blkid_knows_the_disc_by_type_and_label(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:blkid")
    path = tmp_path / "medium.iso"
    path.write_bytes(media.medium(MACHINE))
    done = subprocess.run(["/usr/sbin/blkid", "-p", "-o", "export", path], capture_output=True, text=True, check=True)
    assert "TYPE=udf" in done.stdout
    assert f"LABEL={media.LABEL}" in done.stdout
