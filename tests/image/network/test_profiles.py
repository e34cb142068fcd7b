"""An image never loses its network with its agents: what stays is looked at, and filled in where nothing would ask."""

import re
import subprocess
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from azready.image.actions import Link, Write
from azready.image.facts import Facts
from azready.image.facts.network import ifupdown, netplan, networkd, networkmanager
from azready.image.parts.network_profile import plan_profile
from azready.image.targets.rehearsal import Rehearsal
from azready.image.targets.tree import Tree

NETWORKD = {"usr/lib/systemd/systemd-networkd": ""}
NETPLAN = {"usr/sbin/netplan": "", "usr/lib/systemd/system-generators/netplan": ""}
NETWORKD_ON = {**NETWORKD, "etc/systemd/system/multi-user.target.wants/systemd-networkd.service": ""}
NM_ON = {
    "usr/sbin/NetworkManager": "",
    "etc/systemd/system/multi-user.target.wants/NetworkManager.service": "",
    "etc/NetworkManager/NetworkManager.conf": "[main]\nplugins=keyfile\n",
}
NO_AUTO = {**NM_ON, "usr/lib/NetworkManager/conf.d/00-server.conf": "[main]\nno-auto-default=*\n"}
IFUPDOWN_ON = {
    "sbin/ifup": "",
    "sbin/dhclient": "",
    "etc/systemd/system/multi-user.target.wants/networking.service": "",
    "etc/network/interfaces": "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n",
}
CLOUD_NETPLAN = "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n"
WICKED_ON = {"usr/sbin/wicked": "", "etc/systemd/system/multi-user.target.wants/wicked.service": ""}
SCRIPTS_ON = {"etc/sysconfig/network-scripts/ifup": "", "etc/rc3.d/S10network": ""}
ALPINE_ON = {"sbin/ifup": "", "sbin/udhcpc": "", "etc/runlevels/boot/networking": ""}

# what is in the image → the path that must be written, or nothing
CASES: list[tuple[str, Mapping[str, str], str]] = [
    ("networkd with a profile", {**NETWORKD_ON, "etc/systemd/network/80-x.network": "[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n"}, ""),  # noqa: E501
    ("networkd by driver", {**NETWORKD_ON, "etc/systemd/network/80-x.network": "[Match]\nDriver=hv_netvsc\n[Network]\nDHCP=yes\n"}, ""),  # noqa: E501
    ("networkd for another name", {**NETWORKD_ON, "etc/systemd/network/80-x.network": "[Match]\nName=ens3\n[Network]\nDHCP=yes\n"}, "etc/systemd/network/50-azure-dhcp.network"),  # noqa: E501
    ("networkd all but eth", {**NETWORKD_ON, "etc/systemd/network/80-x.network": "[Match]\nName=!eth*\n[Network]\nDHCP=yes\n"}, "etc/systemd/network/50-azure-dhcp.network"),  # noqa: E501
    ("networkd static", {**NETWORKD_ON, "etc/systemd/network/80-x.network": "[Match]\nName=eth0\n[Network]\nAddress=10.0.0.1/8\n"}, "etc/systemd/network/50-azure-dhcp.network"),  # noqa: E501
    ("networkd by cloud-init only", {**NETWORKD_ON, "etc/systemd/network/10-cloud-init-eth0.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"}, "etc/systemd/network/50-azure-dhcp.network"),  # noqa: E501
    ("netplan by cloud-init only", {**NETWORKD, **NETPLAN, "etc/netplan/50-cloud-init.yaml": CLOUD_NETPLAN}, "etc/netplan/50-azure-dhcp.yaml"),  # noqa: E501
    ("netplan by the user", {**NETWORKD, **NETPLAN, "etc/netplan/01-mine.yaml": CLOUD_NETPLAN}, ""),
    ("netplan unused", {**IFUPDOWN_ON, **NETWORKD, **NETPLAN, "etc/network/interfaces.d/e": "auto eth0\niface eth0 inet dhcp\n"}, ""),  # noqa: E501
    ("NetworkManager by itself", NM_ON, ""),
    ("NetworkManager of a server", NO_AUTO, "etc/NetworkManager/system-connections/azure-dhcp.nmconnection"),
    ("NetworkManager by cloud-init", {**NO_AUTO, "etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection": "[ipv4]\nmethod=auto\n"}, "etc/NetworkManager/system-connections/azure-dhcp.nmconnection"),  # noqa: E501
    ("NetworkManager by a keyfile", {**NO_AUTO, "etc/NetworkManager/system-connections/a.nmconnection": "[connection]\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=auto\n"}, ""),  # noqa: E501
    ("ifupdown by cloud-init", {**IFUPDOWN_ON, "etc/network/interfaces.d/50-cloud-init": "iface eth0 inet dhcp\n"}, "etc/network/interfaces.d/50-azure-dhcp"),  # noqa: E501
    ("ifupdown without a folder", {**IFUPDOWN_ON, "etc/network/interfaces": "auto lo\niface lo inet loopback\n"}, "etc/network/interfaces"),  # noqa: E501
    ("Debian's cloud image", {**IFUPDOWN_ON, "etc/network/cloud-ifupdown-helper": "", "etc/udev/rules.d/75-cloud-ifupdown.rules": "cloud-ifupdown-helper"}, ""),  # noqa: E501
    ("wicked", WICKED_ON, "etc/sysconfig/network/ifcfg-eth0"),
    ("wicked with a profile", {**WICKED_ON, "etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE=auto\n"}, ""),  # noqa: E501
    ("network scripts", SCRIPTS_ON, "etc/sysconfig/network-scripts/ifcfg-eth0"),
    ("Alpine", ALPINE_ON, "etc/network/interfaces"),
    ("Alpine with a profile", {**ALPINE_ON, "etc/network/interfaces": "auto eth0\niface eth0 inet dhcp\n"}, ""),
]  # fmt: skip


