"""Files that nobody changes meanwhile: what was asked once is answered from memory, refusals too.

The rules ask for the same folders and files again and again, each in its own words; of a machine over ssh every file
costs a round trip.
"""

from collections.abc import Iterator
from typing import Any

from azready.image.targets import READ_LIMIT, Files, Stat
from azready.image.targets.lookups import Lookups

_MOST = 1 << 20
"""Bytes of one file that are kept: kernels and initramfs are read once anyhow."""


class Remembered(Lookups):
    """The files of an open target while it is looked at."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._answers: dict[tuple[Any, ...], Any] = {}

    def _once(self, question: str, *about: Any) -> Any:
        key = (question, *about)
        if key in self._answers:
            answer = self._answers[key]
        else:
            try:
                answer = getattr(self._files, question)(*about)
            except OSError as error:
                answer = error
            if not isinstance(answer, bytes | str) or len(answer) <= _MOST:
                self._answers[key] = answer
        if isinstance(answer, OSError):
            raise answer.with_traceback(None)
        return answer

    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes:
        data: bytes = self._once("read_bytes", path, limit)
        return data

    def read_head(self, path: str, size: int) -> bytes:
        data: bytes = self._once("read_head", path, size)
        return data

    def read_text(self, path: str, limit: int = READ_LIMIT) -> str:
        text: str = self._once("read_text", path, limit)
        return text

    def exists(self, path: str) -> bool:
        return bool(self._once("exists", path))

    def stat(self, path: str) -> Stat:
        found: Stat = self._once("stat", path)
        return found

    def lstat(self, path: str) -> Stat:
        found: Stat = self._once("lstat", path)
        return found

    def readlink(self, path: str) -> str:
        return str(self._once("readlink", path))

    def resolve(self, path: str) -> str:
        return str(self._once("resolve", path))

    def listdir(self, path: str) -> list[str]:
        return [*self._once("listdir", path)]

    def walk(self, path: str) -> Iterator[tuple[str, Stat]]:
        return self._files.walk(path)
