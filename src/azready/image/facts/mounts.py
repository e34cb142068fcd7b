"""What is mounted at boot: fstab and crypttab. Sources: fstab(5), crypttab(5), systemd.mount(5)."""

from collections.abc import Iterator
from dataclasses import dataclass

from azready.image.facts.reading import numbered


@dataclass(frozen=True)
class Mount:
    """A line of fstab."""

    device: str
    folder: str
    kind: str
    options: tuple[str, ...]
    line: int

    @property
    def may_be_missing(self) -> bool:
        """Whether the boot goes on without it."""
        return bool({"nofail", "noauto", "x-systemd.automount"} & set(self.options))

    @property
    def tag(self) -> tuple[str, str]:
        """(`UUID`, value) of `UUID=value` and `/dev/disk/by-uuid/value`; empty texts for a device's name."""
        name, equals, value = self.device.partition("=")
        if equals and name in ("UUID", "LABEL", "PARTUUID", "PARTLABEL"):
            return name, value.strip('"')
        by, _, value = self.device.removeprefix("/dev/disk/by-").partition("/")
        return (by.upper(), value) if self.device.startswith("/dev/disk/by-") and value else ("", "")


def parse_fstab(text: str) -> Iterator[Mount]:
    """The mounts of an fstab; lines with fewer than two fields are left out, as mount(8) does."""
    for number, line in numbered(text):
        words = line.split()
        if len(words) >= 2:
            kind = words[2] if len(words) > 2 else "auto"
            options = tuple((words[3] if len(words) > 3 else "defaults").split(","))
            yield Mount(words[0].replace("\\040", " "), words[1].replace("\\040", " "), kind, options, number)
