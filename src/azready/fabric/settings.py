"""What `azready fabric` is told: from flags, then the environment, then a file, then these defaults.

    scenario = "goalstate-503"      # a name or a TOML file
    seed = 0
    strict = true
    imds_port = 16925               # 0: any free one
    wireserver_port = 16863
    hostplugin_port = 32526
    deadline = 0.0                  # seconds after which to give the verdict and stop; 0: serve until interrupted

    [machine]                       # as in a machine's own file; see docs/machine.md
    name = "web-1"

    [[fault]]                       # as in a scenario
    service = "imds"
    status = 500

`as_toml` writes the effective settings in the same form, so that a run can be repeated from them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from azready import toml
from azready.errors import UsageFailure
from azready.fabric import faults, scenario
from azready.fabric.faults import Fault
from azready.fabric.fields import as_float
from azready.fabric.machine import LISTS_OF_TEXTS, Machine, as_table, changed, load, typed_fields


@dataclass(frozen=True)
class Settings:
    """The effective settings of one run."""

    machine: Machine = field(default_factory=Machine)
    faults: tuple[Fault, ...] = ()
    """The scenario's faults, then those given one by one."""
    scenario: str = ""
    seed: int = 0
    strict: bool = True
    imds_port: int = 16925
    wireserver_port: int = 16863
    hostplugin_port: int = 32526
    deadline: float = 0.0


_PLAIN = ("scenario", "seed", "strict", "imds_port", "wireserver_port", "hostplugin_port", "deadline")


@dataclass(frozen=True)
class Given:
    """What the command line (or the environment, in its place) gives; None and () where it is silent."""

    machine: Path | None = None
    set: Sequence[str] = ()
    """`FIELD=VALUE` of the machine."""
    fault: Sequence[str] = ()
    """`KEY=VALUE,…` each."""
    scenario: str | None = None
    seed: int | None = None
    strict: bool | None = None
    imds_port: int | None = None
    wireserver_port: int | None = None
    hostplugin_port: int | None = None
    deadline: float | None = None


def resolve(given: Given, file: Path | None = None) -> Settings:
    """The effective settings. Raises UsageFailure that names the source, the key and what it may be."""
    table = _read(file) if file is not None else {}
    source = str(file)
    plain = {key: _checked(key, table[key], source) for key in _PLAIN if key in table}
    plain |= {key: value for key in _PLAIN if (value := getattr(given, key)) is not None}
    machine = Machine(**typed_fields(table.get("machine", {}), source))
    if given.machine is not None:
        machine = load(given.machine)
    own_faults = [faults.from_table(one, f"{source}, fault {number}") for number, one in enumerate(_plan(table), 1)]
    own_faults += [faults.from_words(words) for words in given.fault]
    if plain.get("scenario"):
        chosen = scenario.load(plain["scenario"])
        machine = chosen.applied_to(machine)
        own_faults = [*chosen.faults, *own_faults]
    machine = with_fields(machine, given.set)
    for port in ("imds_port", "wireserver_port", "hostplugin_port"):
        if not 0 <= plain.get(port, 0) <= 65535:
            raise UsageFailure(f"{port} is {plain[port]}", "give a port from 1 to 65535, or 0 for any free one")
    return Settings(machine, tuple(own_faults), **plain)


def with_fields(machine: Machine, words: Sequence[str]) -> Machine:
    """The machine with `FIELD=VALUE`s; a value is TOML, or else the text as it stands."""
    table: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageFailure(f"--set {word!r}", "write FIELD=VALUE, for example --set admin_username=me")
        table[key.strip()] = _value(key.strip(), value)
    return changed(machine, typed_fields(table, "--set"))


def _value(key: str, text: str) -> Any:
    kind = Machine.__dataclass_fields__.get(key)
    if kind is not None and kind.type is str:
        return text
    if key in LISTS_OF_TEXTS and not text.startswith("["):
        return [text]
    try:
        return toml.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _read(file: Path) -> dict[str, Any]:
    try:
        table = toml.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageFailure(f"{file}: {error.strerror}", "give a TOML file of settings") from error
    except ValueError as error:
        raise UsageFailure(f"{file} is not TOML: {error}", "see docs/fabric.md for an example") from error
    known = (*_PLAIN, "machine", "fault")
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise UsageFailure(f"{file}: unknown key {unknown[0]!r}", f"known keys: {', '.join(known)}")
    return table


def _checked(key: str, value: Any, source: str) -> Any:
    default = Settings.__dataclass_fields__[key].default
    if isinstance(default, float):
        value = as_float(value)
    if type(value) is not type(default):
        raise UsageFailure(f"{source}: {key} must be a {type(default).__name__}, not {value!r}", "see docs/fabric.md")
    return value


def _plan(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    plan = table.get("fault", [])
    if not isinstance(plan, list) or not all(isinstance(one, dict) for one in plan):
        raise UsageFailure("fault must be tables", "write [[fault]] above each")
    return plan


def as_toml(settings: Settings) -> str:
    """The settings as a file for `--settings`. The scenario's faults are written out one by one."""
    plain = {key: getattr(settings, key) for key in _PLAIN if key != "scenario"}
    lines = [f"# scenario {settings.scenario}, written out"] if settings.scenario else []
    lines += [f"{key} = {_toml(value)}" for key, value in plain.items()]
    lines += ["", "[machine]", *(f"{key} = {_toml(value)}" for key, value in as_table(settings.machine).items())]
    for fault in settings.faults:
        lines += ["", "[[fault]]", *(f"{key} = {_toml(value)}" for key, value in _fault_table(fault).items())]
    return "\n".join(lines) + "\n"


def _fault_table(fault: Fault) -> dict[str, Any]:
    table = {one.name: getattr(fault, one.name) for one in fields(Fault)}
    changed = {key: value for key, value in table.items() if value != Fault.__dataclass_fields__[key].default}
    return {key: dict(value) if key in ("headers", "swap") else value for key, value in changed.items()}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
