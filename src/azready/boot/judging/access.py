"""How a judge reaches the VM, in the forms that judges read: environment, ssh_config, a line for Ansible."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "azready"
"""The VM's name in ssh_config and inventory."""
_OPTIONS = {
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "GlobalKnownHostsFile": "/dev/null",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "LogLevel": "ERROR",
}
"""Of ssh: the host key is new in every boot, and no key of the user's is offered."""


@dataclass(frozen=True)
class Access:
    """Where sshd is, on the network that the judge runs in, and as whom; files that the judge finds in `folder`."""

    address: str
    port: int
    user: str
    key: Path
    folder: Path

    @property
    def junit(self) -> Path:
        """Where the judge may leave what it says."""
        return self.folder / "judge.xml"

    def files(self) -> Mapping[Path, str]:
        """What is written for a judge that reads files: path and text."""
        return {self.folder / "ssh_config": self.ssh_config(), self.folder / "inventory": self.inventory()}

    def environment(self) -> Mapping[str, str]:
        """What a judge finds in its environment (docs/boot.md says what each is for)."""
        return {
            "AZREADY_HOST": HOST,
            "AZREADY_ADDRESS": self.address,
            "AZREADY_PORT": str(self.port),
            "AZREADY_USER": self.user,
            "AZREADY_KEY": str(self.key),
            "AZREADY_SSH_CONFIG": str(self.folder / "ssh_config"),
            "AZREADY_INVENTORY": str(self.folder / "inventory"),
            "AZREADY_JUNIT": str(self.junit),
            "AZREADY_FOLDER": str(self.folder),
        }

    def ssh_config(self) -> str:
        """For `ssh -F`: ssh_config(5), one host."""
        rows = {"HostName": self.address, "Port": str(self.port), "User": self.user, "IdentityFile": f'"{self.key}"'}
        lines = (f"    {name} {value}\n" for name, value in (rows | _OPTIONS).items())
        return f"Host {HOST}\n{''.join(lines)}"

    def inventory(self) -> str:
        """For `ansible -i`: an inventory of one host, in INI form."""
        common = " ".join(f"-o {name}={value}" for name, value in _OPTIONS.items())
        words = {
            "ansible_host": self.address,
            "ansible_port": str(self.port),
            "ansible_user": self.user,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": common,
        }
        return " ".join([HOST, *(f"{name}={shlex.quote(value)}" for name, value in words.items())]) + "\n"
