"""The Packer templates: HCL2 that names only what Packer has, and whose commands do it over a real sshd.

No Packer is run: its licence keeps it out of Debian. What it has is taken from the source of its SDK
(shell-local/config.hcl2spec.go) and from its documentation of contextual variables.
"""

import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest

from azready.devices import OWN_DEV
from azready.proc import run

RECIPES = Path(__file__).parents[2] / "recipes/packer"
TEMPLATES = sorted(RECIPES.glob("*.pkr.hcl"))
STEPS = {"provisioner", "post-processor"}
FIELDS = {
    *("inline", "inline_shebang", "command", "script", "scripts", "environment_vars", "env_var_format"),
    *("execute_command", "valid_exit_codes", "only_on", "tempfile_extension", "use_linux_pathing", "env"),
}
"""Of shell-local, as provisioner and as post-processor."""
VARIABLES = {"ID", "Host", "Port", "User", "Password", "ConnType", "SSHPublicKey", "SSHPrivateKey", "PackerRunUUID"}
"""Of `build`, inside a provisioner; a post-processor has no machine any more."""


def _steps(template: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(provisioner or post-processor, its type, its fields) of every step of a template."""
    with template.open() as file:
        document = hcl2.load(file)
    for build in document["build"]:
        assert set(build) <= {"name", "sources", "__is_block__", *STEPS}
        for kind in STEPS & set(build):
            for step in build[kind]:
                for name, fields in step.items():
                    yield kind, name.strip('"'), {key: value for key, value in fields.items() if key[:2] != "__"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_names_what_packer_has(template: Path) -> None:
    steps = list(_steps(template))
    assert steps
    for kind, name, fields in steps:
        assert name == "shell-local"
        assert set(fields) <= FIELDS
        used = set(re.findall(r"\$\{build\.(\w+)\}", repr(fields)))
        assert used <= (VARIABLES if kind == "provisioner" else set())


def _script(template: Path, values: dict[str, str]) -> str:
    """The file that Packer writes and runs: the lines of `inline`, with its variables filled in."""
    ((_, _, fields),) = _steps(template)
    lines = [re.sub(r"\\(.)", r"\1", line[1:-1]) for line in fields["inline"]]
    return re.sub(r"\$\{build\.(\w+)\}", lambda found: values[found[1]], "\n".join(("#!/bin/sh -e", *lines, "")))


_SERVE = f"""{OWN_DEV}
root=$1 port=$2
mount -t proc proc "$root/proc"; mount -t tmpfs tmpfs "$root/run"; own_dev "$root/dev"
mkdir "$root/run/sshd"
exec chroot "$root" /usr/sbin/sshd -D -e -p "$port" -o ListenAddress=127.0.0.1 -o PidFile=none -o UsePAM=no
"""
_ACCOUNT = """
ssh-keygen -A >/dev/null
useradd --create-home --shell /bin/bash --password '*' packer
install -d -o packer -g packer -m 700 /home/packer/.ssh
echo "$1" >/home/packer/.ssh/authorized_keys
echo 'packer ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/packer
"""
_AT_HOME = """
mount --bind "$1/passwd" /etc/passwd
exec env -u SSH_AUTH_SOCK HOME="$1" "$2"
"""
"""ssh asks the accounts for its folder, not $HOME: in a namespace of its own, so that nobody's ~/.ssh is touched."""


@pytest.mark.slow
def test_the_provisioner_prepares_a_machine_with_packers_key(
    debian_tree: Callable[..., Path], tmp_path: Path, need: Callable[..., None]
) -> None:
    need("root", "tool:ssh-agent", "tool:ssh-keyscan")
    root, home = debian_tree("bookworm", "waagent"), tmp_path / "home"
    home.mkdir()
    run(["ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f", tmp_path / "key"])  # of the kind Packer makes
    run(["chroot", root, "sh", "-euc", _ACCOUNT, "sh", (tmp_path / "key.pub").read_text()])
    others = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("root:")]
    (home / "passwd").write_text("\n".join((f"root:x:0:0::{home}:/bin/sh", *others, "")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values = {"Host": "127.0.0.1", "Port": str(port), "User": "packer", "SSHPrivateKey": (tmp_path / "key").read_text()}
    script = tmp_path / "packer-shell"
    script.write_text(_script(RECIPES / "azure-arm.pkr.hcl", values))
    script.chmod(0o700)
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    server = subprocess.Popen([*spaces, "sh", "-euc", _SERVE, "sh", root, str(port)], stderr=subprocess.DEVNULL)
    try:
        run(["sh", "-c", f"until ssh-keyscan -p {port} 127.0.0.1 2>/dev/null | grep -q .; do sleep 0.1; done"])
        path = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
        words = ["unshare", "--mount", "sh", "-euc", f"{path}; {_AT_HOME}", "sh", home, script]
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "etc/systemd/system/multi-user.target.wants/azure-provisioning.service").is_symlink()
    assert not (root / "home/packer").exists(), "nobody can log in any more"
    assert not list((root / "etc/ssh").glob("ssh_host_*key*"))
