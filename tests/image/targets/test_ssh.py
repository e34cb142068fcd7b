"""A machine over ssh: a real sshd of a Debian tree on loopback, reached by the user's OpenSSH with throw-away keys."""

import gzip
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from azready.devices import OWN_DEV
from azready.errors import Failure, UsageFailure
from azready.image.facts import leftovers
from azready.image.targets.index import LISTING, parse_listing
from azready.image.targets.shell import Address, Shell, parse_address
from azready.image.targets.ssh import Ssh
from azready.image.targets.tree import Tree
from azready.proc import CommandFailed, run
from tests.image.conftest import CopyTree

_SERVE = f"""{OWN_DEV}
root=$1 port=$2
mount -t proc proc "$root/proc"; mount -t tmpfs tmpfs "$root/run"; own_dev "$root/dev"
mkdir "$root/run/sshd"
exec chroot "$root" /usr/sbin/sshd -D -e -p "$port" -o ListenAddress=127.0.0.1 -o PidFile=none -o UsePAM=no
"""


@dataclass
class Machine:
    """A running sshd: its tree, its port, and the folder of the user's ssh."""

    root: Path
    port: int
    client: Path

    def url(self, user: str) -> str:
        return f"ssh://{user}@127.0.0.1:{self.port}"

    def open(self, user: str = "builder", password: str | None = None) -> Ssh:
        def ask(prompt: str) -> str:
            assert user in prompt
            assert password is not None, "must not ask"
            return password

        return Ssh(Shell(parse_address(self.url(user)), want_root=password is not None, ask=ask), user)


