"""A shell on another machine, over the user's own OpenSSH: scripts in, status and both outputs back, binary safe.

One multiplexed connection; host key checking, agent, jump hosts and everything else as in the user's ssh_config. The
shell reads its scripts from stdin and answers in base64 between marks, so that no login shell, no terminal and no
`motd` can disturb it. It needs sh, base64, and for more than reading what everyone may: root, or sudo, or doas.
"""

import base64
import getpass
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from azready.errors import Failure, UsageFailure
from azready.proc import dies_with_parent, find_tool, run, spawn, stop

_URL = re.compile(
    r"ssh://(?:(?P<user>[^@/\s-][^@/\s]*)@)?"
    r"(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^:/@\s-][^:/@\s]*)(?::(?P<port>\d{1,5}))?/?"
)
_MARK = "azready-answer"
_CONNECT = 120.0


@dataclass(frozen=True)
class Address:
    """Where to connect: what the user wrote, for OpenSSH to complete from its configuration."""

    host: str
    user: str = ""
    port: str = ""
    options: tuple[str, ...] = ()
    """Further options of ssh, for callers that have a key or a list of known hosts of their own."""

    @property
    def words(self) -> list[str]:
        """As arguments of ssh."""
        port, user = ["-p", self.port] if self.port else [], ["-l", self.user] if self.user else []
        return [*self.options, *port, *user, "--", self.host]

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host


def parse_address(spec: str) -> Address:
    """`ssh://[user@]host[:port]`. Raises UsageFailure; a name that ssh could take for an option is refused."""
    found = _URL.fullmatch(spec)
    if found is None:
        raise UsageFailure(f"{spec} is no ssh address", "write it as ssh://user@host or ssh://user@host:port")
    return Address(found["host"].strip("[]"), found["user"] or "", found["port"] or "")


@dataclass(frozen=True)
class Answer:
    """What a script ended with."""

    status: int
    stdout: bytes
    stderr: str


def ask_on_terminal(prompt: str) -> str:
    """Ask for a password on the terminal, unseen. Raises Failure when there is none."""
    if not sys.stdin.isatty():
        raise Failure(
            "sudo asks for a password there, and this is no terminal to ask you on",
            "run it from a terminal, or let that user use sudo without a password",
        )
    return getpass.getpass(prompt)


