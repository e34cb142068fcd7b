"""What OpenRC starts at boot: the runlevels' services with all that these need; and what it believes to run in.

Sources: OpenRC's openrc-run(8) (need, want), rc.conf (rc_sys).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from azready.image.facts.reading import layered, numbered, text_of, unquoted
from azready.image.targets import Files

_ASKS = re.compile(r"^\s*(?:need|want)\s+(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class System:
    """What the image says that it runs in: `lxc`, `docker` …; and where it says so."""

    name: str
    where: str


def claimed_system(files: Files) -> System | None:
    """The last rc_sys; None where OpenRC looks for itself."""
    found = None
    for path in ("etc/rc.conf", *layered(files, ["etc/rc.conf.d"], ".conf")):
        for number, line in numbered(text_of(files, path) or ""):
            key, equals, value = line.partition("=")
            if equals and key.strip() == "rc_sys":
                found = System(unquoted(value).lower(), f"{path}:{number}")
    return found if found and found.name else None


def started(files: Files, chosen: Iterable[str]) -> frozenset[str]:
    """The services that start: those chosen by a runlevel, and what they need or want."""
    found: set[str] = set()
    waiting = list(chosen)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _asked_for(files, name)
    return frozenset(found)


def _asked_for(files: Files, name: str) -> list[str]:
    lines: list[str] = _ASKS.findall(text_of(files, f"etc/init.d/{name}") or "")
    return [word for line in lines for word in line.partition("#")[0].split()]
