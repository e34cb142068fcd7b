"""First boots under the other inits: each to Ready with a login, then silence, then again as another VM."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.network.links import Network
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.fabric.machine import Machine
from azready.pipelines import trees
from azready.proc import run

Prepared = Callable[..., Path]

INITS = {
    "sysvinit": ("sysvinit-core", "curl", "nftables"),
    "openrc": ("sysvinit-core", "openrc", "curl", "nftables"),
    "runit": ("runit-init", "curl", "nftables"),
}

FIREWALL_HOLDS = """\
#!/bin/bash
reach='exec 3<>/dev/tcp/168.63.129.16/80'
bash -c "$reach" || exit 3
! setpriv --reuid=65534 --regid=65534 --clear-groups timeout 3 bash -c "$reach"
"""
"""A hook: it fails the provisioning of a boot in which root cannot reach the WireServer, or another user can."""


def asked(record: BootRecord) -> list[str]:
    """What a guest asked of the platform, besides an address."""
    return [exchange.target for exchange in record.exchanges if exchange.service != "dhcp"]


@pytest.mark.slow
@pytest.mark.parametrize("init", INITS)
def test_first_boot_silence_and_a_copy(init: str, prepared: Prepared) -> None:
    options = ("--firewall", "--set=EARLY_REPORT=yes")
    tree = prepared("bookworm", *INITS[init], network="ifupdown", guest="sh", options=options)
    _add_hook(tree, FIREWALL_HOLDS)
    for key in tree.glob("etc/ssh/ssh_host_*"):  # sshd starts only when our script made them before
        key.unlink()
    first, second, copy = boot_tree(tree, Machine(name="init-1"), Plan(deadline=60, boots=2, recapture=True))
    assert first.verdict.provisioned, first.console
    assert all(check.outcome == "passed" for check in first.checks), first.checks
    assert asked(first).count("/machine?comp=health") == 2  # begun, and ready
    assert asked(second) == []
    assert copy.verdict.provisioned, copy.console
    assert all(record.passed for record in (first, second, copy))


def _add_hook(tree: Path, text: str) -> None:
    hook = tree / "etc/azure-provisioning.d/50-test"
    hook.write_text(text)
    hook.chmod(0o755)


INITTAB = """\
::sysinit:/etc/init.d/rcS
::once:/usr/sbin/sshd -D -e
"""
RCS = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
hostname -F /etc/hostname
ip link set lo up
ip link set eth0 up
mkdir -p /run/sshd
udhcpc -b -i eth0 -O 245 -O 121 -s /etc/udhcpc/lab.script
for script in /etc/init.d/S??*; do $script start; done
"""
LEASE = """\
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/${mask:-24}" dev "$interface"
ip route add default via "$router"
mkdir -p /run/udhcpc
echo "opt245=$opt245" >/run/udhcpc/$interface
"""


@pytest.mark.slow
def test_busybox_init_and_udhcpc(need: Callable[..., None], tmp_path: Path) -> None:
    """Busybox is PID 1, DHCP client, shell, awk and wget; option 245 names a WireServer elsewhere."""
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:ssh", "tool:unshare", "tool:nsenter")
    tree = tmp_path / "tree"
    trees.unpack(trees.tree("bookworm", ("busybox", "udhcpc", "nftables"), "none"), tree)
    _to_busybox(tree)
    run([sys.executable, "-m", "azready", "prepare", tree, "--firewall"])
    _add_hook(tree, "#!/bin/sh\nnft list table ip azure-wireserver | grep -q 'meta skuid != 0'\n")
    plan = Plan(deadline=60, boots=2, network=Network(wireserver="10.1.0.9"))
    first, second = boot_tree(tree, Machine(name="bb-1"), plan)
    assert first.verdict.provisioned, first.console
    assert all(check.outcome == "passed" for check in first.checks), first.checks
    assert asked(second) == [] and second.passed


def _to_busybox(tree: Path) -> None:
    """Make a Debian tree one whose small tools are busybox's, its init among them."""
    for path, text in (("etc/inittab", INITTAB), ("etc/init.d/rcS", RCS), ("etc/udhcpc/lab.script", LEASE)):
        (tree / path).write_text(text)
        (tree / path).chmod(0o755)
    for name in ("usr/bin/mawk", "usr/bin/awk", "usr/bin/sh", "usr/bin/wget", "usr/sbin/init"):
        (tree / name).unlink(missing_ok=True)
    for name in ("usr/bin/awk", "usr/bin/wget", "usr/bin/sh", "usr/sbin/init"):
        (tree / name).symlink_to("/usr/bin/busybox")
    for key in tree.glob("etc/ssh/ssh_host_*"):
        key.unlink()
