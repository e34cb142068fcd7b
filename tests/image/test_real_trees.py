"""Whole Debian trees: every finding is one that a user of that tree would call right, and sealing ends clean."""

from pathlib import Path

import pytest

from azready.image.checking import (
    Choice,
    Found,
    Result,
    Unseen,
    check,
)
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.rules.model import Severity
from azready.image.targets.tree import Tree
from azready.pipelines.trees import Network
from tests.image.conftest import Azready, CopyTree

AS_INSTALLED = {"P01", "S02", "G21", "D11", "P07"}
"""Of any Debian fresh from apt: no provisioner, host keys of the package, nothing grows the root, no time daemon."""


def _results(root: Path) -> dict[str, Result]:
    with Tree(root) as tree:
        return {result.rule.id: result for result in check(Facts(tree), RULES, Choice())}


def _found(root: Path, least: Severity = Severity.WARNING) -> set[str]:
    results = _results(root)
    assert not [result for result in results.values() if isinstance(result.answer, Unseen)]
    return {id for id, result in results.items() if (result.worst or 0) >= least}


@pytest.mark.parametrize(
    ("suite", "network", "more"),
    [
        ("bullseye", "networkd", {"S03"}),
        ("bookworm", "networkd", {"S03"}),
        ("trixie", "networkd", set()),  # its openssh-server has sshd-keygen.service
        ("bookworm", "none", {"S03", "N01"}),
        pytest.param("bookworm", "ifupdown", {"S03"}, marks=pytest.mark.slow),
        pytest.param("sid", "networkd", set(), marks=pytest.mark.slow),
    ],
)
def test_a_fresh_debian_has_just_these_findings(
    suite: str, network: Network, more: set[str], copy_tree: CopyTree
) -> None:
    assert _found(copy_tree(suite, (), network)) == AS_INSTALLED | more


@pytest.mark.long
def test_agents_are_seen_and_after_prepare_and_generalize_nothing_grave_is_left(
    copy_tree: CopyTree, azready: Azready
) -> None:
    root = copy_tree("bookworm", ("waagent",))
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    assert {"P04", "G07", "P12"} <= _found(root)
    assert azready("prepare", root).returncode == 0
    before = azready("check", root, "--before-generalize")
    assert before.returncode == 0, before.stdout
    sealed = azready("generalize", root)
    assert sealed.returncode == 0 and "nothing is found any more" in sealed.stdout, sealed.stderr
    assert _found(root) == {"D11", "P07"}
    assert not [id for id, result in _results(root).items() if result.rule.seals and isinstance(result.answer, Found)]
    assert azready("check", root).returncode == 0
