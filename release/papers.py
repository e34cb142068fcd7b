"""What packages hold beside the program, for people."""

import gzip

from release import man
from release.about import Release
from release.payload import Entry


def manual(release: Release) -> Entry:
    """The page of the guest's settings."""
    packed = gzip.compress(man.settings(release).encode(), 9, mtime=0)
    return Entry("/usr/share/man/man5/azure-provisioning.conf.5.gz", "file", 0o644, packed)
