"""Bringing the guest program into an image: install.toml and the choice of program and init, turned into actions.

The guest's files are read as bytes from the package; nothing of theirs is imported.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from azready.errors import Failure, UsageFailure
from azready.image.actions import Action, Link, MakeFolder, Remove, Run, Write
from azready.image.facts.init import KNOWN, Init
from azready.image.targets import Files
from azready.installed import PROGRAM, manifest

Flavour = Literal["python", "sh"]

_OLDEST_PYTHON = (3, 6)
_GUEST = "azready.guest"
_BOOT = f"/{PROGRAM}/boot"


@dataclass(frozen=True)
class Selection:
    """Which rows of install.toml an image gets."""

    guest: Flavour
    init: Init
    options: frozenset[str]
    settings: Mapping[str, str]
    job: Literal["provision", "report"] = "provision"


def choose_guest(files: Files, wanted: str) -> Flavour:
    """`python` where the image has Python 3.6 or newer, else `sh` where it has curl or wget.

    Raises Failure when what is wanted cannot run in the image.
    """
    python = _python(files)
    if wanted in ("auto", "python") and python is not None and python >= _OLDEST_PYTHON:
        return "python"
    if wanted == "python":
        found = f"Python {python[0]}.{python[1]}" if python else "no /usr/bin/python3"
        raise Failure(f"the image has {found}", "install python3 (3.6 or newer) in it, or use --guest sh")
    if files.glob("{usr/,}bin/{curl,wget}"):
        return "sh"
    raise Failure(
        "the image has neither Python 3.6 or newer, nor curl, nor wget",
        "install python3, curl or wget in it: the guest program needs one of them to speak with the platform",
    )


def _python(files: Files) -> tuple[int, int] | None:
    """The version of /usr/bin/python3, from the name that the link ends in: `python3.11`."""
    if not files.exists("usr/bin/python3"):
        return None
    version = files.resolve("usr/bin/python3").rpartition("python")[2].split(".")
    if len(version) == 2 and all(part.isdigit() for part in version):
        return int(version[0]), int(version[1])
    folders = [path.rpartition("python3.")[2] for path in files.glob("usr/lib{,64}/python3.[0-9]*")]
    minors = [int(minor) for minor in folders if minor.isdigit()]
    return (3, max(minors)) if minors else None


def choose_init(found: Init | None, wanted: str) -> Init:
    """The init system that starts the guest program: what is wanted, else what was found. Raises Failure without."""
    for name in KNOWN:
        if wanted == name or (wanted not in KNOWN and found == name):
            return name
    raise Failure(
        "what starts the image is not known: /sbin/init is missing, or leads to something else",
        f"is it a whole system? say with --init which of {', '.join(KNOWN)}",
    )


def plan_files(files: Files, selection: Selection) -> tuple[Action, ...]:
    """Folders, files and settings of the guest program; nothing starts by them yet.

    Raises Failure when the image lacks what the firewall needs.
    """
    rows = manifest()
    if "firewall" in selection.options:
        _require_firewall(files, selection)
    actions: list[Action] = [*_no_longer_wanted(files, selection)]
    for row in rows.get("folder", ()):
        if _fits(files, row, selection):
            actions.append(MakeFolder(_inside(row["target"]), int(row["mode"], 8)))
    for row in rows["file"]:
        path = _inside(row["target"])
        if _fits(files, row, selection) and not (row.get("conffile") and files.exists(path)):
            actions.append(Write(path, source(row["source"]), int(row["mode"], 8), 0, 0, "guest program"))
    if selection.job == "provision":
        actions.append(_settings(files, rows, selection.settings))
    for row in rows.get("bytecode", ()):
        if _fits(files, row, selection):
            actions += _compile(files, _inside(row["source"]), actions)
    return tuple(actions)


def _require_firewall(files: Files, selection: Selection) -> None:
    if not files.glob("{usr/,}{sbin,bin}/nft"):
        raise Failure("the image has no nft, which --firewall needs", "install nftables in it, or leave --firewall out")
    rows = [row for row in manifest()["file"] if row.get("option") == "firewall" and row["init"] == selection.init]
    if not any(_fits(files, row, selection) for row in rows):
        places = " or ".join(row["when"] for row in rows)
        raise Failure(
            f"nothing in the image starts a firewall before the network: there is no {places}",
            f"have your init run {_BOOT} firewall, and leave --firewall out",
        )


def _no_longer_wanted(files: Files, selection: Selection) -> list[Action]:
    """What an earlier run installed by an option that is off now, and the program that another one replaces: links
    first, so that nothing starts what is gone."""
    rows = [*manifest()["link"], *manifest()["file"]]
    wanted = {_place(row) for row in rows if _fits(files, row, selection)}
    off = {}
    for row in rows:
        if row.get("option", "") not in ("", *selection.options):
            off[_place(row)] = f"prepared without {row['option']} now"
        elif row.get("job", "provision") not in ("any", selection.job):
            off[_place(row)] = "azready provisions it now, too"
        elif row.get("guest", "any") not in ("any", selection.guest):
            off[_place(row)] = f"the guest program is the one for {selection.guest} now"
    return [Remove(path, why) for path, why in off.items() if path not in wanted and files.exists(path)]


def _place(row: Mapping[str, Any]) -> str:
    return _inside(row["path"] if "path" in row else row["target"])


def notes(files: Files, selection: Selection) -> tuple[str, ...]:
    """What the image's owner still has to do."""
    if selection.init != "busybox" or files.exists("etc/init.d"):
        return ()
    if files.exists("etc/inittab") and _BOOT in files.read_text("etc/inittab"):
        return ()
    lines = f"::wait:{_BOOT} host-keys and ::once:{_BOOT} provision"
    return (f"there is no /etc/init.d: nothing starts the guest program until /etc/inittab has {lines}",)


