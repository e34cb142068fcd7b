# ruff: noqa: E501 (tables)
"""How the root file system is grown: which tools are called for which layers, and what is said where nothing can be."""

from types import ModuleType

import pytest

from tests.guest.conftest import Live

PART, DISK = "devices/pci/block/sda/sda1", "devices/pci/block/sda"
ON_SDA1 = {
    "proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
    f"sys/{PART}/partition": "1\n",
    "sys/class/block/sda1": f"-> ../../{PART}",
    "sys/dev/block/8:1": f"-> ../../{PART}",
}
ON_SDA = {
    "proc/self/mountinfo": "22 1 8:0 / / rw - xfs /dev/sda rw\n",
    f"sys/{DISK}/": "",
    "sys/class/block/sda": f"-> ../../{DISK}",
    "sys/dev/block/8:0": f"-> ../../{DISK}",
}
ON_LVM = {
    **ON_SDA1,
    "proc/self/mountinfo": "22 1 253:0 / / rw shared:1 - xfs /dev/mapper/vg-root rw\n",
    "sys/devices/virtual/block/dm-0/dm/uuid": "LVM-abc\n",
    "sys/devices/virtual/block/dm-0/dm/name": "vg-root\n",
    "sys/devices/virtual/block/dm-0/slaves/sda1/": "",
    "sys/class/block/dm-0": "-> ../../devices/virtual/block/dm-0",
    "sys/dev/block/253:0": "-> ../../devices/virtual/block/dm-0",
}
KEEPS = "warning: the root partition keeps its size: this image has no sfdisk, with growpart or partx\n"
YOURSELF = "warning: the root file system is on %s: grow it yourself\n"
LVM_CALLS = ["growpart /dev/sda 1", "pvresize /dev/sda1", "lvextend -l +100%FREE /dev/mapper/vg-root", "xfs_growfs /"]


def _mounted(kind: str, source: str = "/dev/sda1", number: str = "8:1") -> dict[str, str]:
    return {
        **ON_SDA1,
        "proc/self/mountinfo": f"9 1 {number} / /x rw - a b c\n22 1 {number} / / rw - {kind} {source} rw\n",
    }


def _layer(uuid: str, name: str = "dm-0", **more: str) -> dict[str, str]:
    """The root on one more layer above sda1, of that kind."""
    return {
        **{path.replace("dm-0", name): text.replace("dm-0", name) for path, text in ON_LVM.items()},
        f"sys/devices/virtual/block/{name}/dm/uuid": uuid,
        **more,
    }


@pytest.mark.parametrize(
    ("nodes", "tools", "outcome", "calls", "said"),
    [
        (ON_SDA1, "growpart sfdisk resize2fs", "/dev/sda1 (ext4) fills its disk", ["growpart /dev/sda 1", "resize2fs /dev/sda1"], ""),
        (ON_SDA1, "growpart sgdisk resize2fs", "/dev/sda1 (ext4) fills its disk", ["growpart /dev/sda 1", "resize2fs /dev/sda1"], ""),
        (ON_SDA1, "growpart resize2fs", "/dev/sda1 (ext4) fills its partition", ["resize2fs /dev/sda1"], KEEPS),
        (ON_SDA1, "sfdisk resize2fs", "/dev/sda1 (ext4) fills its partition", ["resize2fs /dev/sda1"], KEEPS),
        (ON_SDA1, "partx resize2fs", "/dev/sda1 (ext4) fills its partition", ["resize2fs /dev/sda1"], KEEPS),
        (ON_SDA1, "sfdisk partx resize2fs", "/dev/sda1 (ext4) fills its disk",
         ["sfdisk --no-reread --no-tell-kernel -N 1 /dev/sda", "  < , +", "partx --update --nr 1 /dev/sda", "resize2fs /dev/sda1"], ""),
        (ON_SDA1, "growpart sfdisk", "skipped", ["growpart /dev/sda 1"],
         "warning: the root file system keeps its size: this image has no resize2fs\n"),
        (_mounted("ext3"), "growpart sfdisk resize2fs", "/dev/sda1 (ext3) fills its disk", ["growpart /dev/sda 1", "resize2fs /dev/sda1"], ""),
        (_mounted("vfat"), "growpart sfdisk", "vfat cannot be grown", ["growpart /dev/sda 1"], ""),
        (_mounted("btrfs", number="0:35"), "growpart sfdisk btrfs", "/dev/sda1 (btrfs) fills its disk",
         ["growpart /dev/sda 1", "btrfs filesystem resize max /"], ""),
        (_mounted("overlay", "overlay", "0:40"), "growpart sfdisk", "the root file system is on no partition: skipped", [], ""),
        (_mounted("ext4", "/dev/sdb1", "8:17"), "growpart sfdisk", "the root file system is on no partition: skipped", [], ""),
        ({"proc/self/mountinfo": "1 2 / /\n"}, "", "the root file system is on no partition: skipped", [], ""),
        (ON_SDA, "growpart sfdisk xfs_growfs", "/dev/sda (xfs) fills its disk", ["xfs_growfs /"], ""),
        (ON_LVM, "growpart sfdisk pvresize lvextend xfs_growfs", "/dev/dm-0 (xfs) fills its volume group", LVM_CALLS, ""),
        (_layer("LVM-x", **{"sys/devices/virtual/block/dm-0/dm/name": ""}), "growpart sfdisk pvresize lvextend xfs_growfs",
         "/dev/dm-0 (xfs) fills its volume group", LVM_CALLS, ""),
        (ON_LVM, "growpart sfdisk pvresize xfs_growfs", "skipped", [], YOURSELF % "LVM"),
        (ON_LVM, "growpart sfdisk lvextend xfs_growfs", "skipped", [], YOURSELF % "LVM"),
        (ON_LVM, "pvresize lvextend xfs_growfs", "skipped", [], KEEPS + YOURSELF % "LVM"),
        (_layer("LVM-x", **{"sys/devices/virtual/block/dm-0/slaves/sdb/": ""}), "growpart sfdisk pvresize lvextend", "skipped", [], YOURSELF % "LVM"),
        (_layer("LVM-x", **{f"sys/{PART}/partition": "", f"sys/{PART}/slaves/sdb/": ""}), "growpart sfdisk pvresize lvextend xfs_growfs",
         "/dev/dm-0 (xfs) fills its volume group", LVM_CALLS[1:], ""),
        (_layer("CRYPT-LUKS2-x"), "growpart sfdisk pvresize lvextend", "skipped", [], YOURSELF % "dm-crypt"),
        (_layer("mpath-x"), "growpart sfdisk pvresize lvextend", "skipped", [], YOURSELF % "device mapper"),
        (_layer("", "md0"), "growpart sfdisk pvresize lvextend", "skipped", [], YOURSELF % "md"),
    ],
)  # fmt: skip
def test_what_is_grown_and_how(
    guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str],
    nodes: dict[str, str], tools: str, outcome: str, calls: list[str], said: str,
) -> None:  # fmt: skip
    live.plant(nodes)
    for name in tools.split():
        live.tool(name)
    assert guest.step_grow(live.tree, guest.Wishes(), {"GROW": "yes"}) == outcome
    assert (live.called(), capfd.readouterr().err) == (calls, said)


