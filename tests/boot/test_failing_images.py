"""Images that fail as users' images failed on Azure, booted: each is named by its cause, and nothing else is.

The trees are Debian's own packages (waagent, cloud-init) and prepared trees, broken by tests/boot/failing.py.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from azready.boot import console_log
from azready.boot.container.tree import boot_tree
from azready.boot.diagnosis import diagnose
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.fabric import Machine
from azready.fabric.faults import Fault
from azready.fabric.scenario import load
from azready.image.checking import Choice, Found, check
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.rules.model import Finding
from azready.image.targets.tree import Tree
from tests.boot import failing, machines
from tests.boot.patience import names, patiently

pytestmark = pytest.mark.long

Trees = Callable[..., Path]
Prepared = Callable[..., Path]
WAAGENT = ("waagent", "eject")


def _plan(deadline: float | None = None, login: bool = False, **others: object) -> Plan:
    return Plan(**{"boots": 1, "deadline": deadline, "login": login, **others})  # type: ignore[arg-type]


def _last(tree: Path, plan: Plan, code: str, seen: str = "", machine: Machine | None = None) -> BootRecord:
    """The last boot, which is to fail for the cause with this code, and to quote `seen`."""
    record = patiently(partial(boot_tree, tree, machine or Machine()), plan, names(code, seen=seen))[-1]
    assert not record.passed, record.verdict
    return record


def _is(record: BootRecord, code: str, seen: str, fix: str) -> None:
    """The cause has this code, quotes this, and its fix says this."""
    found = diagnose(record)
    assert found is not None
    assert found.code == code, (found, record.verdict)
    assert not seen or any(seen in line for line in found.evidence), found.evidence
    assert fix in found.fix, found.fix


@pytest.fixture
def waagent(debian_tree: Trees) -> Callable[..., Path]:
    """`waagent(packages…)`: a tree of one's own with Debian's waagent on ifupdown, which provisions."""

    def make(*packages: str) -> Path:
        tree = debian_tree("bookworm", *WAAGENT, *packages, network="ifupdown")
        failing.waagent_provisions(tree)
        return tree

    return make


# --- one by one ---


def _found(tree: Path) -> set[tuple[str, Finding]]:
    """What `azready check` finds in a tree: rule and finding."""
    with Tree(tree) as files:
        answers = [(each.rule.id, each.answer) for each in check(Facts(files), RULES, Choice())]
    return {(rule, finding) for rule, answer in answers if isinstance(answer, Found) for finding in answer.findings}


@pytest.mark.parametrize("image", failing.FAILING, ids=lambda image: image.break_it.__name__)
def test_it_is_seen_in_its_files_where_they_show_it_and_named_when_it_boots(
    image: failing.Failing, broken: Trees, waagent: Callable[..., Path]
) -> None:
    tree = (waagent if image.base == "waagent" else broken)(*image.packages)
    healthy = _found(tree) if image.rule else set()
    image.break_it(tree)
    assert not image.rule or image.rule in {rule for rule, _ in _found(tree) - healthy}
    record = _last(tree, _plan(image.deadline, image.login), image.code, image.seen, image.machine)
    assert record.verdict.provisioned == image.reports, record.verdict
    _is(record, image.code, image.seen, image.fix)
    _console_accuses_no_other(record, image)


def _console_accuses_no_other(record: BootRecord, image: failing.Failing) -> None:
    """`azready diagnose` sees the console alone: it names the cause, or says that it knows none."""
    found = console_log.diagnose("\r\n".join(line.text for line in record.console).encode())
    assert found.cause is None or (not image.reports and found.cause.code in (image.code, image.on_console)), found
    assert found.cause is not None or not image.on_console


# --- two provisioners ---


@pytest.mark.slow
def test_waagent_refuses_beside_a_cloud_init_made_for_another_platform(waagent: Callable[..., Path]) -> None:
    tree = waagent("cloud-init")
    (tree / "etc/cloud/cloud.cfg.d/99-sources.cfg").write_text("datasource_list: [NoCloud, None]\n")
    record = _last(tree, _plan(100.0), "two-provisioners")
    assert record.verdict.code == "OSProvisioningClientError"
    _is(record, "two-provisioners", "cloud-init appears to be installed and enabled", "azready prepare")


def test_waagent_left_beside_our_program_reports_over_it(waagent: Callable[..., Path], prepared: Prepared) -> None:
    tree = waagent()
    failing.azready_beside(tree, prepared())
    record = _last(tree, _plan(30.0, boots=2), "two-provisioners")
    assert record.expected == "silence", "the first boot is fine"
    _is(record, "two-provisioners", "NotReady", "azready prepare")


@pytest.mark.slow
def test_waagent_and_cloud_init_as_debian_joins_them_are_fine_and_without_dhcp_not_to_blame(debian_tree: Trees) -> None:
    tree = debian_tree("bookworm", *WAAGENT, "cloud-init", network="ifupdown")
    (healthy,) = boot_tree(tree, Machine(), _plan(100.0))
    assert healthy.passed and diagnose(healthy) is None and healthy.cause is None
    record = _last(tree, _plan(10.0, faults=(Fault(service="dhcp", silent=True),)), "no-lease")
    _is(record, "no-lease", "service=dhcp", "boot without that fault")


# --- markers ---


@pytest.mark.slow
def test_waagent_marks_before_its_report_and_never_reports_again(waagent: Callable[..., Path]) -> None:
    refused = Fault(service="wireserver", path="*comp=health*", attempts="2-", status=503)
    plan = _plan(40.0, boots=2, heal=True, faults=(refused,))
    first, second = patiently(partial(boot_tree, waagent(), Machine()), plan, names("platform-refused", "stale-marker"))
    _is(first, "platform-refused", "503", "asks again")
    if second.passed:  # some versions of waagent do report
        pytest.fail("waagent reported in its second boot: the rule is not needed any more")
    _is(second, "stale-marker", "already completed", "keeps both apart")


@pytest.mark.slow
def test_cloud_init_that_trusts_its_cache_is_captured_unsealed(debian_tree: Trees) -> None:
    tree = debian_tree("bookworm", "cloud-init")
    failing.cloud_init_trusts_its_cache(tree)
    record = _last(tree, _plan(20.0, recapture=True), "stale-marker")
    _is(record, "stale-marker", "restored from cache", "azready generalize")


@pytest.mark.slow
def test_our_own_stamp_without_clone_guard_is_captured_unsealed(prepared: Prepared) -> None:
    record = _last(prepared(options=("--no-clone-guard",)), _plan(8.0, recapture=True), "stale-marker")
    _is(record, "stale-marker", "unit stays on: disabled", "azready generalize")


# --- medium, report, keys ---


@pytest.mark.slow
def test_waagent_without_a_medium(waagent: Callable[..., Path]) -> None:
    record = _last(waagent(), _plan(60.0, faults=load("medium-missing").faults), "no-medium")
    assert record.verdict.code == "OSProvisioningClientError"
    assert "\n" not in record.headline
    _is(record, "no-medium", "Failed to get dvd device", "K08")


@pytest.mark.slow
def test_the_published_sample_of_2026_never_reports_nor_does_its_next_boot(debian_tree: Trees) -> None:
    tree = debian_tree("bookworm", *machines.FULL)
    failing.sample(tree, "published-2026.py", "/usr/bin/python3")
    refused = Fault(service="hostplugin", status=503)  # heal needs a fault; this one meets nobody
    plan = _plan(8.0, boots=2, heal=True, faults=(refused,))
    first, second = patiently(partial(boot_tree, tree, Machine()), plan, names("no-report", "no-provisioner"))
    _is(first, "no-report", "goalstate", "RoleInstanceList/RoleInstance")
    _is(second, "no-provisioner", "no request", "only when its report was accepted")


def test_a_key_with_cr_and_lf_is_cleaned_by_our_program(prepared: Prepared) -> None:
    (record,) = boot_tree(prepared(), failing.CRLF, _plan(login=True))
    assert record.passed, record.checks
