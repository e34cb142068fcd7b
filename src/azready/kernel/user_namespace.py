"""User namespaces with maps of their own, by unshare(2) and newuidmap(1)."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from azready.kernel.syscalls import CLONE_NEWUSER, unshare


def make(id_maps: Mapping[str, Sequence[Sequence[Any]]]) -> int:
    """Make a user namespace; return its descriptor. A child enters it and ends: only from outside are maps written.

    `id_maps` is either {"uid": [[inside, outside, count]], "gid": …}, written plainly (root), or has
    {"newuidmap": [[words…]], "newgidmap": …}: set-user-id helpers to call with the child's pid (an ordinary user).
    Raises OSError; subprocess.CalledProcessError where a helper refuses.
    """
    made, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(done[1])
        try:
            unshare(CLONE_NEWUSER)
            os.write(made[1], b"1")
            os.read(done[0], 1)
        finally:
            os._exit(0)
    os.close(made[1])
    try:
        if os.read(made[0], 1) != b"1":
            raise OSError("no user namespace could be made")
        for kind in ("uid", "gid"):
            for words in id_maps.get(f"new{kind}map", []):
                subprocess.run([words[0], str(child), *words[1:]], check=True, capture_output=True)
            if kind in id_maps:
                text = "".join(f"{' '.join(map(str, row))}\n" for row in id_maps[kind])
                Path(f"/proc/{child}/{kind}_map").write_text(text)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for descriptor in (made[0], *done):
            os.close(descriptor)
        os.waitpid(child, 0)
