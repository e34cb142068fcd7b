"""What provisioning agents leave in an image: the search that must come back empty after `prepare`.

What to look for is in agents.toml: walinuxagent (`waagent`), cloud-init, azure-init, tiny-cloud. Tools that provision
nothing are none of them: growpart, cloud-initramfs-growroot, azure-vm-utils, the Hyper-V daemons.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

from azready.agents import AGENTS, Agent
from azready.image.actions import Action, Remove, Write
from azready.image.targets import Files


@dataclass(frozen=True)
class Leftover:
    """Something of an agent in an image: where it is, what it is, and what takes it away (empty for a package)."""

    agent: str
    path: str
    what: str
    remedy: tuple[Action, ...] = ()

    def describe(self) -> str:
        """One line: `waagent: configuration /etc/waagent.conf`."""
        place = f" /{self.path}" if self.path else ""
        return f"{self.agent}: {self.what}{place}"


SUDO_RULES = tuple(
    pattern
    for agent in AGENTS.values()
    for what, patterns in agent.paths
    if what == "sudo rule"
    for pattern in patterns
)
"""Files in which agents give their users sudo; `prepare` carries the rules over until the image is sealed."""

_UNIT_PLACES = (
    ("{etc,usr/lib,lib,usr/local/lib,run}/systemd/system/", ("", ".d"), "unit"),
    ("{etc,usr/lib,lib}/systemd/system/*.{wants,requires,upholds}/", ("",), "enabled unit"),
    ("var/lib/systemd/deb-systemd-helper-{enabled,masked}/{,*.wants/}", ("", ".dsh-also"), "unit state"),
)
_INIT_PLACES = ("etc/init.d/", "etc/runlevels/*/", "etc/rc?.d/[SK][0-9][0-9]")


def agent_of_package(name: str) -> str | None:
    """The agent that a package belongs to (RPM writes WALinuxAgent: case does not count), or None."""
    lowered = name.lower()
    return next(
        (agent.name for agent in AGENTS.values() for pattern in agent.packages if fnmatchcase(lowered, pattern)), None
    )


def find_leftovers(files: Files, packages: Iterable[str] = ()) -> list[Leftover]:
    """Everything of an agent in an image, in the order in which it should go. Empty: the image is free of agents.

    `packages` are the installed packages' names. Raises OSError where a folder may not be read.
    """
    found = [Leftover(owner, "", f"package {name}") for name in sorted(packages) if (owner := agent_of_package(name))]
    wanted = [(agent, what, pattern) for agent in AGENTS.values() for what, pattern in _patterns(agent)]
    there = files.glob_each(pattern for _, _, pattern in wanted)
    seen: dict[str, Leftover] = {}
    for agent, what, pattern in wanted:
        for path in map(partial(_canonical, files), there[pattern]):
            remedy = (Remove(path, f"{what} of {agent.name}"),)
            seen.setdefault(path, Leftover(agent.name, path, what, remedy))
    return [*found, *seen.values(), *_empty_folders(files), *_lines(files), *_generated_network(files)]


def _patterns(agent: Agent) -> Iterator[tuple[str, str]]:
    """What a thing is, and a pattern of its path: those that start something first."""
    for place, suffixes, what in _UNIT_PLACES:
        for unit in agent.units:
            for suffix in suffixes:
                yield what, f"{place}{unit}{suffix}"
    for place in _INIT_PLACES:
        for name in agent.inits:
            yield "init script", f"{place}{name}"
    for what, patterns in agent.paths:
        for pattern in patterns:
            yield what, pattern


def _canonical(files: Files, path: str) -> str:
    """One name for what can be reached by two: /lib is often a link to /usr/lib."""
    folder, _, name = path.rpartition("/")
    return f"{files.resolve(folder)}/{name}"


def _empty_folders(files: Files) -> Iterator[Leftover]:
    for agent in AGENTS.values():
        for path in agent.if_empty:
            if files.glob(path) and files.lstat(path).kind == "dir" and not files.listdir(path):
                yield Leftover(agent.name, path, "empty folder", (Remove(path, f"folder of {agent.name}"),))


# ---- lines in files that belong to others

_FSTAB_OPTION = re.compile(r"x-systemd\.(requires|after)=cloud-(init|config)[^,\s]*,?")
_WIRESERVER_RULE = re.compile(r"[ \t]*<(passthrough|rule)\b[^>]*>[^<]*168\.63\.129\.16[^<]*</\1>[ \t]*\n?")
_CLOUD_CFG = re.compile(r"""(?m)^[ \t]*DefaultEnvironment=["']?CLOUD_CFG=.*\n?""")


def clean_fstab(text: str) -> str:
    """Without the lines that cloud-init wrote (`comment=cloudconfig`), and without waiting for its units elsewhere."""
    lines = []
    for line in text.splitlines(keepends=True):
        if not line.lstrip().startswith("#"):
            if "comment=cloudconfig" in line:
                continue
            line = _without_option(line)
        lines.append(line)
    return "".join(lines)


def _without_option(line: str) -> str:
    """An fstab line whose options wait for no unit of cloud-init; spaces stay as they are."""
    fields = re.split(r"(\s+)", line)
    for number, field in enumerate(fields):
        if _FSTAB_OPTION.search(field):
            fields[number] = _FSTAB_OPTION.sub("", field).rstrip(",") or "defaults"
    return "".join(fields)


def clean_firewalld(text: str) -> str:
    """firewalld's direct.xml without the rules that waagent added for the WireServer."""
    return _WIRESERVER_RULE.sub("", text)


def clean_system_conf(text: str) -> str:
    """systemd's system.conf without the variable that Microsoft's recipe for swap passes to cloud-init."""
    return _CLOUD_CFG.sub("", text)


_EDITS = (
    ("cloud-init", "etc/fstab", "lines", clean_fstab),
    ("cloud-init", "etc/systemd/system.conf", "line", clean_system_conf),
    ("waagent", "etc/firewalld/direct.xml", "firewall rules", clean_firewalld),
)


def _lines(files: Files) -> Iterator[Leftover]:
    for agent, path, what, clean in _EDITS:
        if not files.exists(path):
            continue
        text = files.read_text(path)
        cleaned = clean(text)
        if cleaned != text:
            data = cleaned.encode(errors="surrogateescape")
            yield Leftover(agent, path, f"{what} in", (Write(path, data, why=f"without what {agent} wrote"),))


def _generated_network(files: Files) -> Iterator[Leftover]:
    """Network files whose name says nothing and whose head says who wrote them."""
    for path in files.glob("etc/sysconfig/{network-scripts/ifcfg,network/ifcfg,network/ifroute}-*"):
        if b"Created by cloud-init" in files.read_head(path, 256):
            what = "network configuration"
            yield Leftover("cloud-init", path, what, (Remove(path, f"{what} of cloud-init"),))
