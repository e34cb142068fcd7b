"""A running machine over ssh as a target: its names from one listing, its small files from one tar, the rest on demand.

Each script is one round trip. `run` may change anything, so the listing is taken again after it when it is needed.
"""

import errno
import io
import os
import shlex
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from azready import installed
from azready.errors import Failure
from azready.image.targets import READ_LIMIT, Stat
from azready.image.targets.image_programs import environment
from azready.image.targets.index import LISTING, Entry, Index, parse_listing
from azready.image.targets.lookups import Lookups
from azready.image.targets.shell import Shell
from azready.proc import CommandFailed, Completed

_LARGEST_WARM = 256 * 1024
_MOST_WARM = 48 * 1024 * 1024
_WARM = (
    "etc/",
    "boot/grub",
    "boot/loader/",
    "boot/config-",
    "usr/lib/os-release",
    "usr/lib/systemd/system",
    "usr/lib/systemd/network/",
    "usr/lib/udev/rules.d/",
    "usr/lib/modprobe.d/",
    "usr/lib/NetworkManager/conf.d/",
    "usr/lib/sysctl.d/",
    "usr/share/defaults/",
    "var/lib/cloud/",
    f"{installed.STATE}/",
)
"""Where the rules read most of their small files: these come in one round trip with the first file that is read."""

_NOT_LISTED = ("proc", "sys", "dev")


_LONGEST_LISTING = 512 << 20


