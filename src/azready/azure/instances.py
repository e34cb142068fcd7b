"""What became of a VM, from its instance view: Ready or not, when, and why not. Pure.

A VM without agent shows `vmAgent` as Unknown and Not Ready for ever: that says nothing of provisioning and is not
looked at. What counts is the `ProvisioningState/…` status of the VM itself.
"""

from dataclasses import dataclass
from datetime import datetime

from azready.azure.console_log import Diagnosis
from azready.azure.problems import Problem
from azready.azure.requests.model import Json

UNREACHED = "Unreachable"
"""Our own code, of a copy whose ssh server does not answer at its public address."""


@dataclass(frozen=True)
class Instance:
    """One VM. `seconds` from creation to the outcome, as Azure's clocks have it; None when it does not say."""

    name: str
    ready: bool
    code: str = ""
    """Azure's error code when not ready: OSProvisioningTimedOut and the like; `Creating` while it is going on."""
    message: str = ""
    seconds: float | None = None
    guest_seconds: float | None = None
    """What the guest program says on the console that its own work took."""
    console: str = ""
    diagnosis: Diagnosis | None = None
    """What its console shows of why the guest failed; None for a guest that did not, or whose console was not read."""

    owes_report: bool = True
    """False for a copy of a specialized image: it has to be created and running, nothing reports."""
    reached: bool | None = None
    """Whether its ssh server answered; None: not tried."""

    @property
    def blames_guest(self) -> bool:
        """Whether it failed by what the guest did. Anything else, such as no room, says nothing of the image."""
        return not self.ready and (self.code.startswith("OSProvisioning") or self.code == UNREACHED)


def from_view(name: str, view: Json, created: str = "", *, running: bool = False) -> Instance:
    """Read an instance view; `created` is the VM's `timeCreated`.

    `running`: no report of the guest is owed (a copy of a specialized image); it has to be created and running.
    """
    power = next((code for code in _codes(view) if code.startswith("powerstate/")), "")
    for status in view.get("statuses") or ():
        parts = str(status.get("code", "")).split("/")
        if parts[0].lower() != "provisioningstate":
            continue
        ready = parts[1].lower() == "succeeded"
        failed = parts[1].lower() == "failed"
        code = "" if ready else (parts[2] if failed and len(parts) > 2 else parts[1].capitalize())
        message = str(status.get("message") or "")
        if ready and running and power != "powerstate/running":
            stopped = power.rpartition("/")[2].capitalize() or "Unknown"
            return Instance(name, False, stopped, "the VM does not run", owes_report=False)
        seconds = _between(created, str(status.get("time") or ""))
        return Instance(name, ready, code, message, seconds, owes_report=not running)
    return Instance(name, False, "Unknown", "Azure shows no provisioning state")


def _codes(view: Json) -> list[str]:
    return [str(status.get("code", "")).lower() for status in view.get("statuses") or ()]


def problem_of(view: Json) -> Problem | None:
    """Why a VM failed, as its instance view says it; None when it does not."""
    found = from_view("", view)
    return Problem(found.code, found.message) if found.message and found.code != "Unknown" else None


def _between(start: str, end: str) -> float | None:
    try:
        return round((_moment(end) - _moment(start)).total_seconds(), 1)
    except (ValueError, TypeError):
        return None


def _moment(text: str) -> datetime:
    """Azure writes seven digits of a second; Python reads six."""
    head, dot, rest = text.partition(".")
    digits = ""
    while rest and rest[0].isdigit():
        digits, rest = digits + rest[0], rest[1:]
    return datetime.fromisoformat(f"{head}{dot}{digits[:6].ljust(6, '0') if dot else ''}{rest}".replace("Z", "+00:00"))
