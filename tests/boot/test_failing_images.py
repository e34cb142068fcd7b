"""Images that fail as users' images failed on Azure, booted: each is named by its cause, and nothing else is.

The trees are Debian's own packages (waagent, cloud-init) and prepared trees, broken by tests/boot/failing.py.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.diagnose import cause
from azready.boot.session import Plan, boot_tree
from azready.boot.timeline import BootRecord
from azready.fabric import Machine
from azready.fabric.faults import Fault
from azready.fabric.scenario import load
from tests.boot import failing

Trees = Callable[..., Path]
Prepared = Callable[..., Path]
WAAGENT = ("waagent", "eject")
TWO_NICS = Machine(secondary_nics=(("00:0d:3a:6e:00:99", "10.1.0.9"),))


def _plan(deadline: float = 8.0, login: bool = False, **others: object) -> Plan:
    return Plan(**{"boots": 1, "deadline": deadline, "login": login, **others})  # type: ignore[arg-type]


def _last(tree: Path, plan: Plan, machine: Machine | None = None) -> BootRecord:
    record = boot_tree(tree, machine or Machine(), plan)[-1]
    assert not record.passed, record.verdict
    return record


def _is(record: BootRecord, code: str, seen: str, mend: str) -> None:
    """The cause has this code, quotes this, and its mend says this."""
    found = cause(record)
    assert found is not None
    assert found.code == code, (found, record.verdict)
    assert any(seen in line for line in found.evidence), found.evidence
    assert mend in found.mend, found.mend


@pytest.fixture
def waagent(debian_tree: Trees) -> Callable[..., Path]:
    """`waagent(failing.…)`: a tree of one's own with Debian's waagent on ifupdown."""

    def make(break_it: Callable[[Path], None], *packages: str) -> Path:
        tree = debian_tree("bookworm", *WAAGENT, *packages, network="ifupdown")
        break_it(tree)
        return tree

    return make


# --- two provisioners ---


@pytest.mark.slow
def test_waagent_refuses_beside_a_cloud_init_made_for_another_platform(waagent: Callable[..., Path]) -> None:
    tree = waagent(failing.waagent_provisions, "cloud-init")
    (tree / "etc/cloud/cloud.cfg.d/99-sources.cfg").write_text("datasource_list: [NoCloud, None]\n")
    record = _last(tree, _plan(100.0))
    assert record.verdict.code == "OSProvisioningClientError"
    _is(record, "two-provisioners", "cloud-init appears to be installed and enabled", "azready prepare")


def test_waagent_left_beside_our_program_reports_over_it(waagent: Callable[..., Path], prepared: Prepared) -> None:
    tree = waagent(failing.waagent_provisions)
    failing.azready_beside(tree, prepared())
    record = _last(tree, _plan(30.0, boots=2))
    assert record.expected == "silence", "the first boot is fine"
    _is(record, "two-provisioners", "NotReady", "azready prepare")


@pytest.mark.slow
def test_waagent_and_cloud_init_as_debian_joins_them_are_fine_and_without_dhcp_not_to_blame(
    waagent: Callable[..., Path],
) -> None:
    tree = waagent(lambda tree: None, "cloud-init")
    (healthy,) = boot_tree(tree, Machine(), _plan(100.0))
    assert healthy.passed and cause(healthy) is None and healthy.diagnosis == ()
    record = _last(tree, _plan(10.0, faults=(Fault(service="dhcp", silent=True),)))
    _is(record, "no-lease", "DHCPDISCOVER", "ask for long enough")


# --- markers ---


@pytest.mark.slow
def test_a_marker_of_waagent_in_the_image(waagent: Callable[..., Path]) -> None:
    record = _last(waagent(failing.marked_by_waagent), _plan(60.0, login=True))
    assert record.verdict.provisioned, "Azure would be content; the owner is not"
    _is(record, "stale-marker", "unique identifier has changed", "azready generalize")


@pytest.mark.slow
def test_waagent_marks_before_its_report_and_never_reports_again(waagent: Callable[..., Path]) -> None:
    refused = Fault(service="wireserver", path="*comp=health*", attempts="2-", status=503)
    plan = _plan(15.0, boots=2, heal=True, faults=(refused,))
    first, second = boot_tree(waagent(failing.waagent_provisions), Machine(), plan)
    _is(first, "platform-refused", "503", "asks again")
    if second.passed:  # some versions of waagent do report
        pytest.fail("waagent reported in its second boot: the rule is not needed any more")
    _is(second, "stale-marker", "already completed", "keeps both apart")


@pytest.mark.slow
def test_cloud_init_that_trusts_its_cache_is_captured_unsealed(debian_tree: Trees) -> None:
    tree = debian_tree("bookworm", "cloud-init")
    failing.cloud_init_trusts_its_cache(tree)
    record = _last(tree, _plan(20.0, recapture=True))
    _is(record, "stale-marker", "restored from cache", "azready generalize")


@pytest.mark.slow
def test_our_own_stamp_without_clone_guard_is_captured_unsealed(prepared: Prepared) -> None:
    record = _last(prepared(options=("--no-clone-guard",)), _plan(8.0, recapture=True))
    _is(record, "stale-marker", "unit stays on: disabled", "azready generalize")


# --- the network ---


@pytest.mark.slow
def test_a_firewall_that_drops_the_wireserver(broken: Trees) -> None:
    tree = broken("python3-minimal", "nftables")
    failing.firewall(tree)
    _is(_last(tree, _plan(10.0)), "no-route", "timed out", "N09")


@pytest.mark.slow
def test_two_cards_and_the_route_by_the_wrong_one(broken: Trees) -> None:
    tree = broken()
    failing.route_by_the_second_card(tree)
    _is(_last(tree, _plan(12.0), TWO_NICS), "no-route", "IMDS", "of several NICs only the first")


@pytest.mark.slow
def test_the_network_does_not_come_back_when_the_name_is_published(waagent: Callable[..., Path]) -> None:
    record = _last(waagent(failing.ifup_works_once), _plan(25.0))
    _is(record, "network-lost", "ifup", "ifdown eth0 && ifup eth0")


@pytest.mark.slow
def test_the_boot_waits_for_a_card_that_is_not_there(broken: Trees) -> None:
    tree = broken("python3-minimal", "curl")
    failing.waits_for_a_second_card(tree)
    _is(_last(tree, _plan()), "slow-boot", "wait-online.service", "N08")


# --- medium, report, keys ---


@pytest.mark.slow
def test_waagent_without_a_medium(waagent: Callable[..., Path]) -> None:
    record = _last(waagent(failing.waagent_provisions), _plan(60.0, faults=load("medium-missing").faults))
    assert record.verdict.code == "OSProvisioningClientError"
    assert "\n" not in record.headline
    _is(record, "no-medium", "Failed to get dvd device", "K08")


def test_a_report_that_cannot_be_read(broken: Trees) -> None:
    tree = broken("python3-minimal", "curl")
    failing.malformed_report(tree)
    _is(_last(tree, _plan()), "report-refused", "cannot be read", "Health/{GoalStateIncarnation")


@pytest.mark.slow
def test_the_published_sample_of_2026_never_reports_nor_does_its_next_boot(debian_tree: Trees) -> None:
    tree = debian_tree("bookworm", "curl", "python3")
    failing.sample(tree, "published-2026.py", "/usr/bin/python3")
    refused = Fault(service="hostplugin", status=503)  # heal needs a fault; this one meets nobody
    first, second = boot_tree(tree, Machine(), _plan(8.0, boots=2, heal=True, faults=(refused,)))
    _is(first, "no-report", "goalstate", "RoleInstanceList/RoleInstance")
    _is(second, "no-provisioner", "no request", "only when its report was accepted")


def test_a_key_with_cr_and_lf_is_refused_unless_it_is_cleaned(broken: Trees, prepared: Prepared) -> None:
    machine = load("keys-crlf").applied_to(Machine())
    tree = broken("python3-minimal", "curl")
    failing.keys_as_they_come(tree)
    record = _last(tree, _plan(20.0, login=True), machine)
    assert record.verdict.provisioned
    _is(record, "login-refused", "with CR and LF inside", "CR and LF")
    (cleaned,) = boot_tree(prepared("bookworm", "python3-minimal", "curl"), machine, _plan(20.0, login=True))
    assert cleaned.passed, cleaned.checks
