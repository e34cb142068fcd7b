"""What boots decide, as pure functions: ways out, cgroups, sub-ids, what a guest says of itself, and who boots when."""

import io
import json
import os
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from rich.console import Console

from azready.boot.container.cgroups import own_cgroup, sweep
from azready.boot.drawing.agent_report import report_lines
from azready.boot.drawing.terminal import draw
from azready.boot.identity import dmi, provisioning_medium
from azready.boot.network.links import (
    Network,
    fabric_links,
    guest_links,
    guest_rules,
)
from azready.boot.qemu.disk import judge_unit
from azready.boot.record import BootRecord, MachineFacts
from azready.boot.series import Plan, turns
from azready.boot.watching.journal import milestones, parse_journal, parse_units
from azready.boot.watching.login import BEGINS, judge_login
from azready.boot.watching.watch import LINE_LIMIT, Stream, clean
from azready.fabric import Fault, Machine
from azready.fabric.ledger import Exchange, HealthReport, Ledger
from azready.fabric.serve.sealed import routes_out
from azready.fabric.verdict import Verdict
from azready.proc import Completed

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


@pytest.mark.parametrize(
    ("row", "out"),
    [
        ("br0\t0000010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0", False),
        ("eth0\t00000000\t0100010A\t0003\t0\t0\t0\t00000000\t0\t0\t0", True),
        ("eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0", True),
        ("br0\t0000010A\t0200010A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0", True),
        ("eth1\t00A8C0C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0", True),
    ],
    ids=["own subnet", "default", "wider than ours", "by a gateway", "another network"],
)
def test_only_routes_within_the_own_subnet_are_no_way_out(row: str, out: bool) -> None:
    assert bool(routes_out(HEAD + row + "\n", ["10.1.0.0/24"])) is out


