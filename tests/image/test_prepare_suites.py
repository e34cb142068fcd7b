"""The same on other Debians: split packages, other network stacks, older and newer agents."""

import subprocess

import pytest

from azready.image.facts import Facts, leftovers
from azready.image.parts.network_profile import plan_profile
from azready.image.removal import dpkg
from azready.image.targets.tree import Tree
from azready.pipelines import trees
from tests.image.conftest import Azready, CopyTree

CASES: dict[str, tuple[str, tuple[str, ...], trees.Network]] = {
    "bullseye-waagent": ("bullseye", ("waagent",), "networkd"),
    "trixie-both": ("trixie", ("cloud-init", "waagent"), "none"),
    "sid-cloud-init": ("sid", ("cloud-init",), "none"),
    "bookworm-ifupdown": ("bookworm", ("waagent",), "ifupdown"),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CASES)
def test_it_comes_out_free_of_agents_and_with_a_network(copy_tree: CopyTree, azready: Azready, name: str) -> None:
    root = copy_tree(*CASES[name])
    before = {each.name for each in dpkg.parse_status((root / dpkg.STATUS).read_text()) if each.installed}
    done = azready("prepare", root)
    assert done.returncode == 0, done.stderr
    packages = dpkg.parse_status((root / dpkg.STATUS).read_text())
    present = {each.name for each in packages if each.present}
    assert all(leftovers.agent_of_package(gone) for gone in before - present)
    with Tree(root) as tree:
        assert leftovers.find_leftovers(tree, present) == []
        assert plan_profile(Facts(tree)) == ((), "")
        assert tree.exists("etc/systemd/system/multi-user.target.wants/azure-provisioning.service")
    swept = subprocess.run(
        ["chroot", root, "apt-get", "--simulate", "autoremove"], capture_output=True, text=True, check=True
    )
    gone = [line.split()[1] for line in swept.stdout.splitlines() if line.startswith("Remv ")]
    kept = ("netplan.io", "dhcpcd-base", "isc-dhcp-client", "iproute2", "python3", "network-manager", "ifupdown")
    assert not set(gone) & set(kept)
