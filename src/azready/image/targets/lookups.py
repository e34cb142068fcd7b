"""What follows from looking at one path, one way for all kinds of targets: whether it is there, its text, patterns."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from azready.image.targets import READ_LIMIT, Stat, is_absence
from azready.image.targets.pattern import glob_each


class Lookups(ABC):
    """Brings `exists`, `read_text`, `glob` and `glob_each` of `Files` to what has these four."""

    @abstractmethod
    def listdir(self, path: str) -> list[str]: ...

    @abstractmethod
    def stat(self, path: str) -> Stat: ...

    @abstractmethod
    def lstat(self, path: str) -> Stat: ...

    @abstractmethod
    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes: ...

    def exists(self, path: str) -> bool:
        try:
            self.stat(path)
        except OSError as error:
            if is_absence(error):
                return False
            raise
        return True

    def read_text(self, path: str, limit: int = READ_LIMIT) -> str:
        return self.read_bytes(path, limit).decode(errors="surrogateescape")

    def glob(self, pattern: str) -> list[str]:
        return self.glob_each([pattern])[pattern]

    def glob_each(self, patterns: Iterable[str]) -> dict[str, list[str]]:
        return glob_each(patterns, self.listdir, self._lexists, self._is_folder)

    def _lexists(self, path: str) -> bool:
        try:
            self.lstat(path)
        except OSError as error:
            if is_absence(error):
                return False
            raise
        return True

    def _is_folder(self, path: str) -> bool:
        return self.lstat(path).kind == "dir"
