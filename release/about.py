"""What every package says of itself, whatever its format."""

import re
from dataclasses import dataclass
from pathlib import Path

from azready.image.parts.guest_program import Flavour

HOMEPAGE = "https://github.com/azready/azready"
MAINTAINER = "The azready authors <azready@users.noreply.github.com>"
LICENCE = "Apache-2.0"
SUMMARY = "provisions an Azure VM at its first boot, without an agent"
DESCRIPTION = (
    "One program, started once at the first boot of a Linux VM in Azure: it sets host name, user, keys, password "
    "policy and custom data as the VM's owner asked, reports to the platform that the VM is ready or why it is not, "
    "and switches itself off. Neither walinuxagent nor cloud-init is needed, and no daemon stays."
)
LANGUAGE = {"python": "the program in Python (3.6 or newer)", "sh": "the program in POSIX sh, with curl, wget or bash"}


@dataclass(frozen=True)
class Release:
    """A version, and the time (seconds since 1970) that stands wherever a file format wants one."""

    version: str
    epoch: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+(\.\d+)+", self.version):
            raise ValueError(f"version {self.version!r}: apk, dpkg and rpm agree only on numbers with dots")


def name(guest: Flavour) -> str:
    return "azready-guest" if guest == "python" else "azready-guest-sh"


def other(guest: Flavour) -> str:
    """The package that cannot be installed beside this one."""
    return name("sh" if guest == "python" else "python")


def version_here() -> str:
    """azready's own, read without importing it."""
    text = (Path(__file__).parents[1] / "src/azready/__init__.py").read_text()
    return re.findall(r'__version__ = "([^"]+)"', text)[0]


def wrapped(text: str, width: int = 76) -> list[str]:
    """Lines of at most `width` characters."""
    import textwrap

    return textwrap.wrap(text, width)
