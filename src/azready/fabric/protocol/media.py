"""The provisioning medium: `ovf-env.xml` of a machine, and the UDF disc that holds it.

Elements as WALinuxAgent (common/protocol/ovfenv.py), cloud-init (sources/helpers/azure.py) and azure-init
(media.rs) read them. The prefix of the namespace varies in the field, so it is a choice here: a reader has to go
by the namespace.
"""

import base64
import io
from typing import Literal
from xml.sax.saxutils import escape

from azready.fabric.machine import Machine

OVF = "http://schemas.dmtf.org/ovf/environment/1"
AZURE = "http://schemas.microsoft.com/windowsazure"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
LABEL = "rd_rdfe_stable"
FILE_NAME = "ovf-env.xml"

Prefix = Literal["wa", "ns1", ""]


def ovf_env(machine: Machine, prefix: Prefix = "wa") -> str:
    """The text of `ovf-env.xml`. With an empty prefix the inner elements stand in a default namespace."""
    azure = prefix + ":" if prefix else ""
    bound = f' xmlns:{prefix}="{AZURE}"' if prefix else ""
    sections = "".join((_provisioning(machine, azure), _platform(machine, azure)))
    if not prefix:
        for name in ("ProvisioningSection", "PlatformSettingsSection"):
            sections = sections.replace(f"<{name}>", f'<{name} xmlns="{AZURE}">')
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<ovf:Environment xmlns:ovf="{OVF}"{bound} xmlns:xsi="{XSI}">'
        f"{sections}\n</ovf:Environment>\n"
    )


def _provisioning(machine: Machine, azure: str) -> str:
    custom_data = base64.b64encode(machine.custom_data.encode()).decode()
    lines = [
        _leaf(azure, "ConfigurationSetType", "LinuxProvisioningConfiguration"),
        _leaf(azure, "HostName", machine.computer_name),
        _leaf(azure, "UserName", machine.admin_username),
        *([_leaf(azure, "UserPassword", machine.admin_password)] if machine.admin_password else []),
        _leaf(azure, "DisableSshPasswordAuthentication", _truth(machine.disable_password_authentication)),
        *([_leaf(azure, "CustomData", custom_data)] if custom_data else []),
        *_ssh(machine, azure),
    ]
    inner = "\n      ".join(lines)
    return f"""
  <{azure}ProvisioningSection>
    <{azure}Version>1.0</{azure}Version>
    <{azure}LinuxProvisioningConfigurationSet>
      {inner}
    </{azure}LinuxProvisioningConfigurationSet>
  </{azure}ProvisioningSection>"""


def _ssh(machine: Machine, azure: str) -> list[str]:
    """The keys: with the thumbprint of the certificate that carries each, where the goal state has certificates."""
    path = f"/home/{machine.admin_username}/.ssh/authorized_keys"
    thumbprints = {}
    if machine.certificates:
        from azready.fabric.protocol import certificates  # cryptography is slow to load, and seldom needed

        thumbprints = certificates.thumbprints(machine)
    keys = [
        f"<{azure}PublicKey>"
        + _leaf(azure, "Fingerprint", thumbprints.get(key, ""))
        + _leaf(azure, "Path", path)
        + _leaf(azure, "Value", "" if key in thumbprints else key)
        + f"</{azure}PublicKey>"
        for key in machine.public_keys
    ]
    if not keys:
        return []
    return [f"<{azure}SSH><{azure}PublicKeys>{''.join(keys)}</{azure}PublicKeys></{azure}SSH>"]


def _platform(machine: Machine, azure: str) -> str:
    lines = [
        _leaf(azure, "KmsServerHostname", "kms.core.windows.net"),
        _leaf(azure, "ProvisionGuestAgent", _truth(machine.provision_guest_agent)),
        f'<{azure}GuestAgentPackageName xsi:nil="true"/>',
        _leaf(azure, "RetainWindowsPEPassInUnattend", "true"),
        _leaf(azure, "RetainOfflineServicingPassInUnattend", "true"),
        _leaf(azure, "PreprovisionedVm", _truth(machine.pps_type != "None")),
        _leaf(azure, "PreprovisionedVMType", machine.pps_type),
        _leaf(azure, "EnableTrustedImageIdentifier", "false"),
    ]
    inner = "\n      ".join(lines)
    return f"""
  <{azure}PlatformSettingsSection>
    <{azure}Version>1.0</{azure}Version>
    <{azure}PlatformSettings>
      {inner}
    </{azure}PlatformSettings>
  </{azure}PlatformSettingsSection>"""


def _leaf(azure: str, name: str, value: str) -> str:
    return f"<{azure}{name}>{escape(value)}</{azure}{name}>"


def _truth(value: bool) -> str:
    return "true" if value else "false"


def medium(machine: Machine, prefix: Prefix = "wa", iso9660: bool = False) -> bytes:
    """The disc as bytes: UDF, as Azure's. Its ISO 9660 tree is empty unless `iso9660`, since a guest whose kernel
    is kept from UDF cannot read Azure's either."""
    import pycdlib

    content = ovf_env(machine, prefix).encode()
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=4, vol_ident=LABEL, udf="2.60")
    disc.add_fp(io.BytesIO(content), len(content), f"/{FILE_NAME}", udf_path=f"/{FILE_NAME}")
    if not iso9660:
        disc.rm_hard_link(iso_path=f"/{FILE_NAME}")
    out = io.BytesIO()
    disc.write_fp(out)
    disc.close()
    return out.getvalue()
