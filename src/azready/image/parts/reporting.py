"""Images that say themselves when they are ready: the unit whose success is the VM's, and agents that keep silent.

Its files are rows of install.toml (`job`, and the options `report`, `report-USER`, `silence-AGENT`); here
is what depends on the image: who can report in it, which unit is waited for, which agents can be silenced.
"""

import re
from collections.abc import Iterable, Iterator

from azready import installed
from azready.errors import Failure, UsageFailure
from azready.image.actions import Action, Link, Write
from azready.image.facts import Facts
from azready.image.facts.reading import text_of
from azready.image.parts.guest_program import Flavour
from azready.image.targets import Files

AGENTS = ("cloud-init", "waagent")
"""Those that can be silenced and still bring the data, or extensions."""
TEMPLATE = "usr/lib/systemd/system/azure-report@.service"
PROGRAMS = f"{installed.PROGRAM}/provision.{{py,sh}}"
_WANTS = "etc/systemd/system/multi-user.target.wants"
_PRESET = "usr/lib/systemd/system-preset/10-azure-report.preset"
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]+\.(service|target|socket|mount|path|timer|device|swap|automount|slice|scope)")
_SKIPS = "experimental_skip_ready_report"
_SOURCES = "usr/{,local/}lib{,64}/python3*/{dist,site}-packages/cloudinit/sources/DataSourceAzure.py"


def unit_name(text: str) -> str:
    """A unit's name, with `.service` where it has no suffix. Raises UsageFailure for what is none."""
    name = text if _UNIT.fullmatch(text) else f"{text}.service"
    if not _UNIT.fullmatch(name):
        raise UsageFailure(f"--ready-when {text!r} is no unit of systemd", "name one, such as my-app.service")
    return name


def choose_reporter(files: Files, wanted: str) -> Flavour:
    """report.py where the image has the whole library of Python 3.6 or newer, else report.sh where it has curl.

    Raises Failure when what is wanted cannot run in the image.
    """
    python = files.exists("usr/bin/python3") and files.glob("usr/lib{,64}/python3*/http/client.py")
    if python and wanted in ("auto", "python"):
        return "python"
    if wanted != "python" and files.glob("{usr/,}bin/curl"):
        return "sh"
    if wanted == "python":
        raise Failure("the image has no python3 with its library", "install python3 in it, or use --guest sh")
    raise Failure("the image has no curl, which report.sh needs", "install curl in it, or python3 for report.py")


def rows(facts: Facts, silence: Iterable[str]) -> frozenset[str]:
    """The options of install.toml for an image that only reports. Raises Failure for an agent that would go on."""
    silence = tuple(silence)
    for agent in silence:
        _require_silent(facts, agent)
    return frozenset({"report", *_user(facts), *(f"silence-{agent}" for agent in silence)})


def _agents(facts: Facts) -> list[str]:
    """The agents that are there to work: by a package or by a program. A log or settings alone do nothing."""
    return sorted({each.agent for each in facts.leftovers if not each.path or each.what == "program"})


def _user(facts: Facts) -> tuple[str, ...]:
    """The option for the user that reports, unless systemd may make one up: dbus-daemon turns such a user away."""
    files = facts.files
    if not files.exists("usr/lib/systemd/system/dbus.socket") or "waagent" in _agents(facts):
        return ("report-root",)
    places = ("etc/systemd/system/dbus.service", "usr/lib/systemd/system/dbus.service")
    if any(files.exists(path) and files.resolve(path).endswith("/dbus-broker.service") for path in places):
        return ()
    return ("report-daemon",) if "\ndaemon:" in (text_of(files, "etc/passwd") or "") else ("report-root",)


def _require_silent(facts: Facts, agent: str) -> None:
    if agent not in AGENTS:
        raise UsageFailure(f"--silence cannot be {agent!r}", f"use one of {', '.join(AGENTS)}")
    if agent not in _agents(facts):
        raise Failure(f"the image has no {agent}", f"leave --silence {agent} out")
    files = facts.files
    if agent == "cloud-init" and not any(_SKIPS in files.read_text(path) for path in files.glob(_SOURCES)):
        raise Failure(
            f"this cloud-init does not know {_SKIPS}, by which its report is switched off (26.1 has it)",
            "install a newer one; or let azready provision: azready prepare without --report-only",
        )


def plan_start(facts: Facts, unit: str) -> tuple[Action, ...]:
    """What starts the report for a unit at the next boot; a preset, because a first boot may apply presets."""
    instance = f"azure-report@{unit}.service"
    preset = f"# Written by azready prepare: a first boot may switch off whatever no preset names.\nenable {instance}\n"
    return (
        Write(_PRESET, preset.encode(), 0o644, 0, 0, "presets leave the report on"),
        Link(f"{_WANTS}/{instance}", f"/{TEMPLATE}", f"reports when {unit} is up, or has failed"),
    )


def notes(facts: Facts, unit: str, silence: Iterable[str], alone: bool) -> Iterator[str]:
    """What the image's owner should know. `alone`: nothing of azready provisions in it."""
    if unit and not facts.units.has(unit):
        yield f"there is no {unit} in the image yet: the report waits for it, an hour at most"
    if not unit and not any("azure-report@" in name for name in (*facts.units.wanted, *_lines(facts))):
        yield "nothing reports yet: Wants=azure-report@%n.service in a unit of yours, or --ready-when UNIT, starts it"
    if not alone:
        return
    agents = _agents(facts)
    for agent in agents:
        if agent not in silence:
            yield f"{agent} stays and reports Ready by itself" + (f": --silence {agent}" if agent in AGENTS else "")
    if not agents:
        yield "no agent is in the image: it has to make users, keys and host name by itself"


def _lines(facts: Facts) -> Iterator[str]:
    for unit in facts.units.installed:
        for key in ("Wants", "Requires", "Upholds"):
            yield from facts.units.values(unit, "Unit", key)
