"""Unified kernel images and signatures: the few fields of a PE file (an EFI program) that say what boots.

Sources: the UAPI group's Unified Kernel Image specification (section names), Microsoft's PE format (header offsets).
"""

import struct
from dataclasses import dataclass

from azready.errors import Failure

MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64", 0x14C: "i686", 0x1C0: "arm"}
_CERTIFICATE_TABLE = 4


class NotAProgram(Failure):
    """The file is no PE file, or is cut short."""


@dataclass(frozen=True)
class Program:
    """An EFI program: its machine, the raw bytes of its sections, and its signature (PKCS #7, empty when unsigned)."""

    machine: str
    sections: dict[str, bytes]
    signature: bytes


@dataclass(frozen=True)
class Uki:
    """A unified kernel image: kernel, initramfs and command line in one signed program."""

    path: str
    uname: str
    cmdline: str
    initrd: bytes
    signed: bool


def read_program(data: bytes) -> Program:
    """Parse the PE headers. Raises NotAProgram."""
    try:
        return _parse(data)
    except (struct.error, UnicodeDecodeError) as error:
        raise NotAProgram(f"the EFI program is cut short: {error}") from error


def _parse(data: bytes) -> Program:
    if data[:2] != b"MZ":
        raise NotAProgram("not an EFI program")
    (header,) = struct.unpack_from("<I", data, 0x3C)
    if data[header : header + 4] != b"PE\0\0":
        raise NotAProgram("not an EFI program: no PE header")
    machine, count, _, _, _, optional_size, _ = struct.unpack_from("<HHIIIHH", data, header + 4)
    optional = header + 24
    (magic,) = struct.unpack_from("<H", data, optional)
    directories = optional + (112 if magic == 0x20B else 96)
    (entries,) = struct.unpack_from("<I", data, directories - 4)
    signature = b""
    if entries > _CERTIFICATE_TABLE:
        at, size = struct.unpack_from("<II", data, directories + 8 * _CERTIFICATE_TABLE)
        signature = data[at : at + size] if at and size else b""
    sections: dict[str, bytes] = {}
    held = 0
    for index in range(count):
        entry = optional + optional_size + 40 * index
        name = data[entry : entry + 8].rstrip(b"\0").decode("ascii")
        virtual, _, raw, start = struct.unpack_from("<IIII", data, entry + 8)
        section = data[start : start + min(raw, virtual or raw)]
        held += len(section)
        if held > len(data):
            raise NotAProgram("the sections of the EFI program overlap: they hold more than the file")
        sections.setdefault(name, section)
    return Program(MACHINES.get(machine, f"0x{machine:x}"), sections, signature)


def read_uki(data: bytes, path: str) -> Uki:
    """Read a unified kernel image. Raises NotAProgram when it is none."""
    program = read_program(data)
    if ".linux" not in program.sections:
        raise NotAProgram(f"{path} is no unified kernel image: it has no .linux section")

    def text(name: str) -> str:
        return program.sections.get(name, b"").rstrip(b"\0\n").decode(errors="replace")

    return Uki(path, text(".uname"), text(".cmdline"), program.sections.get(".initrd", b""), bool(program.signature))
