"""What the owner keeps secret, marked, and then searched for wherever others could see it: after first boots of both
programs, whole, failing and rehearsed, and after a boot of the host's."""

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from azready.console import SILENT
from azready.fabric import Fabric
from azready.fabric.machine import Machine
from azready.fabric.protocol.media import ovf_env
from azready.pipelines.survey.agents import OWN
from azready.pipelines.survey.running import Workshop
from tests.boot import machines
from tests.conftest import layered
from tests.guest.conftest import FAKES, KEY, PROGRAM, Scratch, plant

MARK = "Zq7-Marked.Word"
OWNER = Machine(
    name="vm1",
    admin_password=f"{MARK}:1a",
    disable_password_authentication=False,
    public_keys=(KEY,),
    custom_data=f"#!/bin/sh\n# {MARK} https://x.blob.core.windows.net/d/f?sv=1&sig={MARK}\n",
    user_data=f"token={MARK}",
)
SPELLINGS = (MARK, *(base64.b64encode(text.encode()).decode()[:40] for text in (OWNER.custom_data, OWNER.user_data)))


def seen(text: str) -> list[str]:
    return [spelling for spelling in SPELLINGS if spelling in text]


def readable(root: Path) -> Iterator[Path]:
    """The files below a folder that users other than their owner can come to."""
    for path in root.iterdir():
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) and mode & 0o011:
            yield from readable(path)
        elif stat.S_ISREG(mode) and mode & 0o044:
            yield path


HOOK = "etc/azure-provisioning.d/10-site"
ENDINGS: dict[str, tuple[list[str], dict[str, str], int]] = {
    "the tools cannot hash": ([], {"FAKE_CHPASSWD_CANNOT_HASH": "1"}, 0),
    "a step fails": ([], {"FAKE_USERADD_FAILS": "1"}, 1),
    "a hook fails": ([], {}, 1),
    "rehearsed": (["--dry-run"], {}, 0),
    "whole, and again": ([], {}, 0),
}


@pytest.mark.long
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("program", ["py", "sh"])
def test_no_secret_leaves_a_first_boot(program: str, ending: str, tmp_path: Path, need: Callable[..., None]) -> None:
    """Arguments and environment of every process, what is said, what is reported, and what others may read."""
    need("tool:strace", "tool:curl")
    options, env, status = ENDINGS[ending]
    tree = _tree(tmp_path, failing_hook=ending == "a hook fails")
    words = ["sh", str(PROGRAM.with_suffix(".sh"))] if program == "sh" else [sys.executable, "-ISB", str(PROGRAM)]
    words += [f"--root={tree.root}", f"--medium={tmp_path}/medium", "--deadline=30", *options]
    trace = ["strace", "-f", "-qq", "-v", "-s", "65536", "-e", "trace=execve", "-o", str(tmp_path / "trace")]
    given = {"PATH": f"{FAKES}:/usr/bin:/bin", "FAKE_CALLS": str(tree.calls), "TMPDIR": str(tmp_path), **env}
    with Fabric(OWNER, strict=False) as fabric:
        at = [f"--imds={fabric.imds_url}", f"--wireserver={fabric.wireserver_url}"]
        for _ in range(2 if ending == "whole, and again" else 1):
            done = subprocess.run([*trace, *words, *at], env=given, capture_output=True, text=True, check=False)
            assert done.returncode == status, done.stderr
        reports = repr([(report.state, report.description) for report in fabric.ledger.reports])
    assert "execve(" in (tmp_path / "trace").read_text()
    for what in ((tmp_path / "trace").read_text(), done.stdout, done.stderr, reports):
        assert not seen(what), what
    open_to_others = list(readable(tree.root))
    assert tree.root / "etc/passwd" in open_to_others
    assert not [path for path in open_to_others if seen(path.read_text(errors="replace"))]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("azure", "tmp."))], "no scratch stays"


def _tree(folder: Path, failing_hook: bool) -> Scratch:
    root = folder / "root"
    root.mkdir(mode=0o755)
    plant(root, OWNER)
    (root / "var/lib/hyperv").mkdir()
    (folder / "medium").mkdir(mode=0o700)
    (folder / "medium/ovf-env.xml").write_text(ovf_env(OWNER))
    (root / HOOK).parent.mkdir()
    (root / HOOK).write_text(f"#!/bin/sh\nenv\nexit {int(failing_hook)}\n")
    (root / HOOK).chmod(0o755)
    return Scratch(root, OWNER, folder / "calls")


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "open").write_text(f"x {MARK} y")
    (tmp_path / "shut").mkdir(mode=0o700)
    (tmp_path / "shut/open").write_text(MARK)
    (tmp_path / "own").touch(0o600)
    assert list(readable(tmp_path)) == [tmp_path / "open"]
    assert seen(ovf_env(OWNER)) and seen(
        json.dumps({"customData": base64.b64encode(OWNER.custom_data.encode()).decode()})
    )


