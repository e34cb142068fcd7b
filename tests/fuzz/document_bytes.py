"""Files that users hand from one verb to another, or to a colleague: reports, boots, logs, settings, waivers."""

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from azready.boot.drawing.page import page
from azready.boot.drawing.terminal import draw
from azready.boot.record import document
from azready.cli import defaults, timeline
from azready.errors import Failure
from azready.fabric import log, machine, scenario, settings
from azready.fabric.ledger import Exchange
from azready.fabric.protocol import dhcp, dns, goalstate, instance, kvp, media
from azready.fabric.replay import replay
from azready.image.checking import Passed, Result
from azready.image.render import as_json
from azready.image.rules import RULES
from azready.image.rules.model import Severity
from azready.image.rules.waivers import parse_waivers
from azready.pipelines import fleet
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader
from tests.fuzz.fabric_bytes import DISCOVER, QUESTION

MACHINE = (
    b'name = "vm1"\nadmin_username = "ada"\npublic_keys = ["ssh-ed25519 AAAA"]\n'
    b'secondary_nics = [["00:0d:3a:6e:00:99", "10.1.0.9"]]\n'
    b'data_disks = [{ lun = 0, size = 64, caching = "ReadOnly" }]\ntags = { owner = "me" }\nidentity = ["system"]\n'
    b'msp = "wireserver=audit"\nscheduled_events = ["Reboot"]\nimds = { "compute.zone" = "1" }\ngeneration = 2\n'
    b'address = "10.1.0.4"\nmac = "00:0d:3a:6e:00:01"\nsubnet = "10.1.0.0/24"\nincarnation = "1"\n'
)
FAULT = b'[[fault]]\nservice = "imds"\nstatus = 503\nattempts = "1-3"\ndelay = 1\nheaders = {Retry-After = "1"}\n'
SCENARIO = b'summary = "x"\nexpect = "ready"\nslow = false\n[machine]\nname = "vm2"\n' + FAULT
SETTINGS = b'deadline = 60\nstrict = true\n[machine]\nname = "vm1"\n' + FAULT
DEFAULTS = b'profile = "azure"\nskip = ["S01"]\n[boot]\nboots = 1\n[check]\nfail-on = "error"\n'
WAIVERS = b'[waivers]\nS01 = "a reason"\n'
VM = machine.Machine()
DEEP = b"a = " + b"[" * 3000
HALF = b'{"version":1,"target":"a\\ud800","summary":"\\udfff","results":[]}'


def by_path(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def read_file(data: bytes) -> object:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            file.write(data)
            file.flush()
            return read(Path(file.name))

    return read_file


def _joined(path: Path) -> object:
    rows = fleet.read([path])
    forms = (fleet.as_text, fleet.as_json, fleet.as_junit, fleet.as_html, fleet.as_markdown)
    return [form(rows).encode() for form in forms]


def _drawn(path: Path) -> object:
    records = timeline.read(path)
    for record in records:
        draw(record, Console(file=io.StringIO()))
    return page(records).encode(), document(records).encode()


def _replayed(path: Path) -> object:
    return replay(log.read(path))


def _served(vm: machine.Machine) -> object:
    """All that a guest may be told of it."""
    asked = dhcp.answer(DISCOVER, vm), dhcp.entries(DISCOVER, 0.0, vm), dns.answer(QUESTION, vm), kvp.host_pairs(vm)
    shown = json.dumps(instance.document(vm, instance.VERSIONS[-1], True)), media.ovf_env(vm).encode()
    goal = goalstate.goal_state(vm, "x", goalstate.VERSIONS[0]) + goalstate.shared_config(vm)
    return asked, shown, goal.encode(), vm.product_uuid, vm.recaptured().moved(), machine.as_table(vm)


def _of_machine(path: Path) -> object:
    return _served(machine.load(path))


def _of_scenario(path: Path) -> object:
    return _served(scenario.load(str(path)).applied_to(VM))


def _of_settings(path: Path) -> object:
    return _served(settings.resolve(settings.Given(), path).machine)


def readers() -> dict[str, Reader]:
    """Each reader by the verb that has it. They refuse by a Failure that says what to do."""
    from tests.boot.test_page import RECORD

    lists = ("exchanges", "reports", "findings", "journal", "console", "milestones", "checks")
    boots = document([replace(RECORD, **{name: getattr(RECORD, name)[:4] for name in lists})]).encode()
    checks = as_json([Result(RULES[0], Severity.ERROR, Passed())], "disk.raw").encode()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "log"
        with log.create(kept, settings.resolve(settings.Given())) as file:
            log.append(file, Exchange(0.1, "imds", "GET", "/metadata/instance", 200))
        lines = kept.read_bytes()
    refuses = (Failure,)
    return {
        "report": Reader(by_path(_joined), (checks, checks, boots, HALF), refuses, (b"[" * 5000,)),
        "timeline": Reader(by_path(_drawn), (boots,), refuses),
        "replay": Reader(by_path(_replayed), (lines,), refuses),
        "machine": Reader(by_path(_of_machine), (MACHINE,), refuses, (DEEP,)),
        "scenario": Reader(by_path(_of_scenario), (SCENARIO,), refuses, (DEEP,)),
        "settings": Reader(by_path(_of_settings), (SETTINGS,), refuses, (DEEP,)),
        "azready.toml": Reader(by_path(defaults.read), (DEFAULTS,), refuses, (DEEP,)),
        "waivers": Reader(lambda data: parse_waivers(data.decode(errors="replace"), "x"), (WAIVERS,), refuses, (DEEP,)),
    }


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
