"""The tree as the guest's lower layer: with the owners that the guest's user namespace gives its files.

A tree of the machine's root belongs, in the guest, to the guest's root, which is nobody on this machine. The kernel
shows it so by a mount with mapped ids; where the file system cannot do that (overlayfs, so most containers; NFS;
tmpfs before Linux 6.3), the tree is copied by a tar that reads as root and one that writes as the guest's root.
So is, for an ordinary user, a tree whose root is one of their sub-ids: rootless builders leave it so.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from azready.kernel.syscalls import attach, mapped_tree

_PACK = (
    "find . -xdev ! -type b ! -type c ! -type s -print0 |"
    " tar --create --null --no-recursion --files-from=- --numeric-owner --xattrs"
    " --xattrs-include='user.*' --xattrs-include=security.capability"
)
_UNPACK = ("tar", "--extract", "--preserve-permissions", "--numeric-owner", "--xattrs", "--xattrs-include=*")

_OVERLAY_TAKES_MAPPED = (5, 19)
"""The first Linux whose overlayfs takes a mount with mapped owners as a layer."""


@dataclass(frozen=True)
class Lower:
    """A tree on its way into the fabric's namespaces."""

    tree: str
    mount: int | None = None
    """The tree with other owners, as a mount that is nowhere yet."""
    tar: int | None = None
    """The tree packed, to be read from here."""

    def close(self) -> None:
        """Close what is open in this process."""
        for descriptor in (self.mount, self.tar):
            if descriptor is not None:
                os.close(descriptor)


def opened(tree: str, shifted_by: int | None, made_in: int | None = None) -> Lower:
    """Open a tree, outside the namespaces; with the owners of a user namespace (its descriptor) where that is given.

    `made_in` is a user namespace whose root owns the tree, where that is not who calls.
    """
    if made_in is not None:
        return Lower(tree, tar=_packed(tree, made_in))
    if shifted_by is None:
        return Lower(tree)
    if _kernel() >= _OVERLAY_TAKES_MAPPED:
        try:
            return Lower(tree, mount=mapped_tree(tree, shifted_by))
        except OSError:
            pass  # not on this file system
    return Lower(tree, tar=_packed(tree))


def _kernel() -> tuple[int, int]:
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return int(major), int(minor)


def _packed(tree: str, made_in: int | None = None) -> int:
    ours, theirs = os.pipe()
    inside = () if made_in is None else ("nsenter", f"--user=/proc/self/fd/{made_in}", "--setuid=0", "--setgid=0", "--")
    subprocess.Popen(
        [*inside, "sh", "-c", _PACK],
        cwd=tree,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        pass_fds=() if made_in is None else (made_in,),
    )
    os.close(theirs)
    return ours


def placed(lower: Lower, scratch: Path) -> Path:
    """Make the lower layer inside the namespaces; its path lasts as long as this process."""
    if lower.mount is None and lower.tar is None:
        return Path(f"/proc/self/fd/{os.open(lower.tree, os.O_PATH | os.O_DIRECTORY)}")
    place = scratch / "lower"
    place.mkdir(mode=0o755)
    if lower.mount is not None:
        attach(lower.mount, str(place))
    else:
        subprocess.run([*_UNPACK, "-C", str(place)], stdin=lower.tar, check=True, capture_output=True)
    lower.close()
    return place
