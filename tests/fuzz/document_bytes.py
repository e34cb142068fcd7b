"""Files that users hand from one verb to another, or to a colleague: reports, boots, logs, settings, waivers."""

import io
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
from azready.fabric.replay import replay
from azready.image.checking import Passed, Result
from azready.image.render import as_json
from azready.image.rules import RULES
from azready.image.rules.model import Severity
from azready.image.rules.waivers import parse_waivers
from azready.pipelines import fleet
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader

MACHINE = b'name = "vm1"\nadmin_username = "ada"\npublic_keys = ["ssh-ed25519 AAAA"]\nsecondary_nics = 1\n'
FAULT = b'[[fault]]\nservice = "imds"\nstatus = 503\ntimes = 3\nheaders = {Retry-After = "1"}\n'
SCENARIO = b'summary = "x"\nexpect = "ready"\nslow = false\n[machine]\nname = "vm2"\n' + FAULT
SETTINGS = b'deadline = 60\nstrict = true\n[machine]\nname = "vm1"\n' + FAULT
DEFAULTS = b'profile = "azure"\nskip = ["S01"]\n[boot]\nboots = 1\n[check]\nfail-on = "error"\n'
WAIVERS = b'[waivers]\nS01 = "a reason"\n'
DEEP = b"a = " + b"[" * 3000
HALF = b'{"version":1,"target":"a\\ud800","summary":"\\udfff","results":[]}'


def _file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def by_path(data: bytes) -> object:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            file.write(data)
            file.flush()
            return read(Path(file.name))

    return by_path


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
        "report": Reader(_file(_joined), (checks, boots, HALF, b"[" * 5000), refuses),
        "timeline": Reader(_file(_drawn), (boots,), refuses),
        "replay": Reader(_file(_replayed), (lines,), refuses),
        "machine": Reader(_file(machine.load), (MACHINE, DEEP), refuses),
        "scenario": Reader(_file(lambda path: scenario.load(str(path))), (SCENARIO, DEEP), refuses),
        "settings": Reader(_file(lambda path: settings.resolve(settings.Given(), path)), (SETTINGS, DEEP), refuses),
        "azready.toml": Reader(_file(defaults.read), (DEFAULTS, DEEP), refuses),
        "waivers": Reader(lambda data: parse_waivers(data.decode(errors="replace"), "x"), (WAIVERS, DEEP), refuses),
    }


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
