"""The provisioning medium: `ovf-env.xml` of a machine, and the UDF disc that holds it.

Azure's own form, as WALinuxAgent's and azure-init's documents have it, is a mixture: the root in a default namespace,
sections with `wa:`, and what is in them without a prefix again, in a default namespace of its own. Two readers in the
field (azure-init, OpenBSD's) go by the letter of it. A reader should go by the namespace: hence the other forms.
Elements as WALinuxAgent (common/protocol/ovfenv.py), cloud-init (sources/helpers/azure.py) and azure-init (media.rs)
read them.
"""

import base64
import io
from typing import Literal

from azready.fabric.machine import Machine
from azready.fabric.protocol.xml import escape

OVF = "http://schemas.dmtf.org/ovf/environment/1"
AZURE = "http://schemas.microsoft.com/windowsazure"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
LABEL = "rd_rdfe_stable"
FILE_NAME = "ovf-env.xml"
CUSTOM_DATA_NAME = "CustomData.bin"
"""The decoded custom data, beside ovf-env.xml; the only file that Ignition reads. Confidential VMs have none."""

Form = Literal["azure", "wa", "ns1", "default"]
"""Azure's own mixture; one prefix throughout, `wa:` or `ns1:`; or a default namespace for everything of Azure."""


def ovf_env(machine: Machine, form: Form | None = None) -> str:
    """The text of `ovf-env.xml`, in the machine's form unless another is given."""
    match form or machine.medium_form:
        case "azure":
            root = f'<Environment xmlns="{OVF}" xmlns:oe="{OVF}" xmlns:wa="{AZURE}" xmlns:xsi="{XSI}">'
            inner = f' xmlns="{AZURE}" xmlns:i="{XSI}"'
            return _document(root, "Environment", _sections(machine, "wa:", "", "", inner, "i"))
        case "default":
            root = f'<ovf:Environment xmlns:ovf="{OVF}" xmlns:xsi="{XSI}">'
            return _document(root, "ovf:Environment", _sections(machine, "", "", f' xmlns="{AZURE}"', "", "xsi"))
        case prefix:
            root = f'<ovf:Environment xmlns:ovf="{OVF}" xmlns:{prefix}="{AZURE}" xmlns:xsi="{XSI}">'
            return _document(root, "ovf:Environment", _sections(machine, f"{prefix}:", f"{prefix}:", "", "", "xsi"))


def files(machine: Machine) -> dict[str, bytes]:
    """What lies on the medium: name → content."""
    content = {FILE_NAME: ovf_env(machine).encode()}
    if machine.custom_data and machine.security_type != "ConfidentialVM":
        content[CUSTOM_DATA_NAME] = machine.custom_data.encode()
    return content


def _document(root: str, name: str, sections: str) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>\n{root}{sections}\n</{name}>\n'


def _sections(machine: Machine, outer: str, inner: str, outer_bound: str, inner_bound: str, nil: str) -> str:
    """Both sections; `outer` and `inner` are prefixes, the `bound`s the namespaces that their elements declare."""
    parts = (
        ("ProvisioningSection", "LinuxProvisioningConfigurationSet", _wishes(machine, inner)),
        ("PlatformSettingsSection", "PlatformSettings", _platform(machine, inner, nil)),
    )
    text = ""
    for section, settings, leaves in parts:
        lines = "\n      ".join(leaves)
        text += f"""
  <{outer}{section}{outer_bound}>
    <{outer}Version>1.0</{outer}Version>
    <{inner}{settings}{inner_bound}>
      {lines}
    </{inner}{settings}>
  </{outer}{section}>"""
    return text


def _wishes(machine: Machine, azure: str) -> list[str]:
    custom_data = base64.b64encode(machine.custom_data.encode()).decode()
    return [
        _leaf(azure, "ConfigurationSetType", "LinuxProvisioningConfiguration"),
        _leaf(azure, "HostName", machine.computer_name),
        _leaf(azure, "UserName", machine.admin_username),
        *([_leaf(azure, "UserPassword", machine.admin_password)] if machine.admin_password else []),
        _leaf(azure, "DisableSshPasswordAuthentication", _truth(machine.disable_password_authentication)),
        *([_leaf(azure, "CustomData", custom_data)] if custom_data else []),
        *_ssh(machine, azure),
    ]


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


def _platform(machine: Machine, azure: str, nil: str) -> list[str]:
    return [
        _leaf(azure, "KmsServerHostname", "kms.core.windows.net"),
        _leaf(azure, "ProvisionGuestAgent", _truth(machine.provision_guest_agent)),
        f'<{azure}GuestAgentPackageName {nil}:nil="true"/>',
        _leaf(azure, "RetainWindowsPEPassInUnattend", "true"),
        _leaf(azure, "RetainOfflineServicingPassInUnattend", "true"),
        _leaf(azure, "PreprovisionedVm", _truth(machine.pps_type != "None")),
        _leaf(azure, "PreprovisionedVMType", machine.pps_type),
        _leaf(azure, "EnableTrustedImageIdentifier", "false"),
        *([_leaf(azure, "ProvisionGuestProxyAgent", "true")] if machine.guest_proxy else []),
    ]


def _leaf(azure: str, name: str, value: str) -> str:
    return f"<{azure}{name}>{escape(value)}</{azure}{name}>"


def _truth(value: bool) -> str:
    return "true" if value else "false"


def medium(machine: Machine, iso9660: bool = False) -> bytes:
    """The disc as bytes: UDF, as Azure's. Its ISO 9660 tree is empty unless `iso9660`, since a guest whose kernel
    is kept from UDF cannot read Azure's either."""
    import pycdlib

    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=4, vol_ident=LABEL, udf="2.60")
    for name, content in files(machine).items():
        disc.add_fp(io.BytesIO(content), len(content), f"/{name}", udf_path=f"/{name}")
        if not iso9660:
            disc.rm_hard_link(iso_path=f"/{name}")
    out = io.BytesIO()
    disc.write_fp(out)
    disc.close()
    return out.getvalue()
