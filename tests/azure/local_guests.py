"""VMs of the fake that are real guests: the control plane and the guest meet.

The base VM of a capture is a Debian tree with its own sshd, in namespaces, at the VM's public address. Every VM
without agent is a boot of the captured tree in the local Azure; it is Succeeded only when the guest's own Ready
report arrived there, and OSProvisioningTimedOut when none came in time. Where a disk was uploaded, the VM is a boot
of its bytes in QEMU.
"""

import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from azready.boot.container.tree import boot_tree
from azready.boot.qemu.command import Hardware
from azready.boot.record import BootRecord
from azready.boot.series import Plan
from azready.devices import OWN_DEV
from azready.fabric.machine import Machine
from azready.pipelines import bootdisk
from tests.azure.blobs import Blob, FileStore, serving_blob
from tests.azure.fake_arm.model import Arm, Guest, Json

# $1 root of the tree, $2 the address to listen on, $3 user, $4 file with the public key
BASE = (
    OWN_DEV
    + r"""
set -eu
root=$1
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
own_dev "$root/dev"
# A real VM syncs its own disk; here it would wait for every disk of the host, for minutes on a busy one.
mount --bind "$root/usr/bin/true" "$root/usr/bin/sync"
mkdir -p "$root/run/sshd"
hostname base
chroot "$root" useradd -m -s /bin/bash "$3"
echo "$3 ALL=(ALL) NOPASSWD:ALL" >"$root/etc/sudoers.d/90-cloud"; chmod 440 "$root/etc/sudoers.d/90-cloud"
install -d -m 700 "$root/home/$3/.ssh"
cp "$4" "$root/home/$3/.ssh/authorized_keys"
chroot "$root" chown -R "$3:" "/home/$3"
chroot "$root" ssh-keygen -A >/dev/null
exec chroot "$root" /usr/sbin/sshd -D -e -p 22 -o ListenAddress="$2"
"""
)


def machine_of(vm: Json, generation: int = 2) -> Machine:
    """What the fabric is to tell the guest, from what was asked of the control plane."""
    profile = vm["properties"]["osProfile"]
    keys = tuple(key["keyData"] for key in profile["linuxConfiguration"]["ssh"]["publicKeys"])
    return Machine(
        name=vm["name"],
        computer_name=profile["computerName"],
        admin_username=profile["adminUsername"],
        public_keys=keys,
        vm_id=vm["properties"]["vmId"],
        location=vm["location"],
        generation=generation,
    )


@dataclass
class LocalGuests:
    """`boot` is the fake's; `tree` is the one disk there is: the base VM's, then the image's."""

    tree: Path
    scratch: Path
    deadline: float = 60.0
    records: list[BootRecord] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def boot(self, vm: Json) -> Guest:
        agent = vm["properties"]["osProfile"]["linuxConfiguration"]["provisionVMAgent"]
        return self._base(vm) if agent else self._trial(vm)

    def _base(self, vm: Json) -> Guest:
        profile = vm["properties"]["osProfile"]
        key = self.scratch / "authorized"
        key.write_text(profile["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"] + "\n")
        address = "192.0.2.4"
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
        log = (self.scratch / "sshd.log").open("wb")
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        words = [
            "unshare",
            *spaces,
            "sh",
            "-c",
            BASE,
            "sh",
            str(self.tree),
            address,
            profile["adminUsername"],
            str(key),
        ]
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)

        def stop() -> None:
            process.kill()  # unshare ignores TERM; its child, and with it the namespace, dies with it
            process.wait(10)

        return Guest(lambda: ("ready", ""), lambda: b"", stop)

    def _trial(self, vm: Json) -> Guest:
        def run() -> BootRecord:
            (record,) = boot_tree(self.tree, machine_of(vm), Plan(deadline=self.deadline, boots=1, login=True))
            return record

        return booted(run, self.records, self.errors, lambda record: (entry.text for entry in record.journal))


@dataclass
class UploadedGuests:
    """`grant` and `boot` are the fake's: every disk has a page blob, and a VM is a boot of the bytes in the blob of the
    disk that its image was made from."""

    arm: Arm
    scratch: Path
    stack: ExitStack
    deadline: float = 120.0
    blobs: dict[str, Blob] = field(default_factory=dict)
    records: list[BootRecord] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def grant(self, identity: str, disk: Json) -> str:
        key = identity.lower()
        if key not in self.blobs:
            size = disk["properties"]["creationData"]["uploadSizeBytes"]
            store = FileStore(self.scratch / f"blob{len(self.blobs)}", size)
            self.blobs[key] = self.stack.enter_context(serving_blob(store))
        return self.blobs[key].grant()

    def boot(self, vm: Json) -> Guest:
        image = self.arm.need(vm["properties"]["storageProfile"]["imageReference"]["id"])
        blob = self.blobs[image["_source"].lower()]
        assert blob.refused == [], blob.refused
        disk = self.scratch / f"{vm['name']}.vhd"
        disk.write_bytes(blob.store.content())
        machine = machine_of(vm, int(vm["_generation"][1]))
        plan = Plan(deadline=self.deadline, boots=1, login=False)

        def run() -> BootRecord:
            (record,) = bootdisk.boot(disk, machine, plan, generation_chosen=True, hardware=Hardware(memory=256))
            return record

        return booted(run, self.records, self.errors, lambda record: (line.text for line in record.console))


def booted(
    run: Callable[[], BootRecord],
    records: list[BootRecord],
    errors: list[BaseException],
    said: Callable[[BootRecord], Iterable[str]],
) -> Guest:
    """A guest that boots in a thread. Its record, or what went wrong, is added to the lists."""
    outcome: list[tuple[str, str]] = []

    def work() -> None:
        try:
            record = run()
            records.append(record)
            outcome.append(("ready" if record.verdict.provisioned else record.verdict.code, ""))
        except BaseException as error:
            errors.append(error)
            outcome.append(("InternalExecutionError", repr(error)))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()

    def console() -> bytes:
        return "\n".join(line for record in records for line in said(record)).encode()

    return Guest(lambda: outcome[0] if outcome else ("", ""), console, thread.join)
