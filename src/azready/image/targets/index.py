"""Every name of a remote machine's file systems, gathered in one round trip and then answered from memory."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from azready.image.targets import Stat
from azready.image.targets.links import located
from azready.image.targets.openat import require_shallow


@dataclass(frozen=True)
class Entry:
    """A name: what stat(2) says of it, and the text of a link."""

    stat: Stat
    link: str = ""


class Index:
    """Paths and what they are. Links are followed here, as the machine itself would."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._children: dict[str, set[str]] = {}

    def add(self, path: str, entry: Entry) -> None:
        """Add or replace one name; its folder must be there already, or follow."""
        folder, _, name = path.rpartition("/")
        self._entries[path] = entry
        if path:
            self._children.setdefault(folder, set()).add(name)

    def drop(self, path: str) -> None:
        """Forget a name and everything below it."""
        for name in list(self._children.get(path, ())):
            self.drop(f"{path}/{name}")
        self._children.pop(path, None)
        self._entries.pop(path, None)
        folder, _, name = path.rpartition("/")
        self._children.get(folder, set()).discard(name)

    def change(self, path: str, **fields: int) -> None:
        """Change fields of a name's Stat, which must be there."""
        entry = self._entries[path]
        self._entries[path] = replace(entry, stat=replace(entry.stat, **fields))  # type: ignore[arg-type]

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def entry(self, path: str) -> Entry:
        """Of a path without links; FileNotFoundError when it is not there."""
        found = self._entries.get(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return found

    def names(self, path: str) -> list[str]:
        """The names in a folder without links, sorted; NotADirectoryError for anything else."""
        if self.entry(path).stat.kind != "dir":
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return sorted(self._children.get(path, ()))

    def resolve(self, path: str, follow: bool = True) -> str:
        """The path without links. Its last component need not exist; with `follow` a link there is followed too."""
        return located(path, self._kind, lambda here: self._entries[here].link, follow)

    def _kind(self, path: str) -> str | None:
        found = self._entries.get(path)
        return found.stat.kind if found else None

    def walk(self, path: str, device: int, depth: int = 0) -> Iterator[tuple[str, Stat]]:
        """Everything below a folder that is on the file system `device`, parents first."""
        require_shallow(depth, path)
        for name in self.names(path):
            below = f"{path}/{name}" if path else name
            found = self._entries[below].stat
            yield below, found
            if found.kind == "dir" and found.device == device:
                yield from self.walk(below, device, depth + 1)


# GNU find prints everything itself; busybox's has no -printf, and there stat and readlink do it.
LISTING = r"""
folders=$(awk '$3 ~ /^(ext[234]|xfs|btrfs|vfat|f2fs|overlay|squashfs|erofs|zfs|tmpfs|fuseblk)$/ &&
    $2 !~ /^\/(proc|sys|dev|snap|var\/lib\/(docker|containerd|containers|kubelet))\// &&
    $2 !~ /^\/(proc|sys|dev)$/ { print $2 }' /proc/self/mounts | sort -u)
case "
$folders
" in *"
/
"*) ;; *) folders="/
$folders" ;; esac
IFS='
'
if find / -maxdepth 0 -printf '' 2>/dev/null; then
    find $folders -xdev -printf '%m %y %U %G %s %T@ %D %p\0L%l\0' 2>/dev/null
else
    find $folders -xdev ! -type l -exec stat -c '%f x %u %g %s %Y %d %n' {} + 2>/dev/null | tr '\n' '\0'
    find $folders -xdev -type l -exec sh -c '
        for path; do
            printf "%s %s\0L%s\0" "$(stat -c "%f x %u %g %s %Y %d" "$path")" "$path" "$(readlink "$path")"
        done
    ' sh {} + 2>/dev/null
fi | gzip -1
"""
"""Run by sh on the machine: every name on its real file systems, as `mode type uid gid size mtime device path` and
`Ltext-of-the-link`, each ended by a zero byte, gzipped. Type `x`: the mode is in hexadecimal and holds the type."""

_TYPES = {"f": 0o100000, "d": 0o040000, "l": 0o120000, "p": 0o010000, "s": 0o140000, "b": 0o060000, "c": 0o020000}


def parse_listing(data: bytes) -> Index:
    """Read what `LISTING` printed (unpacked). Raises ValueError when it is not that."""
    index = Index()
    index.add("", Entry(Stat("dir", 0o755, 0, 0, 0)))
    path = ""
    for field in data.decode(errors="surrogateescape").split("\0"):
        if field.startswith("L"):
            if path in index:
                index.add(path, Entry(index.entry(path).stat, field[1:]))
        elif field:
            path, stat = _line(field)
            index.add(path, Entry(stat))
    return index


def _line(field: str) -> tuple[str, Stat]:
    mode, kind, uid, gid, size, mtime, device, path = field.split(" ", 7)
    st_mode = int(mode, 16) if kind == "x" else int(mode, 8) | _TYPES.get(kind, 0o100000)
    try:
        return path.strip("/"), Stat.of(st_mode, int(uid), int(gid), int(size), float(mtime), int(device))
    except (KeyError, OverflowError) as error:
        raise ValueError(f"no mode of a file: {mode}") from error
