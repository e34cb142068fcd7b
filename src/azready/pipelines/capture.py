"""What `capture` does inside guests over ssh, from the image part's verbs: waits, prepares, checks, seals, reads."""

import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from azready import installed
from azready.console import Console
from azready.errors import Failure
from azready.proc import Completed, find_tool, run

if TYPE_CHECKING:
    from azready.azure.capture import GuestWork, Host
    from azready.image.checking import Result
    from azready.image.targets import Target

PATIENCE = float(os.environ.get("AZREADY_SSH_PATIENCE", "180"))
"""Seconds that a new VM's sshd may take to answer; AZREADY_SSH_PATIENCE says otherwise."""


@dataclass(frozen=True)
class Ssh:
    """ssh with the run's own key and its own list of known hosts: the user's are not touched.

    Everything else is the user's own ssh configuration: a jump host or a bastion for the address is said there, and
    for a VM of the user's, when no key was given, the key.
    """

    known_hosts: Path
    console: Console

    def options(self, host: "Host") -> list[str]:
        """ssh's own: nobody is asked, and only a host that is new is believed without a known key."""
        key = ["-i", host.key_file, "-o", "IdentitiesOnly=yes"] if host.key_file else []
        return [
            *(*key, "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
            *("-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "StrictHostKeyChecking=accept-new"),
            *("-o", "ServerAliveInterval=15", "-o", "LogLevel=ERROR"),
        ]

    def run(self, host: "Host", command: str, check: bool = True) -> Completed:
        ssh = find_tool("ssh", "openssh-client")
        hint = f"try it: {shlex.join([ssh, *self.options(host), f'{host.user}@{host.address}'])}"
        argv = [ssh, *self.options(host), f"{host.user}@{host.address}", command]
        return run(argv, check=check, timeout=600, hint=hint)

    def wait(self, host: "Host", patience: float = PATIENCE) -> None:
        """Until sshd lets us in. Raises Failure with what ssh said last."""
        deadline = time.monotonic() + patience
        while True:
            done = self.run(host, "true", check=False)
            if done.status == 0:
                return
            if time.monotonic() > deadline:
                said = (done.stderr.strip() or "no answer").splitlines()[-1]
                raise Failure(
                    f"ssh to {host.user}@{host.address} does not work: {said}",
                    "is port 22 open to this machine (--ssh-from), are user and key the VM's (--admin-username, "
                    "--ssh-key)? then run the same command again: it goes on here",
                )
            time.sleep(3)


def guest_work(known_hosts: Path, console: Console, skip: frozenset[str] = frozenset()) -> "GuestWork":
    """The functions that capture needs; `skip` are rules of `check` to leave out."""
    from azready.azure.capture import GuestWork

    ssh = Ssh(known_hosts, console)

    def journal(host: "Host") -> str:
        ssh.wait(host)
        return ssh.run(host, f"sudo journalctl -b -o cat -u {installed.NAME} --no-pager || true").stdout

    return GuestWork(
        lambda host: _prepare(ssh, host),
        lambda host: _check(ssh, host, skip),
        lambda host: _generalize(ssh, host),
        journal,
    )


@contextmanager
def _target(ssh: Ssh, host: "Host") -> Iterator["Target"]:
    from azready.image.targets.shell import Address, Shell
    from azready.image.targets.ssh import Ssh as SshTarget

    address = Address(host.address, host.user, options=tuple(ssh.options(host)))
    machine = SshTarget(Shell(address, want_root=True), str(address))
    try:
        yield machine
    finally:
        machine.close()


def _prepare(ssh: Ssh, host: "Host") -> None:
    from azready.image import preparation
    from azready.image.facts.of_target import facts_of
    from azready.image.targets.spec import require_writable

    ssh.wait(host)
    with _target(ssh, host) as target:
        require_writable(target)
        planned = preparation.plan(facts_of(target), preparation.Options())
        left = preparation.carry_out(target, planned)
        for note in planned.notes:
            ssh.console.say(f"  note: {note}")
    if left:
        raise Failure(
            f"{len(left)} remains of agents are still there: " + ", ".join(sorted({each.path for each in left})),
            f"azready prepare ssh://{host.user}@{host.address} tells more",
        )


def _check(ssh: Ssh, host: "Host", skip: frozenset[str]) -> str:
    """Returns the disk controllers that it boots from, by the rule about the NVMe drivers."""
    from azready.errors import Exit
    from azready.image import checking, render
    from azready.image.facts.of_target import facts_of
    from azready.image.rules import RULES
    from azready.image.rules.model import Severity

    ssh.wait(host)
    with _target(ssh, host) as target:
        results = checking.check(facts_of(target), RULES, checking.Choice(skip=skip, sealing=False))
    if checking.exit_code(results, Severity.ERROR) != Exit.OK:
        raise Failure(
            render.as_text(results, f"{host.user}@{host.address}"),
            "fix it on the VM, or accept it with --skip ID; then run the same command again: it goes on here",
        )
    return _controllers(results)


def _controllers(results: "tuple[Result, ...]") -> str:
    """What the image boots from, by the rules that are fatal for sizes with NVMe disks; empty: they were not asked."""
    from azready.image.checking import Found, Passed
    from azready.image.rules.model import Profile, Severity

    asked = [each for each in results if each.rule.severities.get(Profile.NVME) is Severity.FATAL]
    if not asked or any(not isinstance(each.answer, Found | Passed) for each in asked):
        return ""
    return "SCSI" if any(isinstance(each.answer, Found) for each in asked) else "SCSI, NVMe"


def _generalize(ssh: Ssh, host: "Host") -> None:
    from azready.image import sealing
    from azready.image.facts.of_target import facts_of
    from azready.image.rules.model import Severity

    ssh.wait(host)
    with _target(ssh, host) as target:
        sealed = sealing.carry_out(target, lambda: facts_of(target), sealing.Options(users=(host.user,)))
    grave = [result.rule.id for result in sealed.left if result.worst is None or result.worst >= Severity.ERROR]
    if grave:
        raise Failure(f"not sealed: {', '.join(grave)} are still found", "azready check --explain ID tells more")
