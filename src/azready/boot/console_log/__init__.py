"""Why a VM in Azure was not provisioned, from its serial console log: all that people have when a create ends in
OSProvisioningTimedOut. Pure.

The last boot counts, unless the log ends before it got anywhere. What shows that a VM was provisioned outweighs every
scary line; a wrong cause is worse than none, so what no rule knows is said to be unknown.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from azready.boot.console_log import early, provisioners, system
from azready.boot.console_log.findings import first
from azready.boot.console_log.reading import Boot, boots_of, text_of
from azready.boot.record import Cause

_RULES = (*early.RULES, *system.RULES, *provisioners.RULES)


@dataclass(frozen=True)
class Diagnosis:
    """What a log shows. `cause` is None for a VM that was provisioned, and where nothing could be told."""

    cause: Cause | None
    provisioned: bool = False
    boots: int = 0
    notes: tuple[str, ...] = ()
    """What the log cannot show, and what to look at next."""

    def lines(self) -> tuple[str, ...]:
        """To print: the outcome, the evidence, the fix, and the notes."""
        if self.cause is not None:
            told = self.cause.lines()
        elif self.provisioned:
            told = ("nothing found: the last boot in this log was provisioned",)
        else:
            told = ("no cause found: nothing in this log stops the VM from being provisioned",)
        return (*told, *(f"note: {note}" for note in self.notes))

    def as_json(self) -> str:
        """`outcome`: `cause`, `provisioned` or `unknown`."""
        outcome = "cause" if self.cause else "provisioned" if self.provisioned else "unknown"
        cause = asdict(self.cause) if self.cause else None
        told = {"outcome": outcome, "cause": cause, "boots": self.boots, "notes": self.notes}
        return json.dumps({"version": 1, **told}, indent=2)


def diagnose(raw: bytes) -> Diagnosis:
    """The cause that a serial console log shows, if it does. Never raises, whatever the bytes are."""
    boots = boots_of(text_of(raw))
    if not boots:
        return Diagnosis(
            _nothing_at_all(), notes=("boot diagnostics must be on before the VM is started, or nothing is kept",)
        )
    last = boots[-1]
    cause, provisioned = _look(last)
    if cause is None and not provisioned and len(boots) > 1 and _got_nowhere(last):
        cause, provisioned = _look(boots[-2])
        last = boots[-2]
    return Diagnosis(cause, provisioned, len(boots), tuple(_notes(boots, last, cause, provisioned)))


def _look(boot: Boot) -> tuple[Cause | None, bool]:
    done = boot.last(provisioners.PROVISIONED)
    if done >= 0 and boot.last(r"Kernel panic - not syncing|You are in emergency mode") < done:
        return None, True
    return first(_RULES, boot) or _no_console(boot), False


def _nothing_at_all() -> Cause:
    return Cause(
        "no-kernel-output",
        "the log is empty: nothing was ever written to the serial port",
        (),
        "put console=ttyS0,115200n8 (arm64: ttyAMA0) on the kernel command line, last, and let GRUB use the serial "
        "port; "
        "an image without a boot loader looks the same (`azready check`: B01, B11, B13)",
    )


def _no_console(boot: Boot) -> Cause | None:
    """The kernel handed the console to a screen that nobody sees, or was never told of the serial port."""
    if boot.has(system.UP) or boot.has(r"systemd\[1\]|\[ *OK *\]"):
        return None
    handed = boot.find(r"bootconsole \[\w+\] disabled|console \[tty0\] enabled")
    serial_on = boot.has(r"console \[tty(?:S|AMA)0\] enabled|[Cc]ommand line: .*console=tty(?:S|AMA)0")
    ends = any(line in handed for line in boot.lines[-6:])
    loader_only = not boot.has_kernel and boot.has(r"Booting `|Loading Linux|EFI stub: |Loading initial ramdisk")
    if (handed and ends and not serial_on) or loader_only:
        return Cause(
            "no-serial-console",
            "the kernel does not write to the serial port: what happened after this cannot be seen",
            handed or boot.find(r"Booting `|Loading Linux|EFI stub: |Loading initial ramdisk"),
            "add console=ttyS0,115200n8 (arm64: ttyAMA0) to the kernel command line, last, and deploy again to see "
            "more; "
            "it need not be what failed (`azready check`: B01)",
        )
    return None


def _got_nowhere(boot: Boot) -> bool:
    return not boot.has(system.UP) and not boot.has(r"systemd\[1\]|\[ *OK *\]|Run /\S+ as init")


def _notes(boots: Sequence[Boot], looked: Boot, cause: Cause | None, provisioned: bool) -> list[str]:
    notes = []
    if len(boots) > 2:
        notes.append(f"the log holds {len(boots)} boots: a VM that is started again and again did not report ready")
    if looked is not boots[-1]:
        notes.append("the last boot in the log has only begun; this is said of the one before it")
    if provisioned or cause is not None:
        return notes
    if not looked.whole:
        notes.append("the beginning of this boot is not in the log any more")
    if not looked.has(system.UP):
        notes.append(f"the boot had not come to a login when the log ended, at: {looked.lines[-1][:120]}")
    else:
        notes.append("the system came up; what its provisioner did is not on the console")
    notes.append("boot the image on your own machine to see what happens: azready boot DISK")
    return notes


__all__ = ["Diagnosis", "diagnose"]
