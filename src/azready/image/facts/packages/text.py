"""Package databases that are text: dpkg, apk, pacman, portage."""

import re
from collections.abc import Iterator
from itertools import pairwise

from azready.image.facts.packages.model import Reader

_PORTAGE = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*(-r\d+)?)$")


def read_dpkg(files: Reader, path: str) -> dict[str, str]:
    """Debian's status file: stanzas with Package, Status, Version; only those whose state is `installed`."""
    versions = {}
    for stanza in files.read_bytes(path).decode(errors="replace").split("\n\n"):
        fields = _fields(stanza, ": ", ("Package", "Status", "Version"))
        if fields.get("Status", "").endswith(" installed"):
            versions[_named(fields)] = fields.get("Version", "")
    return versions


def dpkg_remains(files: Reader, path: str) -> tuple[str, ...]:
    """Packages that are removed but not purged, or whose removal was cut off: something of them is still there."""
    names = []
    for stanza in files.read_bytes(path).decode(errors="replace").split("\n\n"):
        fields = _fields(stanza, ": ", ("Package", "Status"))
        state = fields.get("Status", "").rpartition(" ")[2]
        if state not in ("", "installed", "not-installed"):
            names.append(_named(fields))
    return tuple(names)


def _named(fields: dict[str, str]) -> str:
    """dpkg itself takes no file with a package that has no name."""
    if "Package" not in fields:
        raise ValueError("dpkg's status has a package without its name")
    return fields["Package"]


def read_dpkg_fragments(files: Reader, path: str) -> dict[str, str]:
    """Images without dpkg itself (distroless): one file a package in status.d, without Status."""
    versions = {}
    for name in files.listdir(path):
        if not name.endswith(".md5sums"):
            fields = _fields(files.read_bytes(f"{path}/{name}").decode(errors="replace"), ": ", ("Package", "Version"))
            if "Package" in fields:
                versions[fields["Package"]] = fields.get("Version", "")
    return versions


def read_apk(files: Reader, path: str) -> dict[str, str]:
    """Alpine's installed file: stanzas of one-letter fields, P the name, V the version. Source: apk-package(5)."""
    versions = {}
    for stanza in files.read_bytes(path).decode(errors="replace").split("\n\n"):
        fields = _fields(stanza, ":", ("P", "V"))
        if "P" in fields:
            versions[fields["P"]] = fields.get("V", "")
    return versions


def _fields(stanza: str, separator: str, wanted: tuple[str, ...]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in stanza.splitlines():
        key, found, value = line.partition(separator)
        if found and key in wanted:
            fields.setdefault(key, value.strip())
    return fields


def read_pacman(files: Reader, path: str) -> dict[str, str]:
    """pacman's local database: a folder a package, its `desc` with `%NAME%` and `%VERSION%` sections."""
    versions = {}
    for folder in files.listdir(path):
        if not files.exists(f"{path}/{folder}/desc"):
            continue
        lines = files.read_bytes(f"{path}/{folder}/desc").decode(errors="replace").splitlines()
        sections = dict(pairwise(lines))
        if "%NAME%" not in sections:
            raise ValueError(f"{folder}/desc has no %NAME%")
        versions[sections["%NAME%"]] = sections.get("%VERSION%", "")
    return versions


def read_portage(files: Reader, path: str) -> dict[str, str]:
    """Gentoo's var/db/pkg: a folder a category, in it a folder NAME-VERSION a package."""
    versions = {}
    for category, folder in _portage_folders(files, path):
        if match := _PORTAGE.match(folder):
            versions[f"{category}/{match['name']}"] = match["version"]
    return versions


def _portage_folders(files: Reader, path: str) -> Iterator[tuple[str, str]]:
    for category in files.listdir(path):
        if not category.startswith((".", "-")):
            for folder in files.listdir(f"{path}/{category}"):
                if not folder.startswith((".", "-")):
                    yield category, folder
