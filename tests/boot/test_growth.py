"""A VM whose disk is larger than its image: the root grows. And the hypervisor's random bytes reach the kernel."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.fabric import Machine
from azready.proc import find_tool, run
from tests.boot import machines, workbench
from tests.boot.machines import MIB

MACHINE = Machine(name="web1", admin_username="ada", generation=1)
SIZE = 900 * MIB

OTHER = """
# other KIND DEVICE: grow DEVICE, as a root of its own
other() {
    echo "== $1"
    mkdir -p root
    mount -t $1 $2 root
    cp -P /bin /sbin /lib /lib64 root/
    for folder in usr etc proc sys dev run var tmp; do mkdir root/$folder; mount --bind /$folder root/$folder; done
    chroot root $run --only grow
    size root
    umount -Rl root
}
size() { stat -f -c '%b %S' $1 | { read blocks unit; echo "size $((blocks * unit / 1048576))"; }; }
"""
ENTROPY = {
    "provision.py": """
cat /proc/sys/kernel/random/entropy_avail
PYTHONHASHSEED=0 python3 -S -B provision.py --only entropy
cat /proc/sys/kernel/random/entropy_avail
""",
    "provision.sh": """
rm /dev/urandom; : >/dev/urandom
$run --only entropy
tail -c +37 /sys/firmware/acpi/tables/OEM0 | cmp - /dev/urandom && echo the same bytes
rm /dev/urandom; mknod -m 666 /dev/urandom c 1 9
""",
}


WITHOUT_TOOLS = [
    "warning: the root partition keeps its size: this image has no sfdisk, with growpart or partx",
    "warning: the root file system keeps its size: this image has no resize2fs",
]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", workbench.PROGRAMS)
def test_the_root_grows(need: Callable[..., None], tmp_path: Path, program: str) -> None:
    """By growpart, by sfdisk, without either. The medium cannot be read, for want of UDF: IMDS is enough."""
    need(*workbench.NEEDS, "tool:mkfs.xfs", "tool:mkfs.btrfs")
    script = f"""{OTHER}
run="{workbench.PROGRAMS[program]}"
busybox rmmod udf
echo GROW=yes >/etc/azure-provisioning.conf
echo "== entropy"
{ENTROPY[program]}
echo "== run"
size /
$run --report none
size /
echo "== again"
$run --only grow
mv /usr/bin/growpart /usr/bin/no-growpart
other ext4 /dev/vda1
other xfs /dev/vdb1
other btrfs /dev/vdc1
mv /usr/sbin/sfdisk /usr/sbin/no-sfdisk
mv /usr/sbin/resize2fs /usr/sbin/no-resize2fs
echo "== without tools"
$run --only grow
echo "== report"
$run report
"""
    more = (
        *_disk(tmp_path / "ext4", "gpt", "mke2fs", "-q", "-t", "ext4"),
        *_disk(tmp_path / "xfs", "dos", "mkfs.xfs", "-q"),
        *_disk(tmp_path / "btrfs", "gpt", "mkfs.btrfs", "-q"),
    )
    disk = tmp_path / "root.qcow2"
    base = ("-b", workbench.base_disk(), "-F", "raw")
    run([find_tool("qemu-img", "qemu-utils"), "create", "-q", "-f", "qcow2", *base, disk, str(SIZE)])
    record = workbench.run(
        script, MACHINE, modules=("xfs", "btrfs"), disk=disk, more=more, command_line="random.trust_cpu=off"
    )
    told = workbench.sections(record)
    assert record.verdict.provisioned, told
    assert "medium: none" in told["run"]
    assert "warning: /dev/sr0: no ovf-env.xml to be seen: this kernel has no UDF" in told["run"]
    before, *_, after = told["run"]
    assert (before, after) == ("size 573", "size 866"), told["run"]
    for section, device in (("run", "vdd1"), ("again", "vdd1"), ("ext4", "vda1"), ("xfs", "vdb1"), ("btrfs", "vdc1")):
        assert any(re.match(rf"grow: /dev/{device} \(\w+\) fills its disk", line) for line in told[section]), told
    for kind in ("ext4", "xfs", "btrfs"):
        assert int(told[kind][-1].split()[1]) > 820, told[kind]
    assert [line for line in told["without tools"] if "keeps its size" in line] == WITHOUT_TOOLS
    entropy = told["entropy"]
    if program == "provision.py":
        assert int(entropy[0]) < 256 and entropy[-1] == "256", "the kernel's pool is full by what was credited"
        assert any(line.startswith("entropy: credited 256 bits of 64 bytes") for line in entropy)
    else:
        assert entropy[-1] == "the same bytes"
        assert any(line.startswith("entropy: mixed in 64 bytes, not credited") for line in entropy)


def _disk(path: Path, label: str, *make: str) -> tuple[str, ...]:
    """QEMU's words for a disk of `SIZE` whose one partition, with a file system, has the first third of it."""
    machines.make_table(path, SIZE // 3 + 2 * MIB, f"label: {label}\nstart=1MiB, size={SIZE // 3 // MIB}MiB\n")
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.truncate(SIZE // 3)
    run([find_tool(make[0], make[0]), *make[1:], part])
    machines.place(part, path, MIB)
    os.truncate(path, SIZE)
    name = path.name
    return ("-drive", f"if=none,id={name},format=raw,file={path}", "-device", f"virtio-blk-pci,drive={name}")
