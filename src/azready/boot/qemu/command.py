"""The QEMU command that is an Azure VM as far as QEMU can be one: decided here, as words; nothing here runs anything.

What is Azure's own: the SMBIOS data (asset tag, VM id in the byte order of the generation, Microsoft's names), random
bytes in the ACPI table OEM0, UEFI or BIOS, a serial console, a provisioning medium in a CD drive, a MAC of Microsoft's,
and the platform's two addresses. What is not: VMBus. Disk and network are virtio (or NVMe, as Azure's newer sizes
have), so an image that boots here may still lack Hyper-V's drivers: that is `azready check`'s to say.

Facts: QEMU's manual (invocation, slirp's guestfwd and restrict), systemd's `detect-virt` (which DMI fields name
Hyper-V).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from azready.boot import identity
from azready.errors import Failure
from azready.fabric.machine import Machine
from azready.fabric.protocol.dhcp import IMDS, WIRESERVER

Architecture = Literal["x86_64", "aarch64"]
Firmware = Literal["uefi", "bios"]
Bus = Literal["virtio", "nvme", "scsi", "sata"]


@dataclass(frozen=True)
class Kernel:
    """A kernel that QEMU starts itself, without firmware: the quickest way to a real kernel."""

    image: Path
    initrd: Path | None
    command_line: str


@dataclass(frozen=True)
class Hardware:
    """What the user may choose of the virtual machine. `memory` is MiB.

    `network` is `user` (slirp: no rights needed; no options 121 and 245) or `tap` (all of Azure's DHCP). `more` are
    QEMU's words for further devices, which the guest finds before the disk and the medium's drive.
    """

    bus: Bus = "virtio"
    memory: int = 1024
    network: Literal["user", "tap"] = "user"
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guest:
    """What to boot: a disk by firmware, or a kernel (with or without a disk).

    `format` is QEMU's name of the disk's format, `size` its bytes where it is raw (a VHD's footer is left out).
    """

    architecture: Architecture = "x86_64"
    firmware: Firmware = "uefi"
    disk: Path | None = None
    format: str = "qcow2"
    size: int = 0
    kernel: Kernel | None = None
    hardware: Hardware = Hardware()


@dataclass(frozen=True)
class Pflash:
    """UEFI's code, and the template of its variables."""

    code: Path
    variables: Path


@dataclass(frozen=True)
class UserNetwork:
    """Slirp, which needs no rights: `forwards` are (address, port, command); `login` is a free port of 127.0.0.1.

    The command is started once a connection, with the connection as its standard input and output.
    """

    forwards: tuple[tuple[str, int, str], ...]
    login: int | None = None


@dataclass(frozen=True)
class Taps:
    """Tap devices on the fabric's bridge, one a NIC, in the namespace in which QEMU runs."""

    names: tuple[str, ...]


Net = UserNetwork | Taps

_FIRMWARE: Mapping[Architecture, tuple[tuple[str, str], ...]] = {
    "x86_64": (
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
        ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
        ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
        ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ),
    "aarch64": (
        ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
        ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
        ("/usr/share/edk2-armvirt/aarch64/QEMU_EFI.fd", "/usr/share/edk2-armvirt/aarch64/QEMU_VARS.fd"),
        ("/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"),
    ),
}
_PACKAGES: Mapping[Architecture, tuple[str, str]] = {
    "x86_64": ("qemu-system-x86", "ovmf"),
    "aarch64": ("qemu-system-arm", "qemu-efi-aarch64"),
}


def program(architecture: Architecture) -> tuple[str, str]:
    """QEMU's program for an architecture, and Debian's package of it."""
    return f"qemu-system-{architecture}", _PACKAGES[architecture][0]


def find_firmware(architecture: Architecture, root: Path = Path("/")) -> Pflash:
    """Where distributions put UEFI for QEMU. Raises Failure that says what to install."""
    for code, variables in _FIRMWARE[architecture]:
        pair = Pflash(root / code.lstrip("/"), root / variables.lstrip("/"))
        if pair.code.exists() and pair.variables.exists():
            return pair
    raise Failure(
        f"no UEFI firmware for {architecture} was found", f"install it: apt-get install {_PACKAGES[architecture][1]}"
    )


def probe(architecture: Architecture) -> list[str]:
    """A QEMU that starts a virtual processor and ends as soon as its monitor is told so: whether KVM works is tried.

    A device that is there proves nothing: nested virtualization is often offered and broken.
    """
    kind = "virt" if architecture == "aarch64" else "pc"
    paused = ["-machine", kind, "-nodefaults", "-display", "none", "-S", "-m", "64", "-monitor", "stdio"]
    return [program(architecture)[0], *paused, *_accelerated(architecture)]


def command(
    guest: Guest,
    machine: Machine,
    net: Net,
    *,
    medium: Path | None,
    pflash: Pflash | None,
    control: int,
    packets: Path | None = None,
    accelerated: bool = False,
    clock: datetime | None = None,
    entropy: Path | None = None,
) -> list[str]:
    """The words of QEMU. The console is its standard output; `control` is the number of a connected socket that it
    inherits, for its monitor (QMP).

    `medium` None leaves the CD drive empty, as Azure does once a VM is provisioned. `packets` gets the guest's
    packets in pcap form. `pflash.variables` is written to. `clock` is what the guest's clock says at first (UTC).
    `entropy` holds the bytes of the table OEM0.
    """
    return [
        program(guest.architecture)[0],
        "-nodefaults",
        "-no-reboot",
        *("-display", "none"),
        *("-name", f"azready-{machine.name}"),
        *_processor(guest, accelerated),
        *_smbios(machine),
        *_entropy(guest, entropy),
        *_boot(guest, pflash),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=control,fd={control}", "-mon", "chardev=control,mode=control"),
        *guest.hardware.more,
        *_disk(guest),
        *_medium(medium),
        *_network(machine, net, packets),
        *("-device", "virtio-rng-pci"),
        *(("-rtc", f"base={clock:%Y-%m-%dT%H:%M:%S}") if clock else ()),
    ]


def _quoted(value: object) -> str:
    """QEMU's option values: a comma is doubled."""
    return str(value).replace(",", ",,")


def _processor(guest: Guest, accelerated: bool) -> list[str]:
    """Without the hypervisor bit: then DMI decides, and it says Hyper-V (waagent's unit has a condition on that)."""
    arm = guest.architecture == "aarch64"
    if accelerated:
        how = _accelerated(guest.architecture)
    else:
        how = ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "cortex-a72" if arm else "max,-hypervisor"]
    kind = "virt" if arm else "q35" if guest.firmware == "uefi" else "pc"
    cores = min(2, os.cpu_count() or 1)
    return ["-machine", kind, *how, "-smp", str(cores), "-m", str(guest.hardware.memory)]


def _accelerated(architecture: Architecture) -> list[str]:
    return ["-accel", "kvm", "-cpu", "host" if architecture == "aarch64" else "host,-hypervisor"]


def _smbios(machine: Machine) -> list[str]:
    """The tables of `identity.dmi`. Generation 1 names Hyper-V nowhere in DMI: there the board's vendor does it."""
    dmi = identity.dmi(machine)
    board = dmi["board_vendor"] if machine.generation == 2 else "Hyper-V"
    tables: tuple[tuple[int, dict[str, str]], ...] = (
        (0, {"vendor": dmi["bios_vendor"], "version": dmi["bios_version"], "date": dmi["bios_date"]}),
        (
            1,
            {
                "manufacturer": dmi["sys_vendor"],
                "product": dmi["product_name"],
                "version": dmi["product_version"],
                "serial": dmi["product_serial"],
                "uuid": dmi["product_uuid"],
            },
        ),
        (2, {"manufacturer": board, "product": dmi["board_name"], "version": dmi["board_version"]}),
        (
            3,
            {
                "manufacturer": dmi["chassis_vendor"],
                "version": dmi["chassis_version"],
                "asset": dmi["chassis_asset_tag"],
            },
        ),
    )
    words = []
    for number, fields in tables:
        words += [
            "-smbios",
            ",".join([f"type={number}", *(f"{key}={_quoted(value)}" for key, value in fields.items())]),
        ]
    return words


def _entropy(guest: Guest, entropy: Path | None) -> list[str]:
    """Hyper-V's random bytes for the kernel; QEMU gives tables of its user's to x86 only."""
    if entropy is None or guest.architecture != "x86_64":
        return []
    return ["-acpitable", f"sig=OEM0,data={_quoted(entropy)}"]


def _boot(guest: Guest, pflash: Pflash | None) -> list[str]:
    words = []
    if pflash is not None:
        words += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_quoted(pflash.code)}"]
        words += ["-drive", f"if=pflash,unit=1,format=raw,file={_quoted(pflash.variables)}"]
    if guest.kernel is not None:
        words += ["-kernel", str(guest.kernel.image), "-append", guest.kernel.command_line]
        if guest.kernel.initrd is not None:
            words += ["-initrd", str(guest.kernel.initrd)]
    return words


