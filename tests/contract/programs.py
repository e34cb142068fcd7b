"""The programs under test: provision.py under each Python found, provision.sh under each shell and HTTP client."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import interpreters

SYSTEM = Path("/usr/bin/python3")
GUEST = Path(__file__).parents[2] / "src/azready/guest"

NEEDS = (
    *("awk", "cat", "chmod", "chown", "cmp", "cp", "cut", "date", "dd", "env", "find", "flock", "grep", "head"),
    *("hostname", "id", "ls", "mkdir", "mv", "od", "readlink", "rm", "rmdir", "sed", "sleep", "sort", "stat"),
    *("sync", "tail", "timeout", "touch", "tr", "wc"),
)
"""What provision.sh runs besides account tools and an HTTP client; docs/guest.md lists the same."""

SHELLS = ("dash", "busybox ash", "bash --posix", "mksh")
CLIENTS = ("curl", "wget", "busybox wget", "bash")
AWKS = ("mawk", "gawk", "original-awk", "busybox awk")


@dataclass(frozen=True)
class Program:
    """One way to run the guest: what is started, and what is on its PATH besides account tools."""

    name: str
    words: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()
    """Names on PATH, and the programs behind them."""
    scripts: tuple[tuple[str, str], ...] = ()
    """Names on PATH, and the shell scripts behind them."""

    @property
    def is_shell(self) -> bool:
        return self.words[-1].endswith(".sh")


@cache
def pythons() -> tuple[Program, ...]:
    """Every Python 3.6 and newer of this machine."""
    return tuple(_python(version) for version in interpreters.pythons())


@cache
def _python(version: str) -> Program:
    words = (str(interpreters.pythons()[version]), "-I", "-S", "-B", str(interpreters.compiled(version)))
    return Program(f"py{version}", words, _tools(()))


@cache
def shells() -> tuple[Program, ...]:
    """Every shell with every client that are here; the awks go round. Busybox's shell comes with busybox alone."""
    programs = []
    for number, shell in enumerate(SHELLS):
        for turn, client in enumerate(CLIENTS):
            awk = AWKS[(number + turn) % len(AWKS)] if shell != "busybox ash" else "busybox awk"
            words = [*shell.split(), *client.split()[:1], *awk.split()[:1]]
            if all(shutil.which(word) for word in (words[0], client.split()[0], awk.split()[0])):
                programs.append(_shell(shell, client, awk))
    return tuple(programs)


def _shell(shell: str, client: str, awk: str) -> Program:
    first, *rest = shell.split()
    path = shutil.which(first)
    assert path
    links = dict(_tools(("busybox",) if first == "busybox" else ()))
    scripts = [("awk", _behind(awk))]
    del links["awk"]
    if first == "mksh":
        del links["timeout"]  # what some images lack, and what it does by itself
    if client == "busybox wget":
        scripts.append(("wget", 'exec busybox wget "$@"'))
        links["busybox"] = _found("busybox")
    else:
        links[client] = _found(client)
    name = f"{first}-{client.replace(' ', '-')}-{awk.split()[-1] if awk != 'busybox awk' else 'bbawk'}"
    words = (path, *rest, str(GUEST / "provision.sh"))
    return Program(name, words, tuple(links.items()), tuple(scripts))


def _behind(awk: str) -> str:
    first, *rest = awk.split()
    return " ".join(["exec", _found(first), *rest, '"$@"'])


def _tools(kind: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The small tools: links to busybox alone, or to whatever this machine has."""
    if kind:
        applets = subprocess.run(
            [_found("busybox"), "--list"], capture_output=True, text=True, check=True
        ).stdout.split()
        return tuple((name, _found("busybox")) for name in (*NEEDS, "mkpasswd") if name in applets)
    return tuple((name, path) for name in (*NEEDS, "openssl") if (path := shutil.which(name)))


def _found(name: str) -> str:
    path = shutil.which(name)
    assert path, name
    return path


def reference_python() -> Program:
    """The system's, which is asked first; else the newest."""
    known = interpreters.pythons()
    return _python(next((version for version, path in known.items() if path == SYSTEM), list(known)[-1]))


def reference_shell() -> Program:
    """dash and curl, as on a small Debian."""
    return next(program for program in shells() if program.name.startswith("dash-curl"))


def of_interest() -> tuple[Program, ...]:
    """Each Python; each shell, client and awk at least once: what the shorter set of cases runs under."""
    wanted = ("busybox-busybox-wget", "bash-curl", "bash-bash", "mksh-wget")
    some = tuple(program for program in shells() if program.name.startswith(wanted))
    return (*pythons(), *some)
