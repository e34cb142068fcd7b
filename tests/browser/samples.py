"""One of each page that azready makes, with more in it than most have: long names, hostile words, many events."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from azready.boot.drawing.page import page
from azready.boot.record import BootRecord, Check, ConsoleLine, HostFacts, JournalLine, MachineFacts, Milestone
from azready.fabric.ledger import Exchange, HealthReport
from azready.fabric.verdict import Verdict
from azready.image import checking, render
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.rules.model import Severity
from azready.image.targets.tree import Tree
from azready.pipelines import fleet
from azready.pipelines.survey import cells, pages
from tests.boot.test_page import RECORD
from tests.image.sample import good_image

ROOT = Path(__file__).parents[2]
STEPS = ("hostname: web-1 (4 ms)", "user: azureuser created (23 ms)", "keys: 2 added (1 ms)", "sudo: allowed (0 ms)")
GOOD = BootRecord(
    number=1,
    title="first boot",
    target="debian-12.qcow2",
    how="qemu/tcg/uefi",
    started="2026-01-01T00:00:00Z",
    seconds=62.0,
    deadline=600.0,
    verdict=Verdict("", 48.4, "reported Ready"),
    host=HostFacts("tcg", "KVM is not offered here: emulated", 1.3),
    machine=MachineFacts(name="web-1"),
    milestones=tuple(
        Milestone(name, at)
        for name, at in (("kernel", 7.1), ("init", 9.0), ("basic.target", 31.0), ("sshd", 50.2), ("multi-user", 52.5))
    ),
    exchanges=(
        Exchange(40.0, "dhcp", "DHCPACK", "10.1.0.4", 200),
        Exchange(43.2, "imds", "GET", "/metadata/instance?api-version=2021-08-01&extended=true", 200, took=0.2),
        Exchange(46.0, "wireserver", "GET", "/machine?comp=goalstate", 503, fault="busy"),
        Exchange(46.5, "wireserver", "GET", "/machine?comp=goalstate", 200, took=0.1),
        Exchange(48.3, "wireserver", "POST", "/machine?comp=health", 200),
    ),
    reports=(HealthReport(48.4, "xml", "Ready", agent="azready/0.2.0"),),
    journal=tuple(JournalLine(44.0 + n / 10, "azure-provisioning", step) for n, step in enumerate(STEPS)),
    console=tuple(ConsoleLine(n / 10, f"[    {n / 10:.6f}] systemd[1]: Started unit number {n}") for n in range(500)),
    checks=(Check("ssh login", "passed", "as azureuser", 55.0), Check("host name", "passed", "web-1", 56.0)),
)


def _check(folder: Path) -> str:
    sample = good_image(folder).write("etc/machine-id", "0" * 32 + "\n").write("root/.bash_history", "secret\n")
    (sample.root / "usr/lib/azure-provisioning").rename(sample.root / "usr/lib/gone")
    with Tree(sample.root) as tree:
        results = checking.check(Facts(tree), RULES, checking.Choice())
    return render.as_html(results, "a-very-long-name-" * 12 + "<script>alert(1)</script>.raw", Severity.ERROR)


def _fleet() -> str:
    rows = [fleet.Row(f"image-{n}.qcow2", "ci", "boot", "yes", "first boot: Provisioned", ()) for n in range(20)]
    why = ("S01 error: no ssh server; fix: apt-get install openssh-server", "x" * 300)
    return fleet.as_html([*rows, fleet.Row("an-image-" * 20, "ci", "check", "no", "1 error", why)])


def _survey() -> str:
    whole = cells.from_json(json.loads((ROOT / "docs/survey.json").read_text()))
    return pages.page(replace(whole, scenarios=whole.scenarios[:12]))


SAMPLES: Mapping[str, Callable[[Path], str]] = {
    "boot-good": lambda folder: page((GOOD, replace(GOOD, number=2, title="second boot", seconds=30.0))),
    "boot-bad": lambda folder: page((replace(RECORD, findings=RECORD.findings[:12], console=RECORD.console[:40]),)),
    "check": _check,
    "fleet": lambda folder: _fleet(),
    "survey": lambda folder: _survey(),
}
