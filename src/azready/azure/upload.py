"""Upload of a VHD to a managed disk: only the data, in parallel, resumable, by azcopy's rules for such disks.

The blob behind a managed disk (host `md-…`) exists already: it cannot be created, must have exactly the file's
size, and takes page writes of at most 4 MiB. Where an earlier try left data that the file does not have, zeros are
written, so that the end is the file however often it was begun. Which pieces arrived is kept in a journal beside the
state file, bound to file and disk.
"""

import http.client
import os
import queue
import random
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from azready.azure.pages import Connection, Reply, Sas, parse_page_ranges
from azready.azure.ranges import Range, data_ranges, minus, pieces
from azready.errors import Failure

THREADS = 8
TRIES = 8
BUSY = {408, 429, 500, 502, 503, 504}
AGAIN = "run the same command again: it goes on where it stopped"


class UploadFailed(Failure):
    """The upload stopped; what arrived is in the journal."""


@dataclass(frozen=True)
class Uploaded:
    """What an upload did: bytes sent, zeros written over old data, bytes skipped as sent before, requests."""

    sent: int
    zeroed: int
    skipped: int
    requests: int


_PIECE = re.compile("^([0-9]{1,18}) ([0-9]{1,18})\\n", re.MULTILINE)
"""A line. A kill or a power cut may have left a part of the last one."""


@dataclass
class Journal:
    """The pieces that arrived, one a line; the first line names file and disk. Append-only."""

    path: Path
    title: str
    done: set[Range] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self) -> None:
        """Read what an earlier run wrote; a journal of another file or disk is begun anew."""
        try:
            first, _, rest = self.path.read_text(encoding="utf-8").partition("\n")
        except (OSError, ValueError):
            first, rest = "", ""
        if first == self.title:
            whole = rest[: rest.rfind("\n") + 1]
            self.done = {Range(int(start), int(end)) for start, end in _PIECE.findall(whole)}
            if whole != rest:  # what is added next must begin a line
                self.path.write_text(f"{first}\n{whole}", encoding="utf-8")
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self.path.touch(0o600)
        self.path.write_text(self.title + "\n", encoding="utf-8")

    def add(self, piece: Range) -> None:
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(f"{piece.start} {piece.end}\n")

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def journal_for(path: Path, disk: str, file: Path) -> Journal:
    """The journal of the upload of `file` to `disk`; a file that changed since is another file."""
    facts = file.stat()
    return Journal(path, f"{disk} {facts.st_size} {facts.st_mtime_ns}")


@dataclass(frozen=True)
class Upload:
    """One upload. `grant` returns a SAS; it is called again when one expires."""

    file: Path
    grant: Callable[[], Sas]
    journal: Journal
    progress: Callable[[int], None] = lambda done: None
    say: Callable[[str], None] = lambda text: None
    threads: int = THREADS
    ca: str | None = None
    pause: float = 1.0
    """The first wait after a lost connection or a busy answer, in seconds; it doubles, up to 30."""

    def run(self) -> Uploaded:
        """Send what is missing. Raises UploadFailed; the journal then holds what arrived."""
        access = _Access(self.grant)
        first = _Sender(self, access, threading.Event())
        try:
            self._check_size(first)
            there = first.page_ranges()
        finally:
            first.connection.close()
        self.journal.load()
        data = list(data_ranges(self.file))
        sure = {piece for piece in self.journal.done if _covered(piece, there)}
        todo = [piece for piece in data if piece not in sure]
        zeros = list(pieces(minus(there, data)))
        self.progress(sum(len(piece) for piece in data) - sum(len(piece) for piece in todo))
        requests = self._send_all(access, [*((piece, True) for piece in todo), *((piece, False) for piece in zeros)])
        return Uploaded(sum(map(len, todo)), sum(map(len, zeros)), sum(map(len, data)) - sum(map(len, todo)), requests)

    def _check_size(self, sender: "_Sender") -> None:
        reply = sender.insist("look at the disk", lambda connection: connection.size())
        size = self.file.stat().st_size
        if reply.headers.get("x-ms-blob-type", "PageBlob") != "PageBlob":
            raise UploadFailed("what the SAS points to is not a page blob", "upload to a managed disk")
        if int(reply.headers.get("content-length", "-1")) != size:
            raise UploadFailed(
                f"the disk takes {reply.headers.get('content-length')} bytes, the file has {size}",
                "the file changed since the disk was made: remove the disk and begin again with --restart",
            )

    def _send_all(self, access: "_Access", work: list[tuple[Range, bool]]) -> int:
        todo: queue.SimpleQueue[tuple[Range, bool]] = queue.SimpleQueue()
        for item in work:
            todo.put(item)
        stop, errors = threading.Event(), list[BaseException]()
        senders = [_Sender(self, access, stop) for _ in range(min(self.threads, len(work)))]

        def drain(sender: _Sender) -> None:
            try:
                sender.drain(todo)
            except BaseException as error:
                errors.append(error)
                stop.set()
            finally:
                sender.connection.close()

        threads = [threading.Thread(target=drain, args=(sender,), daemon=True) for sender in senders]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            stop.set()
            raise
        if errors:
            raise errors[0]
        return sum(sender.requests for sender in senders)


