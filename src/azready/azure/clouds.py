"""Azure's clouds: where the control plane is, and who signs its tokens.

Source: Microsoft's documents of national clouds, and `azure.mgmt.core.tools.get_arm_endpoints`. The names are those
of `az cloud list`.
"""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from azready.errors import UsageFailure


@dataclass(frozen=True)
class Cloud:
    """One cloud. `arm` has no slash at its end; `prices` is empty where there is no public price list."""

    name: str
    arm: str
    scope: str
    authority: str
    prices: str = ""


CLOUDS = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            "AzureCloud",
            "https://management.azure.com",
            "https://management.azure.com/.default",
            "https://login.microsoftonline.com",
            "https://prices.azure.com",
        ),
        Cloud(
            "AzureUSGovernment",
            "https://management.usgovcloudapi.net",
            "https://management.core.usgovcloudapi.net/.default",
            "https://login.microsoftonline.us",
        ),
        Cloud(
            "AzureChinaCloud",
            "https://management.chinacloudapi.cn",
            "https://management.chinacloudapi.cn/.default",
            "https://login.chinacloudapi.cn",
        ),
    )
}


def choose(asked: str, environment: Mapping[str, str]) -> Cloud:
    """The cloud that was asked for, else the one that `az cloud set` chose, else the public one.

    Raises UsageFailure on a name that is not a cloud.
    """
    name = asked or _set_by_az(environment) or "AzureCloud"
    for cloud in CLOUDS.values():
        if cloud.name.lower() == name.lower():
            return cloud
    raise UsageFailure(f"{name!r} is not a cloud that azready knows", f"use --cloud with one of: {', '.join(CLOUDS)}")


def _set_by_az(environment: Mapping[str, str]) -> str:
    """What the Azure CLI keeps in its configuration file; reading it is 500 times faster than asking `az`."""
    folder = environment.get("AZURE_CONFIG_DIR") or str(Path(environment.get("HOME", "/")) / ".azure")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(Path(folder) / "config", encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return ""
    return parser.get("cloud", "name", fallback="")
