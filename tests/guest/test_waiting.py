# ruff: noqa: E501 (tables)
"""How long the guest waits, for what, and how often it asks: on a clock that the test turns."""

import socket
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.guest.conftest import Live


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(round(seconds, 3))

    @property
    def passed(self) -> float:
        return round(self.now - 1000.0, 1)


@pytest.fixture
def clock(guest: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    turned = Clock()
    others = {name: getattr(time, name) for name in ("time", "strftime", "gmtime", "clock_gettime")}
    monkeypatch.setattr(guest, "time", SimpleNamespace(monotonic=turned.monotonic, sleep=turned.sleep, **others))
    return turned


def _answer(guest: ModuleType, status: int, **headers: str) -> Any:
    return guest.Response(status, "", {name.replace("_", "-"): value for name, value in headers.items()}, b"")


def _refused(guest: ModuleType, status: int) -> Any:
    return guest.Problem(f"http error {status} querying IMDS", f"{status} No", response=_answer(guest, status))


@pytest.mark.parametrize(
    ("headers", "left", "waits"),
    [
        (None, 100, [0.05, 0.075, 0.113, 0.169, 0.253, 0.38, 0.57, 0.854, 1.0, 1.0]),
        ({}, 100, [0.5, 0.75, 1.125, 1.688, 2.531, 3.797, 5.0, 5.0]),
        ({"retry_after": "7"}, 100, [7, 7]),
        ({"retry_after": "70"}, 30, [25, 0]),
        ({"retry_after": "3"}, 7, [2, 0]),
        (None, 0.06, [0.05, 0.01, 0, 0]),
        ({}, 1, [0.5, 0.5, 0]),
    ],
)
def test_the_pause_before_the_next_try(
    guest: ModuleType, clock: Clock, headers: dict[str, str] | None, left: float, waits: list[float]
) -> None:
    network = guest.Network()
    problem = guest.Problem("", "", response=None if headers is None else _answer(guest, 503, **headers))
    for _ in waits:
        network.pause(problem, 1000.0 + left)
    assert clock.slept == pytest.approx(waits, abs=0.002)


def test_an_unreachable_network_is_waited_for_and_not_asked(
    guest: ModuleType, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = guest.Network()
    waited: list[float] = []
    network._changes = SimpleNamespace(settimeout=waited.append, recv=lambda size: b"")
    problem = guest.Problem("", "", unreachable=True)
    for until in (1100.0, 1000.5, 999.0):
        network.pause(problem, until)
    assert (waited, clock.slept) == ([1.0, 0.5, 0.001], [])
    network._changes = None
    network.pause(problem, 1100.0)
    assert clock.slept == [0.05]


def test_a_change_of_the_network_ends_the_wait(guest: ModuleType) -> None:
    """The kernel's own socket, which hears of addresses and routes."""
    network = guest.Network()
    assert network._changes.getsockname()[1] == 0x50
    ours, theirs = socket.socketpair()
    network._changes = ours
    theirs.send(b"x")
    network._await_change(30)
    network._await_change(0)  # nothing more: it ends by itself
    ours.close()
    theirs.close()


def test_what_goes_wrong_is_said_once(guest: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    teller = guest.Teller("IMDS")
    for text in ("a", "a", "b", "b", "a"):
        teller.tell(text)
    assert capfd.readouterr().err == "IMDS: a\nIMDS: b\nIMDS: a\n"


DATA = {"compute": {}, "extended": {"compute": {"hasCustomData": "true"}}}
PASSWORD = {"compute": {"osProfile": {"disablePasswordAuthentication": "false"}}}
PLAIN: dict[str, Any] = {"compute": {}}


@pytest.mark.parametrize(
    ("answers", "medium_at", "settings", "until", "ends"),
    [
        ([PLAIN], None, {}, 200, (0, 1, True, False, "")),
        ([400, PLAIN], None, {}, 200, (0, 2, True, False, "")),
        ([400, 400, PLAIN], None, {}, 200, (1, 3, True, False, "")),
        ([500, 0, PLAIN], None, {}, 200, (2, 3, True, False, "")),
        ([0, PLAIN], 0, {}, 200, (1, 2, True, True, "")),
        ([401], 0, {}, 200, (0, 1, False, True, "")),
        ([403], 0, {}, 200, (0, 1, False, True, "")),
        ([500], 0, {}, 200, (60, 61, False, True, "")),
        ([500], 0, {"IMDS_WAIT": "5"}, 200, (5, 6, False, True, "")),
        ([500], 0, {}, 20, (20, 21, False, True, "")),
        ([403], 3, {}, 200, (3, 1, False, True, "")),
        ([403], None, {}, 200, (10, 1, False, False, "http error 403 querying IMDS")),
        ([403], None, {"MEDIUM_WAIT": "4"}, 200, (4, 1, False, False, "http error 403 querying IMDS")),
        ([403], None, {}, 7, (7, 1, False, False, "http error 403 querying IMDS")),
        ([0], None, {}, 90, (90, 91, False, False, "connection timeout querying IMDS")),
        ([0], 30, {}, 90, (60, 61, False, True, "")),
        ([PASSWORD], None, {}, 200, (10, 1, True, False, "")),
        ([PASSWORD], 3.9, {}, 200, (4, 1, True, True, "")),
        ([PASSWORD], None, {"MEDIUM_WAIT": "3"}, 200, (3, 1, True, False, "")),
        ([PASSWORD], None, {}, 5, (5, 1, True, False, "")),
        ([DATA], None, {"REQUIRE_CUSTOM_DATA": "yes"}, 200, (10, 1, False, False, "failure to read customData while hasCustomData=true")),
        ([DATA], 1.9, {"REQUIRE_CUSTOM_DATA": "yes"}, 200, (2, 1, False, False, "failure to read customData while hasCustomData=true")),
        ([PASSWORD], None, {"REQUIRE_CUSTOM_DATA": "yes"}, 200, (10, 1, True, False, "")),
        ([403], 0, {"REQUIRE_CUSTOM_DATA": "yes"}, 200, (0, 1, False, True, "")),
    ],
)  # fmt: skip
def test_how_long_imds_and_the_medium_are_waited_for(
    guest: ModuleType, clock: Clock, live: Live, monkeypatch: pytest.MonkeyPatch,
    answers: list[Any], medium_at: float | None, settings: dict[str, str], until: float, ends: tuple[Any, ...],
) -> None:  # fmt: skip
    """`ends`: the seconds that pass, how often IMDS is asked, whether there is a document and a medium, the failure."""
    asked: list[bool] = []

    def ask(address: object, old: bool) -> tuple[Any, Any]:
        asked.append(old)
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, dict):
            return answer, None
        silent = guest.Problem("connection timeout querying IMDS", "timed out")
        return None, _refused(guest, answer) if answer else silent

    def read(*_: object) -> object:
        return guest.Medium() if medium_at is not None and clock.passed >= medium_at else None

    monkeypatch.setattr(guest, "ask_imds", ask)
    monkeypatch.setattr(guest, "read_medium", read)
    network = SimpleNamespace(pause=lambda problem, end: clock.sleep(min(1.0, end - clock.now)))
    usual = {"IMDS_WAIT": "60", "MEDIUM_WAIT": "10", "PROVISIONDATA": "no", "REQUIRE_CUSTOM_DATA": "no", **settings}
    imds, medium, failure = None, None, ""
    try:
        imds, medium = guest.gather(live.tree, guest.parse_options([]), usual, network, 1000.0 + until)
    except guest.Failed as error:
        failure = error.reason
    assert (clock.passed, len(asked), imds is not None, medium is not None, failure) == ends
    assert asked == [False, *[answers[0] == 400] * (len(asked) - 1)]


def test_a_vm_whose_requests_are_signed_is_asked_again(
    guest: ModuleType, clock: Clock, live: Live, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    medium = guest.Medium()
    medium.proxy_agent = True
    answers = iter([(None, _refused(guest, 401)), (None, _refused(guest, 401)), (PLAIN, None)])
    monkeypatch.setattr(guest, "ask_imds", lambda address, old: next(answers))
    monkeypatch.setattr(guest, "read_medium", lambda *_: medium)
    network = SimpleNamespace(pause=lambda problem, end: clock.sleep(1.0))
    settings = {"IMDS_WAIT": "60", "MEDIUM_WAIT": "10", "PROVISIONDATA": "no", "REQUIRE_CUSTOM_DATA": "no"}
    with pytest.raises(guest.Failed, match="azure-proxy-agent not found"):
        guest.gather(live.tree, guest.parse_options([]), settings, network, 2000.0)
    live.tool("azure-proxy-agent")
    assert guest.gather(live.tree, guest.parse_options([]), settings, network, 2000.0) == (PLAIN, medium)
    assert (clock.passed, live.called()) == (2, ["azure-proxy-agent --status --wait 120"])
    assert capfd.readouterr().err.splitlines() == [
        "azure-proxy-agent: ready",
        "IMDS: GET http://169.254.169.254/metadata/instance?api-version=2021-08-01&extended=true",
        "IMDS: 401 No",
        "medium: none",
    ]


def test_microsofts_agent_may_be_late_or_missing(
    guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str]
) -> None:
    medium = guest.Medium()
    assert guest.await_proxy_agent(live.tree, medium) is False
    medium.proxy_agent = True
    live.tool("azure-proxy-agent", "echo no >&2; exit 3")
    assert guest.await_proxy_agent(live.tree, medium) is True
    assert capfd.readouterr().err == "warning: azure-proxy-agent is not ready: azure-proxy-agent: exit 3: no\n"
    live.tree.live = False
    with pytest.raises(guest.Failed):
        guest.await_proxy_agent(live.tree, medium)
    live.plant({"usr/sbin/azure-proxy-agent": ""})
    assert guest.await_proxy_agent(live.tree, medium) is True and len(live.called()) == 1


@pytest.mark.parametrize(
    ("imds", "option", "said"),
    [
        (DATA, "", "failure to read customData while hasCustomData=true: no provisioning medium was found"),
        (PASSWORD, "", "the owner wants a password, which comes on the provisioning medium, and none was found"),
        (PLAIN, "", ""),
        (DATA, "none", ""),
    ],
)
def test_a_medium_that_does_not_come_is_told(
    guest: ModuleType, clock: Clock, live: Live, capfd: pytest.CaptureFixture[str], imds: Any, option: str, said: str
) -> None:
    options = guest.parse_options(["--medium", option] if option else [])
    assert guest.await_medium(live.tree, options, {"MEDIUM_WAIT": "2"}, imds, 5000.0, set()) is None
    assert capfd.readouterr().err == (f"warning: {said}\n" if said else "")
    assert clock.passed == (2 if said else 0) and set(clock.slept) <= {0.2}


@pytest.mark.parametrize(
    ("answers", "found", "asked"),
    [
        ({"": [(200, b'{"adminPassword": " pw ", "customData": "ZA=="}')]}, ("pw", "ZA=="), [""]),
        ({"": [(500, b"")]}, None, [""]),
        ({"": [None]}, None, [""]),
        ({"": [(503, b""), (429, b""), (401, b""), (200, b"{}")]}, ("", ""), ["", "", "", ""]),
        ({"": [(404, b"")], "/customData": [(200, b'"ZA=="')], "/adminPassword": [(200, b'"pw"')]}, ("pw", "ZA=="), ["", "/customData", "/adminPassword"]),
        ({"": [(404, b"")], "/customData": [(404, b"x")], "/adminPassword": [None]}, ("", ""), ["", "/customData", "/adminPassword"]),
    ],
)  # fmt: skip
def test_what_the_wireserver_has_of_the_medium(
    guest: ModuleType, clock: Clock, live: Live, monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, list[tuple[int, bytes] | None]], found: tuple[str, str] | None, asked: list[str],
) -> None:  # fmt: skip
    requests: list[str] = []

    def fetch(address: tuple[str, int], method: str, target: str, headers: list[tuple[str, str]]) -> tuple[Any, Any]:
        assert (address, method, headers) == (("127.0.0.1", 8080), "GET", [("Metadata", "true")])
        path = target.removeprefix("/provisiondata").removesuffix("?api-version=2026-01-01")
        requests.append(path)
        answer = answers[path].pop(0)
        if answer is None:
            return None, guest.Problem("", "timed out")
        return guest.Response(answer[0], "", {}, answer[1]), None

    monkeypatch.setattr(guest, "try_fetch", fetch)
    options = guest.parse_options(["--wireserver=http://127.0.0.1:8080"])
    medium = guest.ask_provisiondata(live.tree, options, guest.Network(), clock.now + 60)
    assert (medium and (medium.password, medium.custom_data)) == found
    assert requests == asked


def test_a_busy_wireserver_is_asked_until_the_end(
    guest: ModuleType, clock: Clock, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "try_fetch", lambda *_: (guest.Response(503, "", {}, b""), None))
    options = guest.parse_options(["--wireserver=http://127.0.0.1:8080"])
    assert guest.ask_provisiondata(live.tree, options, guest.Network(), clock.now + 9) is None
    assert clock.passed == 9


OK = None


@pytest.mark.parametrize(
    ("form", "xml", "json", "said", "passed"),
    [
        ("xml", ["", OK], [], "", 0.5),
        ("json", [], ["", OK], "", 0.5),
        ("auto", [404, OK], [OK], "", 0),
        ("auto", [501, 501], [404, OK], "", 0.5),
        ("auto", [500, 500, OK], [], "", 1.25),
        ("xml", [404, OK], [], "", 0.5),
    ],
)
def test_a_report_is_sent_until_it_is_accepted(
    guest: ModuleType, clock: Clock, live: Live, monkeypatch: pytest.MonkeyPatch,
    form: str, xml: list[Any], json: list[Any], said: str, passed: float,
) -> None:  # fmt: skip
    """The answers to each form in turn; both are used in the order in which they are wanted."""

    def problem(answer: Any) -> Any:
        return None if answer is OK else guest.Problem("goal state", "no", response=_answer(guest, answer or 503))

    reporter = guest.Reporter(live.tree, guest.parse_options([]), form, guest.Network(), clock.now + 400)
    reporter._send_xml = lambda *_: problem(xml.pop(0))
    reporter._send_json = lambda *_: problem(json.pop(0))
    assert reporter.send("Ready") == said
    assert clock.passed == pytest.approx(passed, abs=0.06)


@pytest.mark.parametrize(
    ("seconds", "once", "at"),
    [(400, False, 60), (40, False, 10), (400, True, None)],
)
def test_a_report_turns_to_json_when_a_quarter_of_the_time_or_a_minute_is_gone(
    guest: ModuleType, clock: Clock, live: Live, capfd: pytest.CaptureFixture[str], seconds: int, once: bool, at: int | None
) -> None:  # fmt: skip
    reporter = guest.Reporter(live.tree, guest.parse_options([]), "auto", guest.Network(), clock.now + seconds)
    seen: list[float] = []
    refused = guest.Problem("goal state", "goal state: 500", response=_answer(guest, 500))
    reporter._send_xml = lambda *_: refused
    reporter._send_json = lambda *_: seen.append(clock.passed) or guest.Problem("health report", "no")  # type: ignore[func-returns-value]
    assert reporter.send("Ready", once=once) == ("goal state: 500" if once else "no")
    assert clock.passed == (0 if once else seconds)
    assert bool(seen) is (at is not None)
    if at is not None:
        assert at <= seen[0] < at + 5.1
    said = ["report: goal state: 500"] + (["report: no"] if at is not None else [])
    assert capfd.readouterr().err.splitlines() == said


@pytest.mark.parametrize(
    ("reason", "status", "now"),
    [
        *[("goal state", status, True) for status in (400, 403, 404, 405, 501)],
        *[("goal state", status, False) for status in (0, 401, 410, 500)],
        ("health report", 404, False),
    ],
)
def test_which_answers_mean_that_this_is_not_the_way(
    guest: ModuleType, clock: Clock, live: Live, reason: str, status: int, now: bool
) -> None:
    reporter = guest.Reporter(live.tree, guest.parse_options([]), "auto", guest.Network(), 0)
    problem = guest.Problem(reason, "", response=_answer(guest, status) if status else None)
    assert bool(reporter._json_now(problem, clock.now + 1)) is now
    assert reporter._json_now(problem, clock.now)


@pytest.mark.parametrize(
    ("words", "known", "answers", "outcome", "sent", "passed"),
    [
        (["--wait-for", "x.service"], ["", "", "up"], ["", ""], "up", ["waiting for x.service"] * 2, 120),
        (["--wait-for", "x.service"], ["it failed"], [], "it failed", [], 0),
        (["--wait-for", "x.service", "--every", "50"], [""] * 4, ["", "no", ""], "x.service is not up in time",
         ["waiting for x.service"] * 3, 140),
        (["--in-progress"], [], [""], "still at work", ["still at work"], 0),
        (["--in-progress"], [], ["no"], "", ["still at work"], 0),
        (["--in-progress", "--every", "50"], [], ["", "no", ""], "still at work", ["still at work"] * 3, 100),
        (["--in-progress", "--every", "50"], [], ["", "", "no"], "", ["still at work"] * 3, 100),
    ],
)  # fmt: skip
def test_the_platform_is_told_that_work_goes_on(
    guest: ModuleType, clock: Clock, live: Live, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    words: list[str], known: list[str], answers: list[str], outcome: str, sent: list[str], passed: float,
) -> None:  # fmt: skip
    """140 seconds are left. A unit of which nothing is known is waited for until the next report is due."""
    reports: list[tuple[Any, ...]] = []

    def await_unit(tree: object, unit: str, seconds: int) -> str:
        assert unit == "x.service"
        heard = known.pop(0)
        clock.sleep(0 if heard else seconds)
        return heard

    def send(*report: str, once: bool) -> str:
        reports.append((*report, once))
        return answers.pop(0)

    monkeypatch.setattr(guest, "await_unit", await_unit)
    reporter = SimpleNamespace(send=send)
    options = guest.parse_options(["report", *words])
    assert guest.work_goes_on(live.tree, options, reporter, clock.now + 140) == outcome
    assert reports == [("NotReady", "Provisioning", text, True) for text in sent]
    assert (clock.passed, answers, known) == (passed, [], [])
    said = {"still at work": "Reported that work goes on\n", "": "Not reported: no\n"}
    assert capfd.readouterr().err == said.get(outcome, "")


def test_systemd_is_asked_of_a_unit_by_our_script(guest: ModuleType, live: Live) -> None:
    live.plant({"usr/lib/azure-provisioning/await-unit": f'echo "$*" >>{live.calls}; echo " up "\n'})
    assert guest.await_unit(live.tree, "x.service", 7) == "up"
    assert live.called() == ["x.service 7"]
    live.plant({"usr/lib/azure-provisioning/await-unit": "exit 3\n"})
    assert guest.await_unit(live.tree, "x.service", 7) == "systemd cannot be asked of x.service"


def test_host_keys_are_waited_for_a_minute_at_most(guest: ModuleType, clock: Clock, live: Live) -> None:
    wants = "etc/systemd/system/multi-user.target.wants/azure-provisioning-hostkeys.service"
    live.plant({wants: "", "etc/ssh/": ""})
    guest._await_host_keys(live.tree)
    assert clock.passed == 0, "nobody makes them: this is no systemd"
    live.plant({"run/systemd/system/": ""})
    guest._await_host_keys(live.tree)
    assert clock.passed == pytest.approx(60, abs=0.1) and set(clock.slept) == {0.05}
    whole = "-----BEGIN x\n-----END x\n"
    live.plant({f"etc/ssh/ssh_host_{kind}_key": whole for kind in ("rsa", "ecdsa", "ed25519")})
    clock.slept.clear()
    guest._await_host_keys(live.tree)
    assert clock.slept == []


def test_a_step_says_how_long_it_took(
    guest: ModuleType, clock: Clock, live: Live, capfd: pytest.CaptureFixture[str]
) -> None:
    def step(*_: object) -> str:
        clock.sleep(61.5)
        return "done"

    guest.take_step("name", step, live.tree, None, {})
    assert capfd.readouterr().err == "name: done (61500 ms)\n"


def test_which_address_is_asked_after_failures(guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease's for three tries, then that and the documented one by turns; the lease is read again now and then."""
    leased = [*["10.0.0.1"] * 4, "10.0.0.4", "10.0.0.8"]
    monkeypatch.setattr(guest, "leased_wireserver", lambda tree: leased.pop(0))
    reporter = guest.Reporter(live.tree, guest.parse_options([]), "auto", None, 0)
    asked = [reporter._address() for reporter._failures in range(9)]
    known = "168.63.129.16"
    assert [host for host, _ in asked] == [*["10.0.0.1"] * 3, known, "10.0.0.1", known, "10.0.0.1", known, "10.0.0.4"]
    assert {port for _, port in asked} == {80} and leased == ["10.0.0.8"]
    monkeypatch.setattr(guest, "leased_wireserver", lambda tree: "")
    assert {guest.Reporter(live.tree, guest.parse_options([]), "auto", None, 0)._address()} == {(known, 80)}


@pytest.mark.parametrize(
    ("refused", "silent", "said"),
    [
        ("", "", "Provisioned web1 in 61.50 s: reported Ready"),
        ("no", "", "Provisioned web1 in 61.50 s, but not reported: no; the next boot reports again"),
        ("", "--only", "Provisioned web1 in 60.00 s: not reported (--only)"),
    ],
)
def test_a_run_says_how_long_it_took(
    guest: ModuleType, clock: Clock, live: Live, capfd: pytest.CaptureFixture[str], refused: str, silent: str, said: str
) -> None:
    """From its beginning until the platform has answered."""
    live.plant({"var/lib/azure-provisioning/applied": "x"})
    reporter = SimpleNamespace(send=lambda state: clock.sleep(1.5) or refused)
    guest.finish(live.tree, {"KVP": "no"}, reporter, "x", "web1", clock.now - 60, silent)
    assert capfd.readouterr().err.splitlines()[-1] == said
