"""Services: which are installed, enabled, masked, and what a first boot would preset. systemd and OpenRC.

Sources: systemd.unit(5) (folders and precedence), systemd.preset(5), OpenRC's user guide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from azready.image.facts.reading import layered, lstat_of, names_in, numbered, text_of, unit_sections
from azready.image.targets import Files

SYSTEM_FOLDERS = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
PRESET_FOLDERS = (
    "etc/systemd/system-preset",
    "run/systemd/system-preset",
    "usr/local/lib/systemd/system-preset",
    "usr/lib/systemd/system-preset",
    "lib/systemd/system-preset",
)
RUNLEVELS = ("sysinit", "boot", "default")
_SUFFIXES = (".service", ".socket", ".target", ".timer", ".path", ".mount", ".swap", ".automount")


@dataclass(frozen=True)
class Preset:
    """A line of a preset file."""

    enable: bool
    pattern: str
    where: str


@dataclass(frozen=True)
class Units:
    """The services of an image. Names are given with their suffix (`ssh.service`) or, for OpenRC, without."""

    files: Files
    installed: Mapping[str, str]
    """Unit name to the path of its file; the folder with precedence wins."""
    wanted: Mapping[str, tuple[str, ...]]
    """Unit name to the links that enable it (`etc/systemd/system/multi-user.target.wants/ssh.service`), be the unit
    there or not."""
    masked: frozenset[str]
    aliases: Mapping[str, str]
    """Link name in etc/systemd/system to the unit it stands for: `sshd.service` to `ssh.service`."""
    presets: tuple[Preset, ...]
    openrc: Mapping[str, tuple[str, ...]]
    """Service to the runlevels that start it."""

    def has(self, name: str) -> bool:
        """Whether the unit (or OpenRC script) is there at all."""
        if name in self.installed or name in self.aliases:
            return True
        template, at, _ = name.partition("@")
        if at and f"{template}@.service" in self.installed:
            return True
        return self.files.exists(f"etc/init.d/{name.removesuffix('.service')}")

    def enabled(self, *names: str) -> bool:
        """Whether any of the units starts at boot (a masked one does not)."""
        return any(self._enabled(name) for name in names)

    def _enabled(self, name: str) -> bool:
        if name in self.masked:
            return False
        if name.removesuffix(".service") in self.openrc:
            return True
        return bool(self.wanted.get(name)) or any(
            self.wanted.get(alias) for alias, real in self.aliases.items() if real == name
        )

    def preset(self, name: str) -> Preset | None:
        """The first preset line that matches; None means: enable."""
        return next((preset for preset in self.presets if fnmatchcase(name, preset.pattern)), None)

    def values(self, name: str, section: str, key: str) -> list[str]:
        """The values of `key` in the unit and its drop-ins, in order; an empty assignment forgets those before."""
        paths = [self.installed[name]] if name in self.installed else []
        paths += layered(self.files, [f"{folder}/{name}.d" for folder in SYSTEM_FOLDERS], ".conf")
        found: list[str] = []
        for path in paths:
            for where, what, value, _ in unit_sections(text_of(self.files, path) or ""):
                if where == section and what == key:
                    found = [*found, value] if value else []
        return found

    def installable(self, name: str) -> bool:
        """Whether `systemctl enable` (and so a preset) has anything to do for it."""
        return bool(self.values(name, "Install", "WantedBy") or self.values(name, "Install", "RequiredBy"))


def gather_units(files: Files) -> Units:
    """Index the unit folders once: names and links only, no unit is read."""
    installed: dict[str, str] = {}
    wanted: dict[str, list[str]] = {}
    masked = set()
    aliases: dict[str, str] = {}
    for folder in SYSTEM_FOLDERS:
        for name in names_in(files, folder):
            path = f"{folder}/{name}"
            if name.endswith((".wants", ".requires", ".upholds")):
                for each in names_in(files, path):
                    wanted.setdefault(each, []).append(f"{path}/{each}")
            elif name.endswith(_SUFFIXES) and name not in installed and name not in masked:
                link = _link(files, path)
                if link == "/dev/null" or (not link and _empty(files, path)):
                    masked.add(name)
                elif link and link.rpartition("/")[2] != name and "/systemd/" in f"/{folder}/{link}":
                    aliases.setdefault(name, link.rpartition("/")[2])
                else:
                    installed[name] = path
    return Units(
        files,
        installed,
        {name: tuple(links) for name, links in wanted.items()},
        frozenset(masked),
        aliases,
        gather_presets(files),
        _gather_openrc(files),
    )


def _link(files: Files, path: str) -> str:
    found = lstat_of(files, path)
    return files.readlink(path) if found and found.kind == "link" else ""


def _empty(files: Files, path: str) -> bool:
    found = lstat_of(files, path)
    return bool(found and found.kind == "file" and found.size == 0)


def gather_presets(files: Files) -> tuple[Preset, ...]:
    """Every preset line in the order in which systemd tries them."""
    presets = []
    for path in layered(files, PRESET_FOLDERS, ".preset"):
        for number, line in numbered(text_of(files, path) or "", "#;"):
            words = line.split()
            if len(words) >= 2 and words[0] in ("enable", "disable", "ignore"):
                presets.append(Preset(words[0] != "disable", words[1], f"{path}:{number}"))
    return tuple(presets)


def _gather_openrc(files: Files) -> dict[str, tuple[str, ...]]:
    levels: dict[str, list[str]] = {}
    for level in RUNLEVELS:
        for name in names_in(files, f"etc/runlevels/{level}"):
            levels.setdefault(name, []).append(level)
    return {name: tuple(found) for name, found in levels.items()}
