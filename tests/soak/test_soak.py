"""The soak's faults all end; its log is gone on from; and a first boot of each program under some of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from azready.console import SILENT
from azready.pipelines.survey.cells import Log, Run
from azready.pipelines.survey.running import Conditions
from tests.soak.__main__ import OURS, key, soak, table, tasks, wrong
from tests.soak.plans import scenario

READY, SILENCE = Run("ready", 1.0, ""), Run("silent", None, "nobody spoke")
SHUT = Run("ready", 1.0, "", remarks=("ssh login: refused",))


def test_a_boot_is_repeated_by_its_seed_and_number_and_every_fault_of_it_ends() -> None:
    drawn = [scenario(1, number) for number in range(100)]
    assert drawn == [scenario(1, number) for number in range(100)]
    assert len({str(each.faults) for each in drawn}) > 90
    for fault in (fault for each in drawn for fault in each.faults):
        assert fault.service == "dhcp" or fault.attempts in ("1", "1-2", "1-3", "2", "2-4", "3")


def test_what_the_log_has_is_not_booted_again(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    todo = list(tasks(seed=1, runs=4, beside=1))
    for task in todo:
        log.append(key(task), READY)
    soak(todo, log, Conditions(), SILENT)
    assert log.read() == {key(task): (READY,) for task in todo}


def test_only_boots_of_ours_are_wrong_and_all_are_counted() -> None:
    done = {("azready-sh", "1/1"): [SHUT], ("azready-py", "1/0"): [READY, SILENCE], ("waagent-12", "1/0"): [SILENCE]}
    assert table(done).splitlines()[2:] == [
        "| azready-py | 2 | 1 | 0 | 0 | 1 |",
        "| azready-sh | 1 | 0 | 1 | 0 | 0 |",
        "| waagent-12 | 1 | 0 | 0 | 0 | 1 |",
    ]
    assert [line.split(":")[0] for line in wrong(done)] == ["azready-sh 1/1", "azready-py 1/0"]


@pytest.mark.slow
def test_both_programs_are_ready_under_faults(tmp_path: Path, need: Callable[..., None]) -> None:
    need("ids", "tool:mmdebstrap", "tool:unshare", "tool:nsenter")
    log = Log(tmp_path / "log")
    soak(tasks(seed=1, runs=len(OURS), beside=0), log, Conditions(deadline=180.0), SILENT)
    assert len(log.read()) == len(OURS)
    assert not wrong(log.read())
