"""The QEMU command that is an Azure VM as far as QEMU can be one: decided here, as words; nothing here runs anything.

What is Azure's own: the SMBIOS data (asset tag, VM id in the byte order of the generation, Microsoft's names), random
bytes in the ACPI table OEM0, UEFI or BIOS, a serial console, a provisioning medium in a CD drive, a MAC of Microsoft's,
and the platform's two addresses. What is not: VMBus. Disk and network are virtio (or NVMe, as Azure's newer sizes
have), so an image that boots here may still lack Hyper-V's drivers: that is `azready check`'s to say.

Facts: QEMU's manual (invocation, slirp's guestfwd and restrict), systemd's `detect-virt` (which DMI fields name
Hyper-V).
"""

import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from azready.boot import identity
from azready.errors import Failure
from azready.fabric.machine import Machine
from azready.fabric.protocol.dhcp import IMDS, WIRESERVER
from azready.proc import how_to_install

Architecture = Literal["x86_64", "aarch64"]
Firmware = Literal["uefi", "bios"]
Bus = Literal["virtio", "nvme", "scsi", "sata"]
Wanted = Literal["auto", "kvm", "tcg"]


@dataclass(frozen=True)
class Kernel:
    """A kernel that QEMU starts itself, without firmware: the quickest way to a real kernel."""

    image: Path
    initrd: Path | None
    command_line: str


@dataclass(frozen=True)
class Hardware:
    """What the user may choose of the virtual machine. `memory` is MiB; `accel` auto is KVM where a trial shows that
    it runs guests, else emulation.

    `network` is `user` (slirp: no rights needed; no options 121 and 245) or `tap` (all of Azure's DHCP). `more` are
    QEMU's words for further devices, which the guest finds before the disk and the medium's drive.
    """

    bus: Bus = "virtio"
    memory: int = 1024
    network: Literal["user", "tap"] = "user"
    more: tuple[str, ...] = ()
    accel: Wanted = "auto"


@dataclass(frozen=True)
class Bootable:
    """What to boot: a disk by firmware, or a kernel (with or without a disk).

    `format` is QEMU's name of the disk's format, `size` its bytes (of a raw one, a VHD's footer is left out). `node`
    describes a disk whose format can name other files, as QEMU's block node: then no name in it is followed.
    """

    architecture: Architecture = "x86_64"
    firmware: Firmware = "uefi"
    disk: Path | None = None
    format: str = "qcow2"
    size: int = 0
    node: Mapping[str, Any] | None = None
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
PACKAGES: Mapping[Architecture, tuple[str, str]] = {
    "x86_64": ("qemu-system-x86", "ovmf"),
    "aarch64": ("qemu-system-arm", "qemu-efi-aarch64"),
}
"""Debian's packages of QEMU and of its firmware."""


def program(architecture: Architecture) -> tuple[str, str]:
    """QEMU's program for an architecture, and Debian's package of it."""
    return f"qemu-system-{architecture}", PACKAGES[architecture][0]


def find_firmware(architecture: Architecture, root: Path = Path("/")) -> Pflash:
    """Where distributions put UEFI for QEMU. Raises Failure that says what to install."""
    for code, variables in _FIRMWARE[architecture]:
        pair = Pflash(root / code.lstrip("/"), root / variables.lstrip("/"))
        if pair.code.exists() and pair.variables.exists():
            return pair
    raise Failure(f"no UEFI firmware for {architecture} was found", how_to_install(PACKAGES[architecture][1]))


def trial(
    architecture: Architecture,
    *,
    accelerated: bool,
    control: int,
    rom: Path | None = None,
    disk: Path | None = None,
    pflash: Pflash | None = None,
) -> list[str]:
    """The words of a QEMU that is paused at first, to see whether a guest runs: one of `trial_rom` or `boot_sector`
    (after BIOS), or firmware alone. What it has to say comes on the console, its standard output.
    """
    kind: Firmware = "uefi" if pflash else "bios"
    return [
        *_head(architecture, control),
        "-S",
        *_processor(architecture, kind, accelerated),
        *("-smp", "1", "-m", "256"),
        *(("-bios", str(rom)) if rom else ()),
        *(("-drive", f"if=ide,format=raw,file={_quoted(disk)}") if disk else ()),
        *_pflash(pflash),
    ]


RAN, COUNTED = b"K", b"M"
"""What the trial's guest says when it runs, and when it has counted to `COUNT`."""
COUNT = 0x0400_0000


def boot_sector() -> bytes:
    """Guest code of a few bytes that says RAN on the first serial port (x86-64, as BIOS starts it)."""
    return _X86_SAYS[RAN].ljust(510, b"\0") + b"\x55\xaa"