@pytest.mark.parametrize("unit", ["azure-provisioning", "azure-provisioning-name", "azure-provisioning-failed"])
def test_a_crash_leaves_no_memory_of_the_programs_behind(unit: str) -> None:
    """A core file would hold the password. Hooks may ask for one (the hard limit stays)."""
    text = (PROGRAM.parent / f"units/systemd/{unit}.service").read_text()
    assert "\nLimitCORE=0:infinity\n" in text
    assert "\nulimit -S -c 0" in (PROGRAM.parent / "units/script/boot").read_text()


@pytest.mark.slow
def test_no_secret_leaves_a_boot_of_the_host(tmp_path: Path, need: Callable[..., None]) -> None:
    """The words of every program that `azready boot` starts, its record in every form, and what stays here."""
    need("ids", "tool:mmdebstrap", "tool:unshare", "tool:nsenter")
    machine = tmp_path / "machine.toml"
    fields = replace(OWNER, public_keys=(), user_data="hello")  # of user data Azure itself says: no place for secrets
    machine.write_text(
        "\n".join(
            f"{name} = {json.dumps(getattr(fields, name))}"
            for name in ("name", "admin_password", "disable_password_authentication", "custom_data", "user_data")
        )
    )
    machine.chmod(0o600)
    # TMPDIR is where only this user may go: the login check once blamed the image for it
    forms = [word for form in ("json", "html", "junit") for word in ("--output", f"{form}={tmp_path}/out.{form}")]
    (tmp_path / "words.py").write_text(WORDS)
    with Workshop(SILENT) as workshop:
        tree = workshop.tree(OWN["azready-py"])
        words: list[str | Path] = [sys.executable, tmp_path / "words.py", tmp_path / "words", "boot", tree]
        words += ["--machine", machine, "--boots", "1"]
        given = {**os.environ, "TMPDIR": str(tmp_path)}
        words += [*forms, "--output", "text"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nsenter" in (tmp_path / "words").read_text()
    for path in tmp_path.rglob("*"):
        if path != machine and path.is_file():
            assert not seen(path.read_text(errors="replace")), path
    assert not seen(done.stdout + done.stderr)


@pytest.mark.slow
def test_no_secret_of_a_file_leaves_the_verbs_that_make_an_image(tmp_path: Path, need: Callable[..., None]) -> None:
    """A file that goes into an image, and what the image has already: of prepare with all that it can put in, check,
    generalize, report and every rehearsal, nothing says it, no process has it in its words, no other user reads it."""
    need("root", "tool:mmdebstrap", "tool:unshare", "tool:strace")
    secret, keys, out = tmp_path / "app.conf", tmp_path / "id.pub", tmp_path / "out"
    secret.write_text(f"{MARK}\n")
    secret.chmod(0o600)
    keys.write_text(f"{KEY}\n")
    out.mkdir()
    with layered(machines.kernel_tree(), tmp_path / "tree") as tree:
        for path, mode in {
            "root/.netrc": 0o600,
            "etc/cloud/cloud.cfg.d/90-own.cfg": 0o600,
            "var/log/own": 0o640,
        }.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(f"# {MARK}\n")
            (tree / path).chmod(mode)
        put_in = ["--copy-in", f"{secret}:/etc/app.conf", "--ssh-inject", f"root:{keys}"]
        put_in += ["--run", "umask 077; cp /etc/app.conf /root/kept", "--guest", "sh"]
        checked = ["--output", f"json={out}/check.json", "--output", f"html={out}/check.html"]
        runs: list[list[str | Path]] = [
            ["prepare", tree, *put_in, "--dry-run"],
            ["prepare", tree, *put_in],
            ["check", tree, *checked, "--output", f"sarif={out}/check.sarif"],
            ["generalize", tree, "--dry-run"],
            ["generalize", tree, "--yes"],
            ["report", out / "check.json"],
        ]
        said = ""
        for number, words in enumerate(runs):
            trace = ["strace", "-f", "-qq", "-v", "-s", "65536", "-e", "trace=execve", "-o", out / f"words-{number}"]
            logged = [*words, "--log-file", out / f"log-{number}"]
            done = subprocess.run(
                [*trace, sys.executable, "-m", "azready", *logged], capture_output=True, text=True, check=False
            )
            assert done.returncode in (0, 1), done.stdout + done.stderr
            said += done.stdout + done.stderr
        assert (tree / "root/kept").read_text() == secret.read_text(), "the command ran"
        assert "/etc/app.conf" in said and "execve(" in (out / "words-1").read_text()
        assert not seen(said)
        assert not [path for path in out.iterdir() if seen(path.read_text(errors="replace"))]
        assert not [path for path in readable(tree) if MARK.encode() in path.read_bytes()]


WORDS = """
import sys
from azready.cli import main
log = open(sys.argv.pop(1), "a")
def watch(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        print(arguments[1:], file=log, flush=True)
sys.addaudithook(watch)
main()
"""
"""Runs azready, and writes down the words and the environment of every program that it starts."""
