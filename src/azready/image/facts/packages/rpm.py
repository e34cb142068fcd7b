"""The rpm database in its three forms: SQLite (Fedora, RHEL 9), ndb (SUSE), Berkeley DB hash (RHEL 7 and 8).

All three hold the same header blobs; only NAME, EPOCH, VERSION and RELEASE are taken from them.
Source: rpm's documentation of the header format, lib/backend/ndb/rpmpkg.c, Berkeley DB's db_page.h.
"""

import sqlite3
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from azready.image.facts.packages import Reader

_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_STRING, _INT32 = 6, 4
_PUBLIC_KEY = "gpg-pubkey"


def read_sqlite(files: Reader, path: str) -> dict[str, str]:
    """Read rpmdb.sqlite, with the write-ahead log beside it where one was left."""
    log = f"{path}-wal"
    journal = files.read_bytes(log) if files.exists(log) else b""
    try:
        return _versions(_sqlite_blobs(files.read_bytes(path), journal))
    except sqlite3.Error as error:
        raise ValueError(str(error)) from error


def _sqlite_blobs(data: bytes, journal: bytes) -> list[bytes]:
    query = "SELECT blob FROM Packages"
    if not journal:
        if data[:16] != b"SQLite format 3\0":
            raise ValueError("not an SQLite file")
        connection = sqlite3.connect(":memory:")
        # Bytes 18 and 19 say "write-ahead log", which a database in memory cannot have.
        connection.deserialize(data[:18] + b"\1\1" + data[20:])
        with connection:
            return [row[0] for row in connection.execute(query)]
    with tempfile.TemporaryDirectory(prefix="azready-rpmdb-") as folder:
        copy = Path(folder, "rpmdb.sqlite")
        copy.write_bytes(data)
        copy.with_name("rpmdb.sqlite-wal").write_bytes(journal)
        connection = sqlite3.connect(copy)
        try:
            return [row[0] for row in connection.execute(query)]
        finally:
            connection.close()


def read_ndb(files: Reader, path: str) -> dict[str, str]:
    """Read Packages.db: pages of slots (package number, block offset, block count), then blobs in 16-byte blocks."""
    return _versions(_ndb_blobs(files.read_bytes(path)))


def _ndb_blobs(data: bytes) -> Iterator[bytes]:
    if data[:4] != b"RpmP":
        raise ValueError("not an ndb package file")
    (pages,) = struct.unpack_from("<I", data, 12)
    for at in range(32, min(pages * 4096, len(data) - 15), 16):
        magic, number, block, _count = struct.unpack_from("<4sIII", data, at)
        if magic != b"Slot":
            raise ValueError(f"no slot at byte {at}")
        if number == 0:
            continue
        head, owner, _generation, length = struct.unpack_from("<4sIII", data, block * 16)
        if head != b"BlbS" or owner != number:
            raise ValueError(f"package {number} has no data where its slot points")
        yield data[block * 16 + 16 : block * 16 + 16 + length]


def read_berkeley(files: Reader, path: str) -> dict[str, str]:
    """Read Packages, a Berkeley DB hash: header blobs lie on chains of overflow pages."""
    return _versions(_berkeley_blobs(files.read_bytes(path)))


def _berkeley_blobs(data: bytes) -> Iterator[bytes]:
    magic = data[12:16]
    order = {b"\x61\x15\x06\x00": "<", b"\x00\x06\x15\x61": ">"}.get(magic)
    if order is None:
        raise ValueError("not a Berkeley DB hash file")
    (size,) = struct.unpack_from(f"{order}I", data, 20)
    if size < 512 or size > 65536:
        raise ValueError(f"impossible page size {size}")
    for start in range(size, len(data) - size + 1, size):
        if data[start + 25] in (2, 13):  # hash pages, unsorted and sorted
            yield from _berkeley_page(data, order, start, size)


def _berkeley_page(data: bytes, order: str, start: int, size: int) -> Iterator[bytes]:
    (entries,) = struct.unpack_from(f"{order}H", data, start + 20)
    for index in range(1, entries, 2):  # keys and values take turns
        (offset,) = struct.unpack_from(f"{order}H", data, start + 26 + 2 * index)
        if data[start + offset] != 3:  # not on overflow pages: the counter record, no header is that small
            continue
        page, length = struct.unpack_from(f"{order}II", data, start + offset + 4)
        parts = []
        seen: set[int] = set()
        while page and page not in seen:
            seen.add(page)
            at = page * size
            (following,) = struct.unpack_from(f"{order}I", data, at + 16)
            (used,) = struct.unpack_from(f"{order}H", data, at + 22)
            parts.append(data[at + 26 : at + 26 + used])
            page = following
        yield b"".join(parts)[:length]


def _versions(blobs: Iterable[bytes]) -> dict[str, str]:
    versions = {}
    try:
        for blob in blobs:
            name, version = _name_and_version(blob)
            if name != _PUBLIC_KEY:
                versions[name] = version
    except struct.error as error:
        raise ValueError(f"cut short ({error})") from error
    return versions


def _name_and_version(blob: bytes) -> tuple[str, str]:
    entries, _length = struct.unpack_from(">II", blob)
    if 8 + 16 * entries > len(blob):
        raise ValueError("a header is longer than its data")
    store = 8 + 16 * entries
    values: dict[int, str] = {}
    for index in range(entries):
        tag, kind, offset, _count = struct.unpack_from(">IIiI", blob, 8 + 16 * index)
        if tag in (_NAME, _VERSION, _RELEASE) and kind == _STRING:
            end = blob.index(b"\0", store + offset)
            values[tag] = blob[store + offset : end].decode(errors="replace")
        elif tag == _EPOCH and kind == _INT32:
            values[tag] = str(struct.unpack_from(">I", blob, store + offset)[0])
    if _NAME not in values:
        raise ValueError("a header has no name")
    epoch = f"{values[_EPOCH]}:" if values.get(_EPOCH, "0") != "0" else ""
    return values[_NAME], f"{epoch}{values.get(_VERSION, '')}-{values.get(_RELEASE, '')}"
