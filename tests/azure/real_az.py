"""The real Azure CLI, from PyPI: some 730 MB and one to two minutes, once."""

import json
import os
from pathlib import Path
from typing import Any

from tests.azure.fake_arm.model import TENANT, Arm
from tests.azure.fake_arm.server import Server
from tests.installed import from_pypi

VERSION = "2.91.0"
MANY = """
import io, json, sys
from azure.cli.core import get_default_cli
for words in json.load(open(sys.argv[1])):
    out = io.StringIO()
    try:
        code = get_default_cli().invoke(words[1:], out_file=out)
    except SystemExit as ended:
        code = ended.code
    if code:
        sys.exit(f"{code}: {' '.join(words)}")
"""
LOGIN = f"az login --service-principal -u 00000000-0000-4000-8000-000000000001 -p secret --tenant {TENANT}"


def install() -> Path:
    """The path of `az`."""
    return from_pypi("az", VERSION, f"azure-cli=={VERSION}") / "az"


HOSTS = ("management.azure.com", "login.microsoftonline.com", "md-fake.blob.storage.azure.net")


def in_namespace(argv: list[str], hosts: Path) -> list[str]:
    """`argv` in a mount namespace where Azure's names are 127.0.0.1; the network is the caller's, only `lo`."""
    hosts.write_text("127.0.0.1 localhost " + " ".join(HOSTS) + "\n")
    command = 'mount --bind "$0" /etc/hosts && exec "$@"'
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "sh", "-c", command, str(hosts), *argv]


def environment(folder: Path, ca: Path) -> dict[str, str]:
    """For az and for azready: nothing of the caller's login, the fake's authority, no telemetry."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "XDG_STATE_HOME": str(folder / "state"),
        "AZURE_CONFIG_DIR": str(folder / "config"),
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "AZURE_CORE_NO_COLOR": "yes",
        "AZURE_CORE_SURVEY_MESSAGE": "no",
        "AZURE_CORE_ONLY_SHOW_ERRORS": "yes",
        "REQUESTS_CA_BUNDLE": str(ca),
    }


def refusals(server: Server) -> str:
    return "\n".join(
        f"{item.method} {item.url} {item.status} {json.dumps(item.answer)[:300]}"
        for item in server.exchanges
        if item.status >= 400
    )


def essence(arm: Arm) -> dict[str, Any]:
    """What matters of every resource of a run: type, names, and the properties that either side decides.

    The VMs of a scale set, whose names Azure makes up, are counted.
    """
    found: dict[str, Any] = {}
    for item in arm.resources.values():
        kind = item["type"].split("/", 1)[-1]
        if kind in ("deployments", "subnet") or (kind == "disks" and "_OsDisk_" in item["name"]):
            continue
        properties = _without_defaults(kind, {**item["properties"], "plan": item.get("plan")})
        kept = {key: properties[key] for key in KEPT.get(kind, ()) if properties.get(key)}
        member = "virtualMachineScaleSet" in item["properties"]
        name = f"of {item['name'].rpartition('_')[0]}" if member else item["name"]
        found[f"{kind}/{name}"] = found.get(f"{kind}/{name}", 0) + 1 if member else _plain(kept)
    return found


SAID_ALIKE = {"caching": "readwrite", "type": "encryptionatrestwithcustomerkey"}
"""What az leaves to Azure's default, or says though it is the default."""


def _plain(value: Any) -> Any:
    """Without what does not matter: case, spaces of lists, the key file's last newline, states, defaults."""
    if isinstance(value, dict):
        pairs = {key.lower(): _plain(item) for key, item in value.items() if item is not None}
        return {
            key: item
            for key, item in pairs.items()
            if key not in ("provisioningstate", "etag", "publisheddate") and SAID_ALIKE.get(key, ()) != item
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.strip().lower().replace(", ", ",") if isinstance(value, str) else value


def _without_defaults(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Without what az writes out though it is the default, and what it has no option for."""
    profile = {**properties.get("virtualMachineProfile", {})} if kind.endswith("ScaleSets") else {**properties}
    if profile.get("securityProfile", {}).get("securityType") == "Standard":
        del profile["securityProfile"]
    if kind.endswith("ScaleSets"):
        profile.pop("diagnosticsProfile", None)
        profile.pop("networkProfile")
        os_profile = {**profile.get("osProfile", {})}
        os_profile.pop("allowExtensionOperations", None)  # false where provisionVMAgent is
        return properties | {"virtualMachineProfile": profile | {"osProfile": os_profile}}
    return profile


KEPT = {
    "virtualMachines": ("hardwareProfile", "osProfile", "diagnosticsProfile", "securityProfile", "plan"),
    "virtualMachineScaleSets": (
        "orchestrationMode",
        "platformFaultDomainCount",
        "singlePlacementGroup",
        "virtualMachineProfile",
        "plan",
    ),
    "images": ("hyperVGeneration", "sourceVirtualMachine"),
    "publicIPAddresses": ("publicIPAllocationMethod", "publicIPAddressVersion"),
    "networkSecurityGroups": ("securityRules",),
    "disks": ("osType", "hyperVGeneration", "creationData", "supportedCapabilities", "encryption", "securityProfile"),
    "snapshots": ("creationData", "incremental"),
    "galleries/images": (
        "osType",
        "osState",
        "hyperVGeneration",
        "architecture",
        "identifier",
        "features",
        "purchasePlan",
    ),
    "galleries/images/versions": ("storageProfile", "publishingProfile"),
}