class Shell:
    """A running shell on `address`. `root` says whether it has all rights there."""

    def __init__(self, address: Address, want_root: bool, ask: Callable[[str], str] = ask_on_terminal) -> None:
        self._address = address
        self._folder = Path(tempfile.mkdtemp(prefix="azready-ssh-"))
        self._master: subprocess.Popen[bytes] | None = None
        self._shell: subprocess.Popen[bytes] | None = None
        self.root = False
        try:
            self._connect()
            self._start(want_root, ask)
        except BaseException:
            self.close()
            raise

    def call(self, script: str, stdin: bytes = b"") -> Answer:
        """Run a script in its own subshell and wait for its end. Raises Failure when the connection breaks."""
        if self._shell is None:
            raise RuntimeError("it is not open")
        if self._shell.stdin is None:
            raise RuntimeError("it is not open")
        data = base64.encodebytes(stdin).decode()
        request = (
            f"base64 -d >\"$AZ/in\" <<'{_MARK}'\n{data}{_MARK}\n"
            f'( set -f; {script}\n) <"$AZ/in" >"$AZ/out" 2>"$AZ/err"; s=$?; echo {_MARK} out; base64 <"$AZ/out"; '
            f'echo {_MARK} err; base64 <"$AZ/err"; echo {_MARK} $s\n'
        )
        try:
            self._shell.stdin.write(request.encode(errors="surrogateescape"))
            self._shell.stdin.flush()
        except BrokenPipeError:
            raise self._lost() from None
        self._until("out")
        stdout, _ = self._until("err")
        stderr, status = self._until(None)
        return Answer(int(status), stdout, stderr.decode(errors="replace"))

    def close(self) -> None:
        """End the shell, which removes its temporary folder there, then the connection."""
        if self._shell is not None and self._shell.stdin is not None:
            try:
                self._shell.stdin.close()
                self._shell.wait(5)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                stop(self._shell)
        if self._master is not None:
            stop(self._master)
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- connecting

    def _ssh(self, *options: str) -> list[str]:
        return [find_tool("ssh", "openssh-client"), "-S", str(self._folder / "socket"), *options]

    def _connect(self) -> None:
        """Start the one connection. ssh asks on the terminal itself: host keys, passphrases, passwords."""
        log = self._folder / "log"
        options = ["-M", "-N", "-T", "-o", "ControlPersist=no", "-o", "ServerAliveInterval=15", "-E", str(log)]
        guard = dies_with_parent("TERM")
        self._master = spawn([*guard, *self._ssh(*options), *self._address.words], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _CONNECT
        while run([*self._ssh("-O", "check"), *self._address.words], check=False).status != 0:
            if self._master.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace").strip() if log.exists() else ""
                raise _refused(self._address, said)
            time.sleep(0.05)

    def _start(self, want_root: bool, ask: Callable[[str], str]) -> None:
        how, password = self._way_to_root(ask if want_root else None)
        command = f"exec {how} sh" if how else "exec sh"
        # The session's stderr stays out of the way: what a script says comes back with its answer.
        self._shell = spawn(
            [*self._ssh("-T"), *self._address.words, command],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if self._shell.stdin is None:
            raise RuntimeError("it is not open")
        self._shell.stdin.write(password.encode() + _PROLOGUE.encode())
        self._shell.stdin.flush()
        self._until("ready")
        self.root = self.call("id -u").stdout.strip() == b"0"

    def _way_to_root(self, ask: Callable[[str], str] | None) -> tuple[str, str]:
        """The command that makes a root shell, and what it wants to read first."""
        probe = "id -u; command -v sudo; command -v doas; sudo -n true 2>/dev/null && echo passwordless"
        done = run([*self._ssh("-T"), *self._address.words, f"exec sh -c {shlex.quote(probe)}"], check=False)
        lines = done.stdout.split()
        if "0" in lines:
            return "", ""
        if "passwordless" in lines:
            return "sudo -n", ""
        if any(line.endswith("/sudo") for line in lines) and ask is not None:
            # -k: sudo must read the password even when it remembers one, or the shell would read it as a command.
            return "sudo -k -S -p ''", ask(f"[sudo] password on {self._address}: ") + "\n"
        if any(line.endswith("/doas") for line in lines):
            return "doas -n", ""
        return "", ""

    def _until(self, name: str | None) -> tuple[bytes, str]:
        """Read to the mark `name` (None: to the one that holds a status); return what came before, and the mark."""
        if self._shell is None:
            raise RuntimeError("it is not open")
        if self._shell.stdout is None:
            raise RuntimeError("it is not open")
        lines: list[bytes] = []
        said = 0
        while line := self._shell.stdout.readline(_LONGEST_LINE):
            if line.startswith(_MARK.encode()):
                mark = "".join(line.decode("ascii", "replace").split()[1:2])
                if mark == name or (name is None and mark.isascii() and mark.isdigit()):
                    return self._decoded(lines) if name != "ready" else b"", mark
            said += len(line)
            if said > _LONGEST_ANSWER:
                raise Failure(f"{self._address} answers without end", "azready takes at most 1 GiB at once")
            lines.append(line)
        raise self._lost()

    def _decoded(self, lines: list[bytes]) -> bytes:
        try:
            return base64.b64decode(b"".join(lines))
        except ValueError as error:
            raise Failure(
                f"{self._address} answers what is no answer: {error}", "is it the machine you mean?"
            ) from error

    def _lost(self) -> Failure:
        if self.root:
            return Failure(
                f"the connection to {self._address} was lost",
                "what was started there may still run; look, then run the same command again and it goes on",
            )
        return Failure(
            f"no root shell on {self._address}: wrong password, or that user may not use sudo",
            "check that `sudo true` works there",
        )


_LONGEST_LINE, _LONGEST_ANSWER = 1 << 16, 1 << 30
"""Bytes. What an ssh target says is data from outside."""

_PROLOGUE = f"""
AZ=$(mktemp -d /run/azready.XXXXXX 2>/dev/null || mktemp -d) && export AZ && umask 077 || exit 1
trap 'rm -rf "$AZ"' EXIT
trap 'exit 1' HUP INT TERM
cd /; LC_ALL=C; export LC_ALL; unset HISTFILE
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
echo {_MARK} ready
"""


def _refused(address: Address, said: str) -> Failure:
    lines = [line for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "no answer"
    hint = f"try it yourself: ssh {' '.join(shlex.quote(word) for word in address.words if word != '--')}"
    if "Host key verification failed" in said:
        hint = f"azready never accepts a host key for you: connect once yourself, and compare it. {hint}"
    return Failure(f"no connection to {address}: {last}", hint)
