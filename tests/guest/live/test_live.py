"""Both programs boot every form of an image for real, and the owner logs in, or the platform heard why not."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.lab import command
from tests.guest.live.forms import FORMS, Form
from tests.guest.live.inside import who_got_in

ROOT = Path(__file__).parents[3]
BATCHES = 8
"""A batch is one set of namespaces; the forms of one are booted one after the other, about a second each."""

QUICK = FORMS[::14]
"""What CI runs with every change; the others are slow."""
RARE = [form for form in FORMS if form not in QUICK]


@cache
def _boots(program: str, batch: int) -> dict[str, Any]:
    subprocess.run(
        [sys.executable, "-c", "from bench.lab import debian; debian('bookworm', 'curl')"], cwd=ROOT, check=True
    )
    names = [form.name for form in (QUICK if batch < 0 else RARE[batch::BATCHES])]
    words = command([sys.executable, "-m", "tests.guest.live.inside", program, *names])
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, Any] = json.loads(done.stdout)
    return outcomes


def judge(form: Form, seen: dict[str, Any]) -> None:
    """Hold what came of a boot against the form."""
    log = f"{form.name}\n{seen['said']}\n{seen['login']}"
    assert seen["ready"] == (form.end != "refused"), log
    if form.end == "refused":
        assert form.says in seen["told"], f"{seen['told']}\n{log}"
        assert seen["login"]["who"] == [], "somebody got in whom the platform was told of as shut out"
    elif form.end == "warned":
        assert form.says in seen["said"], log
    else:
        assert form.says in seen["said"], log
        assert seen["login"]["who"] == [form.user, "0"], log
    assert seen["after"] == "", log
    assert "Traceback" not in seen["said"] and "I/O error" not in seen["said"], log


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", ["py", "sh"])
def test_some_forms(need: Callable[..., None], program: str) -> None:
    need("ids", "tool:mmdebstrap", "tool:unshare", "tool:zstd", "tool:ip")
    outcomes = _boots(program, -1)
    for form in QUICK:
        judge(form, outcomes[form.name])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("program", ["py", "sh"])
def test_every_other_form(need: Callable[..., None], program: str, batch: int) -> None:
    need("ids", "tool:mmdebstrap", "tool:unshare", "tool:zstd", "tool:ip")
    outcomes = _boots(program, batch)
    wrong = []
    for form in RARE[batch::BATCHES]:
        try:
            judge(form, outcomes[form.name])
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n\n".join(wrong)


def test_there_are_enough_forms_and_their_names_differ() -> None:
    assert len(FORMS) >= 40
    assert len({form.name for form in FORMS}) == len(FORMS)


def test_what_a_shell_says_when_it_lets_nobody_in_is_no_login() -> None:
    assert who_got_in("This account is currently not available.\n") == []
    assert who_got_in("welcome\nlogged-in-as azureuser 0\n") == ["azureuser", "0"]
    assert who_got_in("logged-in-as azureuser\n") == ["azureuser"]