def _unpacked(data: bytes) -> bytes:
    """A gzip file's content. Raises ValueError where that is longer than any listing."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        content = unpacker.decompress(data, _LONGEST_LISTING)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacker.eof:
        raise ValueError("the listing is cut short" if len(content) < _LONGEST_LISTING else "the listing has no end")
    return content


class Ssh(Lookups):
    """A machine over ssh. Closing it ends the connection."""

    def __init__(self, shell: Shell, name: str) -> None:
        self._shell = shell
        self._name = name
        self._index: Index | None = None
        self._contents: dict[str, bytes] | None = None

    # ---- Files

    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes:
        data = self.read_head(path, limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        return data

    def read_head(self, path: str, size: int) -> bytes:
        if _is_not_listed(path):
            return self._fetch(path, size)
        real = self._real(path)
        stat = self._listing.entry(real).stat
        if stat.kind == "dir":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if stat.kind != "file":
            raise OSError(errno.EINVAL, "not a regular file", path)
        warm = self._warm()
        if real in warm:
            return warm[real][:size]
        data = self._fetch(real, size)
        if len(data) < size and len(data) <= _LARGEST_WARM:
            warm[real] = data
        return data

    def stat(self, path: str) -> Stat:
        if _is_not_listed(path):
            return self._stat_there(path, "-L")
        return self._listing.entry(self._real(path)).stat

    def lstat(self, path: str) -> Stat:
        if _is_not_listed(path):
            return self._stat_there(path, "")
        return self._listing.entry(self._listing.resolve(path, follow=False)).stat

    def readlink(self, path: str) -> str:
        if _is_not_listed(path):
            return self._must(f"readlink {_word(path)}", path).decode(errors="surrogateescape").rstrip("\n")
        entry = self._listing.entry(self._listing.resolve(path, follow=False))
        if entry.stat.kind != "link":
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return entry.link

    def resolve(self, path: str) -> str:
        return self._real(path)

    def listdir(self, path: str) -> list[str]:
        if _is_not_listed(path):
            said = self._must(f"ls -A {_word(path)}", path)
            return sorted(said.decode(errors="surrogateescape").splitlines())
        real = self._real(path)
        names = self._listing.names(real)
        if not names and not self._shell.root:
            self._must(f"ls -A {_word(real)}", path)  # an empty folder and a closed one look alike in a listing
        return names

    def walk(self, path: str) -> Iterator[tuple[str, Stat]]:
        real = self._real(path)
        prefix = path.strip("/")
        for found, stat in self._listing.walk(real, self._listing.entry(real).stat.device):
            yield (f"{prefix}/{found[len(real) + 1 :]}" if real else found), stat

    # ---- Target

    @property
    def live(self) -> bool:
        return True

    def describe(self) -> str:
        return f"{self._name} over ssh"

    def free_space(self) -> int:
        said = self._must("df -P -k /", "")
        with _understood(""):
            return int(said.splitlines()[-1].split()[3]) * 1024

    def refusal(self) -> str:
        if not self._shell.root:
            return "changing it needs root there: log in as root, or let the user use sudo or doas"
        lines = (line.split() for line in self.read_text("proc/self/mounts").splitlines())
        if any(fields[1:2] == ["/"] and "ro" in "".join(fields[3:4]).split(",") for fields in lines):
            return "its root file system is mounted read-only"
        return ""

    def write_atomic(self, path: str, data: bytes, mode: int, uid: int = 0, gid: int = 0) -> None:
        real = self._listing.resolve(path, follow=False)
        folder, _, name = real.rpartition("/")
        final, temporary = _word(real), _word(f"{folder}/.{name}.azready")
        script = (
            f"[ ! -d {final} ] || [ -L {final} ] || {{ echo Is a directory >&2; exit 1; }}; set -e; rm -f {temporary}\n"
            f"(umask 077; cat >{temporary}); chown {uid}:{gid} {temporary}; chmod {mode:04o} {temporary}\n"
            f"if [ -f {final} ] && command -v chcon >/dev/null; then"
            f" chcon --reference={final} {temporary} 2>/dev/null || true; fi\n"
            f"sync {temporary} 2>/dev/null || sync\n"
            f"mv -fT {temporary} {final} 2>/dev/null || {{ rm -f {final}; mv -f {temporary} {final}; }}"
        )
        self._must(script, path, data)
        self._set(real, Entry(Stat("file", mode, uid, gid, len(data), device=self._device(folder))), data)

    def remove(self, path: str) -> None:
        real = self._listing.resolve(path, follow=False)
        inside = 'index($2, p "/") == 1 || $2 == p { found = 1 } END { exit found }'
        self._must(
            f"awk -v p={_word(real)} {shlex.quote(inside)} /proc/self/mounts"
            f" || {{ echo Device or resource busy >&2; exit 1; }}; rm -rf {_word(real)}",
            path,
        )
        self._listing.drop(real)
        self._forget(real)

    def truncate(self, path: str) -> None:
        real = self._real(path)
        self._must(f"[ -f {_word(real)} ] && : >{_word(real)}", path)
        self._listing.change(real, size=0)
        self._forget(real)

    def chmod(self, path: str, mode: int) -> None:
        real = self._listing.resolve(path, follow=False)
        if self._listing.entry(real).stat.kind == "link":
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        self._must(f"chmod {mode:04o} {_word(real)}", path)
        self._listing.change(real, mode=mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        real = self._listing.resolve(path, follow=False)
        self._must(f"chown -h {uid}:{gid} {_word(real)}", path)
        self._listing.change(real, uid=uid, gid=gid)

    def symlink(self, path: str, to: str) -> None:
        real = self._listing.resolve(path, follow=False)
        folder, _, name = real.rpartition("/")
        final, temporary = _word(real), _word(f"{folder}/.{name}.azready")
        self._must(
            f"set -e; rm -f {temporary}; ln -s {shlex.quote(to)} {temporary}\n"
            f"mv -fT {temporary} {final} 2>/dev/null || {{ rm -f {final}; mv -f {temporary} {final}; }}",
            path,
        )
        self._set(real, Entry(Stat("link", 0o777, 0, 0, len(to), device=self._device(folder)), to), None)

    def mkdir(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        if self.exists(path):
            if self.stat(path).kind != "dir":
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return
        folder = path.strip("/").rpartition("/")[0]
        if folder:
            self.mkdir(folder)
        real = self._real(path)
        word = _word(real)
        self._must(f"mkdir {word} && chown {uid}:{gid} {word} && chmod {mode:04o} {word}", path)
        parent = real.rpartition("/")[0]
        self._set(real, Entry(Stat("dir", mode, uid, gid, 0, device=self._device(parent))), None)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        check: bool = True,
        network: bool = False,
    ) -> Completed:
        words = [f"{name}={value}" for name, value in environment(env).items()]
        answer = self._shell.call(f"umask 022; exec {shlex.join(['env', '-i', *words, *argv])}", stdin)
        self._index = None
        self._contents = None
        done = Completed(tuple(argv), answer.status, answer.stdout.decode(errors="replace"), answer.stderr)
        if check and done.status != 0:
            raise CommandFailed(done)
        return done

    def close(self) -> None:
        self._shell.close()

    # ---- how

    @property
    def _listing(self) -> Index:
        if self._index is None:
            answer = self._shell.call(LISTING)
            try:
                self._index = parse_listing(_unpacked(answer.stdout))
            except (ValueError, OSError, EOFError) as error:
                raise Failure(
                    f"the files of {self._name} could not be listed: {answer.stderr.strip() or error}",
                    "it needs find, awk, sort and gzip there",
                ) from error
        return self._index

    def _warm(self) -> dict[str, bytes]:
        """The contents that are known; the first call brings the small files of `_WARM` in one tar."""
        if self._contents is None:
            self._contents = {}
            total = 0
            chosen = []
            for path, stat in self._listing.walk("", self._listing.entry("").stat.device):
                if stat.kind == "file" and stat.size <= _LARGEST_WARM and path.startswith(_WARM) and "\n" not in path:
                    total += stat.size
                    if total > _MOST_WARM:
                        break
                    chosen.append(path)
            names = "\n".join(chosen).encode(errors="surrogateescape")
            answer = self._shell.call("tar -cf - -C / -T - 2>/dev/null | gzip -1", names)
            try:
                self._unpack(answer.stdout)
            except (tarfile.TarError, OSError, ValueError):
                pass  # no tar there: each file is fetched when it is read
        return self._contents

    def _unpack(self, data: bytes) -> None:
        if self._contents is None:
            raise RuntimeError("it is not open")
        with tarfile.open(fileobj=io.BytesIO(_unpacked(data)), errors="surrogateescape") as archive:
            for member in archive:
                small = member.isreg() and member.size <= _LARGEST_WARM
                if small and (file := archive.extractfile(member)) is not None:
                    self._contents[member.name.removeprefix("./")] = file.read()

    def _real(self, path: str) -> str:
        return self._listing.resolve(path)

    def _fetch(self, path: str, size: int) -> bytes:
        return self._must(f"head -c {size} {_word(path)}", path)

    def _stat_there(self, path: str, option: str) -> Stat:
        said = self._must(f"stat {option} -c '%f %u %g %s %Y' {_word(path)}", path).split()
        with _understood(path):
            return Stat.of(int(said[0], 16), int(said[1]), int(said[2]), int(said[3]), float(said[4]))

    def _must(self, script: str, path: str, stdin: bytes = b"") -> bytes:
        """Run a script; its failure is the OSError that its last words name."""
        answer = self._shell.call(script, stdin)
        if answer.status != 0:
            said = (answer.stderr.strip() or f"status {answer.status}").splitlines()[-1]
            code = next((code for code, text in _ERRORS.items() if text in said), errno.EIO)
            raise OSError(code, _ERRORS.get(code, said), path)
        return answer.stdout

    def _device(self, folder: str) -> int:
        return self._listing.entry(self._real(folder)).stat.device

    def _set(self, path: str, entry: Entry, data: bytes | None) -> None:
        self._listing.drop(path)
        self._listing.add(path, entry)
        self._forget(path)
        if data is not None and self._contents is not None:
            self._contents[path] = data

    def _forget(self, path: str) -> None:
        if self._contents:
            for each in [each for each in self._contents if each == path or each.startswith(f"{path}/")]:
                del self._contents[each]


@contextmanager
def _understood(path: str) -> Iterator[None]:
    """What a tool over there says is data from outside: what is not what it should be is an OSError."""
    try:
        yield
    except (ValueError, LookupError, OverflowError) as error:
        raise OSError(errno.EIO, f"no answer that can be understood ({error})", path) from error


_ERRORS = {
    code: os.strerror(code)
    for code in (
        *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC, errno.EROFS),
        *(errno.EBUSY, errno.EDQUOT, errno.ELOOP, errno.EFBIG, errno.EINVAL, errno.ENAMETOOLONG, errno.ESTALE),
    )
}


def _is_not_listed(path: str) -> bool:
    return path.strip("/").partition("/")[0] in _NOT_LISTED


def _word(path: str) -> str:
    return shlex.quote("/" + path.strip("/"))
