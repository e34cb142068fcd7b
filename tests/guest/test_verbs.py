# ruff: noqa: E501 (tables)
"""The verbs and the state between them: what is reported, what is stamped, what is switched off, and each exit code."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from azready.fabric.machine import ASSET_TAG
from tests.guest.conftest import Live

Said = pytest.CaptureFixture[str]
VM, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
STATE = "var/lib/azure-provisioning"
WANTS = "etc/systemd/system/multi-user.target.wants/azure-provisioning.service"
APPLIED = {f"{STATE}/applied": f"{VM}\n"}
REPORTED = {**APPLIED, f"{STATE}/reported": f"{VM}\n"}


class Platform:
    """In place of the reporter: what is sent, and whether it is accepted."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses, self.sent, self.vm_id = refuses, list[tuple[Any, ...]](), ""

    def send(self, *report: str, **more: bool) -> str:
        self.sent.append(report)
        return self.refuses


@pytest.fixture
def platform(guest: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """Each reporter that the program makes is this one; its deadline is noted as `until`."""
    stands_in = Platform()

    def make(tree: object, options: object, form: str, network: object, until: float) -> Platform:
        stands_in.form, stands_in.until = form, until  # type: ignore[attr-defined]
        return stands_in

    monkeypatch.setattr(guest, "Reporter", make)
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # a second lock of this process would wait for the first
    return stands_in


SETTINGS = {"KVP": "yes", "REPORT": "auto", "DEADLINE": "1200", "SKIP": "", "EARLY_REPORT": "no"}


def _report(guest: ModuleType, live: Live, *words: str, vm_id: str = VM, **settings: str) -> int:
    options = guest.parse_options(["report", *words])
    code: int = guest.report(live.tree, options, {**SETTINGS, **settings}, vm_id, time.monotonic())
    return code


@pytest.mark.parametrize(
    ("nodes", "words", "refuses", "code", "sent", "last"),
    [
        ({}, [], "", 1, [], f"Nothing is reported: VM {VM} is not provisioned yet"),
        (REPORTED, [], "", 0, [], f"VM {VM} is provisioned and reported already: nothing to do"),
        (APPLIED, [], "", 0, [("Ready",)], "Provisioned web1 in T s: reported Ready"),
        (APPLIED, [], "no", 2, [("Ready",)], "Provisioned web1 in T s, but not reported: no; the next boot reports again"),
        (APPLIED, ["--dry-run"], "", 0, [], "Provisioned web1 in T s: not reported (--dry-run)"),
        ({}, ["--failed", "why"], "", 0, [("NotReady", "ProvisioningFailed", "why|agent=")], "Provisioning failed: why"),
        (REPORTED, ["--failed", "why"], "no", 2, [("NotReady", "ProvisioningFailed", "why|agent=")], "Provisioning failed: why; not reported: no"),
        ({}, ["--failed", "why", "--dry-run"], "", 0, [], "Provisioning failed: why"),
        (REPORTED, ["--in-progress"], "", 0, [], f"VM {VM} is provisioned and reported already: nothing to do"),
        (APPLIED, ["--in-progress"], "", 0, [("NotReady", "Provisioning", "still at work")], "Reported that work goes on"),
        (APPLIED, ["--in-progress"], "no", 2, [("NotReady", "Provisioning", "still at work")], "Not reported: no"),
        (APPLIED, ["--wait-for", "x", "--dry-run"], "", 0, [], "Provisioned web1 in T s: not reported (--dry-run)"),
    ],
)  # fmt: skip
def test_the_verb_report(
    guest: ModuleType, live: Live, platform: Platform, capfd: Said,
    nodes: dict[str, str], words: list[str], refuses: str, code: int, sent: list[tuple[Any, ...]], last: str,
) -> None:  # fmt: skip
    live.plant({"etc/hostname": "web1\n", "run/": "", **nodes})
    platform.refuses = refuses
    assert _report(guest, live, *words) == code
    assert [(*one[:2], one[2].split("azure-")[0]) if len(one) > 2 else one for one in platform.sent] == sent
    said = capfd.readouterr().err.splitlines()[-1]
    assert guest_words(said) == last


def guest_words(line: str) -> str:
    """The line with T for its seconds."""
    return " ".join("T" if word.replace(".", "").isdigit() and "." in word else word for word in line.split(" "))


@pytest.mark.parametrize(
    ("known", "code", "sent"),
    [("up", 0, "Ready"), ("x failed", 0, "NotReady")],
)
def test_a_unit_is_waited_for_and_its_end_is_reported(
    guest: ModuleType, live: Live, platform: Platform, monkeypatch: pytest.MonkeyPatch, known: str, code: int, sent: str
) -> None:
    live.plant({**APPLIED, "run/": ""})
    ends: list[float] = []
    monkeypatch.setattr(guest, "work_goes_on", lambda tree, options, reporter, until: ends.append(until) or known)
    began = time.monotonic()
    assert _report(guest, live, "--wait-for", "x") == code
    assert began + 1200 <= ends[0] <= time.monotonic() + 1200
    assert [one[0] for one in platform.sent] == [sent]
    assert known == "up" or platform.sent[0][2].startswith("x failed|")


def test_what_the_verb_report_goes_by(guest: ModuleType, live: Live, platform: Platform, capfd: Said) -> None:
    live.plant({**APPLIED, "run/": ""})
    began = time.monotonic()
    assert _report(guest, live, vm_id="", REPORT="none") == 0, "the id of the last run"
    assert platform.form == "auto" and 1199 < platform.until - began < 1260  # type: ignore[attr-defined]
    assert "Provisioned this VM in" in capfd.readouterr().err
    assert live.tree.text(f"/{STATE}/reported") == f"{VM}\n"
    (live.root / f"{STATE}/reported").unlink()
    assert _report(guest, live, "--report=json", "--deadline=5", REPORT="xml") == 0
    assert platform.form == "json" and platform.until - began < 60  # type: ignore[attr-defined]
    assert (live.root / "run/azure-provisioning").stat().st_mode & 0o7777 == 0o700
    assert (live.root / "run/azure-provisioning/lock").stat().st_mode & 0o7777 == 0o600
    capfd.readouterr()
    assert (
        _report(
            guest,
            live,
            vm_id="",
        )
        == 0
    )
    (live.root / f"{STATE}/applied").unlink()
    assert _report(guest, live, vm_id="") == 1
    assert capfd.readouterr().err.endswith("Nothing is reported: VM unknown is not provisioned yet\n")


def test_the_end_of_a_run(guest: ModuleType, live: Live, platform: Platform, capfd: Said) -> None:
    live.plant({**APPLIED, WANTS: "", "var/lib/hyperv/": ""})
    began = time.monotonic()
    platform.refuses = "no"
    assert guest.finish(live.tree, SETTINGS, platform, VM, "web1", began, "") == 2
    assert live.tree.exists("/run/azure-provisioning/told") and live.tree.exists("/" + WANTS)
    assert (live.root / "run/azure-provisioning/told").stat().st_mode & 0o7777 == 0o600
    assert (live.root / "run/azure-provisioning").stat().st_mode & 0o7777 == 0o700
    pool = (live.root / "var/lib/hyperv/.kvp_pool_1").read_bytes()
    assert pool[512:].startswith(b"result=success|agent=azure-provisioning/") and f"|vm_id={VM}|".encode() in pool
    guest.untold(live.tree)
    guest.untold(live.tree)
    assert not live.tree.exists("/run/azure-provisioning/told")
    platform.refuses = ""
    assert guest.finish(live.tree, {**SETTINGS, "KVP": "no"}, platform, VM, "web1", began, "") == 0
    assert not live.tree.exists("/" + WANTS) and not live.tree.exists("/run/azure-provisioning/told")
    (live.root / f"{STATE}/reported").unlink()
    (live.root / f"{STATE}/reported").mkdir()
    capfd.readouterr()
    assert guest.finish(live.tree, {**SETTINGS, "KVP": "no"}, platform, VM, "web1", began, "") == 0
    assert (
        "warning: /var/lib/azure-provisioning: Is a directory: the next boot reports again\n" in capfd.readouterr().err
    )
    (live.root / f"{STATE}/applied").unlink()
    assert guest.finish(live.tree, {**SETTINGS, "KVP": "no"}, platform, VM, "web1", began, "") == 0
    assert "reports again" not in capfd.readouterr().err, "it was said before that no state is kept"


def test_a_failure_is_told_with_its_facts(guest: ModuleType, live: Live, platform: Platform, capfd: Said) -> None:
    live.plant({"var/lib/hyperv/": ""})
    failure = guest.Failed("why", ("step", "user"), ("error", "x"))
    failure.remarks = ["look"]
    assert guest.fail(live.tree, SETTINGS, platform, failure, "", "--only") == 1
    said = "warning: look\nstep: user\nerror: x\nProvisioning failed: why\n"
    assert (capfd.readouterr().err, platform.sent) == (said, [])
    assert guest.fail(live.tree, SETTINGS, platform, failure, "", "") == 1
    (state, substatus, text) = platform.sent[0]
    assert (state, substatus) == ("NotReady", "ProvisioningFailed")
    assert text.startswith(f"why|step=user|error=x|agent=azure-provisioning/{guest.VERSION}|vm_id=unknown|timestamp=2")
    pool = (live.root / "var/lib/hyperv/.kvp_pool_1").read_bytes()
    assert pool[512:].startswith(b"result=error|reason=why|step=user|") and live.tree.exists(
        "/run/azure-provisioning/told"
    )
    platform.refuses = "no"
    (live.root / "var/lib/hyperv/.kvp_pool_1").unlink()
    assert guest.fail(live.tree, {**SETTINGS, "KVP": "no"}, platform, failure, VM, "") == 2
    assert not live.tree.exists("/var/lib/hyperv/.kvp_pool_1")


@pytest.mark.parametrize(
    ("nodes", "gone", "stays"),
    [
        ({WANTS: ""}, [WANTS], []),
        ({"etc/runlevels/default/azure-provisioning": "", "etc/runlevels/boot/azure-provisioning": "", "etc/runlevels/boot/x": ""},
         ["etc/runlevels/boot/azure-provisioning", "etc/runlevels/default/azure-provisioning"], ["etc/runlevels/boot/x"]),
        ({"etc/init.d/azure-provisioning": "", "etc/rc2.d/S03azure-provisioning": "", "etc/rc5.d/S11azure-provisioning": "", "etc/rc0.d/K01azure-provisioning": "",
          "etc/rc3.d/K01azure-provisioning": "", "etc/rc2.d/S03other": "", "etc/rc1.d/S03azure-provisioning": ""},
         ["etc/rc2.d/S03azure-provisioning", "etc/rc5.d/S11azure-provisioning"],
         ["etc/rc0.d/K01azure-provisioning", "etc/rc3.d/K01azure-provisioning", "etc/rc2.d/S03other", "etc/rc1.d/S03azure-provisioning"]),
        ({"etc/rc2.d/S03azure-provisioning": ""}, [], ["etc/rc2.d/S03azure-provisioning"]),
        ({"etc/service/azure-provisioning": "", "etc/runit/runsvdir/default/azure-provisioning": ""},
         ["etc/service/azure-provisioning", "etc/runit/runsvdir/default/azure-provisioning"], []),
    ],
)  # fmt: skip
def test_the_unit_is_switched_off_by_its_links(
    guest: ModuleType, live: Live, capfd: Said, nodes: dict[str, str], gone: list[str], stays: list[str]
) -> None:
    live.plant(nodes)
    guest.disable(live.tree)
    assert [path for path in gone if live.tree.exists("/" + path)] == []
    assert [path for path in stays if not live.tree.exists("/" + path)] == []
    assert capfd.readouterr().err == "".join(f"/{path} is off from now on\n" for path in gone)


def test_links_that_stay_are_told(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant({f"{WANTS}/": ""})
    guest.disable(live.tree)
    said = capfd.readouterr().err
    assert said == f"warning: /{WANTS} stays: Is a directory\n"


def test_stamps_name_a_vm(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant({f"{STATE}/": "", WANTS: ""})
    assert not guest.has_stamp(live.tree, "applied", VM)
    guest.stamp_applied(live.tree, VM.upper())
    assert live.tree.text(f"/{STATE}/applied") == f"{VM}\n11111111-2222-3333-4444-555555555555\n"
    assert (live.root / f"{STATE}/applied").stat().st_mode & 0o7777 == 0o600
    guest.stamp_reported(live.tree)
    guest.stamp_reported(live.tree)
    assert guest.has_stamp(live.tree, "reported", VM) and not guest.has_stamp(live.tree, "reported", OTHER)
    assert live.tree._unsynced == set()
    assert guest.nothing_to_do(live.tree, VM, "none") == 0 and live.tree.exists("/" + WANTS)
    assert capfd.readouterr().err == f"VM {VM} is provisioned already: nothing to do\n"
    assert guest.nothing_to_do(live.tree, VM, "auto") == 0 and not live.tree.exists("/" + WANTS)
    assert capfd.readouterr().err.endswith(f"VM {VM} is provisioned and reported already: nothing to do\n")
    guest.stamp_applied(live.tree, "")
    assert live.tree.text(f"/{STATE}/applied") == "unknown\n" and not guest.has_stamp(live.tree, "applied", "unknown")


@pytest.mark.parametrize(
    ("uuid", "efi", "option", "vm_id"),
    [
        ("01020304-0506-0708-090a-0b0c0d0e0f10\n", True, "", "01020304-0506-0708-090a-0b0c0d0e0f10"),
        ("01020304-0506-0708-090a-0b0c0d0e0f10\n", False, "", "04030201-0605-0807-090a-0b0c0d0e0f10"),
        ("", False, "", ""),
        ("none", True, "", ""),
        ("none", False, VM.upper(), VM),
    ],
)
def test_the_id_of_this_vm(guest: ModuleType, live: Live, uuid: str, efi: bool, option: str, vm_id: str) -> None:
    live.plant({"sys/class/dmi/id/product_uuid": uuid, **({"sys/firmware/efi/": ""} if efi else {})})
    assert guest.read_vm_id(live.tree, SimpleNamespace(vm_id=option)) == vm_id


def _act(guest: ModuleType, live: Live, *words: str) -> int:
    code: int = guest.act(guest.parse_options([*words, f"--root={live.root}"]), time.monotonic())
    return code


def test_what_is_done_before_any_verb(
    guest: ModuleType, live: Live, capfd: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[Any, ...]] = []
    monkeypatch.setitem(guest.VERBS, "run", lambda *words: called.append(words) or 7)
    assert _act(guest, live) == 0 and not called
    assert capfd.readouterr().err == "Not on Azure (chassis asset tag: none): nothing to do\n"
    live.plant({"sys/class/dmi/id/chassis_asset_tag": "Mine\n"})
    assert _act(guest, live) == 0
    assert capfd.readouterr().err == "Not on Azure (chassis asset tag: Mine): nothing to do\n"
    assert _act(guest, live, "--platform=azure", "--dry-run") == 7 and len(called) == 1
    assert not live.tree.exists("/run/azure-provisioning/lock")
    live.plant(
        {
            "sys/class/dmi/id/chassis_asset_tag": f" {ASSET_TAG}\n",
            "sys/class/dmi/id/product_uuid": VM,
            "sys/firmware/efi/": "",
        }
    )
    live.plant({"etc/azure-provisioning.conf": "KVP=maybe\nREPORT=json\n", "run/": ""})
    capfd.readouterr()
    assert _act(guest, live) == 7
    version = ".".join(str(number) for number in guest.sys.version_info[:3])
    assert capfd.readouterr().err == (
        f"azure-provisioning {guest.VERSION} (python {version}): VM {VM}, generation 2\n"
        "warning: setting KVP=maybe is not allowed; the default holds\n"
    )
    assert live.tree.exists("/run/azure-provisioning/lock")
    (live.root / "run/azure-provisioning/lock").rename(live.root / "lock")
    monkeypatch.setitem(guest.VERBS, "report", lambda *words: 8)
    assert _act(guest, live, "report") == 8 and not live.tree.exists("/run/azure-provisioning/lock"), "it waits first"
    assert _act(guest, live, "report", "--dry-run") == 8 and not live.tree.exists("/run/azure-provisioning/lock")
    tree, options, settings, vm_id, _ = called[1]
    assert (tree.root, options.verb, settings["KVP"], settings["REPORT"], vm_id) == (
        str(live.root),
        "run",
        "yes",
        "json",
        VM,
    )
    with pytest.raises(guest.Usage, match="is no folder"):
        guest.act(guest.parse_options([f"--root={live.root}/etc/azure-provisioning.conf"]), 0)


def test_a_lock_that_cannot_be_had_stops_nothing(guest: ModuleType, live: Live, capfd: Said) -> None:
    live.plant({"run/azure-provisioning": "a file in the way"})
    guest.lock(live.tree)
    guest.told(live.tree)
    place = f"{live.root}/run/azure-provisioning/"
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("warning: no lock: NotADirectoryError at line ") and lines[0].endswith(
        f"Not a directory {place}lock"
    )
    assert lines[1] == "warning: /run/azure-provisioning/told: Not a directory"


def test_one_run_at_a_time(guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bool, int]] = []
    monkeypatch.setattr(
        fcntl, "flock", lambda number, how: asked.append((os.fstat(number).st_size == 0, how)) or os.close(number)
    )  # type: ignore[func-returns-value]
    guest.lock(live.tree)
    assert asked == [(True, fcntl.LOCK_EX)]


@pytest.mark.parametrize("way", ["flock", "lockf"])
def test_a_pool_that_somebody_holds_is_left_alone(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, capfd: Said, way: str
) -> None:
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(guest, "time", clock)
    live.plant({"var/lib/hyperv/": ""})
    number = errno.EAGAIN

    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(fcntl, way, refuse)
    guest.write_kvp(live.tree, (("a", "b"),))
    assert capfd.readouterr().err.endswith("kvp_pool_1: somebody holds its lock; nothing is written\n")
    assert 1 <= now[0] < 1.2 and (live.root / "var/lib/hyperv/.kvp_pool_1").read_bytes() == b""
    number, now[0] = errno.ENOLCK, 0.0
    guest.write_kvp(live.tree, (("a", "b"),))
    assert capfd.readouterr().err == "warning: /var/lib/hyperv/.kvp_pool_1: no\n" and now[0] == 0


def test_one_key_has_one_record_in_the_pool(guest: ModuleType, live: Live) -> None:
    guest.write_kvp(live.tree, (("a", "b"),))
    assert not live.tree.exists("/var/lib/hyperv/.kvp_pool_1")
    live.plant({"var/lib/hyperv/": ""})
    live.tree.dry_run = True
    guest.write_kvp(live.tree, (("a", "b"),))
    assert not live.tree.exists("/var/lib/hyperv/.kvp_pool_1")
    live.tree.dry_run = False
    pool = live.root / "var/lib/hyperv/.kvp_pool_1"
    others = [guest.kvp_record(f"Other{number}", "x") for number in range(2)]
    pool.write_bytes(others[0] + guest.kvp_record("PROVISIONING_REPORT", "old") + others[1])
    guest.write_kvp(live.tree, (("a", "b"), ("c", "d")))
    new = guest.kvp_record("PROVISIONING_REPORT", "a=b|c=d")
    assert pool.read_bytes() == others[0] + new + others[1]
    pool.write_bytes(b"".join(others))
    guest.write_kvp(live.tree, (("a", "b"), ("c", "d")))
    assert pool.read_bytes() == b"".join(others) + new
    pool.unlink()
    previous = os.umask(0o022)
    guest.write_kvp(live.tree, (("a", "b"), ("c", "d")))
    os.umask(previous)
    assert pool.read_bytes() == new and pool.stat().st_mode & 0o7777 == 0o644


def _lease(live: Live, path: str, address: str, age: float = 0) -> None:
    live.plant({path: f"OPTION_245={address}\n"})
    at = time.time() - age
    os.utime(live.root / path, (at, at))


def test_the_newest_lease_of_this_boot_names_the_wireserver(guest: ModuleType, live: Live) -> None:
    find: Callable[[], str] = lambda: guest.leased_wireserver(live.tree)  # noqa: E731
    assert find() == ""
    _lease(live, "var/lib/dhcp/other", "0a000001")
    assert find() == "", "a name that is none of a lease's"
    _lease(live, "var/lib/dhcp/x.leases", "0a000002", 10)
    assert find() == "10.0.0.2"
    _lease(live, "run/systemd/netif/leases/2", "0a000003", 20)
    assert find() == "10.0.0.2"
    _lease(live, "run/systemd/netif/leases/3", "0a000004", 5)
    assert find() == "10.0.0.4"
    _lease(live, "run/systemd/netif/leases/4", "nothing")
    assert find() == "10.0.0.4", "the newest that says so"
    _lease(live, "run/udhcpc/eth0", "0a000005", 1)
    assert find() == "10.0.0.5"
    live.plant({"run/a.lease/": ""})
    assert find() == "10.0.0.5"
    before = guest.boot_time() - 3600
    for path in live.root.rglob("*"):
        os.utime(path, (before, before))
    assert find() == "10.0.0.3", "what is in /run is of this boot"
    for folder in ("run/systemd/netif/leases", "run/udhcpc"):
        for path in (live.root / folder).iterdir():
            path.unlink()
    assert find() == ""


def test_networkd_is_asked_where_it_keeps_its_leases_to_itself(guest: ModuleType, live: Live) -> None:
    live.tool("networkctl", """echo '{"PrivateOptions": [{"Option": 245, "PrivateOptionData": [10, 0, 0, 9]}]}'""")
    assert guest.leased_wireserver(live.tree) == "" and not live.called()
    live.plant({"run/systemd/netif/links/2": ""})
    assert guest.leased_wireserver(live.tree) == "10.0.0.9"
    assert live.called() == ["networkctl --json=short status"]
    live.tree.live = False
    assert guest.leased_wireserver(live.tree) == ""
    live.tree.live = True
    live.tool("networkctl", "echo no")
    assert guest.leased_wireserver(live.tree) == ""
    live.plant({"run/systemd/netif/leases/2": ""})
    before = len(live.called())
    assert guest.leased_wireserver(live.tree) == "" and len(live.called()) == before


def test_when_this_machine_was_started(guest: ModuleType) -> None:
    started = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    assert abs(guest.boot_time() - int(started.split()[1])) < 5


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "OSError at line N: full /x"),
        (["secret"], "ValueError at line N"),
    ],
)
def test_an_exception_is_told_without_what_it_quotes(guest: ModuleType, words: list[str], error: str) -> None:
    try:
        raise ValueError(words[0]) if words else OSError(errno.ENOSPC, "full", "/x")
    except (OSError, ValueError) as raised:
        told = guest._told(raised)
        line = raised.__traceback__.tb_lineno if raised.__traceback__ else 0
    assert told == error.replace("N", str(line))
    assert guest._told(ValueError("x")) == "ValueError at line 0"