def make(root: Path, files: Mapping[str, str]) -> Tree:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        (root / path).chmod(0o600)
    return Tree(root)


def without(tree: Tree, paths: set[str]) -> Rehearsal:
    left = Rehearsal(tree)
    for path in paths:
        left.remove(path)
    return left


def agents_files(files: Mapping[str, str]) -> set[str]:
    return {path for path in files if "cloud-init" in path}


@pytest.mark.parametrize(("files", "written"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_profile(tmp_path: Path, files: Mapping[str, str], written: str) -> None:
    with make(tmp_path, files) as tree:
        actions, why = plan_profile(Facts(without(tree, agents_files(files))))
    assert [action.path for action in actions if isinstance(action, Write)] == ([written] if written else [])
    assert bool(why) == bool(written)


@pytest.mark.parametrize(("files", "written"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_answer_is_the_same_when_the_agents_are_gone(
    tmp_path: Path, files: Mapping[str, str], written: str
) -> None:
    stays = {path: text for path, text in files.items() if path not in agents_files(files)}
    with make(tmp_path, stays) as tree:
        actions, _ = plan_profile(Facts(tree))
        assert [action.path for action in actions if isinstance(action, Write)] == ([written] if written else [])
        for action in actions:
            if isinstance(action, Write):
                make(tmp_path, {action.path: action.data.decode()}).close()
        assert plan_profile(Facts(tree)) == ((), "")


def test_a_stack_that_is_only_installed_is_enabled(tmp_path: Path) -> None:
    with make(tmp_path, NETWORKD) as tree:
        actions, _ = plan_profile(Facts(tree))
    assert any(isinstance(action, Link) and "systemd-networkd" in action.path for action in actions)


def test_no_stack_at_all_is_said(tmp_path: Path) -> None:
    with make(tmp_path, {"etc/os-release": ""}) as tree:
        actions, why = plan_profile(Facts(tree))
    assert actions == ()
    assert "no known network stack" in why


NAMES = ("eth0", "enp0s3", "ens3", "eno1", "enx525400123456")
"""What the first card is called in Azure, in QEMU, and elsewhere."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("profile", [netplan.PROFILE, networkd.PROFILE, networkmanager.PROFILE], ids=lambda p: p[85:95])
def test_our_profiles_match_the_first_card_under_any_name_and_no_virtual_function(profile: str, name: str) -> None:
    patterns = re.findall(r"(?m)^ +(eth0):|name: \"(.*?)\"|^Name=(.*)|^interface-name=(.*)", profile)
    words = " ".join("".join(found) for found in patterns).replace(";", " ").split()
    assert any(fnmatchcase(name, word) for word in words)
    if profile is not networkd.PROFILE:  # which leaves them out by driver
        assert not any(fnmatchcase("enP30832p0s0", word) for word in words)


@pytest.mark.parametrize("name", NAMES)
def test_debians_ifup_takes_the_card_whatever_its_name(
    name: str, debian_base: Callable[..., Path], need: Callable[..., None], tmp_path: Path
) -> None:
    need("root", "tool:unshare", "tool:ip")
    root = debian_base("bookworm", network="ifupdown")
    (tmp_path / "interfaces").write_text(f"auto lo\niface lo inet loopback\n{ifupdown.PATTERN_PROFILE}")
    script = f"""
        ip link add {name} type veth peer name enP1s1; ip link add br0 type bridge
        mount -t tmpfs none {root}/run
        mount --bind {tmp_path} {root}/mnt
        chroot {root} ifup --no-act --all --no-scripts --verbose --interfaces=/mnt/interfaces
    """
    done = subprocess.run(["unshare", "--net", "--mount", "sh", "-euc", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"configuring interface (\S+?)=", done.stdout + done.stderr) == ["lo", name]
