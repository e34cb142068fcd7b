"""Logical volumes, found without LVM's tools and without device-mapper: where the bytes of each are on the disk.

A volume that lies in one piece (as installers and Azure's LVM images make them) is then mounted like a partition.
Facts: LVM2's on-disk format as its manual pages (pvs(8), vgcfgbackup(8)) and its text metadata describe it: a label in
one of the first four sectors, a header that lists areas, and the volume group as text in a metadata area.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from azready.image.disk.formats import Read

_SECTOR = 512
_MAGIC = b" LVM2 x[5A%r0N*>"
_MOST_TEXT = 4 << 20
_DEEPEST = 32
"""Sections within sections: LVM writes four."""
_TOKEN = re.compile(r'\s*(?:#[^\n]*|("(?:[^"\\]|\\.)*")|([\[\]{},=])|([^\s\[\]{},=#"]+))')


@dataclass(frozen=True)
class LogicalVolume:
    """`start` and `size` in bytes from the physical volume's begin; `start` is None for one that is in pieces,
    striped, mirrored, thin or on another disk."""

    group: str
    name: str
    start: int | None
    size: int


def volumes(read: Read, offset: int) -> tuple[LogicalVolume, ...]:
    """The logical volumes of the physical volume at `offset` of the disk; none when it cannot be understood."""
    areas = list(_metadata_areas(read, offset))
    for start, size in areas:
        text = _metadata(read, offset + start, size)
        try:
            parsed = parse(text)
            return tuple(_volumes(parsed))
        except (ValueError, LookupError, TypeError, AttributeError):  # not of the shape that LVM writes
            continue
    return ()


def _metadata_areas(read: Read, offset: int) -> Iterator[tuple[int, int]]:
    for sector in range(4):
        label = read(offset + sector * _SECTOR, _SECTOR)
        if len(label) < _SECTOR or not label.startswith(b"LABELONE"):
            continue
        (begin,) = struct.unpack_from("<I", label, 20)
        position, lists = begin + 40, 0  # 32 bytes of id, 8 of size; then data areas, a zero, metadata areas, a zero
        while position + 16 <= len(label):
            area = struct.unpack_from("<QQ", label, position)
            position += 16
            if area[0] == 0:
                lists += 1
                if lists == 2:
                    return
            elif lists == 1:
                yield area


def _metadata(read: Read, start: int, size: int) -> str:
    header = read(start, _SECTOR)
    if len(header) < 64 or header[4:20] != _MAGIC:
        return ""
    at, length = struct.unpack_from("<QQ", header, 40)
    if not 0 < length <= min(size, _MOST_TEXT) or at >= size:
        return ""
    whole = min(length, size - at)  # the area is a ring: what does not fit goes on behind the header
    data = read(start + at, whole) + read(start + _SECTOR, length - whole)
    return data.decode(errors="replace").rstrip("\0")


def parse(text: str) -> dict[str, Any]:
    """LVM's configuration text as nested dicts, lists, strings and integers. Raises ValueError."""
    tokens: list[str] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            if text[position:].strip("\0 \t\n"):
                raise ValueError(f"unexpected text at {position}")
            break
        position = found.end()
        tokens += [token for token in found.groups() if token]
    section, end = _section(tokens, 0)
    if end != len(tokens):
        raise ValueError("unbalanced braces")
    return section


def _section(tokens: list[str], at: int, depth: int = 0) -> tuple[dict[str, Any], int]:
    section: dict[str, Any] = {}
    if depth > _DEEPEST:
        raise ValueError("sections nest too deep")
    while at < len(tokens) and tokens[at] != "}":
        name, sign = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        if sign == "{":
            section[name], at = _section(tokens, at + 2, depth + 1)
            if at >= len(tokens):
                raise ValueError("a brace is missing")
            at += 1
        elif sign == "=":
            section[name], at = _value(tokens, at + 2)
        else:
            raise ValueError(f"{name}: neither a section nor a value")
    return section, at


def _value(tokens: list[str], at: int) -> tuple[Any, int]:
    if at >= len(tokens):
        raise ValueError("a value is missing")
    if tokens[at] != "[":
        return _scalar(tokens[at]), at + 1
    end = tokens.index("]", at)
    return [_scalar(token) for token in tokens[at + 1 : end] if token != ","], end + 1


def _scalar(token: str) -> str | int:
    if token.startswith('"'):
        return token[1:-1]
    return int(token) if re.fullmatch("-?[0-9]{1,18}", token) else token


def _volumes(parsed: dict[str, Any]) -> Iterator[LogicalVolume]:
    groups = {name: value for name, value in parsed.items() if isinstance(value, dict) and "extent_size" in value}
    for group, values in groups.items():
        extent = _number(values["extent_size"]) * _SECTOR
        physical = values["physical_volumes"]
        for name, volume in values.get("logical_volumes", {}).items():
            segments = [part for key, part in volume.items() if key.startswith("segment") and isinstance(part, dict)]
            segments.sort(key=lambda part: part["start_extent"])
            size = sum(_number(part["extent_count"]) for part in segments) * extent
            yield LogicalVolume(group, name, _start(segments, physical, extent), size)


def _start(segments: list[dict[str, Any]], physical: dict[str, Any], extent: int) -> int | None:
    """Where a volume begins, if its segments follow each other on the only physical volume."""
    if len(physical) != 1 or not segments:
        return None
    expected: int | None = None
    for part in segments:
        if part.get("type") != "striped" or part.get("stripe_count") != 1:
            return None
        first = _number(part["stripes"][1])
        if expected is not None and first != expected:
            return None
        expected = first + part["extent_count"]
    (only,) = physical.values()
    return _number(only["pe_start"]) * _SECTOR + _number(segments[0]["stripes"][1]) * extent


def _number(value: Any) -> int:
    """The value, which must be a number: a text times a number would be a long text. Raises TypeError."""
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no number")
    return value