REFUSED = "unexpected metadata parsing ovf-env.xml: HostName"
MEDIUM = (
    '<e:Environment xmlns:e="http://schemas.dmtf.org/ovf/environment/1" xmlns="http://schemas.microsoft.com/windowsazure">'
    "<ProvisioningSection><LinuxProvisioningConfigurationSet><HostName>a b</HostName></LinuxProvisioningConfigurationSet>"
    "</ProvisioningSection></e:Environment>"
)


@pytest.mark.parametrize(
    ("nodes", "words", "said"),
    [
        (APPLIED, [], "The host name is as it should be: nothing to do\n"),
        ({}, ["--skip=hostname"], "The host name is as it should be: nothing to do\n"),
        ({"etc/azure-provisioning.conf": "SKIP=hostname\n"}, [], "The host name is as it should be: nothing to do\n"),
        ({}, ["--medium=none"], "hostname: nobody names this VM; the image's host name stays (0 ms)\n"),
        ({"disc/ovf-env.xml": MEDIUM}, ["--medium=ROOT/disc"], f"warning: not named yet: {REFUSED}\n"),
    ],
)
def test_the_verb_name(
    guest: ModuleType, live: Live, capfd: Said, nodes: dict[str, str], words: list[str], said: str
) -> None:
    live.plant(nodes)
    options = guest.parse_options(["name", *(word.replace("ROOT", str(live.root)) for word in words)])
    settings, _ = guest.parse_settings(live.tree.text("/etc/azure-provisioning.conf"))
    assert guest.name(live.tree, options, settings, VM, 0.0) == 0
    assert capfd.readouterr().err.replace("(1 ms)", "(0 ms)") == said


def test_only_root_acts_on_this_machine(guest: ModuleType, capfd: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest.posix, "geteuid", lambda: 1000)
    assert guest.act(guest.parse_options([]), 0.0) == 77
    assert capfd.readouterr().err == "azure-provisioning must run as root; --root DIR acts on a tree\n"
