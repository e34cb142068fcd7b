"""What a person sees of work under way: on a terminal one display for all of it, in a pipe a line when a step ends."""

import io
import re

import pytest

from azready.console import Console


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _plain(shown: str) -> list[str]:
    """The lines that were ever shown, without what moves the cursor."""
    return [line.strip() for line in re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)) if line.strip()]


def _work(console: Console) -> None:
    with console.step("4/5 boot"):
        console.say("[by] UEFI")
        with console.step("First boot: [disk]"):
            pass
        with console.transfer("Copy", 100) as advance:
            advance(40)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return _Terminal()


def test_in_a_pipe_every_step_is_one_line_when_it_ends() -> None:
    said = io.StringIO()
    _work(Console(said))
    lines = [re.sub(r"\d\.\d s", "0.0 s", line) for line in said.getvalue().splitlines()]
    assert lines == ["[by] UEFI", "✓ First boot: [disk] (0.0 s)", "✓ Copy (0.0 s)", "✓ 4/5 boot (0.0 s)"]


def test_on_a_terminal_steps_within_steps_share_one_display(terminal: _Terminal) -> None:
    _work(Console(terminal))
    lines = _plain(terminal.getvalue())
    stayed = [line for line in lines if line.startswith(("✓", "[by]"))]
    assert [line.rpartition(" (")[0] or line for line in stayed] == [
        "[by] UEFI",
        "✓ First boot: [disk]",
        "✓ Copy",
        "✓ 4/5 boot",
    ]
    assert any(re.search(r"4/5 boot +0:00:00", line) for line in lines), lines
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") >= 1, "the cursor is back"


def test_a_step_that_fails_says_so_and_clears_the_screen(terminal: _Terminal) -> None:
    console = Console(terminal)
    with pytest.raises(KeyboardInterrupt), console.step("outer"), console.transfer("inner", 10):
        raise KeyboardInterrupt
    told = [line for line in _plain(terminal.getvalue()) if line.startswith("✗")]
    assert [line.partition(" after")[0] for line in told] == ["✗ inner: interrupted", "✗ outer: interrupted"]
    assert terminal.getvalue().rstrip("\n").endswith(" s")


def test_quiet_leaves_only_warnings(terminal: _Terminal) -> None:
    console = Console(terminal, quiet=True)
    _work(console)
    console.warn("beware")
    assert _plain(terminal.getvalue()) == ["warning: beware"]