class _Access:
    """The current SAS, shared by all threads; renewed once however many of them find it expired."""

    def __init__(self, grant: Callable[[], Sas]) -> None:
        self._grant = grant
        self._lock = threading.Lock()
        self.sas = grant()

    def renew(self, refused: Sas) -> bool:
        """Get another SAS unless somebody did already; false when the new one is the refused one."""
        with self._lock:
            if self.sas is refused:
                self.sas = self._grant()
            return self.sas.url != refused.url


class _Sender:
    """One thread's connection, with retries."""

    def __init__(self, upload: Upload, access: _Access, stop: threading.Event) -> None:
        self._upload = upload
        self._access = access
        self._stop = stop
        self.connection = Connection(access.sas, upload.ca)
        self.requests = 0

    def drain(self, todo: "queue.SimpleQueue[tuple[Range, bool]]") -> None:
        """Send pieces until none is left, or another worker failed; data that arrived is in the journal."""
        with self._upload.file.open("rb", buffering=0) as file:
            while not self._stop.is_set():
                try:
                    piece, is_data = todo.get_nowait()
                except queue.Empty:
                    return
                self._put(piece, os.pread(file.fileno(), len(piece), piece.start) if is_data else bytes(len(piece)))
                if is_data:
                    self._upload.journal.add(piece)
                    self._upload.progress(len(piece))

    def _put(self, piece: Range, data: bytes) -> None:
        if len(data) != len(piece):
            raise UploadFailed("the file became shorter during the upload", "leave it alone, and begin again")
        self.insist(f"write {len(piece)} bytes at {piece.start}", lambda connection: connection.put(piece, data))

    def page_ranges(self) -> list[Range]:
        found: list[Range] = []
        marker = ""
        while True:
            reply = self.insist("list what the disk holds", partial(Connection.page_ranges, marker=marker))
            more, marker = parse_page_ranges(reply.body)
            found += more
            if not marker:
                return sorted(found)

    def insist(self, doing: str, ask: Callable[[Connection], Reply]) -> Reply:
        """Ask until it succeeds; give up after TRIES, or at once on an answer that will not change."""
        pause, reason = self._upload.pause, ""
        for attempt in range(TRIES):
            if attempt and self._stop.wait(min(pause, 30.0) * random.uniform(0.7, 1.3)):
                break
            pause *= 2 if attempt else 1
            self.requests += 1
            try:
                reply = ask(self.connection)
            except (OSError, http.client.HTTPException) as error:
                reason = f"connection lost ({type(error).__name__})"
                continue
            if reply.status < 300:
                return reply
            reason = reply.code
            if reply.status == 403:
                self._renewed(doing, reply)
            elif reply.status not in BUSY:
                raise UploadFailed(f"cannot {doing}: {self.connection.sas.host} answers {reason}", AGAIN)
            elif reply.wait:
                self._upload.say(f"  {self.connection.sas.host} asks to wait {reply.wait:g} s ({reason})")
                self._stop.wait(min(reply.wait, 60.0))
        raise UploadFailed(f"cannot {doing} after {TRIES} tries: {reason}", AGAIN)

    def _renewed(self, doing: str, reply: Reply) -> None:
        refused = self.connection.sas
        if self._access.sas is refused:
            self._upload.say(f"  the access to the disk was refused ({reply.code}): asking for a new SAS")
        if not self._access.renew(refused):
            raise UploadFailed(
                f"cannot {doing}: access refused ({reply.code}), with a new SAS too",
                "was the access revoked elsewhere (`az disk revoke-access`)? then remove the disk and use --restart",
            )
        self.connection.use(self._access.sas)


def _covered(piece: Range, there: Iterable[Range]) -> bool:
    return not any(True for _ in minus([piece], there))
