"""What agents leave is found wherever it is, and nothing else is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.apply import apply
from azready.image.facts import leftovers
from azready.image.targets.tree import Tree

TRACES = (
    "etc/waagent.conf.rpmsave",
    "usr/lib/systemd/system/waagent.service",
    "etc/systemd/system/multi-user.target.wants/walinuxagent.service",
    "etc/systemd/system/walinuxagent.service.d/12-CPUQuota.conf",
    "etc/systemd/system/cloud-init.target.wants/cloud-init-local.service",
    "etc/rc2.d/S01walinuxagent",
    "etc/runlevels/boot/cloud-init",
    "etc/init.d/tiny-cloud-main",
    "usr/local/lib/python3.11/dist-packages/azurelinuxagent/agent.py",
    "usr/lib/python3/dist-packages/cloud_init-25.1.dist-info/RECORD",
    "usr/lib/python3.6/site-packages/WALinuxAgent-2.2.egg-info",
    "var/lib/waagent/Microsoft.OSTCExtensions.1/config/0.settings",
    "var/lib/cloud/instance/user-data.txt",
    "etc/netplan/50-cloud-init.yaml",
    "usr/lib/udev/rules.d/66-azure-storage.rules",
    "etc/sudoers.d/90-cloud-init-users",
    "var/log/cloud-init-output.log.1.gz",
    "etc/azure-init/config.toml",
    "var/lib/systemd/deb-systemd-helper-enabled/waagent.service.dsh-also",
    "var/lib/systemd/deb-systemd-helper-enabled/multi-user.target.wants/waagent.service",
)
OURS_AND_OTHERS = (
    "usr/lib/azure-provisioning/provision.py",
    "usr/lib/systemd/system/azure-provisioning.service",
    "etc/systemd/system/multi-user.target.wants/azure-provisioning.service",
    "etc/udev/rules.d/68-azure-provisioning-vf.rules",
    "usr/lib/udev/rules.d/80-azure-disk.rules",
    "usr/lib/udev/rules.d/10-azure-unmanaged-sriov.rules",
    "etc/sudoers.d/90-azure-provisioning",
    "etc/netplan/01-mine.yaml",
    "etc/cloud/mine.txt",
    "usr/bin/growpart",
    "usr/bin/cloud-localds",
    "etc/network/interfaces.d/eth0",
)


def plant(root: Path, paths: tuple[str, ...]) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")


@pytest.mark.parametrize("trace", TRACES)
def test_every_trace_is_found_and_taken_away(tmp_path: Path, trace: str, need: Callable[..., None]) -> None:
    need("root")
    plant(tmp_path, (*OURS_AND_OTHERS, trace))
    with Tree(tmp_path) as tree:
        found = leftovers.find_leftovers(tree)
        assert len(found) == 1
        assert trace.startswith(found[0].path)
        apply([action for each in found for action in each.remedy], tree)
        assert leftovers.find_leftovers(tree) == []
        assert not tree.exists(trace)
        assert all(tree.exists(path) for path in OURS_AND_OTHERS)


def test_an_image_without_agents_has_none(tmp_path: Path) -> None:
    plant(tmp_path, OURS_AND_OTHERS)
    with Tree(tmp_path) as tree:
        assert leftovers.find_leftovers(tree, ("systemd", "cloud-guest-utils", "cloud-initramfs-growroot")) == []


def test_a_file_that_two_paths_reach_is_found_once(tmp_path: Path) -> None:
    plant(tmp_path, ("usr/lib/systemd/system/cloud-init.service",))
    (tmp_path / "lib").symlink_to("usr/lib")
    with Tree(tmp_path) as tree:
        assert [each.path for each in leftovers.find_leftovers(tree)] == ["usr/lib/systemd/system/cloud-init.service"]


def test_a_folder_of_the_agents_goes_only_when_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "mnt/resource").mkdir(parents=True)
    with Tree(tmp_path) as tree:
        assert [each.path for each in leftovers.find_leftovers(tree)] == ["mnt/resource"]
        (tmp_path / "mnt/resource/data").write_text("the user's")
        assert leftovers.find_leftovers(tree) == []


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("WALinuxAgent-udev", "waagent"),
        ("waagent", "waagent"),
        ("python311-azure-agent", "waagent"),
        ("cloud-init-base", "cloud-init"),
        ("cloud-init", "cloud-init"),
        ("tiny-cloud-azure", "tiny-cloud"),
        ("azure-init", "azure-init"),
        ("cloud-guest-utils", None),
        ("cloud-initramfs-growroot", None),
        ("azure-vm-utils", None),
        ("cloud-regionsrv-client", None),
        ("linux-image-cloud-amd64", None),
    ],
)
def test_packages(name: str, agent: str | None) -> None:
    assert leftovers.agent_of_package(name) == agent


FSTAB = """# comment=cloudconfig in a comment stays
UUID=1 / ext4 defaults,x-systemd.growfs 0 1
/dev/disk/cloud/azure_resource-part1\t/mnt\tauto\tdefaults,nofail,x-systemd.requires=cloud-init.service,_netdev,comment=cloudconfig\t0\t2
UUID=2\t/data  xfs\tnofail,x-systemd.requires=cloud-init.service 0 2
UUID=3 /only xfs x-systemd.after=cloud-init-network.service 0 2
"""


def test_fstab_loses_what_cloud_init_wrote_and_nothing_else() -> None:
    assert leftovers.clean_fstab(FSTAB) == (
        "# comment=cloudconfig in a comment stays\n"
        "UUID=1 / ext4 defaults,x-systemd.growfs 0 1\n"
        "UUID=2\t/data  xfs\tnofail 0 2\n"
        "UUID=3 /only xfs defaults 0 2\n"
    )
    assert leftovers.clean_fstab(leftovers.clean_fstab(FSTAB)) == leftovers.clean_fstab(FSTAB)


def test_firewalld_loses_the_wireserver_rules_only() -> None:
    text = """<?xml version="1.0" encoding="utf-8"?>
<direct>
  <passthrough ipv="ipv4">-t security -A OUTPUT -d 168.63.129.16 -p tcp -m owner --uid-owner 0 -j ACCEPT</passthrough>
  <passthrough ipv="ipv4">-t security -A OUTPUT -d 10.0.0.1 -j DROP</passthrough>
</direct>
"""
    cleaned = leftovers.clean_firewalld(text)
    assert "168.63" not in cleaned
    assert "10.0.0.1" in cleaned
    assert cleaned.count("\n") == text.count("\n") - 1


def test_network_files_are_known_by_their_head(tmp_path: Path) -> None:
    folder = tmp_path / "etc/sysconfig/network-scripts"
    folder.mkdir(parents=True)
    (folder / "ifcfg-eth0").write_text("# Created by cloud-init automatically, do not edit.\nBOOTPROTO=dhcp\n")
    (folder / "ifcfg-eth1").write_text("BOOTPROTO=dhcp\n")
    with Tree(tmp_path) as tree:
        assert [each.path for each in leftovers.find_leftovers(tree)] == ["etc/sysconfig/network-scripts/ifcfg-eth0"]
