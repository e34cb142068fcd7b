"""Scenes that need a real tree and root in it: run by test_trees.py inside bench.lab's namespaces; each prints JSON.

Nothing here asserts: a scene says what it saw, and the test judges.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from azready.fabric.machine import Machine
from azready.fabric.protocol.media import ovf_env
from bench.lab import GUEST, LAUNCH, PATH, Lab, debian, run
from tests.guest.conftest import plant

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlZb0mFpOVY5rT0gIFbKxZ8Wcx3bqLJ9D2dJ0rCkq7Q someone@laptop"
PLAIN = Machine(name="vm1", public_keys=(KEY,))
RICH = Machine(
    name="vm1",
    admin_password="s3cret:pass",
    disable_password_authentication=False,
    public_keys=(KEY,),
    custom_data='#!/bin/sh\n: >"/home/$AZURE_ADMIN_USER/ran"\n',
)


def everything(suite: str) -> dict[str, Any]:
    """A first boot with all there is (medium, password, custom data that runs, a hook, no host keys), then another."""
    with Lab(RICH) as lab, lab.tree(debian(suite)) as root:
        lab.install(root)
        medium = root / "srv/medium"
        medium.mkdir()
        (medium / "ovf-env.xml").write_text(ovf_env(RICH))
        (root / "etc/azure-provisioning.conf").write_text("CUSTOM_DATA=run\n")
        hook = root / "etc/azure-provisioning.d/10-hook"
        hook.parent.mkdir()
        hook.write_text('#!/bin/sh\nid -u "$AZURE_ADMIN_USER"\n')
        hook.chmod(0o755)
        for key in root.glob("etc/ssh/ssh_host_*"):
            key.unlink()
        first = run(root, [*LAUNCH, "--medium=/srv/medium"])
        again = run(root, [*LAUNCH, "--medium=none"])
        shadow = (root / "etc/shadow").read_text()
        keys = root / "home/azureuser/.ssh/authorized_keys"
        return {
            "status": first.status,
            "said": first.stderr,
            "again": again.stderr,
            "ready": bool(lab.fabric.ledger.ready),
            "findings": [finding.message for finding in lab.fabric.ledger.findings],
            "shadow": next((line for line in shadow.splitlines() if line.startswith("azureuser:")), ""),
            "passwd": (root / "etc/passwd").read_text(),
            "group": (root / "etc/group").read_text(),
            "keys": keys.read_text(),
            "keys_owner": keys.stat().st_uid,
            "ran": (root / "home/azureuser/ran").exists(),
            "host_keys": sorted(path.name for path in root.glob("etc/ssh/ssh_host_*_key")),
            "hostname": subprocess.run(["uname", "-n"], capture_output=True, text=True, check=True).stdout.strip(),
            "sudo": run(root, ["/usr/sbin/visudo", "-c"]).stderr,
            "sshd": run(root, ["/usr/sbin/sshd", "-T"]).stderr,
        }


def imports(suite: str) -> dict[str, Any]:
    """Whether the tree's python3-minimal has every module that the program may ever import."""
    names = set()
    for node in ast.walk(ast.parse((GUEST / "provision.py").read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    with Lab() as lab, lab.tree(debian(suite)) as root:
        code = "import sys\nfor name in sys.argv[1:]: __import__(name)"
        tried = run(root, ["/usr/bin/python3", "-I", "-S", "-c", code, *sorted(names)])
        full = run(root, ["/usr/bin/python3", "-I", "-S", "-c", "import http.client"])
        return {"status": tried.status, "said": tried.stderr, "names": sorted(names), "minimal": full.status != 0}


def writes(suite: str) -> dict[str, Any]:
    """Every path that a first boot changes in the tree, as the overlay's upper layer shows it."""
    with Lab(RICH) as lab, lab.tree(debian(suite)) as root:
        lab.install(root)
        (root / "srv/medium").mkdir()
        (root / "srv/medium/ovf-env.xml").write_text(ovf_env(RICH))
        (root / "var/lib/hyperv").mkdir()
        before = _snapshot(root)
        done = run(root, [*LAUNCH, "--medium=/srv/medium"])
        after = _snapshot(root)
        changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
        return {"status": done.status, "said": done.stderr, "changed": changed}


def _snapshot(root: Path) -> dict[str, tuple[int, ...]]:
    """Files and links with their inode, size and time of change; folders are not followed into /proc and /dev."""
    upper = root.parent / "upper"
    found = {}
    for path in upper.rglob("*"):
        name = "/" + str(path.relative_to(upper))
        if path.is_symlink() or not path.is_dir():
            status = path.lstat()
            found[name] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)
    return found


def counts(suite: str) -> dict[str, Any]:
    """R7: how many programs a plain first boot starts, and how often it and they sync."""
    with Lab(PLAIN) as lab, lab.tree(debian(suite)) as root:
        lab.install(root)
        log = root.parent / "strace"
        strace = ["strace", "-f", "-qq", "-o", str(log), "-e"]
        strace.append("trace=execve,fsync,fdatasync,sync,syncfs,setsockopt,connect")
        words = [*strace, "chroot", str(root), *LAUNCH]
        done = subprocess.run(words, env={"PATH": PATH}, capture_output=True, text=True, check=False)
        calls = re.findall(r"^(\d+) +(\w+)\((.*)$", log.read_text(), re.MULTILINE)
        main = calls[0][0]
        execs = [what for pid, name, what in calls if name == "execve" and "= 0" in what][2:]  # chroot, python3
        syncs = Counter((name, "own" if pid == main else "children") for pid, name, _ in calls if "sync" in name)
        sockets = [
            what
            for _, name, what in calls
            if name in ("setsockopt", "connect") and ("SO_MARK" in what or "sin_" in what)
        ]
        return {
            "status": done.returncode,
            "said": done.stderr,
            "execs": execs,
            "fsyncs": sum(number for (name, _), number in syncs.items() if name == "fsync"),
            "own_fsyncs": syncs[("fsync", "own")],
            "others": sum(number for (name, _), number in syncs.items() if name != "fsync"),
            "sockets": sockets,
        }


def skeleton(suite: str, program: str = "python") -> dict[str, Any]:
    """Which files and folders of a new home are synced, where /etc/skel has folders; bookworm's sync(1) by strace."""
    with Lab(PLAIN) as lab, lab.tree(debian(suite, "curl")) as root:
        lab.install(root)
        shutil.copy(GUEST / "provision.sh", root / "usr/lib/azure-provisioning")
        (root / "etc/skel/.config/app").mkdir(parents=True)
        (root / "etc/skel/.config/app/settings").write_text("a=1\n")
        log = root.parent / "strace"
        launch = LAUNCH if program == "python" else ["/bin/sh", "/usr/lib/azure-provisioning/provision.sh"]
        words = ["strace", "-f", "-qq", "-y", "-s", "200", "-o", str(log), "-e", "trace=fsync", "chroot", str(root)]
        done = subprocess.run([*words, *launch], env={"PATH": PATH}, capture_output=True, text=True, check=False)
        synced = {
            path.partition("/home/azureuser")[2] for path in re.findall(r"fsync\(\d+<([^>]+)>\) += 0", log.read_text())
        }
        return {"status": done.returncode, "said": done.stderr, "synced": sorted(synced)}


def layers(suite: str, program: str = "python") -> dict[str, Any]:
    """What is grown where / lies on a layer: LVM on one partition and on two, dm-crypt, md. The tools only note."""
    shapes = {
        "LVM": ("dm-0", "LVM-abc", ["sda4"]),
        "LVM on two": ("dm-0", "LVM-abc", ["sda4", "sda5"]),
        "dm-crypt": ("dm-0", "CRYPT-LUKS2-abc", ["sda4"]),
        "md": ("md0", "", ["sda4"]),
    }
    with Lab(PLAIN) as lab, lab.tree(debian(suite, "curl")) as root:
        lab.install(root)
        shutil.copy(GUEST / "provision.sh", root / "usr/lib/azure-provisioning")
        (root / "etc/azure-provisioning.conf").write_text("GROW=yes\n")
        for tool in ("growpart", "sfdisk", "partx", "pvresize", "lvextend", "xfs_growfs"):
            place = root / "opt/tools" / tool
            place.parent.mkdir(exist_ok=True)
            place.write_text(f'#!/bin/sh\necho "{tool} $*" >>/run/tools\n')
            place.chmod(0o755)
        return {name: _grown(root, program, *shape) for name, shape in shapes.items()}


def _grown(root: Path, program: str, device: str, uuid: str, partitions: list[str]) -> dict[str, Any]:
    """One run of the step `grow`, on a /proc and /sys that show / as xfs on `device` made of `partitions`."""
    launch = LAUNCH if program == "python" else ["/bin/sh", "/usr/lib/azure-provisioning/provision.sh"]
    made, disk = root / "sys/devices/virtual/block" / device, root / "sys/devices/pci0/block/sda"
    for place in (root / "proc", root / "sys"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    try:
        for folder in (
            root / "proc/self",
            made / "slaves",
            made / "dm",
            root / "sys/dev/block",
            root / "sys/class/block",
        ):
            folder.mkdir(parents=True)
        mounted = "26 1 254:0 / / rw,relatime shared:1 - xfs /dev/mapper/rootvg-rootlv rw\n"
        (root / "proc/self/mountinfo").write_text(mounted)
        (root / "proc/uptime").write_text("9.0 9.0\n")
        for link in ("dev/block/254:0", f"class/block/{device}"):
            (root / "sys" / link).symlink_to(f"../../devices/virtual/block/{device}")
        (made / "dm/uuid").write_text(f"{uuid}\n")
        for partition in partitions:
            (disk / partition).mkdir(parents=True)
            (disk / partition / "partition").write_text(f"{partition[3:]}\n")
            (root / "sys/class/block" / partition).symlink_to(f"../../devices/pci0/block/sda/{partition}")
            (made / "slaves" / partition).symlink_to(f"../../../../pci0/block/sda/{partition}")
        (root / "run/tools").write_text("")
        words = [*launch, "--platform=azure", "--medium=none", "--only=grow"]
        done = run(root, words, env={"PATH": f"/opt/tools:{PATH}"})
        return {"status": done.status, "said": done.stderr, "tools": (root / "run/tools").read_text().splitlines()}
    finally:
        for place in (root / "proc", root / "sys"):
            subprocess.run(["umount", place], check=True)


def late_network(folder: str) -> dict[str, Any]:
    """The program is started before there is any network; a second later there is one. `folder` takes the tree."""
    root, log = Path(folder) / "root", Path(folder) / "strace"
    root.mkdir()
    plant(root, PLAIN)
    words = ["strace", "-qq", "-o", str(log), "-e", "trace=connect", *LAUNCH[:-2], str(GUEST / "provision.py")]
    fakes = Path(__file__).parent / "fakes"
    environment = {"PATH": f"{fakes}:{PATH}", "FAKE_CALLS": str(Path(folder) / "calls")}
    program = subprocess.Popen(
        [*words, f"--root={root}"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert program.stderr
    said = ""
    for line in program.stderr:
        said += line
        if "unreachable" in line:
            break
    time.sleep(1)
    early = program.poll()
    with Lab(PLAIN) as lab:
        _, rest = program.communicate(timeout=30)
        ready = bool(lab.fabric.ledger.ready)
    said += rest
    connects = log.read_text().splitlines()
    failed = [line for line in connects if "ENETUNREACH" in line]
    return {"early": early, "said": said, "ready": ready, "unreachable": len(failed), "connects": len(connects)}


SCENES = {
    "everything": everything,
    "imports": imports,
    "writes": writes,
    "counts": counts,
    "layers": layers,
    "late_network": late_network,
    "skeleton": skeleton,
}

if __name__ == "__main__":
    scene, *words = sys.argv[1:]
    json.dump(SCENES[scene](*words), sys.stdout)
