"""Every rule has images that break it and images that do not; every fix fixes what was found."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azready.image.apply import apply
from azready.image.checking import Found, Passed, ask
from azready.image.facts import Facts
from azready.image.rules import AREAS, RULES
from azready.image.rules.model import Rule
from azready.image.rules.sources import SOURCES
from azready.image.targets.tree import Tree
from tests.image.rules.cases import CASES, DISK, Case, Unfixable
from tests.image.sample import Sample, good_image

BY_ID = {rule.id: rule for rule in RULES}


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return good_image(tmp_path)


def _facts(sample: Sample, **more: object) -> Facts:
    return Facts(Tree(sample.root), **more)  # type: ignore[arg-type]


def test_every_rule_has_a_case_that_breaks_it() -> None:
    assert set(CASES) == set(BY_ID)
    assert all(case.bad or case.bad_disks for case in CASES.values())


def test_ids_are_unique_and_sources_are_known() -> None:
    assert len(BY_ID) == len(RULES)
    assert {key for rule in RULES for key in rule.sources} <= set(SOURCES)
    assert all(rule.severities and rule.why and rule.fix for rule in RULES)


def test_no_area_shares_a_rule() -> None:
    assert sum(len(area.rules) for area in AREAS) == len(RULES)


@pytest.mark.parametrize("id", sorted(CASES))
def test_a_good_image_passes(id: str, sample: Sample) -> None:
    """With an answer, not by having nothing to say, unless the case's own variants answer."""
    case = CASES[id]
    if not case.good_disks and not case.good:
        case.base(sample)
        assert ask(BY_ID[id], _facts(sample)) == Passed()


def _variants(kind: str) -> list[tuple[str, int]]:
    return [(id, number) for id, case in CASES.items() for number in range(len(getattr(case, kind)))]


@pytest.mark.parametrize(("id", "number"), _variants("good"))
def test_a_good_variant_passes(id: str, number: int, sample: Sample) -> None:
    CASES[id].base(sample)
    CASES[id].good[number](sample)
    assert ask(BY_ID[id], _facts(sample)) == Passed()


@pytest.mark.parametrize(("id", "number"), _variants("bad"))
def test_a_bad_image_is_found(id: str, number: int, sample: Sample) -> None:
    CASES[id].base(sample)
    CASES[id].bad[number](sample)
    assert isinstance(ask(BY_ID[id], _facts(sample)), Found)


@pytest.mark.parametrize(("id", "number"), _variants("bad_disks"))
def test_a_bad_disk_is_found(id: str, number: int, sample: Sample) -> None:
    assert isinstance(ask(BY_ID[id], _facts(sample, disk=CASES[id].bad_disks[number])), Found)


@pytest.mark.parametrize(("id", "number"), _variants("good_disks"))
def test_a_good_disk_passes(id: str, number: int, sample: Sample) -> None:
    assert ask(BY_ID[id], _facts(sample, disk=CASES[id].good_disks[number])) == Passed()


def _fixable() -> Iterator[tuple[str, int]]:
    for rule in RULES:
        if rule.repair is not None:
            yield from ((rule.id, number) for number in range(len(CASES.get(rule.id, Case()).bad)))


@pytest.mark.parametrize(("id", "number"), list(_fixable()))
def test_a_fix_fixes_what_was_found_and_doing_it_again_changes_nothing(
    id: str, number: int, sample: Sample, need: Callable[..., None]
) -> None:
    need("root")
    rule, case = BY_ID[id], CASES[id]
    case.base(sample)
    case.bad[number](sample)
    with Tree(sample.root) as tree:
        for _ in range(3):  # what one fix uncovers, the next fixes: sealing goes on until nothing is found
            if isinstance(ask(rule, _facts(sample)), Found):
                actions = _fix(rule, _facts(sample))
                apply(actions, tree)
        left = ask(rule, _facts(sample))
        if isinstance(case.bad[number], Unfixable):
            assert isinstance(left, Found), "it can be fixed after all"
            assert id == "P01" or all(each.by_hand for each in left.findings), "check says that it is fixed"
            return
        assert left == Passed()
        assert not any(outcome.changed for outcome in apply(actions, tree))


def _fix(rule: Rule, facts: Facts) -> list:
    answer = ask(rule, facts)
    assert isinstance(answer, Found)
    assert rule.repair is not None
    return list(rule.repair(facts, answer.findings))


def test_nothing_is_wrong_with_the_good_image(sample: Sample) -> None:
    """All together, as a disk: no rule breaks another's good image."""
    facts = _facts(sample, disk=DISK)
    broken = {rule.id: answer for rule in RULES if isinstance(answer := ask(rule, facts), Found)}
    assert set(broken) == {"P21"}


_AS_PACKAGED = {
    "etc/ssh/sshd_config": 0o644, "etc/shadow": 0o640, "etc/gshadow": 0o640, "etc/passwd": 0o644, "etc/group": 0o644,
    "etc/sudoers": 0o644, "etc/sudoers.d": 0o755, "root/.ssh/authorized_keys": 0o600,
}  # fmt: skip


def test_each_bit_more_than_files_of_accounts_need_is_found(sample: Sample) -> None:
    for path, mode in _AS_PACKAGED.items():
        if not (sample.root / path).exists():
            sample.write(path, "")
        (sample.root / path).chmod(mode)
    for path, mode in _AS_PACKAGED.items():
        for bit in (1 << number for number in range(9) if not mode & 1 << number and 1 << number != 0o100):
            (sample.root / path).chmod(mode | bit)
            answer = ask(BY_ID["S07"], _facts(sample))
            assert isinstance(answer, Found), f"{path} {mode | bit:o}"
            assert [(each.path, each.what) for each in answer.findings] == [(path, f"mode {mode | bit:04o}")]
        (sample.root / path).chmod(mode)
    assert ask(BY_ID["S07"], _facts(sample)) == Passed()