def test_a_volume_whose_physical_volume_is_a_disk_grows_and_one_on_a_further_layer_does_not(
    guest: ModuleType, live: Live
) -> None:
    nodes = {path: text for path, text in ON_LVM.items() if "partition" not in path}
    live.plant({**nodes, f"sys/{PART}/": ""})
    for name in ("pvresize", "lvextend", "xfs_growfs"):
        live.tool(name)
    assert guest.step_grow(live.tree, guest.Wishes(), {"GROW": "yes"}).endswith("fills its volume group")
    assert live.called() == LVM_CALLS[1:]
    live.plant({f"sys/{PART}/slaves/sdb/": ""})
    assert guest.step_grow(live.tree, guest.Wishes(), {"GROW": "yes"}) == "skipped"


@pytest.mark.parametrize(
    ("tool", "script", "others", "ends"),
    [
        ("growpart", "echo NOCHANGE: nothing to do; exit 1", "sfdisk", "fills its volume group"),
        ("growpart", "echo FAILED: no; exit 2", "sfdisk", "growpart: exit 2: FAILED: no"),
        ("growpart", "echo FAILED: no; exit 2", "sfdisk partx", "fills its volume group"),
        ("lvextend", "echo '  New size (1 extents) matches existing size.' >&2; exit 5", "growpart sfdisk", "fills its volume group"),
        ("lvextend", "echo no such volume >&2; exit 5", "growpart sfdisk", "lvextend: exit 5: no such volume"),
    ],
)  # fmt: skip
def test_what_is_no_failure(
    guest: ModuleType, live: Live, capfd: pytest.CaptureFixture[str], tool: str, script: str, others: str, ends: str
) -> None:
    live.plant(ON_LVM)
    for name in ("pvresize", "lvextend", "xfs_growfs", *others.split()):
        live.tool(name)
    live.tool(tool, script)
    try:
        done = guest.step_grow(live.tree, guest.Wishes(), {"GROW": "yes"})
    except guest.CommandFailed as error:
        done = str(error)
    assert done.endswith(ends)
    other_way = "FAILED" in script and "partx" in others
    assert capfd.readouterr().err == ("warning: growpart: exit 2: FAILED: no\n" if other_way else "")


def test_nothing_grows_unasked_or_in_a_tree(guest: ModuleType, live: Live) -> None:
    live.plant(ON_SDA1)
    assert guest.step_grow(live.tree, guest.Wishes(), {"GROW": "no"}) == "off (GROW=no)"
    live.tree.live = False
    assert guest.step_grow(live.tree, guest.Wishes(), {"GROW": "yes"}) == "needs a running machine: skipped"