def plan_links(files: Files, selection: Selection) -> tuple[Action, ...]:
    """What makes the guest program start at the next boot."""
    links = [
        Link(_inside(row["path"]), row["to"], "starts the guest program")
        for row in manifest().get("link", ())
        if _fits(files, row, selection)
    ]
    if selection.init == "sysv" and files.glob("{usr/,}sbin/insserv"):
        scripts = sorted({link.to.rpartition("/")[2] for link in links})
        why = "startpar starts only what insserv has put in order"
        return (*links, Run(("insserv", *scripts), title="put the start scripts in order", needed=False, why=why))
    return tuple(links)


def belongs(row: Mapping[str, Any], selection: Selection) -> bool:
    """Whether a row of install.toml is of what was selected, wherever that is installed."""
    return (
        row.get("guest", "any") in ("any", selection.guest)
        and row.get("job", "provision") in ("any", selection.job)
        and row.get("init", "any") in ("any", selection.init)
        and row.get("option", "") in ("", *selection.options)
    )


def _fits(files: Files, row: Mapping[str, Any], selection: Selection) -> bool:
    return belongs(row, selection) and ("when" not in row or files.exists(_inside(row["when"])))


def _inside(path: str) -> str:
    return path.strip("/")


def source(name: str) -> bytes:
    """A file of the guest as it was installed with azready. Raises Failure when it is not there."""
    try:
        return resources.files(_GUEST).joinpath(name).read_bytes()
    except FileNotFoundError as error:
        raise Failure(f"this azready lacks the guest's file {name}", "install azready again") from error


def _compile(files: Files, source: str, planned: list[Action]) -> list[Action]:
    """Compile by the image's own Python, unless it was done for this very content."""
    folder, _, name = source.rpartition("/")
    if files.glob(f"{folder}/__pycache__/{name.removesuffix('.py')}.*.pyc") and all(
        files.read_bytes(source) == each.data for each in planned if isinstance(each, Write) and each.path == source
    ):
        return []
    argv = ("python3", *compiling(f"/{source}", _python(files) or (3, 6)))
    return [Run(argv, title="compile the guest program", needed=False, why="its first start is faster")]


def compiling(path: str, python: tuple[int, int]) -> tuple[str, ...]:
    """Python's arguments to lay the bytecode of `path` beside it. Without docstrings and columns, which no run needs,
    it is loaded faster; a checked hash (Python 3.7 and newer) holds where image tools reset times."""
    mode = ", invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH" if python >= (3, 7) else ""
    code = f"import importlib.util, py_compile; path = {path!r}; place = importlib.util.cache_from_source(path); "
    code += f"py_compile.compile(path, place, doraise=True, optimize=2{mode})"
    return "-X", "no_debug_ranges", "-I", "-S", "-c", code


# ---- settings


def parse_settings(words: list[str]) -> dict[str, str]:
    """`KEY=VALUE` words, checked against install.toml. Raises UsageFailure that lists what is allowed."""
    allowed = {row["key"]: row["values"] for row in manifest()["setting"]}
    chosen = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in allowed:
            raise UsageFailure(f"unknown setting {word!r}", f"KEY=VALUE, with KEY one of {', '.join(sorted(allowed))}")
        values = allowed[key]
        if isinstance(values, list) and value not in values:
            raise UsageFailure(f"{key} cannot be {value!r}", f"use one of {', '.join(values)}")
        if isinstance(values, str) and values.startswith("seconds") and not value.isdigit():
            raise UsageFailure(f"{key} cannot be {value!r}", f"use {values}")
        if "\n" in value:
            raise UsageFailure(f"{key} holds a line break", f"use {values}")
        chosen[key] = value
    return chosen


def _settings(files: Files, rows: Mapping[str, Any], chosen: Mapping[str, str]) -> Write:
    """The settings file: a new one explains every key; one that is there keeps all but the keys chosen now."""
    path = _inside(rows["settings"])
    old = files.read_text(path) if files.exists(path) else fresh_settings().decode()
    left = dict(chosen)
    lines = []
    for line in old.splitlines():
        key = line.lstrip("# ").partition("=")[0].strip()
        if key in left and "=" in line:
            line = f"{key}={left.pop(key)}"
        lines.append(line)
    lines += [f"{key}={value}" for key, value in left.items()]
    return Write(path, ("\n".join(lines) + "\n").encode(errors="surrogateescape"), 0o644, 0, 0, "settings")


def fresh_settings() -> bytes:
    """The settings file in which every key is explained, and none is set."""
    return "".join(_explained(manifest()["setting"])).encode()


def _explained(settings: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "# Settings of the guest program that provisions this VM at its first boot. A line without # counts.\n"
    for row in settings:
        values = row["values"] if isinstance(row["values"], str) else ", ".join(row["values"])
        yield f"\n# {row['why']} ({values})\n# {row['key']}={row['default']}\n"
