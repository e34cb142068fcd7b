"""Who is surveyed: one table of agents, and what a command line adds to it."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from azready.errors import UsageFailure
from azready.fabric.matrix import needs_boot
from azready.fabric.scenario import Expected, Scenario
from azready.pipelines.trees import Network

Expectation = Literal["provision", "report-only"]
EXPECTATIONS: tuple[Expectation, ...] = ("provision", "report-only")
PLACES = ("root", "imds", "wireserver", "medium", "deadline")
ALL = "all"


@dataclass(frozen=True)
class Debian:
    """A small Debian image whose agent is Debian's package."""

    suite: str
    package: str
    network: Network


@dataclass(frozen=True)
class Prepared:
    """A small Debian image that `azready prepare` prepared."""

    suite: str
    guest: Literal["python", "sh"]
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Tree:
    """Anybody's root tree, booted as it is."""

    path: Path


@dataclass(frozen=True)
class Command:
    """A program of this machine, run where Azure's addresses are the fabric's; `text` may hold PLACES in braces."""

    text: str

    def words(self, **places: str) -> list[str]:
        return [word.format(**places) for word in shlex.split(self.text)]


@dataclass(frozen=True)
class Agent:
    """An agent that is surveyed: how it comes to a machine, and what it owes there. `about` is for the page."""

    name: str
    about: str
    source: Debian | Prepared | Tree | Command
    expects: Expectation = "provision"
    """`report-only`: it tells the platform how it went, and leaves users, keys and host name to others."""
    ours: bool = False

    @property
    def package(self) -> str:
        """The package whose version is the agent's, where it is one."""
        return self.source.package if isinstance(self.source, Debian) else ""

    @property
    def given(self) -> str:
        """The command or tree, as the command line has it."""
        match self.source:
            case Tree(path):
                return str(path)
            case Command(text):
                return text
        return ""

    @property
    def options(self) -> list[str]:
        """The words that name it on the command line."""
        if self.name in OWN:
            return ["--agent", self.name]
        expects = [] if self.expects == "provision" else ["--expect", self.expects]
        option = "--agent-tree" if isinstance(self.source, Tree) else "--agent"
        return [option, f"{self.name}={self.given}", *expects]

    def meets(self, scenario: Scenario) -> bool:
        """Whether the scenario can be carried out for it: a container has no clock and no drive of its own, a command
        no boot at all."""
        if isinstance(self.source, Command):
            return not needs_boot(scenario)
        return not any(
            fault.service == "clock" or (fault.service == "media" and fault.delay) for fault in scenario.faults
        )

    def owes(self, scenario: Scenario) -> Expected:
        """How it should end: where only data are missing, one that reports and no more is Ready."""
        data = bool(scenario.faults) and all(fault.service in ("imds", "media") for fault in scenario.faults)
        return "ready" if self.expects == "report-only" and data else scenario.expect


def _own() -> Iterator[Agent]:
    for suite, number in (("bookworm", "12"), ("trixie", "13"), ("sid", "sid")):
        called = "sid, its lease by dhcpcd" if number == "sid" else f"Debian {number}"
        yield Agent(f"waagent-{number}", f"Debian's package waagent, {called}", Debian(suite, "waagent", "ifupdown"))
        network: Network = "networkd" if number == "12" else "ifupdown"
        yield Agent(f"cloud-init-{number}", f"Debian's cloud-init, {called}", Debian(suite, "cloud-init", network))
    python, shell = Prepared("trixie", "python", ("python3-minimal",)), Prepared("trixie", "sh", ("curl",))
    yield Agent("azready-py", "azready's provision.py, Debian 13", python, ours=True)
    yield Agent("azready-sh", "azready's provision.sh, Debian 13", shell, ours=True)
    guest = resources.files("azready.guest")
    for interpreter, name in (("python3 -I -S", "report.py"), ("sh", "report.sh")):
        command = Command(shlex.join([*interpreter.split(), str(guest / name), "--platform", "azure"]))
        yield Agent(f"azready-{name}", f"azready's {name}", command, "report-only", ours=True)


OWN = {agent.name: agent for agent in _own()}
"""Those that azready can make by itself."""


def chosen(commands: Sequence[str], trees: Sequence[str], expects: Expectation) -> tuple[Agent, ...]:
    """The agents that a command line names, each once; all of OWN where it names none. Raises UsageFailure."""
    words = list(commands) or ([] if trees else [ALL])
    named = [*_named(words, expects), *(_tree(word, expects) for word in trees)]
    found = {agent.name: agent for agent in named}
    if len(found) < len(named):
        raise UsageFailure("two agents have the same name", "give each a name of its own: NAME=COMMAND")
    return tuple(found.values())


def _named(words: Iterable[str], expects: Expectation) -> Iterator[Agent]:
    for word in words:
        name, equals, command = word.partition("=")
        if word == ALL:
            yield from OWN.values()
        elif equals:
            yield Agent(_name(name), "", _command(word, command), expects)
        elif name in OWN:
            yield OWN[name]
        else:
            raise UsageFailure(f"there is no agent {name!r}", f"agents: {', '.join(OWN)}; {ALL}; or NAME=COMMAND")


def _command(word: str, command: str) -> Command:
    try:
        made = Command(command)
        empty = not made.words(**dict.fromkeys(PLACES, ""))
    except (KeyError, ValueError, IndexError) as error:
        places = ", ".join(f"{{{place}}}" for place in PLACES)
        raise UsageFailure(f"--agent {word!r}: {error} is not a place", f"places: {places}") from error
    if empty:
        raise UsageFailure(f"--agent {word!r} names no command", "write NAME=COMMAND")
    return made


def _tree(word: str, expects: Expectation) -> Agent:
    name, equals, path = word.partition("=")
    if not equals or not Path(path).is_dir():
        raise UsageFailure(f"--agent-tree {word!r}: {path or word} is no directory", "write NAME=TREE, a root tree")
    return Agent(_name(name), "", Tree(Path(path)), expects)


def _name(name: str) -> str:
    if not name or name in OWN or name == ALL or "|" in name or not name.isprintable():
        raise UsageFailure(f"{name!r} cannot be the name of an agent", f"choose another than {', '.join(OWN)}, {ALL}")
    return name