def _disk(guest: Guest) -> list[str]:
    if guest.disk is None:
        return []
    drive = f"if=none,id=os,format={guest.format},discard=unmap,cache=unsafe,file={_quoted(guest.disk)}"
    device = {
        "virtio": ["-device", "virtio-blk-pci,drive=os,bootindex=1"],
        "nvme": ["-device", "nvme,drive=os,serial=azready-os,bootindex=1"],
        "scsi": ["-device", "virtio-scsi-pci,id=bus0", "-device", "scsi-hd,bus=bus0.0,drive=os,bootindex=1"],
        "sata": ["-device", "ich9-ahci,id=bus0", "-device", "ide-hd,bus=bus0.0,drive=os,bootindex=1"],
    }[guest.hardware.bus]
    return ["-drive", drive, *device]


def _medium(medium: Path | None) -> list[str]:
    drive = "if=none,id=cd,media=cdrom,readonly=on,format=raw"
    if medium is not None:
        drive += f",file={_quoted(medium)}"
    cdrom = ["-device", "virtio-scsi-pci,id=cdbus", "-device", "scsi-cd,bus=cdbus.0,drive=cd,id=cdrom"]
    return (["-drive", drive] if medium is not None else []) + (cdrom if medium is not None else _empty_drive())


def _empty_drive() -> list[str]:
    return ["-device", "virtio-scsi-pci,id=cdbus", "-device", "scsi-cd,bus=cdbus.0,id=cdrom"]