@pytest.fixture
def machine(
    copy_tree: CopyTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: Callable[..., None]
) -> Iterator[Machine]:
    need("root", "tool:ssh", "tool:ssh-keygen")
    root = copy_tree("bookworm", ("waagent",))
    client = tmp_path / "client"
    client.mkdir()
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", client / "key"])
    key = (client / "key.pub").read_text()
    run(["chroot", root, "sh", "-euc", _ACCOUNTS, "sh", key])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host_key = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
    (client / "known").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    (client / "config").write_text(
        f"IdentityFile {client}/key\nIdentitiesOnly yes\nUserKnownHostsFile {client}/known\nIdentityAgent none\n"
        "StrictHostKeyChecking yes\n"
    )
    (client / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {client}/config "$@"\n')
    (client / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{client}:{os.environ['PATH']}")
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    log = (client / "sshd.log").open("wb")
    server = subprocess.Popen([*spaces, "sh", "-euc", _SERVE, "sh", root, str(port)], stderr=log)
    try:
        _wait_for(port)
        yield Machine(root, port, client)
    finally:
        server.kill()  # and with unshare everything in its namespaces
        server.wait()
        log.close()


_ACCOUNTS = """
ssh-keygen -A >/dev/null
for user in builder asked nobody-special; do
    useradd --create-home --shell /bin/bash --password '*' $user
    install -d -o $user -g $user -m 700 /home/$user/.ssh
    echo "$1" >/home/$user/.ssh/authorized_keys
    echo "echo a noisy profile" >/home/$user/.bashrc
done
echo 'asked:correct horse' | chpasswd
echo 'builder ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/waagent
echo 'asked ALL=(ALL) ALL' >/etc/sudoers.d/asked
"""


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("sshd did not start")


@pytest.mark.long
def test_it_reads_as_a_tree_does(machine: Machine) -> None:
    remote = machine.open()
    with Tree(machine.root) as tree:
        for pattern in (
            "etc/*",
            "usr/lib/systemd/system/*.wants/*",
            "{lib,usr/lib}/os-release",
            "etc/**/*.conf",
            "none/*",
        ):
            assert remote.glob(pattern) == tree.glob(pattern), pattern
        for path in ("etc/os-release", "lib/os-release", "etc/passwd", "var/lib/dpkg/status", "etc/shadow"):
            assert remote.read_bytes(path) == tree.read_bytes(path), path
            ours, theirs = remote.stat(path), tree.stat(path)
            assert (ours.kind, ours.mode, ours.uid, ours.gid, ours.size) == (
                theirs.kind, theirs.mode, theirs.uid, theirs.gid, theirs.size), path  # fmt: skip
            assert remote.resolve(path) == tree.resolve(path)
        assert remote.readlink("etc/os-release") == tree.readlink("etc/os-release")
        assert [path for path, _ in remote.walk("etc")] == [path for path, _ in tree.walk("etc")]
        assert [each.path for each in leftovers.find_leftovers(remote)] == [
            each.path for each in leftovers.find_leftovers(tree)
        ]
    assert "PATH=" not in remote.read_text("proc/self/status")
    assert remote.stat("proc/self").kind == "dir"
    for path, error in (
        ("etc/none", FileNotFoundError),
        ("etc", IsADirectoryError),
        ("etc/passwd/x", NotADirectoryError),
    ):
        with pytest.raises(error):
            remote.read_bytes(path)
    with pytest.raises(OSError):
        remote.read_bytes("var/lib/dpkg/status", 10)
    remote.close()


@pytest.mark.long
def test_it_changes_as_a_tree_does(machine: Machine) -> None:
    remote = machine.open()
    content = bytes(range(256)) * 300 + b"\nazready-answer out\n'\"$(x)`\n"
    remote.write_atomic("etc/a file'$x", content, 0o640, 0, 4)
    remote.symlink("etc/link", "/nowhere it's")
    remote.mkdir("etc/deep/er", 0o700)
    remote.write_atomic("etc/deep/er/file", b"", 0o600)
    remote.chmod("etc/deep/er/file", 0o644)
    remote.chown("etc/deep/er/file", 1, 2)
    remote.truncate("etc/issue")
    remote.write_atomic("etc/link", b"a file now", 0o644)
    assert remote.read_bytes("etc/a file'$x") == content
    with pytest.raises(IsADirectoryError):
        remote.write_atomic("etc/deep", b"", 0o644)
    with pytest.raises(OSError):
        remote.remove("proc")
    with Tree(machine.root) as tree:
        assert tree.read_bytes("etc/a file'$x") == content
        assert (tree.stat("etc/a file'$x").mode, tree.stat("etc/a file'$x").gid) == (0o640, 4)
        assert tree.stat("etc/deep/er").mode == 0o700
        assert (tree.stat("etc/deep/er/file").mode, tree.stat("etc/deep/er/file").uid) == (0o644, 1)
        assert tree.stat("etc/issue").size == 0
        assert tree.read_text("etc/link") == "a file now"
        remote.remove("etc/deep")
        assert not tree.exists("etc/deep")
        assert not remote.exists("etc/deep")
        assert not [path for path in tree.listdir("etc") if "azready" in path]
    assert remote.free_space() > 1 << 20
    assert remote.refusal() == ""
    remote.close()
    assert not list((machine.root / "run").glob("azready*"))


@pytest.mark.long
def test_programs_run_as_root_and_their_effects_are_seen(machine: Machine) -> None:
    remote = machine.open()
    assert not remote.exists("etc/made")
    done = remote.run(["sh", "-c", 'id -u; cat; echo "$X" >&2; touch /etc/made'], stdin=b"in\0put", env={"X": "a b"})
    assert (done.stdout, done.stderr) == ("0\nin\0put", "a b\n")
    assert remote.exists("etc/made")
    with pytest.raises(CommandFailed):
        remote.run(["false"])
    assert remote.run(["sh", "-c", "exit 7"], check=False).status == 7
    assert remote.run(["sh", "-c", "umask"]).stdout.strip() == "0022", "what it writes is the image's"
    remote.close()


@pytest.mark.long
def test_sudo_with_a_password(machine: Machine) -> None:
    remote = machine.open("asked", "correct horse")
    assert remote.run(["id", "-u"]).stdout == "0\n"
    remote.close()
    with pytest.raises(Failure) as caught:
        machine.open("asked", "wrong")
    assert "sudo" in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.long
def test_without_rights_it_reads_what_it_may_and_says_the_rest(machine: Machine) -> None:
    remote = machine.open("nobody-special")
    assert remote.read_text("etc/os-release")
    with pytest.raises(PermissionError):
        remote.read_bytes("etc/shadow")
    with pytest.raises(PermissionError):
        remote.listdir("root")
    assert "needs root" in remote.refusal()
    remote.close()


def test_an_unknown_host_key_is_never_accepted(machine: Machine) -> None:
    (machine.client / "known").write_text("")
    with pytest.raises(Failure) as caught:
        machine.open()
    assert "never accepts a host key" in caught.value.hint


@pytest.mark.long
def test_a_lost_connection_is_said(machine: Machine) -> None:
    remote = machine.open()
    assert remote.exists("etc")
    shell = remote._shell._shell
    assert shell is not None
    os.kill(shell.pid, signal.SIGKILL)
    shell.wait(30)
    with pytest.raises(Failure) as caught:
        remote.run(["true"])
    assert "lost" in caught.value.message
    remote.close()


@pytest.mark.long
def test_prepare_and_check_over_ssh(machine: Machine) -> None:
    def azready(*words: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "azready", *words]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)

    url = machine.url("builder")
    assert azready("prepare", url).returncode == 2
    checked = azready("check", url, "--only", "P04")
    assert (checked.returncode, "package waagent" in checked.stdout) == (1, True), checked.stderr
    done = azready("prepare", url, "--yes")
    assert done.returncode == 0, done.stderr
    with Tree(machine.root) as tree:
        assert leftovers.find_leftovers(tree) == []
        assert tree.exists("usr/lib/azure-provisioning/provision.py")
        assert "builder" in tree.read_text("etc/sudoers.d/zz-90-azure-provisioning")
    assert azready("check", url, "--only", "P04").returncode == 0
    refused = azready("prepare", machine.url("asked"), "--yes")
    assert refused.returncode == 3
    assert "no terminal" in refused.stderr


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ("ssh://host", Address("host")),
        ("ssh://user@host:2222/", Address("host", "user", "2222")),
        ("ssh://[::1]:22", Address("::1", "", "22")),
    ],
)
def test_addresses(spec: str, address: Address) -> None:
    assert parse_address(spec) == address


