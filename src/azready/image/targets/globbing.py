"""`glob` of files that can be listed and looked at, one way for all kinds of targets."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from azready.image.targets import Stat
from azready.image.targets.pattern import glob_each


class Globbing(ABC):
    """Brings `glob` and `glob_each` of `Files` to what has its `listdir` and `lstat`."""

    @abstractmethod
    def listdir(self, path: str) -> list[str]: ...

    @abstractmethod
    def lstat(self, path: str) -> Stat: ...

    def glob(self, pattern: str) -> list[str]:
        return self.glob_each([pattern])[pattern]

    def glob_each(self, patterns: Iterable[str]) -> dict[str, list[str]]:
        return glob_each(patterns, self.listdir, self._lexists, self._is_folder)

    def _lexists(self, path: str) -> bool:
        try:
            self.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _is_folder(self, path: str) -> bool:
        return self.lstat(path).kind == "dir"