def trial_rom(architecture: Architecture) -> bytes:
    """A firmware of a few bytes, from the processor's first instruction on: says RAN, counts, says COUNTED, waits.

    x86 starts 16 bytes below 4 GiB, the end of the ROM, in real mode, and has its serial port at 0x3f8; QEMU's `virt`
    starts at 0, and has a PL011 at 0x09000000 (QEMU, hw/arm/virt.c).
    """
    if architecture == "aarch64":
        said, counted = (0x5280_0001 | word[0] << 5 for word in (RAN, COUNTED))
        count = 0xD2A0_0002 | (COUNT >> 16) << 5
        store, again, wait, back = 0xB900_0001, (0xF100_0442, 0x54FF_FFE1), 0xD503_207F, 0x17FF_FFFF
        enable = (0xD2A1_2000, 0x5280_6021, 0xB900_3001)
        return struct.pack("<12I", *enable, said, store, count, *again, counted, store, wait, back)
    count_down = b"\x66\xb9" + struct.pack("<I", COUNT) + b"\x66\x49\x75\xfc"
    code = _X86_SAYS[RAN][:-3] + count_down + _X86_SAYS[COUNTED]
    jump_to_start = b"\xe9" + struct.pack("<h", -(0xFFF0 + 3 - 0x10000))
    return code.ljust(0xFFF0, b"\xf4") + jump_to_start.ljust(16, b"\xf4")


_X86_SAYS = {word: b"\xba\xf8\x03\xb0" + word + b"\xee\xf4\xeb\xfd" for word in (RAN, COUNTED)}
"""mov $0x3f8,%dx; mov $WORD,%al; out %al,(%dx); hlt; jmp to the hlt."""


def command(
    guest: Bootable,
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
        *_head(guest.architecture, control, spawns=isinstance(net, UserNetwork)),
        *("-name", f"azready-{machine.name}"),
        *_processor(guest.architecture, guest.firmware, accelerated),
        *("-smp", str(min(2, os.cpu_count() or 1)), "-m", str(guest.hardware.memory)),
        *_smbios(machine),
        *_entropy(guest, entropy),
        *_boot(guest, pflash),
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


_CLOSED = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def _head(architecture: Architecture, control: int, spawns: bool = False) -> list[str]:
    """A guest that takes QEMU over finds few system calls left. Not where slirp starts a program for each connection:
    the filter kills those."""
    return [
        program(architecture)[0],
        "-nodefaults",
        "-no-reboot",
        *(() if spawns else ("-sandbox", _CLOSED)),
        *("-display", "none"),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=control,fd={control}", "-mon", "chardev=control,mode=control"),
    ]


def _processor(architecture: Architecture, firmware: Firmware, accelerated: bool) -> list[str]:
    """Without the hypervisor bit: then DMI decides, and it says Hyper-V (waagent's unit has a condition on that).

    KVM of arm64 offers the interrupt controller of the host only, which need not be QEMU's default.
    """
    arm = architecture == "aarch64"
    kind = "virt" if arm else "q35" if firmware == "uefi" else "pc"
    if accelerated:
        processor = "host" if arm else "host,-hypervisor"
        return ["-machine", f"{kind},gic-version=host" if arm else kind, "-accel", "kvm", "-cpu", processor]
    processor = "cortex-a72" if arm else "max,-hypervisor"
    return ["-machine", kind, "-accel", "tcg,thread=multi,tb-size=512", "-cpu", processor]


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
                "sku": dmi["product_sku"],
                "family": dmi["product_family"],
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


def _entropy(guest: Bootable, entropy: Path | None) -> list[str]:
    """Hyper-V's random bytes for the kernel; QEMU gives tables of its user's to x86 only."""
    if entropy is None or guest.architecture != "x86_64":
        return []
    return ["-acpitable", f"sig=OEM0,data={_quoted(entropy)}"]


def _boot(guest: Bootable, pflash: Pflash | None) -> list[str]:
    words = _pflash(pflash)
    if guest.kernel is not None:
        words += ["-kernel", str(guest.kernel.image), "-append", guest.kernel.command_line]
        if guest.kernel.initrd is not None:
            words += ["-initrd", str(guest.kernel.initrd)]
    return words


def _pflash(pflash: Pflash | None) -> list[str]:
    if pflash is None:
        return []
    return [
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_quoted(pflash.code)}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={_quoted(pflash.variables)}"),
    ]


def _disk(guest: Bootable) -> list[str]:
    if guest.disk is None:
        return []
    device = {
        "virtio": ["-device", f"virtio-blk-pci,drive=os,bootindex=1,{_STOP}"],
        "nvme": ["-device", "nvme,drive=os,serial=azready-os,bootindex=1"],
        "scsi": ["-device", "virtio-scsi-pci,id=bus0", "-device", f"scsi-hd,bus=bus0.0,drive=os,bootindex=1,{_STOP}"],
        "sata": ["-device", "ich9-ahci,id=bus0", "-device", f"ide-hd,bus=bus0.0,drive=os,bootindex=1,{_STOP}"],
    }[guest.hardware.bus]
    return [*_drive(guest), *device]


def _drive(guest: Bootable) -> list[str]:
    """The layer over the disk, as `os`; where a node is given, what is below the layer is spelt out."""
    if guest.node is None:
        return ["-drive", f"if=none,id=os,format={guest.format},{_CARELESS},file={_quoted(guest.disk)}"]
    careless = {"discard": "unmap", "cache": {"no-flush": True}}
    file = {"driver": "file", "filename": str(guest.disk), **careless}
    top = {"driver": guest.format, "node-name": "os", "file": file, "backing": guest.node, **careless}
    return ["-blockdev", json.dumps(top)]


_STOP = "werror=stop,rerror=stop"
"""An error of the layer below is ours, not the guest's: QEMU stops and says so, where the bus can (NVMe cannot)."""
_CARELESS = "discard=unmap,cache=unsafe"
"""The layer is thrown away: nothing need ever reach the disk of this machine."""


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
