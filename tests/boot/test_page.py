"""The report page and the terminal: what a guest writes stays text, whatever it writes, and everything fits."""

import io
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

from rich.console import Console

from azready.boot.drawing.junit import as_junit
from azready.boot.drawing.page import page
from azready.boot.drawing.terminal import draw
from azready.boot.record import (
    BootRecord,
    Cause,
    Check,
    ConsoleLine,
    JournalLine,
    MachineFacts,
)
from azready.fabric.ledger import Exchange, Finding
from azready.fabric.verdict import Verdict

EVIL = "<script>alert(1)</script> <b>\" ' & &amp; \x1b[2J\x07\x9b31m \u202e"
LONG = "a-very-long-name-" * 12
OURS = {
    "html", "head", "meta", "title", "style", "body", "main", "section", "header", "h1", "h2", "h3", "p", "ul", "li",
    "span", "small", "code", "b", "i", "div", "table", "thead", "tbody", "tr", "th", "td", "pre", "mark", "details",
    "summary",
}  # fmt: skip
RECORD = BootRecord(
    number=1,
    title="first boot",
    target=f"{LONG}{EVIL}.raw",
    how="qemu/tcg/uefi",
    started="2026-01-01T00:00:00Z",
    seconds=12.0,
    deadline=10.0,
    verdict=Verdict("OSProvisioningTimedOut", None, EVIL),
    machine=MachineFacts(name=EVIL, nics=2),
    exchanges=(
        Exchange(1.0, "dhcp", "DHCPACK", "10.1.0.9", 200),
        Exchange(1.1, "dhcp", "DHCPACK", "10.1.0.4", 200),
        Exchange(1.2, "dhcp", "DHCPACK", "10.1.0.4", 200),
        Exchange(2.0, "imds", "GET", EVIL, 404),
    ),
    findings=tuple(Finding(3.0, f"code-{n}", "error", f"{n} {EVIL}", EVIL) for n in range(200)),
    journal=(JournalLine(4.0, "azure-provisioning", f"{EVIL}\nand more {LONG}"),),
    console=tuple(ConsoleLine(n / 10, f"{n} {EVIL}") for n in range(100)),
    checks=(Check("ssh login", "failed", EVIL, 11.0),),
    cause=Cause("no-route", EVIL, (EVIL,), f"`{EVIL}`"),
)


class _Tags(HTMLParser):
    """What a browser would see: the tags, whether they nest, and the text outside of styles."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onclick", "onerror"}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""


def _read(*records: BootRecord) -> _Tags:
    tags = _Tags()
    tags.feed(page(records))
    tags.close()
    assert tags.open == []
    return tags


def test_what_a_guest_writes_is_text_on_the_page() -> None:
    tags = _read(RECORD, replace(RECORD, verdict=Verdict("", 2.0, "reported Ready")))
    assert tags.seen <= OURS
    assert tags.text.count("<script>alert(1)</script>") > 500
    assert not set(tags.text) & set("\x1b\x07\x9b\u202e")


def test_every_card_and_its_lease_is_shown_once() -> None:
    text = _read(RECORD).text
    assert "2 NICs" in text
    assert [text.count(f"lease of {address}") for address in ("10.1.0.9", "10.1.0.4")] == [1, 1]


def test_a_run_without_a_boot_is_a_page_too() -> None:
    assert "Nothing was booted" in _read().text


def _drawn(width: int, terminal: bool) -> list[str]:
    out = io.StringIO()
    draw(RECORD, Console(file=out, width=width, force_terminal=terminal, color_system=None, highlight=False))
    return out.getvalue().splitlines()


def test_what_a_guest_writes_does_not_move_the_cursor() -> None:
    for terminal in (True, False):
        lines = _drawn(80, terminal)
        assert any("alert(1)" in line for line in lines)
        assert not set("".join(lines)) & set("\x1b\x07\x9b\u202e")


def test_events_fit_the_terminal_and_are_whole_in_a_pipe() -> None:
    for width in (60, 80):
        events = [line for line in _drawn(width, True) if "┊" in line]
        assert events and max(map(len, events)) <= width
    assert any(f"and more {LONG}" in line for line in _drawn(60, False))


def _suites(*records: BootRecord) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(as_junit(records)))


def test_junit_tells_the_report_and_each_check_apart() -> None:
    ready = Verdict("", 1.0, "")
    good = replace(RECORD, verdict=ready, cause=None, checks=(Check("sudo", "passed"), Check("unit", "skipped", "why")))
    shut_out = replace(RECORD, verdict=ready)
    undecided = replace(RECORD, cause=Cause("no-memory", "none left", (), "", "host"), checks=())
    suites = _suites(good, shut_out, RECORD, undecided)
    counts = [tuple(int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")) for suite in suites]
    assert counts == [(3, 0, 0, 1), (2, 1, 0, 0), (2, 2, 0, 0), (1, 0, 1, 0)]
    assert shut_out.passed is False and suites[1][0].find("failure") is None, "it reported, and the check failed"
    assert suites[3][0].find("error") is not None


def test_what_a_guest_writes_is_text_in_junit() -> None:
    (suite,) = _suites(RECORD)
    assert "<script>" in "".join(suite.itertext()) and "\x1b" not in "".join(suite.itertext())


def test_of_a_spinner_the_last_frame_is_shown_and_the_title_claims_what_was_shown() -> None:
    frames = [
        f"[{stars}] Job dev-sda2.device/start running ({n}s / 1min 30s)"
        for n, stars in enumerate(["*     ", "**    ", " ***  "] * 9)
    ]
    lines = [
        "[  OK  ] Started a.",
        *frames,
        "[ TIME ] Timed out waiting for dev-sda2.",
        "[***   ] Job b/start running (1s)",
        "end",
    ]
    seen = tuple(ConsoleLine(n / 10, text) for n, text in enumerate(lines))
    text = page([replace(RECORD, console=seen, cause=None)])
    shown = text[text.index("The console around it") : text.index("</pre>")]
    assert shown.count("Job dev-sda2") == 1 and "(26s / 1min 30s)" in shown
    assert "Started a" in shown and "Job b/start" in shown
    assert "does not provision" in text and "ready for Azure" not in text
