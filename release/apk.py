"""An .apk of version 2, as Alpine's apk documents it (apk-package(5)): two gzip streams of tars, control and data.

The control's tar has no end, so that both together are one. Unsigned: `apk add --allow-untrusted`, or sign it with
`abuild-sign` and your own key. Checksums of the data: SHA-1 per file, as pax headers; SHA-256 over all, in .PKGINFO.
"""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

from release.about import HOMEPAGE, LICENCE, MAINTAINER, SUMMARY, Release, name, other
from release.payload import Entry, Payload
from release.tree import members

_NEEDS = {"python": ("python3", "/bin/sh"), "sh": ("/bin/sh",)}
_LINK = "[ -e {path} ] || [ ! -d {folder} ] || ln -s {to} {path}\n"


def build(payload: Payload, release: Release, folder: Path) -> Path:
    """Write NAME-VERSION-r0.apk into `folder`."""
    out = folder / f"{name(payload.guest)}-{release.version}-r0.apk"
    data = _tar(payload.entries, release.epoch, last=True)
    control = {".PKGINFO": _info(payload, release, data), **_scripts(payload)}
    head = [Entry(f"/{file}", "file", 0o755, text.encode()) for file, text in control.items()]
    out.write_bytes(_tar(head, release.epoch, last=False) + data)
    return out


def _tar(entries: list[Entry] | tuple[Entry, ...], epoch: int, *, last: bool) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members(entries, epoch):
            if info.isreg():
                info.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(data).hexdigest()}
            archive.addfile(info, io.BytesIO(data))
        end = out.tell()
    return gzip.compress(out.getvalue() if last else out.getvalue()[:end], 9, mtime=0)


def _info(payload: Payload, release: Release, data: bytes) -> str:
    lines = [
        f"pkgname = {name(payload.guest)}",
        f"pkgver = {release.version}-r0",
        f"pkgdesc = {SUMMARY}",
        f"url = {HOMEPAGE}",
        f"builddate = {release.epoch}",
        f"packager = {MAINTAINER}",
        f"maintainer = {MAINTAINER}",
        f"size = {sum(len(each.data) for each in payload.entries)}",
        "arch = noarch",
        "origin = azready",
        f"license = {LICENCE}",
        *(f"depend = {each}" for each in _NEEDS[payload.guest]),
        *(f"depend = !{each}" for each in (other(payload.guest), "cloud-init")),
        f"datahash = {hashlib.sha256(data).hexdigest()}",
    ]
    return "\n".join([*lines, ""])


def _scripts(payload: Payload) -> dict[str, str]:
    """The links are no files of the package: an upgrade would bring back what the program has removed."""
    made = "".join(
        _LINK.format(path=each.path, folder=each.path.rpartition("/")[0], to=each.to) for each in payload.links
    )
    compiled = ""
    if payload.bytecode:
        compiled = f"python3 -m compileall -q --invalidation-mode checked-hash {' '.join(payload.bytecode)} || :\n"
    gone = " ".join(each.path for each in payload.links)
    return {
        ".post-install": f"#!/bin/sh\n{made}{compiled}exit 0\n",
        ".pre-deinstall": f"#!/bin/sh\nrm -rf {gone} /usr/lib/azure-provisioning/__pycache__\nexit 0\n",
        **({".post-upgrade": f"#!/bin/sh\n{compiled}exit 0\n"} if compiled else {}),
    }
