"""What packages hold beside the program, for people."""

import gzip

from release import man
from release.about import Release
from release.payload import Entry


def manuals(release: Release) -> tuple[Entry, ...]:
    """The pages of the guest program and of its settings."""
    return tuple(
        Entry(f"/usr/share/man/man{name[-1]}/{name}.gz", "file", 0o644, gzip.compress(text.encode(), 9, mtime=0))
        for name, text in man.of_guest(release).items()
    )
