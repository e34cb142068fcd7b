"""Every case of the contract, on both programs; a shorter set under every interpreter, shell and HTTP client found."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from azready.fabric import Fabric
from azready.fabric.protocol.media import ovf_env
from azready.fabric.protocol.messages import Rules
from tests.contract.case import GOAL, READY, Case, File, Folder, Report, machine, provisioned
from tests.contract.cases import CASES
from tests.contract.cases.data import copy
from tests.contract.lab import ACCOUNT_FILES, Outcome, carry_out
from tests.contract.limits import LIMITS, table
from tests.contract.programs import (
    NEEDS,
    Program,
    of_interest,
    pythons,
    reference_python,
    reference_shell,
    shells,
)
from tests.fabric import guest_proxy


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric(rules=Rules(imds_rate=1000)) as running:
        yield running


def judge(case: Case, outcome: Outcome, program: Program) -> None:
    """Hold the outcome against the whole of the case."""
    log = f"\n{outcome.stderr}"
    assert outcome.exit == case.exit, log
    failed = case.exit == 2 or (case.report is not None and case.report.substatus == "ProvisioningFailed")
    assert outcome.told == (failed if case.told is None else case.told), log
    for text in case.says:
        assert text in outcome.stderr, log
    lines = outcome.stderr.splitlines()
    assert verdict_said(lines, program) == verdict(case), log
    assert same_report(outcome.report, case.report), f"{outcome.report}\n{log}"
    assert same_requests(outcome.requests, case, program), log
    assert outcome.findings == case.findings, log
    assert outcome.commands == case.commands, log
    folders = {path: node for path, node in outcome.changes.items() if isinstance(node, Folder)}
    assert all(node == Folder(0o700) for node in folders.values()), folders
    expected = {path: node for path, node in case.changes.items() if path not in ACCOUNT_FILES}
    assert {path: node for path, node in outcome.changes.items() if path not in folders} == expected, log
    for path in ACCOUNT_FILES:
        if path in case.changes:
            found, wanted = outcome.accounts[path], case.changes[path]
            assert isinstance(found, File) and isinstance(wanted, File) and found.text == wanted.text, log
    if case.secret:
        assert case.secret not in outcome.stderr + outcome.stdout
        assert not any(case.secret in command for command in outcome.commands)
        readable = [
            path
            for path, node in outcome.changes.items()
            if isinstance(node, File) and case.secret in node.text and node.mode & 0o077
        ]
        assert not readable


def same_requests(found: tuple[str, ...], case: Case, program: Program) -> bool:
    """In the case's order, but that curl asks for the first goal state as soon as IMDS has answered."""
    if case.repeats:
        return set(found) == set(case.requests)
    if not (program.is_shell and "curl" in program.name):
        return found == case.requests
    goal = [request for request in case.requests if request.startswith(GOAL)]
    others = [request for request in case.requests if not request.startswith(GOAL)]
    return [request for request in found if request.startswith(GOAL)] == goal and [
        request for request in found if not request.startswith(GOAL)
    ] == others


def verdict_said(lines: list[str], program: Program) -> str:
    last = re.sub(r" \d+\.\d\d s", " T s", lines[-1] if lines else "")
    return last.replace(Path(program.words[-1]).name, "PROGRAM", 1)


def same_report(found: Report | None, wanted: Report | None) -> bool:
    """The same, where WHAT in the one that is wanted stands for anything."""
    if found is None or wanted is None:
        return found is wanted
    pattern = re.escape(wanted.description).replace("WHAT", ".*")
    return replace(found, description="") == replace(wanted, description="") and bool(
        re.fullmatch(pattern, found.description)
    )


def verdict(case: Case) -> str:
    if case.verdict:
        return case.verdict
    if case.report == READY:
        host = case.changes.get("etc/hostname")
        name = host.text.strip() if isinstance(host, File) else "this VM"
        return f"Provisioned {name} in T s: reported Ready"
    assert case.report is not None, f"{case.name}: say the verdict"
    return "Provisioning failed: " + case.report.description.partition("|")[0]


def check(case: Case, program: Program, fabric: Fabric, folder: Path) -> None:
    judge(case, carry_out(case, program, fabric, folder), program)