@pytest.mark.parametrize(
    "spec", ["ssh://", "ssh://-oProxyCommand=x", "ssh://-l@host", "ssh://a b", "ssh://h:x", "ssh://h/p"]
)
def test_what_could_be_an_option_is_no_address(spec: str) -> None:
    with pytest.raises(UsageFailure):
        parse_address(spec)


def test_busybox_lists_the_same_as_gnu(tmp_path: Path, need: Callable[..., None]) -> None:
    """Alpine's find has no -printf; the other way of listing must say the same."""
    need("root", "tool:busybox")
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir/file").write_text("12345")
    (tmp_path / "link").symlink_to("sub dir/file x")
    os.mkfifo(tmp_path / "pipe")
    applets = tmp_path / "bin"
    applets.mkdir()
    for name in ("sh", "find", "stat", "awk", "sort", "gzip", "tr", "readlink"):
        (applets / name).symlink_to(shutil.which("busybox") or "")
    script = LISTING.replace("find / -maxdepth", f"find {applets} -maxdepth").replace("/proc/self/mounts", "/dev/null")
    script = script.replace('folders="/\n$folders"', f'folders="{tmp_path}"')
    listed = []
    for path in (os.environ["PATH"], str(applets)):
        done = subprocess.run(["sh", "-fc", script], env={"PATH": path}, capture_output=True, check=True)
        index = parse_listing(gzip.decompress(done.stdout))
        top = str(tmp_path).strip("/")
        listed.append(
            [(name, stat.kind, stat.mode, stat.size) for name, stat in index.walk(top, index.entry(top).stat.device)]
        )
        assert index.entry(f"{top}/link").link == "sub dir/file x"
    assert listed[0] == listed[1]
    assert len(listed[0]) == 13
