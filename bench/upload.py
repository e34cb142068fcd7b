"""Uploading a VHD: azready's upload against a plain loop of the same requests, to Azurite, as a ratio of times.

A sparse file of 2 GiB with 429 MiB of data, into Microsoft's imitation of Azure Storage (from npm, on loopback, in a
network namespace that has nothing else). The plain loop knows beforehand which ranges hold data and sends them from as
many threads: it neither looks for them, nor lists what is there, nor keeps a journal, nor tries again.
"""

import http.client
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from azready.azure.pages import API, Sas
from azready.azure.ranges import Range, data_ranges
from azready.azure.upload import THREADS, Upload, journal_for
from bench.__main__ import show
from bench.table import Row
from tests.azure import azurite, netns

MIB = 1 << 20
SIZE_MIB, DATA_MIB, PART_MIB, ROUNDS = 2048, 429, 3, 2


def main() -> int:
    if os.geteuid() != 0:
        print("upload: left out: it wants a network namespace, and so root")
        return 0
    program = azurite.install()
    times: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="azready-bench-") as name, netns.own_namespace():
        folder = Path(name)
        disk = _disk(folder)
        found = list(data_ranges(disk))

        def timed(number: str, send: Callable[[str], object]) -> float:
            with azurite.page_blob(*program, folder / number, SIZE_MIB * MIB) as store:
                started = time.perf_counter()
                send(f"http://127.0.0.1:{store._port}{store._path}")
                return time.perf_counter() - started

        def ours(url: str) -> None:
            nonlocal sent
            (folder / "pages").unlink(missing_ok=True)
            sent = Upload(disk, lambda: Sas(url), journal_for(folder / "pages", url, disk)).run().sent

        sent = 0
        for number in range(ROUNDS):
            loop = timed(f"loop{number}", lambda url: _plain(disk, found, url))
            times.append((timed(f"ours{number}", ours), loop))
    best, least = (min(each) for each in zip(*times, strict=True))
    note = f"{best:.2f} s / {least:.2f} s, the fastest of {ROUNDS}"
    return show(
        "upload",
        [
            Row("U1", "upload of 2 GiB with 429 MiB: time / a plain loop's", best / least, 1.1, 2.0, note),
            Row("U2", "... bytes sent / the data's", sent / (DATA_MIB * MIB), 1.02, 1.1, f"{len(found)} requests"),
        ],
    )


def _disk(folder: Path) -> Path:
    path = folder / "disk.vhd"
    with path.open("wb") as file:
        file.truncate(SIZE_MIB * MIB)
        for part in range(DATA_MIB // PART_MIB):
            file.seek(part * (SIZE_MIB // (DATA_MIB // PART_MIB)) * MIB)
            file.write(os.urandom(PART_MIB * MIB))
    return path


def _plain(disk: Path, found: list[Range], url: str) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for sent in [pool.submit(_send, disk, found[first::THREADS], url) for first in range(THREADS)]:
            sent.result()


def _send(disk: Path, ranges: list[Range], url: str) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    with disk.open("rb", buffering=0) as file:
        for each in ranges:
            where = f"bytes={each.start}-{each.end - 1}"
            headers = {"x-ms-version": API, "x-ms-page-write": "update", "x-ms-range": where}
            body = os.pread(file.fileno(), len(each), each.start)
            connection.request("PUT", f"{parts.path}?comp=page&{parts.query}", body, headers)
            with connection.getresponse() as answer:
                answer.read()
                assert answer.status == 201, answer.status
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