def _names(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


@pytest.mark.parametrize("case", CASES, ids=_names(CASES))
def test_python(case: Case, fabric: Fabric, tmp_path: Path) -> None:
    check(case, reference_python(), fabric, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=_names(CASES))
def test_shell(case: Case, fabric: Fabric, tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:dash", "tool:curl")
    if any(limit.applies(case.name, reference_shell().name) for limit in LIMITS):
        pytest.skip("elsewhere: a limit of the shell, see limits.py")
    check(case, reference_shell(), fabric, tmp_path)


@pytest.mark.parametrize("program", [reference_python(), reference_shell()], ids=lambda program: program.name)
@pytest.mark.parametrize("name", ["useradd fails", "a hook that fails is named"])
def test_an_init_that_has_its_children_reaped_by_the_kernel(
    name: str, program: Program, fabric: Fabric, tmp_path: Path, need: Callable[..., None]
) -> None:
    """Small inits ignore SIGCHLD, and all that they start does: how a program ended is to be seen all the same."""
    need("tool:dash", "tool:curl")
    ignoring = ("/usr/bin/env", "--ignore-signal=CHLD")
    if subprocess.run([*ignoring, "true"], capture_output=True).returncode:
        pytest.skip("needs an env that takes --ignore-signal: coreutils 8.31")
    (case,) = [case for case in CASES if case.name == name]
    check(case, replace(program, words=(*ignoring, *program.words)), fabric, tmp_path)


@pytest.mark.parametrize("program", [reference_python(), reference_shell()], ids=lambda program: program.name)
def test_a_vm_that_answers_signed_requests_only(program: Program, fabric: Fabric, tmp_path: Path) -> None:
    """The Metadata Security Protocol enforced on both services, with a stand-in for Microsoft's agent."""
    vm = machine(msp="enforce")
    fabric.restart(vm)
    channel = guest_proxy.latch(fabric.wireserver_url)
    with (
        guest_proxy.standing_in(fabric.imds_url, channel) as imds,
        guest_proxy.standing_in(fabric.wireserver_url, channel) as wireserver,
    ):
        case = Case(
            "msp",
            machine=vm,
            medium=ovf_env(vm),
            tree={"usr/sbin/azure-proxy-agent": File("#!/bin/sh\n", 0o755)},
            options=("--imds", imds, "--wireserver", wireserver),
            changes={**provisioned(vm), **copy(vm)},
        )
        check(case, program, fabric, tmp_path)


EVERYWHERE = [case for case in CASES if case.everywhere]


def _in_turn() -> Iterator[object]:
    """Each case under the oldest Python, another one, and two shells, in turn; CONTRACT=all is the whole product."""
    by_kind: dict[bool, list[Program]] = {True: [], False: []}
    for program in of_interest():
        by_kind[program.name.startswith("py")].append(program)
    others, some_shells = by_kind[True][1:], by_kind[False]
    for number, case in enumerate(EVERYWHERE):
        turns = [of[(number + more) % len(of)] for of, more in ((others, 0), (some_shells, 0), (some_shells, 2)) if of]
        for program in dict.fromkeys((*by_kind[True][:1], *turns)):
            yield pytest.param(case, program, id=f"{case.name}-{program.name}")


@pytest.mark.long
@pytest.mark.parametrize(("case", "program"), list(_in_turn()))
def test_everywhere(case: Case, program: Program, fabric: Fabric, tmp_path: Path) -> None:
    check(case, program, fabric, tmp_path)


LOG = re.compile(
    r"azure-provisioning \S+ \(.+\): VM \S+, generation [12]|IMDS: (GET http://\S+|200 OK, \d+ bytes)|medium: none"
    r"|(hostname|user|sudo|keys|password|sshd|host-keys|custom-data|entropy|grow|hooks|ovf-copy|access): .* \(\d+ ms\)"
    r"|(ContainerId|InstanceId|Incarnation): \S+|Response: 200 OK|/etc/systemd/\S+ is off from now on"
    r"|Provisioned web1 in \d+\.\d\d s: reported Ready"
)


@pytest.mark.parametrize("program", of_interest(), ids=lambda program: program.name)
def test_the_log_holds_our_words_only(program: Program, fabric: Fabric, tmp_path: Path) -> None:
    """What a tool or a shell complains about would show here, even where it does no harm to the outcome."""
    outcome = carry_out(Case("usual"), program, fabric, tmp_path)
    assert [line for line in outcome.stderr.splitlines() if not LOG.fullmatch(line)] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.environ.get("CONTRACT") != "all", reason="needs 20 minutes: CONTRACT=all make test-slow")
@pytest.mark.parametrize("program", [*pythons(), *shells()], ids=lambda program: program.name)
def test_the_whole_product(
    program: Program, fabric: Fabric, tmp_path_factory: pytest.TempPathFactory, need: Callable[..., None]
) -> None:
    """Every case under every program; those that the two references run anyway are left out."""
    if program in (reference_python(), reference_shell()):
        return
    wrong = []
    for case in CASES:
        if program.is_shell and any(limit.applies(case.name, program.name) for limit in LIMITS):
            continue
        try:
            check(case, program, fabric, tmp_path_factory.mktemp("case"))
        except AssertionError as error:
            wrong.append(f"{case.name}: {error}")
    assert not wrong, "\n\n".join(wrong)


def test_there_are_enough_cases_and_their_names_differ() -> None:
    assert len(CASES) >= 60
    assert len(set(_names(CASES))) == len(CASES)


@pytest.mark.parametrize("option", ["--steps", "--version"])
def test_both_say_the_same(option: str) -> None:
    programs = (reference_python(), reference_shell())
    said = {subprocess.run([*p.words, option], capture_output=True, text=True, check=True).stdout for p in programs}
    assert len(said) == 1


def test_the_docs_print_what_the_shell_cannot_and_what_it_needs() -> None:
    text = (Path(__file__).parents[2] / "docs/guest.md").read_text()
    assert table() in text
    assert " ".join(f"`{name}`" for name in NEEDS) in text
    assert all(not limit.case or limit.case in _names(CASES) for limit in LIMITS)
