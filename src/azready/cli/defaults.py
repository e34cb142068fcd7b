"""`azready.toml`: a project's defaults of options, in the folder where azready is run.

    profile = ["marketplace"]       # for every verb that has the option
    waivers = "waivers.toml"        # files are looked for beside this one

    [check]                         # for one verb
    fail-on = "warning"

What the command line says wins. What answers a question, destroys, runs a command or says where results go is not
taken from a file that may have come with somebody else's project.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azready.errors import UsageFailure, nearest

FILE = "azready.toml"
ALLOWED = (
    "accel",
    "admin-username",
    "auth",
    "before-generalize",
    "boots",
    "cloud",
    "clone-guard",
    "deadline",
    "disk-links",
    "fail-on",
    "fault",
    "firewall",
    "fix",
    "gallery-image-definition",
    "gallery-name",
    "gallery-resource-group",
    "grow",
    "guest",
    "init",
    "location",
    "machine",
    "network",
    "only",
    "profile",
    "quiet",
    "resource-group",
    "scenario",
    "seed",
    "set",
    "skip",
    "strict",
    "subscription",
    "user",
    "vf-rule",
    "waivers",
)
"""The options that a file may set. Several verbs may have one."""
_FILES = frozenset({"machine", "waivers"})


@dataclass(frozen=True)
class Option:
    """An option of a command: its parameter, and whether it is repeatable."""

    parameter: str
    multiple: bool


@dataclass(frozen=True)
class Defaults:
    """What a file says, and where it lies."""

    path: Path
    shared: Mapping[str, Any]
    verbs: Mapping[str, Mapping[str, Any]]


def read(path: Path | None) -> Defaults | None:
    """The file given, else ./azready.toml, else None. Raises UsageFailure for what is no such file."""
    if path is None:
        path = Path(FILE)
        if not path.is_file():
            return None
    from azready import toml  # here, since most runs have no such file

    try:
        table = toml.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageFailure(f"{path}: {error}", "write it as TOML: key = value") from error
    return parse(table, path)


def parse(table: Mapping[str, Any], path: Path) -> Defaults:
    """The tables of the file. Raises UsageFailure that names the nearest verb or option for what is none."""
    from azready.cli.app import VERBS

    verbs = {key: value for key, value in table.items() if isinstance(value, dict)}
    shared = {key: value for key, value in table.items() if key not in verbs}
    for verb, own in verbs.items():
        _known(path, "verb", verb, VERBS)
        for key in own:
            _known(path, f"setting of [{verb}]", key, ALLOWED)
    for key in shared:
        _known(path, "setting", key, ALLOWED)
    return Defaults(path, shared, verbs)


def _known(path: Path, what: str, name: str, allowed: Sequence[str]) -> None:
    if name not in allowed:
        raise UsageFailure(f"{path}: there is no {what} {name!r}", nearest(name, allowed))


def for_command(found: Defaults, names: Iterable[str], options: Mapping[str, Option]) -> dict[str, Any]:
    """The defaults of one command, by parameter. `names` is the verb and, where it has one, its own verb.

    Raises UsageFailure for an option that the verb's own table names and the verb has not.
    """
    verb = next(iter(names), "")
    own = found.verbs.get(verb, {})
    for key in own:
        if key not in options:
            _known(found.path, f"setting of [{verb}]", key, sorted(set(options) & set(ALLOWED)))
    chosen = {**found.shared, **own}
    return {
        options[key].parameter: _value(key, value, options[key].multiple, found.path)
        for key, value in chosen.items()
        if key in options
    }


def _value(key: str, value: Any, multiple: bool, path: Path) -> Any:
    """As the command line would give it; files lie beside the file that names them."""
    if isinstance(value, list) and not multiple:
        raise UsageFailure(f"{path}: {key} is a list", "give one value")
    if multiple:
        return [str(each) for each in (value if isinstance(value, list) else [value])]
    if key not in _FILES:
        return value
    if not isinstance(value, str):
        raise UsageFailure(f"{path}: {key} is {value!r}", "give the name of a file")
    return str(path.parent / value)
