"""PAM's rules of a service for accounts and sessions: what is asked even of who comes with a key.

Sources: pam.d(5), and what Linux-PAM does of it: "-" before a type only keeps it silent about a missing module, a
module that is missing fails its line, and a service without a file has the rules of "other".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from azready.image.facts.reading import MOST_INCLUDED, Budget, first_there, text_of
from azready.image.targets import Files

_FOLDERS = ("etc/pam.d", "usr/lib/pam.d")
_MODULES = "{usr/lib64,lib64,usr/lib,lib,usr/lib/*-linux-*,lib/*-linux-*}/security/pam_unix.so"
_INCLUDES = ("include", "substack")


@dataclass(frozen=True)
class PamRule:
    """One line: `account` or `session`, its control in lower case, the module as it is written, its arguments."""

    kind: str
    control: str
    module: str
    arguments: str
    where: str

    @property
    def name(self) -> str:
        """The module without folder and ending: `pam_deny`."""
        return self.module.rpartition("/")[2].partition(".")[0]

    @property
    def demands(self) -> bool:
        """Whether nobody gets in whom the module refuses."""
        return self.control in ("required", "requisite") or re.search(r"=(die|bad)", self.control) is not None

    @property
    def may_lack_it(self) -> bool:
        """Whether nothing happens where the module is not in the image (Debian's pam_selinux)."""
        return not self.demands or "module_unknown=ignore" in self.control

    @property
    def jumps(self) -> bool:
        """Whether its success leaves out lines behind it."""
        return self.control == "sufficient" or re.search(r"success=(d|[0-9])", self.control) is not None


def pam_rules(files: Files, service: str) -> Iterator[PamRule]:
    """The rules of a service in PAM's order; what is included stands in its place. Raises ValueError for includes
    without end."""
    path = _file(files, service) or _file(files, "other")
    return _rules(files, path, "", (), Budget(MOST_INCLUDED, "files")) if path else iter(())


def modules_folders(files: Files) -> tuple[str, ...]:
    """The folders of PAM's modules, one for each kind of processor (pam.i686 beside pam.x86_64)."""
    return tuple(path.rpartition("/")[0] for path in files.glob(_MODULES))


def _file(files: Files, name: str) -> str | None:
    if name.startswith("/"):
        return name.lstrip("/")
    return first_there(files, (f"{folder}/{name}" for folder in _FOLDERS))


def _rules(files: Files, path: str, only: str, above: tuple[str, ...], budget: Budget) -> Iterator[PamRule]:
    if path in above:
        return
    budget.take()
    inside = (*above, path)
    text = re.sub(r"\\\n", " ", text_of(files, path) or "")
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r"\s*-?(\w+)\s+(\[[^\]]*\]|\S+)\s+(\S+)\s*(.*)", line.partition("#")[0])
        included = re.match(r"\s*@include\s+(\S+)", line)
        if included:
            yield from _rules(files, _file(files, included[1]) or "", only, inside, budget)
        elif found:
            kind, control, module, rest = found[1].lower(), found[2].lower(), found[3], found[4].strip()
            if kind not in ("account", "session") or (only and kind != only):
                continue
            if control in _INCLUDES:
                yield from _rules(files, _file(files, module) or "", kind, inside, budget)
            else:
                yield PamRule(kind, control, module, rest, f"{path}:{number}")
