"""How a run of the command ends: exit codes and last words, whatever happens; and that it loads only what it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from azready.cli import completion
from azready.cli.app import VERBS


def _run(program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", program, *words]
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


def _raising(error: str) -> subprocess.CompletedProcess[str]:
    """`azready convert` where the conversion raises this."""
    raising = f"def plan(*_): raise {error}"
    program = f"import azready.image.conversion as it\n{raising}\nit.plan = plan\nfrom azready.cli import main\nmain()"
    return _run(program, "convert", "disk.raw")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("KeyboardInterrupt", 130, "azready: interrupted\n"),
        ("BrokenPipeError", 0, ""),
        ("OSError(28, 'No space left on device', '/out.vhd')", 3, "azready: /out.vhd: No space left on device\n"),
        ("PermissionError(13, 'Permission denied', '/root/x')", 3, "azready: /root/x: Permission denied\n"),
        ("OSError(30, 'Read-only file system', b'/usr/x.img')", 3, "azready: /usr/x.img: Read-only file system\n"),
        ("OSError(18, 'Invalid cross-device link', '/a', None, '/b')", 3, "this is a fault in azready itself"),
        ("OSError(1, 'Operation not permitted', '/a', None, '/b')", 3, "azready: /a → /b: Operation not permitted"),
        ("OSError(22, 'not a regular file', 'etc/fstab')", 3, "azready: etc/fstab: not a regular file\n"),
        ("OSError(117, 'the file system is damaged: inode 9', 'etc')", 3, "what to do: the file system is damaged"),
        ("OSError(24, 'Too many open files')", 3, "what to do: raise the limit of open files"),
        ("MemoryError", 3, "azready: no memory is left"),
        (r"__import__('azready.errors').errors.Failure('a \x1b[2J \ud800')", 3, "azready: a \ufffd[2J \ufffd\n"),
        ("ZeroDivisionError", 3, "azready: this is a fault in azready itself\n"),
        ("__import__('azready.errors').errors.UsageFailure('bad disk', 'take another')", 2, "what to do: take another"),
    ],
)
def test_every_end_has_its_exit_code_and_says_why(error: str, code: int, words: str) -> None:
    done = _raising(error)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert ("Traceback" in done.stderr) == ("a fault in azready itself" in words)


def test_ctrl_c_during_the_start_is_no_traceback() -> None:
    """Loading Typer takes most of the start."""
    program = "import sys; from azready.cli import main; assert 'typer' not in sys.modules; \n"
    program += (
        "class Loader:\n    def find_spec(self, name, *_):\n        if name == 'typer': raise KeyboardInterrupt\n"
    )
    done = _run(program + "sys.meta_path.insert(0, Loader()); main()", "--help")
    assert (done.returncode, done.stderr) == (130, "azready: interrupted\n")


@pytest.mark.long
def test_output_nobody_reads_to_its_end_is_no_failure() -> None:
    command = f"{sys.executable} -m azready fabric scenarios | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_verb_is_loaded_alone_and_without_what_it_has_no_use_for() -> None:
    program = "import sys, atexit; atexit.register(lambda: print(*sys.modules)); from azready.cli import main; main()"
    done = _run(program, "convert", "absent.raw", "out.vhd")
    loaded = done.stdout.split()
    assert done.returncode == 2 and "azready.cli.convert" in loaded
    assert not {f"azready.cli.{verb}" for verb in VERBS} - {"azready.cli.convert"} & set(loaded)
    assert not {"rich.progress", "azure.core", "cryptography", "cyclonedx", "pydantic"} & set(loaded)


@pytest.mark.long
def test_help_and_version_load_no_verb_and_the_version_no_command_line() -> None:
    program = "import sys, atexit; atexit.register(lambda: print(*sys.modules)); from azready.cli import main; main()"
    helped, version = (_run(program, word).stdout for word in ("--help", "--version"))
    verbs = {f"azready.cli.{verb}" for verb in VERBS}
    assert not verbs & set(helped.split()) and all(f"\n  {verb} " in helped for verb in VERBS)
    assert version.startswith("azready ") and "typer" not in version.split()
    assert "check wants a target" in _run("from azready.cli import main; main()", "--", "check").stderr


@pytest.mark.parametrize("verb", ["check", "fabric"])
def test_a_verb_that_is_loaded_alone_helps(verb: str) -> None:
    """What each says is looked at in test_common.py."""
    done = subprocess.run(
        [sys.executable, "-m", "azready", verb, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and f"Usage: azready {verb}" in done.stdout


@pytest.mark.long
def test_the_shell_completes_verbs_and_options() -> None:
    def completed(words: str) -> list[str]:
        typed = {"_AZREADY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return _run("from azready.cli import main; main()", **typed).stdout.split()

    assert completed("azready co") == ["convert"]
    assert completed("azready build --k") == ["--keep-work"]
    assert completed("azready build --output ") == ["text", "json"]
    assert completed("azready boot --scenario incarnation-7") == ["incarnation-7"]


def test_it_completes_the_names_that_azready_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").touch()
    assert completion.scenarios("mine") == ["mine.toml"] and "flaky" in completion.scenarios("")
    assert ("P01" in dict(completion.rules("p0"))) and "K01" not in dict(completion.rules("p0"))
    assert completion.machine_fields("admin_u") == ["admin_username="]
    assert "GROW=yes" in completion.settings("GROW=") and "GROW=" in completion.settings("GR")
    assert completion.silenced("c") == ["cloud-init"]
    assert completion.faults("service=imds,att") == ["service=imds,attempts="]
