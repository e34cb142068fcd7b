"""The rpm database in its three forms: SQLite (Fedora, RHEL 9), ndb (SUSE), Berkeley DB hash (RHEL 7 and 8).

All three hold the same header blobs; only NAME, EPOCH, VERSION and RELEASE are taken from them.
Source: rpm's documentation of the header format, lib/backend/ndb/rpmpkg.c, Berkeley DB's db_page.h.
"""

import sqlite3
import struct
import tempfile
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from azready.image.facts.packages.model import Reader

_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_STRING, _INT32 = 6, 4
_READING = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
_STEP, _MOST_STEPS = 100_000, 2000
"""Instructions of SQLite's machine, which takes a few for each package: together some seconds."""
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
    if not journal:
        if data[:16] != b"SQLite format 3\0":
            raise ValueError("not an SQLite file")
        connection = sqlite3.connect(":memory:")
        # Bytes 18 and 19 say "write-ahead log", which a database in memory cannot have.
        connection.deserialize(data[:18] + b"\1\1" + data[20:])
        with connection:
            return _rows(connection, len(data))
    with tempfile.TemporaryDirectory(prefix="azready-rpmdb-") as folder:
        copy = Path(folder, "rpmdb.sqlite")
        copy.write_bytes(data)
        copy.with_name("rpmdb.sqlite-wal").write_bytes(journal)
        connection = sqlite3.connect(copy)
        try:
            return _rows(connection, len(data) + len(journal))
        finally:
            connection.close()


def _rows(connection: sqlite3.Connection, size: int) -> list[bytes]:
    """The headers. The schema is the image's, too: a view or a function in it could go on for ever."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(size, 1 << 16))
    steps = count(1)
    connection.set_progress_handler(lambda: next(steps) > _MOST_STEPS, _STEP)
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY)
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'Packages' AND rootpage > 0").fetchone() is None:
        raise ValueError("no table of packages")
    return [*_within((row[0] for row in connection.execute("SELECT blob FROM Packages")), size)]


def _within(blobs: Iterable[object], size: int) -> Iterator[bytes]:
    """The headers of a file of that size. Raises ValueError where pages that are used twice make more of it."""
    held = 0
    for blob in blobs:
        if not isinstance(blob, bytes):
            raise ValueError("a package without a header")
        held += len(blob)
        if held > size:
            raise ValueError("its packages come to more than the file")
        yield blob


def read_ndb(files: Reader, path: str) -> dict[str, str]:
    """Read Packages.db: pages of slots (package number, block offset, block count), then blobs in 16-byte blocks."""
    data = files.read_bytes(path)
    return _versions(_within(_ndb_blobs(data), len(data)))


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
    data = files.read_bytes(path)
    return _versions(_within(_berkeley_blobs(data), len(data)))


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
        if not data.startswith(b"\3", start + offset):  # not on overflow pages: the counter, no header is that small
            continue
        page, length = struct.unpack_from(f"{order}II", data, start + offset + 4)
        parts: list[bytes] = []
        left = min(length, len(data))
        while page and left > 0:
            at = page * size
            (following,) = struct.unpack_from(f"{order}I", data, at + 16)
            (used,) = struct.unpack_from(f"{order}H", data, at + 22)
            parts.append(data[at + 26 : at + 26 + used])
            left -= used
            page = following if used else 0
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
        if tag in (_NAME, _VERSION, _RELEASE) and kind == _STRING and tag not in values:
            end = blob.index(b"\0", store + offset)
            values[tag] = blob[store + offset : end].decode(errors="replace")
        elif tag == _EPOCH and kind == _INT32:
            values[tag] = str(struct.unpack_from(">I", blob, store + offset)[0])
    if _NAME not in values:
        raise ValueError("a header has no name")
    epoch = f"{values[_EPOCH]}:" if values.get(_EPOCH, "0") != "0" else ""
    return values[_NAME], f"{epoch}{values.get(_VERSION, '')}-{values.get(_RELEASE, '')}"
