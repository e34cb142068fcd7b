"""A run as a whole, with steps and a platform of the test's own: what is taken, stamped, sent and said."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.guest.conftest import Live

Said = pytest.CaptureFixture[str]
VM = "11111111-2222-3333-4444-555555555555"
STATE = "var/lib/azure-provisioning"
APPLIED = {f"{STATE}/applied": f"{VM}\n"}
REPORTED = {**APPLIED, f"{STATE}/reported": f"{VM}\n"}
SETTINGS = {"KVP": "no", "REPORT": "auto", "DEADLINE": "1000", "SKIP": "", "EARLY_REPORT": "no"}
READY, BEGUN = ("Ready",), ("NotReady", "Provisioning", "provisioning has begun")


class Story:
    """One run. `raises`: what the second step ends by; `refuses`: what the platform says to each report."""

    def __init__(self, guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        self.guest, self.live = guest, live
        self.steps: list[tuple[str, str]] = []
        self.sent: list[tuple[Any, ...]] = []
        self.untils: list[float] = []
        self.raises: Callable[[], Exception] | None = None
        self.refuses, self.imds = "", {"compute": {"vmId": VM.upper(), "osProfile": {"computerName": "web1"}}}
        monkeypatch.setattr(guest, "STEPS", tuple((name, self._step(name)) for name in ("hostname", "user")))
        monkeypatch.setattr(guest, "Reporter", lambda *words: self.untils.append(words[-1]) or self)
        monkeypatch.setattr(guest, "Network", lambda: None)
        monkeypatch.setattr(guest, "gather", lambda *words: self.untils.append(words[-1]) or (self.imds, None))

    def _step(self, name: str) -> Any:
        def step(tree: object, wishes: object, settings: dict[str, str]) -> str:
            self.steps.append((name, settings["SKIP"]))
            if self.raises and name == "user":
                raise self.raises()
            return "done"

        return step

    def send(self, *report: str, once: bool = False) -> str:
        self.sent.append(report)
        assert once is (report == BEGUN), "nobody waits for the first report to be accepted"
        return self.refuses

    def run(self, *words: str, vm_id: str = VM, **settings: str) -> int:
        options = self.guest.parse_options(["run", *words])
        self.live.tree.dry_run = options.dry_run
        code: int = self.guest.run(
            self.live.tree, options, {**SETTINGS, **settings}, vm_id, self.guest.time.monotonic()
        )
        return code

    def stamps(self) -> list[str]:
        return [name for name in ("applied", "reported") if self.guest.has_stamp(self.live.tree, name, VM)]


@pytest.fixture
def story(guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(guest, live, monkeypatch)


BOTH, ALL = ["hostname", "user"], ["applied", "reported"]


@pytest.mark.parametrize(
    ("nodes", "words", "settings", "code", "steps", "sent", "stamps"),
    [
        ({}, [], {}, 0, BOTH, [READY], ALL),
        (APPLIED, [], {}, 0, [], [READY], ALL),
        (REPORTED, [], {}, 0, [], [], ALL),
        (APPLIED, ["--report=none"], {}, 0, [], [], ["applied"]),
        (APPLIED, ["--report=xml"], {"REPORT": "none"}, 0, [], [READY], ALL),
        ({}, [], {"REPORT": "none"}, 0, BOTH, [], ["applied"]),
        (REPORTED, ["--only=user"], {}, 0, ["user"], [], ALL),
        ({}, ["--only=user"], {}, 0, ["user"], [], []),
        ({}, ["--skip=user"], {}, 0, ["hostname"], [READY], ALL),
        ({}, [], {"SKIP": "hostname"}, 0, ["user"], [READY], ALL),
        ({}, ["--skip=user"], {"SKIP": "hostname"}, 0, [], [READY], ALL),
        ({}, ["--only=user", "--skip=user"], {}, 0, [], [], []),
        ({}, ["--dry-run"], {"EARLY_REPORT": "yes"}, 0, BOTH, [], []),
        ({}, ["--only=user"], {"EARLY_REPORT": "yes"}, 0, ["user"], [], []),
        ({}, [], {"EARLY_REPORT": "yes"}, 0, BOTH, [BEGUN, READY], ALL),
        ({}, [], {"EARLY_REPORT": "yes", "REPORT": "none"}, 0, BOTH, [], ["applied"]),
        (APPLIED, [], {"EARLY_REPORT": "yes"}, 0, [], [READY], ALL),
    ],
)  # fmt: skip
def test_what_a_run_does(
    story: Story, nodes: dict[str, str], words: list[str], settings: dict[str, str], code: int, steps: list[str],
    sent: list[tuple[str, ...]], stamps: list[str],
) -> None:  # fmt: skip
    story.live.plant({"run/": "", "var/lib/": "", **nodes})
    assert story.run(*words, **settings) == code
    assert [name for name, _ in story.steps] == steps
    assert (story.sent, story.stamps()) == (sent, stamps)
    assert not story.live.tree.exists("/run/azure-provisioning/told"), "it went well: nothing has to be told"
    if stamps and not nodes:
        assert (story.live.root / STATE).stat().st_mode & 0o7777 == 0o700
    skipped = {*settings.get("SKIP", "").split(","), *(word[7:] for word in words if "skip" in word)} - {""}
    assert {name for _, names in story.steps for name in names.split(",")} - {""} == (skipped if steps else set())


@pytest.mark.parametrize(
    ("nodes", "steps", "sent", "stamps"),
    [({}, BOTH, [READY], ALL), (APPLIED, [], [READY], ALL), (REPORTED, [], [], ALL)],
)
def test_without_dmi_the_platform_says_which_vm_this_is(
    story: Story, nodes: dict[str, str], steps: list[str], sent: list[tuple[str, ...]], stamps: list[str]
) -> None:
    story.live.plant({"run/": "", "var/lib/": "", **nodes})
    assert story.run(vm_id="") == 0
    assert ([name for name, _ in story.steps], story.sent, story.stamps()) == (steps, sent, stamps)


@pytest.mark.parametrize(
    ("raises", "why"),
    [
        ("Failed", "own reason|step=user|a=b|agent="),
        ("RuntimeError", "unhandled exception|error=RuntimeError at line "),
    ],
)
def test_a_run_that_fails(story: Story, capfd: Said, raises: str, why: str) -> None:
    story.live.plant({"run/": "", "var/lib/": ""})
    failed = lambda: story.guest.Failed("own reason", ("a", "b"))  # noqa: E731
    story.raises = failed if raises == "Failed" else lambda: RuntimeError("secret")
    assert story.run("--only=user") == 1 and not story.sent
    assert story.run() == 1
    assert story.stamps() == [] and story.live.tree.exists("/run/azure-provisioning/told")
    assert story.sent[0][:2] == ("NotReady", "ProvisioningFailed") and story.sent[0][2].startswith(why)
    assert f"|vm_id={VM}|" in story.sent[0][2] and "secret" not in capfd.readouterr().err + story.sent[0][2]
    story.refuses = "no"
    assert story.run() == 2
    story.raises, story.sent = None, []
    assert story.run() == 2 and story.stamps() == ["applied"], "the next boot reports again"
    story.refuses, story.steps = "", []
    assert story.run() == 0 and not story.steps and story.stamps() == ALL


def test_a_run_that_can_keep_no_state(story: Story, capfd: Said) -> None:
    story.live.plant({"run/": "", STATE: "a file"})
    assert story.run() == 0 and story.sent == [READY]
    said = [line for line in capfd.readouterr().err.splitlines() if "again at each boot" in line]
    assert said == [f"warning: /{STATE}: Not a directory: this VM is provisioned again at each boot"]


def test_how_long_a_run_may_take(story: Story) -> None:
    """A tenth of the time is kept for the report."""
    story.live.plant({"run/": "", "var/lib/": ""})
    for words, seconds in (([], 1000), (["--deadline=10"], 10)):
        story.untils.clear()
        began = story.guest.time.monotonic()
        story.run("--only=user", *words)
        took = story.guest.time.monotonic() - began
        ends = [until - began for until in story.untils]
        assert seconds <= ends[0] <= seconds + took and seconds * 0.9 <= ends[1] <= seconds * 0.9 + took


def test_what_is_said_of_a_run(story: Story, capfd: Said) -> None:
    story.live.plant({"run/": "", "var/lib/": "", "etc/hostname": "old\n"})
    story.imds["compute"]["publicKeys"] = [{"keyData": ""}]  # type: ignore[index]
    story.run()
    first = capfd.readouterr().err.splitlines()
    assert first[0] == "warning: key 0 from IMDS is empty and was skipped"
    assert first[-1].startswith("Provisioned web1 in ") and first[-1].endswith(" s: reported Ready")
    (story.live.root / STATE / "reported").unlink()
    story.run()
    again = capfd.readouterr().err.splitlines()
    assert again[0] == f"VM {VM} is provisioned already: reporting again" and again[-1].startswith(
        "Provisioned old in "
    )
    (story.live.root / "etc/hostname").unlink()
    story.imds = {"compute": {"vmId": VM}}
    story.run("--only=user")
    assert "Provisioned this VM in " in capfd.readouterr().err
