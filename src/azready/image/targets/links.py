"""Links followed inside a root, as the kernel does (path_resolution(7)), by targets that know each name by itself."""

import errno
import os
from collections import deque
from collections.abc import Callable

from azready.image.targets.openat import parts_of

_MOST = 40
"""As Linux itself: a longer chain is a loop."""


def located(path: str, kind_of: Callable[[str], str | None], link_of: Callable[[str], str], follow: bool) -> str:
    """The path without links. Its last component need not exist; with `follow` a link there is followed too.

    Of a path without links `kind_of` says what stands there (None: nothing), `link_of` the text of a link. Raises
    FileNotFoundError, NotADirectoryError, and OSError (ELOOP).
    """
    pending, trail, links = deque(parts_of(path)), list[str](), 0
    while pending:
        name = pending.popleft()
        if name == "..":
            del trail[-1:]
            continue
        here = "/".join([*trail, name])
        kind = kind_of(here)
        if not pending and (kind != "link" or not follow):
            return here
        if kind is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if kind == "link":
            links += 1
            if links > _MOST:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            text = link_of(here)
            trail = [] if text.startswith("/") else trail
            pending.extendleft(reversed(parts_of(text)))
        elif kind == "dir":
            trail.append(name)
        else:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return "/".join(trail)
