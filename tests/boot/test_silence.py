"""Whatever keeps the program from running, the platform hears of it: images whose unit cannot do its work, booted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.fabric import Machine
from tests.boot import failing

pytestmark = pytest.mark.long

Trees = Callable[..., Path]


def killed(tree: Path) -> None:
    """The program takes a signal in its first moment, as the kernel gives it where memory runs out."""
    drop_in(tree, "ExecStart=\nExecStart=/bin/sh -c 'kill -9 $$$$'")


def too_long(tree: Path) -> None:
    drop_in(tree, "ExecStartPre=/bin/sleep 600\nTimeoutStartSec=2s")


def a_unit_that_it_needs_fails(tree: Path) -> None:
    failing.service(tree, "site", "ExecStart=/bin/false")
    drop_in(tree, "", "Requires=site.service\nAfter=site.service")


def no_interpreter(tree: Path) -> None:
    """Neither Python nor curl nor wget: bash alone has to carry the report."""
    failing.no_python(tree)
    assert not any((tree / "usr/bin" / name).exists() for name in ("curl", "wget"))


def drop_in(tree: Path, service: str, unit: str = "") -> None:
    folder = tree / f"{failing.SYSTEM}/azure-provisioning.service.d"
    folder.mkdir()
    (folder / "site.conf").write_text(f"[Unit]\n{unit}\n[Service]\n{service}\n")


def booted(tree: Path) -> BootRecord:
    (record,) = boot_tree(tree, Machine(), Plan(boots=1, login=False))
    return record


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (failing.import_that_is_gone, "exit-code exited 1"),
        (no_interpreter, "exit-code exited 203"),
        (killed, "signal killed KILL"),
        (too_long, "timeout"),
        (a_unit_that_it_needs_fails, ""),
    ],
    ids=lambda value: getattr(value, "__name__", "why"),
)
def test_the_platform_hears_that_the_unit_did_not_run(
    broken: Trees, break_it: Callable[[Path], None], why: str
) -> None:
    tree = broken()
    break_it(tree)
    record = booted(tree)
    failed = [report for report in record.reports if report.accepted]
    assert [report.state for report in failed] == ["NotReady"], record.headline
    assert failed[0].description.startswith(f"the provisioning unit did not run: {why}"), failed[0].description
    assert record.verdict.code == "OSProvisioningClientError"


def test_a_program_that_has_reported_its_failure_is_not_reported_again(broken: Trees) -> None:
    tree = broken()
    failing.hook_that_fails(tree)
    record = booted(tree)
    reasons = [report.description.partition("|")[0] for report in record.reports]
    assert reasons == ["hook 10-site failed"]


def test_a_home_on_a_disk_that_is_not_there_is_made_on_the_root_file_system(broken: Trees) -> None:
    tree = broken()
    (tree / failing.SYSTEM / "home.mount").write_text("[Mount]\nWhat=/dev/no-such-disk\nWhere=/home\nType=ext4\n")
    failing.enable(tree, "home.mount", f"/{failing.SYSTEM}/home.mount", "local-fs")
    record = booted(tree)
    assert record.passed, record.headline
    assert any("home.mount" in line.text and "Failed" in line.text for line in record.console), "the mount did not fail"
