"""Which drivers may not be loaded: modprobe.d, and the command line. Source: modprobe.d(5), kernel-parameters."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from azready.image.facts.cmdline import BootEntry
from azready.image.facts.reading import layered, text_of
from azready.image.targets import Files

FOLDERS = ("etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d")
_RULE = re.compile(r"^\s*(blacklist|install)\s+([\w-]+)\s*(.*)$", re.MULTILINE)
_NOTHING = re.compile(r"(/\S*/)?(true|false|:)\b|exit\b")
_ARGUMENTS = ("module_blacklist", "modprobe.blacklist", "rd.driver.blacklist")


@dataclass(frozen=True)
class Ban:
    """A driver that is kept out, by which means, and where that stands (`path:line`).

    `blacklist` only stops loading by alias; `install NAME /bin/true` stops every load.
    """

    module: str
    how: str
    where: str


def gather_bans(files: Files, entries: Iterable[BootEntry]) -> tuple[Ban, ...]:
    """All bans of the image, those on the command lines among them."""
    bans: list[Ban] = []
    for path in layered(files, FOLDERS, ".conf"):
        bans += parse_bans(text_of(files, path) or "", path)
    for entry in entries:
        for name in _ARGUMENTS:
            for value in entry.values(name):
                bans += [Ban(_plain(module), name, entry.where) for module in value.split(",") if module]
    return tuple(bans)


def parse_bans(text: str, path: str) -> Iterator[Ban]:
    """`blacklist NAME`, and `install NAME` with a command that does nothing."""
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        if (found := _RULE.match(line)) and (found[1] == "blacklist" or _NOTHING.match(found[3].strip())):
            yield Ban(_plain(found[2]), found[1], f"{path}:{number}")


def bans_in_archive(contents: Mapping[str, bytes]) -> tuple[Ban, ...]:
    """Bans that an initramfs carries a copy of; `where` is the path inside it."""
    return tuple(
        ban
        for name, data in sorted(contents.items())
        if "modprobe.d/" in name
        for ban in parse_bans(data.decode(errors="replace"), name)
    )


def _plain(module: str) -> str:
    return module.replace("-", "_")