def test_an_empty_table_has_no_way_out() -> None:
    assert routes_out(HEAD, []) == []


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "folder"),
    [
        ("0::/user.slice/a.scope\n", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "/user.slice/a.scope"),
        ("4:memory:/x\n0::/\n", "38 35 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "/unified"),
        ("0::/docker/a/b\n", "30 24 0:26 /docker/a /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "/b"),
        ("4:memory:/x\n", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n", None),
        ("0::/x\n", "30 24 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw,memory\n", None),
    ],
)
def test_the_own_cgroup_is_found_in_every_layout(cgroup: str, mountinfo: str, folder: str | None) -> None:
    found = own_cgroup(cgroup, mountinfo)
    assert (str(found) if found else None) == (f"/sys/fs/cgroup{folder}" if folder else None)


def test_cgroups_of_dead_runs_are_swept_and_those_of_others_kept(tmp_path: Path) -> None:
    kept = {f"azready-{os.getpid()}-a", "azready-test-1", "init.scope"}
    for name in {*kept, "azready-4194999-a/boot1/init.scope"}:
        (tmp_path / name).mkdir(parents=True)
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_journal_entries_are_read_with_their_own_times_and_older_boots_left_out() -> None:
    rows = [
        {"__MONOTONIC_TIMESTAMP": "9000000", "MESSAGE": "before", "SYSLOG_IDENTIFIER": "a"},
        {"__MONOTONIC_TIMESTAMP": "10250000", "MESSAGE": "now", "_COMM": "b", "PRIORITY": "4", "UNIT": "x.service"},
        {"__MONOTONIC_TIMESTAMP": "10300000", "MESSAGE": [104, 105], "SYSLOG_IDENTIFIER": "c"},
        {"__MONOTONIC_TIMESTAMP": "10300001", "MESSAGE": None},
    ]
    text = "\n".join(["-- garbage --", *(json.dumps(row) for row in rows)])
    lines = parse_journal(text, 10.0)
    assert [(line.at, line.identifier, line.text) for line in lines] == [
        (0.25, "b", "now"),
        (0.3, "c", "hi"),
        (0.3, "", ""),
    ]
    assert (lines[0].priority, lines[0].unit) == (4, "x.service")


def test_a_console_line_without_end_is_cut_and_loses_nothing() -> None:
    lines: list[str] = []
    stream = Stream(lambda at, line: lines.append(line))
    for _ in range(100):
        stream.feed(0.0, b"x" * 1000)
    assert len(stream.rest) <= LINE_LIMIT
    stream.feed(0.0, b"\nnext\n")
    assert "".join(lines) == "x" * 100_000 + "next"
    assert max(map(len, lines)) <= LINE_LIMIT + 1000


def test_unit_times_leave_out_what_never_was_active() -> None:
    text = (
        "Id=basic.target\nActiveEnterTimestampMonotonic=10200000\n\nId=ssh.service\nActiveEnterTimestampMonotonic=0\n"
    )
    assert parse_units(text, 10.0) == {"basic.target": 0.2}
    assert parse_units("", 10.0) == {}


def test_milestones_come_from_ledger_units_and_init() -> None:
    ledger = Ledger()
    ledger.record(
        Exchange(0.1, "dhcp", "DHCPACK", "10.1.0.4", 200),
        Exchange(0.2, "imds", "GET", "/metadata/instance", 503),
        Exchange(0.3, "imds", "GET", "/metadata/instance", 200),
        Exchange(0.4, "wireserver", "GET", "/machine?comp=goalstate", 200),
        HealthReport(0.5, "xml", "Ready", accepted=False),
        HealthReport(0.6, "xml", "Ready"),
    )
    found = {stone.name: stone.at for stone in milestones(ledger, {"ssh.service": 0.7, "sshd.service": 0.65}, 0.9)}
    assert found == {
        "init": 0.0,
        "lease": 0.1,
        "imds": 0.3,
        "goal state": 0.4,
        "ready": 0.6,
        "sshd": 0.65,
        "multi-user": 0.9,
    }


@pytest.mark.parametrize(
    ("stdout", "status", "outcomes"),
    [
        (f"{BEGINS}\nvm1\nme\nsudo works\n", 0, ["passed", "passed", "passed"]),
        (f"Welcome\nvm2\n{BEGINS}\nvm1\nme\nsudo works\n", 0, ["passed", "passed", "passed"]),
        (f"{BEGINS}\nvm1\nme\n", 1, ["passed", "passed", "failed"]),
        (f"{BEGINS}\ndebian\nme\nsudo works\n", 0, ["passed", "failed", "passed"]),
        ("Linux vm1 6.1\n\nno warranty\n", 254, ["failed"]),
        ("", 255, ["failed"]),
    ],
)
def test_a_login_is_judged_by_what_it_said(stdout: str, status: int, outcomes: list[str]) -> None:
    machine = Machine(name="vm1", admin_username="me")
    checks = judge_login(Completed(("ssh",), status, stdout, "Permission denied (publickey)."), machine, 1.0)
    assert [check.outcome for check in checks] == outcomes
    if status == 255:
        assert "Permission denied" in checks[0].detail


@pytest.mark.parametrize(
    ("said", "outcomes"),
    [
        ("disabled\n", ["passed"]),
        ("Welcome to vm1\n\ndisabled\n", ["passed"]),
        ("enabled\n", ["failed"]),
        ("not-found\n", []),
        ("", []),
    ],
)
def test_a_disks_unit_is_judged_where_there_is_one(said: str, outcomes: list[str]) -> None:
    assert [check.outcome for check in judge_unit(said, 1.0)] == outcomes


def test_smbios_data_follows_the_generation() -> None:
    second, first = dmi(Machine()), dmi(Machine(generation=1))
    assert second["chassis_asset_tag"] == first["chassis_asset_tag"] == "7783-7084-3265-9085-8269-3286-77"
    assert second["product_uuid"] == Machine().vm_id
    assert first["product_uuid"] != Machine().vm_id
    assert first["product_uuid"][19:] == Machine().vm_id[19:], "only the first three fields are swapped"
    assert second["sys_vendor"] == "Microsoft Corporation"


def test_the_modalias_is_the_kernels_and_systemd_finds_azure_with_the_asset_tag_behind_it() -> None:
    """Its hwdb (40-imds.hwdb) has dmi:*:cat7783-7084-3265-9085-8269-3286-77:*, its 60-dmi-id.rules appends the tag."""
    for generation in (1, 2):
        values = dmi(Machine(generation=generation))
        asked = f"{values['modalias']}cat{values['chassis_asset_tag']}:"
        assert fnmatchcase(asked, "dmi:*:cat7783-7084-3265-9085-8269-3286-77:*")
        assert asked.count("cat7783") == 1
        assert " " not in values["modalias"]
        assert values["uevent"] == f"MODALIAS={values['modalias']}"
        assert {"product_sku", "product_family", "chassis_serial", "board_serial", "bios_release"} <= set(values)


def test_the_medium_of_a_container_has_what_the_disc_has() -> None:
    medium = provisioning_medium(Machine(custom_data="hä"), mounted=False)
    assert set(medium["files"]) == {"ovf-env.xml", "CustomData.bin"}  # type: ignore[call-overload]


def test_a_wireserver_elsewhere_is_an_address_beside_azures_where_dns_and_dhcp_stay() -> None:
    network = Network(wireserver="10.9.9.9")
    for address in ("10.9.9.9", "168.63.129.16", "169.254.169.254"):
        assert f"address add {address}/32 dev lo" in fabric_links(network)
    assert [network.address_of(service) for service in ("wireserver", "hostplugin", "dns")] == [
        "10.9.9.9",
        "10.9.9.9",
        "168.63.129.16",
    ]


def test_every_nic_of_the_guest_is_on_the_bridge() -> None:
    text = guest_links(["00:0d:3a:00:00:01", "00:0d:3a:00:00:02"], "/proc/self/fd/7", 3)
    assert "name eth1 address 00:0d:3a:00:00:02 netns /proc/self/fd/7" in text
    assert text.count("master br0 up") == 2


def record(provisioned: bool, expected: str = "ready") -> BootRecord:
    verdict = Verdict("", 0.5, "reported Ready") if provisioned else Verdict("OSProvisioningTimedOut", None, "silence")
    return BootRecord(1, "first boot", "t", "container", "", 1.0, 9.0, verdict, expected)  # type: ignore[arg-type]


def run_turns(plan: Plan, outcomes: list[bool], agent: str = "azready") -> list[tuple[str, str, int, bool]]:
    """(title, expected, faults, last) of each turn, when boots end as `outcomes` say."""
    records: list[BootRecord] = []
    found = []
    for turn in turns(plan, Machine(), records, agent):
        found.append((turn.title, turn.expected, len(turn.faults), turn.last))
        done = record(outcomes[len(records)])
        records.append(done if turn.expected == "ready" else record(False, "silence"))
    return found


def test_a_provisioned_vm_is_silent_from_its_second_boot_on() -> None:
    assert run_turns(Plan(), [True, True]) == [
        ("first boot", "ready", 0, False),
        ("second boot", "silence", 0, True),
    ]
    assert run_turns(Plan(), [True, True], "waagent")[1][1] == "any"


def test_a_copy_is_a_first_boot_again() -> None:
    found = run_turns(Plan(boots=1, recapture=True), [True, True])
    assert [(title, expected) for title, expected, _, _ in found] == [
        ("first boot", "ready"),
        ("first boot of a copy, as a new VM", "ready"),
    ]
    assert [last for *_, last in found] == [False, True]


def test_a_failed_boot_ends_the_run_unless_the_platform_heals() -> None:
    faults = (Fault(service="wireserver", status=503),)
    assert len(run_turns(Plan(faults=faults), [False, True])) == 1
    assert run_turns(Plan(faults=faults, heal=True), [False, True]) == [
        ("first boot", "ready", 1, False),
        ("second boot", "ready", 0, True),
    ]


def test_console_lines_lose_their_control_sequences() -> None:
    assert clean("\x1b[0;32m  OK  \x1b[0m] Started\r") == "  OK  ] Started"
    assert clean("\x1b]0;title\x07\x1b[2Jtext") == "text"


FULL = BootRecord(
    number=1,
    title="first boot",
    target="tree",
    how="container",
    started="",
    seconds=1.0,
    deadline=9.0,
    verdict=Verdict("", 0.5, "reported Ready"),
    machine=MachineFacts(name="vm1"),
    exchanges=(
        Exchange(0.1, "dhcp", "DHCPDISCOVER", "00:0d:3a:6e:00:01", None),
        Exchange(0.1, "dhcp", "DHCPACK", "10.1.0.4", 200),
        Exchange(
            0.2, "wireserver", "GET", "/machine?comp=goalstate", 200, request_headers=(("x-ms-agent-name", "probe"),)
        ),
        Exchange(0.3, "wireserver", "GET", "/machine?comp=goalstate", 200),
    ),
    reports=(HealthReport(0.5, "xml", "Ready"),),
)


def test_the_drawn_timeline_is_plain_text_in_a_pipe() -> None:
    out = io.StringIO()
    draw(FULL, Console(file=out, highlight=False))
    text = out.getvalue()
    assert "lease of 10.1.0.4" in text
    assert "DHCPDISCOVER" not in text
    assert "✔ Provisioned: Ready after 0.50 s" in text
    assert "\x1b" not in text


def test_the_agent_report_says_who_asked_what_how_often() -> None:
    text = "\n".join(report_lines(FULL))
    assert "agent:     probe" in text
    assert "/machine?comp=goalstate → 200 × 2" in text
    assert "2, and 2 DHCP messages" in text
    assert "findings:  none" in text


def test_a_locked_imds_is_open_to_marked_sockets_only() -> None:
    assert guest_rules([Fault(service="imds", reset=True)]) == ""
    marked, others = guest_rules([Fault(service="guest", imds_locked=True)]).splitlines()
    assert "fwmark 0x7fff0815" in marked and "169.254.169.254" in marked
    assert others.endswith("to 169.254.169.254 prohibit protocol kernel")
