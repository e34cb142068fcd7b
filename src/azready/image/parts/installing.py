"""Packages that the owner wants in an image: by name, by the image's own package manager, or files of this machine.

A file is installed offline. A name is looked for in the image's repositories; in an image that is not running, its
package manager reaches them through `targets.web_proxy`, and has no other network.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from azready.errors import Failure
from azready.image.actions import Action, MakeFolder, Remove, Run, Write
from azready.image.apply import AGAIN
from azready.image.facts import Facts
from azready.image.facts.packages.managers import MANAGERS
from azready.image.facts.packages.model import Installer, Manager
from azready.image.removal.managers import QUIET, policy

PLACE = "var/cache/azready"
"""Where package files lie in the image while they are installed."""
SUFFIXES = tuple(each.suffix for each in MANAGERS.values() if each.suffix)
"""How the names of package files end that azready can install."""


def plan_install(facts: Facts, names: Sequence[str], paths: Sequence[Path]) -> Iterator[Action]:
    """Names first, which the files may depend on. Raises Failure where the image's manager cannot install these."""
    manager = MANAGERS.get(facts.packages.manager)
    if manager is None or not manager.suffix:
        raise Failure(
            f"azready installs no packages with {facts.packages.manager or 'no package manager'}",
            "put files in with --copy-in, or install them before",
        )
    for path in paths:
        if not path.name.endswith(manager.suffix):
            raise Failure(f"{path} is not a package of this image's kind", f"give one that ends with {manager.suffix}")
    held = manager.starts_services and not facts.live
    before, after = policy(facts.files, "installed") if held else ((), ())
    yield from before
    if names:
        yield from _by_name(facts, manager, names)
    if paths:
        yield from _of_files(facts, manager, paths)
    yield from after


def _by_name(facts: Facts, manager: Manager, names: Sequence[str]) -> Iterator[Action]:
    found = _first(facts, manager.installers)
    if found is None:
        known = ", ".join(each.program for each in manager.installers)
        raise Failure(f"the image has no program that installs by name ({known})", "give package files instead")
    hint = f"is the name right, and are the image's repositories within this machine's reach? {AGAIN}"
    if found.refresh:
        yield Run(found.refresh, QUIET, "ask the repositories", hint, why="--install", network=True)
    yield Run((*found.install, *names), QUIET, "install packages", hint, why="--install", network=True)


def _first(facts: Facts, installers: Sequence[Installer]) -> Installer | None:
    return next((each for each in installers if facts.program(each.program)), None)


def _of_files(facts: Facts, manager: Manager, paths: Sequence[Path]) -> Iterator[Action]:
    found = _first(facts, manager.install_files) or manager.install_files[-1]
    yield MakeFolder(PLACE, why="--install")
    for path in paths:
        yield Write(f"{PLACE}/{path.name}", path.read_bytes(), 0o644, 0, 0, "--install")
    hint = f"add what it depends on before it: --install NAME, or the files; {AGAIN}"
    inside = tuple(f"/{PLACE}/{path.name}" for path in paths)
    yield Run((*found.install, *inside), QUIET, "install packages", hint, why="--install")
    yield Remove(PLACE, "--install")
