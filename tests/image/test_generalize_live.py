"""`azready generalize /` over ssh, by the user who is removed: on a real Debian tree with a real sshd, in namespaces.

As Packer's last provisioner would run it. The tree is the root of its own mount, process and network namespaces; the
network has only `lo`.
"""

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.devices import OWN_DEV
from azready.image.checking import Found, ask
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.targets.tree import Tree
from tests.image.conftest import Azready, CopyTree

SOURCE = Path(__file__).parents[2] / "src"

# $1 root, $2 our sources, $3 packages of the virtual environment, $4 folder with the user's key
MACHINE = (
    OWN_DEV
    + r"""
set -eu
root=$1
ip link set lo up
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
own_dev "$root/dev"
mkdir -p "$root/opt/ours" "$root/opt/packages" "$root/run/sshd"
mount --bind -o ro "$2" "$root/opt/ours"
mount --bind -o ro "$3" "$root/opt/packages"
hostname builder
chroot "$root" useradd -m -s /bin/bash bob
echo 'bob ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/bob"; chmod 440 "$root/etc/sudoers.d/bob"
install -d -m 700 "$root/home/bob/.ssh"
cp "$4/key.pub" "$root/home/bob/.ssh/authorized_keys"
chroot "$root" chown -R bob: /home/bob
chroot "$root" ssh-keygen -A >/dev/null
chroot "$root" /usr/sbin/sshd -D -p 22 2>"$4/sshd.log" &
set -- ssh -i "$4/key" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o LogLevel=ERROR -o ConnectTimeout=5 bob@127.0.0.1
for _ in 1 2 3 4 5 6 7 8 9 10; do "$@" true 2>/dev/null && break; sleep 0.2; done
"$@" 'echo "mysql -phunter2" >.bash_history; cd /home/bob
sudo PYTHONPATH=/opt/ours:/opt/packages python3 -m azready generalize / --yes --user bob; echo "status $?"
echo "the session lives"; grep -c "^bob:" /etc/passwd; true'
"$@" 'echo logged in again' || echo 'no second login'
umount "$root/opt/ours" "$root/opt/packages"
rmdir "$root/opt/ours" "$root/opt/packages"
"""
)


@pytest.fixture
def session(tmp_path: Path, copy_tree: CopyTree, azready: Azready, need: Callable[..., None]) -> tuple[str, Path]:
    """What the ssh session printed, and the tree afterwards."""
    need("root", "tool:unshare", "tool:ssh", "tool:ip")
    if sys.version_info[:2] != (3, 11):
        pytest.skip("needs Python 3.11 as the tree has: tests run with it")
    root = copy_tree("bookworm", ("python3",))
    prepared = azready("prepare", root)
    assert prepared.returncode == 0, prepared.stderr
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    spaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    argv = ["unshare", *spaces, "sh", "-c", MACHINE, "sh", root, SOURCE, sysconfig.get_path("purelib"), tmp_path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100, env={"PATH": _PATH})
    log = tmp_path / "sshd.log"
    return done.stdout + done.stderr + (log.read_text() if log.exists() else ""), root


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.long
def test_the_user_who_runs_it_is_removed_and_the_session_lives(session: tuple[str, Path]) -> None:
    said, root = session
    assert "status 0" in said, said
    assert "Sealed this machine" in said and "the session lives" in said, said
    assert "no second login" in said and "hunter2" not in said
    passwd = (root / "etc/passwd").read_text()
    assert "bob" not in passwd and not (root / "home/bob").exists()
    facts = Facts(Tree(root))
    found = {rule.id for rule in RULES if rule.seals and isinstance(ask(rule, facts), Found)}
    assert found <= {"G19"}, said  # sshd and sudo log on while they end
    assert (root / "etc/systemd/system/multi-user.target.wants/azure-provisioning.service").is_symlink()
