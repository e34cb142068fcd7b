"""Who provisions where walinuxagent is installed: it may leave it to cloud-init, or to nobody.

Source: WALinuxAgent's README (Provisioning.Agent, Provisioning.RegenerateSshHostKeyPair) and its choice of a provision
handler: `auto` means cloud-init wherever that is enabled, whether it will do anything or not.
"""

from dataclasses import dataclass
from typing import Literal

from azready.agents import WAAGENT
from azready.image.facts.reading import numbered, text_of
from azready.image.facts.units import Units
from azready.image.targets import Files

CONFIG = "etc/waagent.conf"
MARKER = "var/lib/waagent/provisioned"


@dataclass(frozen=True)
class Waagent:
    """An enabled walinuxagent: who provisions by its settings, and the line that says so, if one does."""

    who: Literal["waagent", "cloud-init", "nobody"]
    line: str
    where: str
    makes_keys: bool
    """Whether it makes new host keys while it provisions."""

    @property
    def provisions(self) -> bool:
        """Whether it provisions itself."""
        return self.who == "waagent"


def gather_waagent(files: Files, units: Units, cloud_init: bool) -> Waagent | None:
    """None where no walinuxagent starts; `cloud_init` tells whether one is enabled, working or not."""
    if not units.enabled(*WAAGENT.starts):
        return None
    settings: dict[str, tuple[str, str, str]] = {}
    for number, line in numbered(text_of(files, CONFIG) or ""):
        key, equals, value = line.partition("=")
        if equals:
            settings[key.strip()] = (value.partition("#")[0].strip().strip("\"'").lower(), line, f"{CONFIG}:{number}")
    chosen, line, where = settings.get("Provisioning.Agent", ("auto", "", CONFIG))
    who: Literal["waagent", "cloud-init", "nobody"] = "waagent"
    if chosen == "cloud-init" or (chosen == "auto" and cloud_init):
        who = "cloud-init"
    elif chosen == "disabled":
        who = "nobody"
    keys, *_ = settings.get("Provisioning.RegenerateSshHostKeyPair", ("y",))
    return Waagent(who, line, where, keys != "n")
