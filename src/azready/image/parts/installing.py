"""Packages that the owner wants in an image: by name, by the image's own package manager, or files of this machine.

A file is installed offline. A name is looked for in the image's repositories; in an image that is not running, its
package manager reaches them through `targets.outward`, and has no other network.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from azready.errors import Failure
from azready.image.actions import Action, MakeFolder, Remove, Run, Write
from azready.image.apply import AGAIN
from azready.image.facts import Facts
from azready.image.removal.managers import QUIET, policy

PLACE = "var/cache/azready"
"""Where package files lie in the image while they are installed."""

_APT = ("apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
_AS_ROOT = ("-o", "APT::Sandbox::User=root", "-o", "Acquire::http::Pipeline-Depth=0")


@dataclass(frozen=True)
class Installer:
    """A program that installs packages by name: what brings its lists up to date, and the words before the names."""

    program: str
    install: tuple[str, ...]
    refresh: tuple[str, ...] = ()


_BY_NAME: Mapping[str, tuple[Installer, ...]] = {
    "apt": (Installer("apt-get", (*_APT, *_AS_ROOT, "install"), ("apt-get", "-q", *_AS_ROOT, "update")),),
    "rpm": (
        Installer("dnf", ("dnf", "-y", "install")),
        Installer("microdnf", ("microdnf", "-y", "install")),
        Installer("tdnf", ("tdnf", "-y", "install")),
        Installer("yum", ("yum", "-y", "install")),
        Installer("zypper", ("zypper", "--non-interactive", "install")),
    ),
    "apk": (Installer("apk", ("apk", "add", "--quiet"), ("apk", "update", "--quiet")),),
    "pacman": (Installer("pacman", ("pacman", "-S", "--noconfirm", "--needed"), ("pacman", "-Sy", "--noconfirm")),),
}
"""By package manager; of several the first that the image has."""
_FILES: Mapping[str, tuple[str, ...]] = {
    "apt": ("dpkg", "--install"),
    "rpm": ("rpm", "-U", "--replacepkgs", "--nosignature"),
    "apk": ("apk", "add", "--no-network", "--allow-untrusted", "--quiet"),
    "pacman": ("pacman", "-U", "--noconfirm"),
}
SUFFIXES: Mapping[str, str] = {".deb": "apt", ".rpm": "rpm", ".apk": "apk", ".pkg.tar.zst": "pacman"}
"""How a package file's name ends, and whose it is."""


def plan_install(facts: Facts, names: Sequence[str], paths: Sequence[Path]) -> Iterator[Action]:
    """Names first, which the files may depend on. Raises Failure where the image's manager cannot install these."""
    manager = facts.packages.manager
    if manager not in _FILES:
        raise Failure(
            f"azready installs no packages with {manager or 'no package manager'}",
            "put files in with --copy-in, or install them before",
        )
    for path in paths:
        if not path.name.endswith(suffix := next(end for end, whose in SUFFIXES.items() if whose == manager)):
            raise Failure(f"{path} is not a package of this image's kind", f"give one that ends with {suffix}")
    before, after = policy(facts.files, "installed") if manager == "apt" and not facts.live else ((), ())
    yield from before
    if names:
        yield from _by_name(facts, manager, names)
    if paths:
        yield from _of_files(facts, manager, paths)
    yield from after


def _by_name(facts: Facts, manager: str, names: Sequence[str]) -> Iterator[Action]:
    found = next((each for each in _BY_NAME[manager] if facts.program(each.program)), None)
    if found is None:
        known = ", ".join(each.program for each in _BY_NAME[manager])
        raise Failure(f"the image has no program that installs by name ({known})", "give package files instead")
    hint = f"is the name right, and are the image's repositories within this machine's reach? {AGAIN}"
    if found.refresh:
        yield Run(found.refresh, QUIET, "ask the repositories", hint, why="--install", network=True)
    yield Run((*found.install, *names), QUIET, "install packages", hint, why="--install", network=True)


def _of_files(facts: Facts, manager: str, paths: Sequence[Path]) -> Iterator[Action]:
    """apt, where it is there, sees that something is missing before it has begun; dpkg leaves it half installed."""
    apt = manager == "apt" and facts.program("apt-get")
    words = (*_APT, *_AS_ROOT, "--reinstall", "--allow-downgrades", "install") if apt else _FILES[manager]
    yield MakeFolder(PLACE, why="--install")
    for path in paths:
        yield Write(f"{PLACE}/{path.name}", path.read_bytes(), 0o644, 0, 0, "--install")
    hint = f"add what it depends on before it: --install NAME, or the files; {AGAIN}"
    inside = tuple(f"/{PLACE}/{path.name}" for path in paths)
    yield Run((*words, *inside), QUIET, "install packages", hint, why="--install")
    yield Remove(PLACE, "--install")
