"""`python -m release`: packages of the guest program and man pages, the same byte for byte wherever they are built."""

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from azready.errors import Failure
from azready.image.facts.init import KNOWN
from release import apk, deb, man, rpm
from release.about import Release, name, version_here
from release.payload import GUESTS, payload
from release.tree import tar

FORMATS = ("deb", "rpm", "apk", "tar")


def build(folder: Path, release: Release, formats: tuple[str, ...] = FORMATS) -> Iterator[Path]:
    """Write the packages into `folder`, and yield each. Raises Failure where dpkg-deb or rpmbuild is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for guest in GUESTS:
        if "deb" in formats:
            yield deb.build(payload(guest, "systemd"), release, folder)
        if "rpm" in formats:
            yield rpm.build(payload(guest, "systemd"), release, folder)
        if "apk" in formats:
            yield apk.build(payload(guest, "openrc"), release, folder)
        for init in KNOWN if "tar" in formats else ():
            content = payload(guest, init)
            out = folder / f"{name(guest)}-{release.version}-{init}.tar"
            out.write_bytes(tar([*content.entries, *content.links], release.epoch))
            yield out


def epoch() -> int:
    """SOURCE_DATE_EPOCH (reproducible-builds.org), else the time of the last commit."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    root = Path(__file__).parents[1]
    words = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="the folder to write into (dist)")
    parser.add_argument("--version", default=version_here(), help="the version of the packages (azready's)")
    parser.add_argument("--format", action="append", choices=FORMATS, help="only this one; repeatable")
    chosen = parser.parse_args()
    try:
        release = Release(chosen.version, epoch())
        man.write(chosen.out / "man", release)
        for path in build(chosen.out, release, tuple(chosen.format or FORMATS)):
            print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}")
    except Failure as failure:
        print(f"release: {failure.message}\n  what to do: {failure.hint}", file=sys.stderr)
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