def _network(machine: Machine, net: Net, packets: Path | None) -> list[str]:
    macs = [machine.mac, *(mac for mac, _ in machine.secondary_nics)]
    words: list[str] = []
    match net:
        case Taps(names):
            for index, name in enumerate(names):
                words += ["-netdev", f"tap,id=n{index},ifname={name},script=no,downscript=no"]
        case UserNetwork():
            words += ["-netdev", _slirp(net)]
            macs = macs[:1]
    for index, mac in enumerate(macs):
        words += ["-device", f"virtio-net-pci,netdev=n{index},mac={mac},romfile="]
    if packets is not None:
        words += ["-object", f"filter-dump,id=packets,netdev=n0,file={_quoted(packets)}"]
    return words


def _slirp(net: UserNetwork) -> str:
    """A network that holds both platform addresses, since slirp forwards only within it; and no way out."""
    subnet = "net=168.0.0.0/7,host=168.0.0.2,dns=168.0.0.3,dhcpstart=168.0.0.15"
    words = [f"user,id=n0,restrict=on,{subnet}"]
    words += [f"guestfwd=tcp:{address}:{port}-cmd:{_quoted(run)}" for address, port, run in net.forwards]
    if net.login is not None:
        words.append(f"hostfwd=tcp:127.0.0.1:{net.login}-:22")
    return ",".join(words)


def forwards(addresses: Mapping[str, tuple[str, int]], relay: Sequence[str]) -> tuple[tuple[str, int, str], ...]:
    """What slirp forwards: `addresses` says where the fabric's services are, `relay` + host + port is the command."""
    places = (("wireserver", WIRESERVER, 80), ("hostplugin", WIRESERVER, 32526), ("imds", IMDS, 80))
    return tuple(
        (guest, port, " ".join([*relay, addresses[service][0], str(addresses[service][1])]))
        for service, guest, port in places
        if service in addresses
    )
