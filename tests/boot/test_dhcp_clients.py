"""Each DHCP client to Ready, with the WireServer at an address that only option 245 of its lease tells."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.network.links import Network
from azready.boot.series import Plan
from azready.fabric.machine import Machine
from azready.pipelines import trees
from azready.proc import run

ELSEWHERE = "10.77.0.16"
INTERFACES = "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n"


@dataclass(frozen=True)
class Client:
    """A way to get an address: packages, and what else its image holds."""

    packages: tuple[str, ...]
    network: trees.Network = "none"
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


# udhcpc keeps no lease, but tells its script every option, unknown ones by number: the script writes it down.
# A container has no udev, for which dhcpcd would wait: nodev.
UDHCPC = """\
#!/bin/sh
[ "$1" != deconfig ] || ip link set "$interface" up
[ "$1" = bound ] || exit 0
mkdir -p /run/udhcpc
echo "opt245=$opt245" >/run/udhcpc/$interface
ip addr add "$ip/${mask:-24}" dev "$interface"
ip route add default via "$router"
"""
DHCPCD = "[Unit]\nAfter=local-fs.target\n[Service]\nType=forking\nExecStart=/usr/sbin/dhcpcd -q\n"

CLIENTS = {
    "ifupdown-dhclient": Client(("curl",), "ifupdown"),
    "NetworkManager": Client(("curl",), "network-manager"),
    "dhcpcd": Client(
        ("curl", "dhcpcd-base"),
        files={"etc/systemd/system/dhcpcd.service": DHCPCD, "etc/dhcpcd.conf": "noarp\nnodev\n"},
        links={"etc/systemd/system/multi-user.target.wants/dhcpcd.service": "../dhcpcd.service"},
    ),
    "ifupdown-udhcpc": Client(
        ("curl", "udhcpc", "ifupdown", "busybox"),
        files={
            "etc/network/interfaces": INTERFACES,
            "etc/udhcpc/default.script": UDHCPC,
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "guest"), [*((name, "sh") for name in CLIENTS), ("NetworkManager", "python"), ("dhcpcd", "python")]
)
def test_option_245_is_read_from_the_lease(name: str, guest: str, need: Callable[..., None], tmp_path: Path) -> None:
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:unshare", "tool:nsenter")
    client = CLIENTS[name]
    tree = tmp_path / "tree"
    packages = (*client.packages, *(("python3-minimal",) if guest == "python" else ()))
    trees.unpack(trees.tree("bookworm", packages, client.network), tree)
    for path, text in client.files.items():
        (tree / path).write_text(text)
        (tree / path).chmod(0o755)
    for path, target in client.links.items():
        (tree / path).symlink_to(target)
    run([sys.executable, "-m", "azready", "prepare", tree, "--guest", guest])
    plan = Plan(boots=1, deadline=60, network=Network(wireserver=ELSEWHERE), login=False)
    (record,) = boot_tree(tree, Machine(name="dhcp-1"), plan)
    assert record.verdict.provisioned, (record.cause, record.journal, record.console)
