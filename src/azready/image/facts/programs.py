"""Programs of an image: where they are, and which processor they are made for."""

from azready.image.facts.reading import first_there
from azready.image.targets import Files

_FOLDERS = ("usr/bin", "usr/sbin", "bin", "sbin", "usr/local/bin", "usr/local/sbin")
_ELF_MACHINES = {62: "x86_64", 183: "aarch64", 3: "i686", 40: "arm", 243: "riscv64"}


def find_program(files: Files, name: str) -> str:
    """The path of a program in the usual folders, or an empty text."""
    return first_there(files, (f"{folder}/{name}" for folder in _FOLDERS)) or ""


def architecture_of(files: Files) -> str:
    """Of the user land: `x86_64`, `aarch64`, or what else the shell is made for; empty when unknown."""
    path = find_program(files, "sh") or find_program(files, "true")
    head = files.read_head(path, 20) if path else b""
    if head[:4] != b"\x7fELF":
        return ""
    return _ELF_MACHINES.get(int.from_bytes(head[18:20], "little"), "unknown")
