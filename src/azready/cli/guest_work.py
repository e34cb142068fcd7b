"""What `capture` does inside guests over ssh, from the image part's verbs: waits, prepares, checks, seals, reads."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from azready.console import Console
from azready.errors import Failure
from azready.proc import Completed, find_tool, run

if TYPE_CHECKING:
    from azready.azure.capture import GuestWork, Host

PATIENCE = 180.0
"""Seconds that a new VM's sshd may take to answer."""


@dataclass(frozen=True)
class Ssh:
    """ssh with the run's own key and its own list of known hosts: the user's are not touched."""

    known_hosts: Path
    console: Console

    def options(self, host: "Host") -> list[str]:
        return [
            *("-i", host.key_file, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
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


def guest_work(known_hosts: Path, console: Console) -> "GuestWork":
    """The functions that capture needs."""
    from azready.azure.capture import GuestWork

    ssh = Ssh(known_hosts, console)

    def journal(host: "Host") -> str:
        ssh.wait(host)
        return ssh.run(host, "sudo journalctl -b -o cat -u azure-provisioning --no-pager || true").stdout

    return GuestWork(lambda host: _seal(ssh, host), journal)


def _seal(ssh: Ssh, host: "Host") -> None:
    ssh.wait(host)
    raise Failure("preparing over ssh is not there yet")
