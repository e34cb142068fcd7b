"""A .deb, by dpkg-deb. The units are enabled as debhelper's are, so that one which has switched itself off stays so."""

import gzip
import os
import tempfile
import time
from pathlib import Path

from azready.proc import run
from release.about import (
    DESCRIPTION,
    HOMEPAGE,
    LANGUAGE,
    LICENCE,
    MAINTAINER,
    SUMMARY,
    Release,
    name,
    other,
    wrapped,
)
from release.papers import manuals
from release.payload import Entry, Payload
from release.tree import lay

_NEEDS = {"python": "python3-minimal (>= 3.6~), passwd", "sh": "passwd"}
_WISHES = {"python": "openssh-server, sudo", "sh": "curl | wget, openssh-server, sudo"}
"""Bash, which every Debian has, is enough for the program in sh; curl and wget are faster."""
_AGENTS = "cloud-init, waagent, walinuxagent"
"""Two that provision race; `azready check` calls it an error (P04)."""

_POSTINST = """#!/bin/sh
set -e
case "$1" in
configure | abort-upgrade | abort-deconfigure | abort-remove)
    for unit in {units}; do
        deb-systemd-helper unmask "$unit" >/dev/null || true
        # True at first, and later only while it is enabled: it has switched itself off once the VM is provisioned.
        if deb-systemd-helper --quiet was-enabled "$unit"; then
            deb-systemd-helper enable "$unit" >/dev/null || true
        else
            deb-systemd-helper update-state "$unit" >/dev/null || true
        fi
    done
    if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
{compile}    ;;
esac
"""
_COMPILE = """    # Saves milliseconds of the first boot; nothing depends on it.
    python3 -m compileall -q --invalidation-mode checked-hash {sources} >/dev/null 2>&1 || true
"""
_PRERM = """#!/bin/sh
set -e
rm -rf /usr/lib/azure-provisioning/__pycache__
"""
_POSTRM = """#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
# Not where the other of the two packages has taken over.
if [ "$1" = purge ] && [ ! -e {unit} ]; then
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper purge {units} >/dev/null || true
        deb-systemd-helper unmask {units} >/dev/null || true
    fi
    rm -rf /var/lib/azure-provisioning
fi
"""
_OVERRIDES = """# Passwords, keys and custom data lie in it.
{package}: non-standard-dir-perm 0700 != 0755 [var/lib/azure-provisioning/]
"""
_OVERRIDES_PYTHON = """# On purpose, for small images: the program uses nothing of the rest.
{package}: depends-on-python-minimal Depends
"""
_COPYRIGHT = f"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: azready
Source: {HOMEPAGE}

Files: *
Copyright: 2026 The azready authors
License: {LICENCE}

License: {LICENCE}
 On Debian systems, the full text of the licence is in /usr/share/common-licenses/Apache-2.0.
"""


def build(payload: Payload, release: Release, folder: Path) -> Path:
    """Write NAME_VERSION_all.deb into `folder`. Raises Failure without dpkg-deb."""
    package = name(payload.guest)
    out = folder / f"{package}_{release.version}_all.deb"
    entries = [*payload.entries, *_papers(payload, release)]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        root.mkdir(mode=0o755)
        lay([*entries, *_control(payload, release, entries)], root, release.epoch)
        words = ["dpkg-deb", "--root-owner-group", "--uniform-compression", "-Zxz", "--build", root, out]
        run(words, env={**os.environ, "SOURCE_DATE_EPOCH": str(release.epoch)})
    return out


def _papers(payload: Payload, release: Release) -> list[Entry]:
    package = name(payload.guest)
    overrides = _OVERRIDES + (_OVERRIDES_PYTHON if payload.guest == "python" else "")
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(release.epoch))
    change = f"{package} ({release.version}) unstable; urgency=medium\n\n  * {HOMEPAGE}/blob/main/CHANGELOG.md\n\n"
    change += f" -- {MAINTAINER}  {date}\n"
    documents = f"/usr/share/doc/{package}"
    return [
        Entry(f"{documents}/copyright", "file", 0o644, _COPYRIGHT.encode()),
        Entry(f"{documents}/changelog.gz", "file", 0o644, gzip.compress(change.encode(), 9, mtime=0)),
        *manuals(release),
        Entry(f"/usr/share/lintian/overrides/{package}", "file", 0o644, overrides.format(package=package).encode()),
    ]


def _control(payload: Payload, release: Release, entries: list[Entry]) -> list[Entry]:
    units = " ".join(payload.units)
    compiled = _COMPILE.format(sources=" ".join(payload.bytecode)) if payload.bytecode else ""
    files = {
        "control": _fields(payload, release, entries),
        "conffiles": "".join(f"{each.path}\n" for each in entries if each.conffile),
        "postinst": _POSTINST.format(units=units, compile=compiled),
        "postrm": _POSTRM.format(units=units, unit="/usr/lib/systemd/system/azure-provisioning.service"),
    }
    if payload.bytecode:
        files["prerm"] = _PRERM
    scripts = ("postinst", "prerm", "postrm")
    return [
        Entry(f"/DEBIAN/{file}", "file", 0o755 if file in scripts else 0o644, text.encode())
        for file, text in files.items()
    ]


def _fields(payload: Payload, release: Release, entries: list[Entry]) -> str:
    size = sum(-(-len(each.data) // 1024) for each in entries)
    long = "".join(f" {line}\n" for line in wrapped(DESCRIPTION))
    rival = other(payload.guest)
    return (
        f"Package: {name(payload.guest)}\n"
        f"Version: {release.version}\n"
        "Architecture: all\n"
        f"Maintainer: {MAINTAINER}\n"
        f"Installed-Size: {size}\n"
        f"Depends: {_NEEDS[payload.guest]}\n"
        f"Recommends: {_WISHES[payload.guest]}\n"
        f"Conflicts: {rival}, {_AGENTS}\n"
        f"Replaces: {rival}\n"
        "Section: admin\n"
        "Priority: optional\n"
        f"Homepage: {HOMEPAGE}\n"
        f"Description: {SUMMARY}\n{long} .\n This package has {LANGUAGE[payload.guest]}.\n"
    )
