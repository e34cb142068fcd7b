"""Removing the packages of provisioning agents, with each package manager's exact tool.

`dpkg --purge`, `rpm -e`, `pacman -R` and `emerge -C` remove what they are told and nothing else: no solver that takes
the network along, no repository that must be reachable. apk has no such tool: what the image needs is asked for by
name first. Everything is a plan of actions; nothing here changes anything.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from azready.errors import Failure
from azready.image.actions import Action, Remove, Run, Write
from azready.image.apply import AGAIN
from azready.image.facts.leftovers import agent_of_package
from azready.image.facts.packages.managers import MANAGERS
from azready.image.removal import dpkg
from azready.image.targets import Files

POLICY = "usr/sbin/policy-rc.d"
_POLICY_MARK = b"# written by azready while it removes packages"
_POLICY = b"#!/bin/sh\n" + _POLICY_MARK + b': nothing is started\ncase "$2" in stop) exit 0 ;; *) exit 101 ;; esac\n'

QUIET = (("DEBIAN_FRONTEND", "noninteractive"), ("DEBCONF_NONINTERACTIVE_SEEN", "true"), ("NEEDRESTART_SUSPEND", "1"))

_APK_KEEP = (
    *("python3", "curl", "wget", "dhcpcd", "dhclient", "ifupdown-ng", "iproute2*", "openssh-server", "openssh", "sudo"),
    *("doas", "shadow", "e2fsprogs*", "xfsprogs*", "sfdisk", "parted", "cloud-utils-growpart", "eudev", "udev-init-*"),
    *("chrony", "ca-certificates", "blkid", "util-linux*", "bash", "eject"),
)


@dataclass(frozen=True)
class Removal:
    """What to do about packages, in order, and what a person should know. `names` are those that go; `owned` the paths
    that go with them, where the manager lists them as text."""

    names: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    notes: tuple[str, ...] = ()
    owned: frozenset[str] = frozenset()


def plan_removal(files: Files, manager: str, installed: Iterable[str]) -> Removal:
    """Plan the removal of every agent package. `manager` is a name of `managers`, or empty (no database).

    Raises Failure when an agent cannot go without something that the image needs.
    """
    if manager in WITH_CARE:
        return WITH_CARE[manager](files, tuple(installed))
    names = _agents_of(installed)
    if not names:
        return Removal()
    if manager not in MANAGERS:
        raise Failure(
            f"the package manager of {', '.join(names)} is not known", "remove these packages, then run it again"
        )
    return Removal(names, (_exact((*MANAGERS[manager].remove, *names), MANAGERS[manager].hint),))


def _agents_of(installed: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in installed if agent_of_package(name)))


def _exact(argv: tuple[str, ...], hint: str) -> Run:
    return Run(argv, title="remove the agents' packages", hint=f"{hint}; {AGAIN}")


def _plan_apk(files: Files, installed: Sequence[str]) -> Removal:
    names = _agents_of(installed)
    if not names:
        return Removal()
    keep = sorted(
        name
        for name in installed
        if not agent_of_package(name) and any(fnmatchcase(name, pattern) for pattern in _APK_KEEP)
    )
    actions = []
    if keep:
        title = "keep what the image needs and only an agent asked for"
        actions.append(Run(("apk", "add", "--no-network", "--quiet", *keep), title=title, hint=AGAIN))
    actions.append(_exact(("apk", "del", "--no-network", "--quiet", "--purge", *names), MANAGERS["apk"].hint))
    return Removal(names, tuple(actions))


def _plan_dpkg(files: Files, installed: Sequence[str]) -> Removal:
    packages = dpkg.parse_status(files.read_text(dpkg.STATUS))
    agents = sorted(each.name for each in packages if each.present and agent_of_package(each.name))
    if not agents:
        return Removal(actions=policy_gone(files))
    along = dpkg.goes_along(packages, agents)
    if needed := dpkg.untouchable(packages, along):
        raise Failure(
            f"removing {', '.join(agents)} would take {', '.join(needed)} along, which the image needs",
            "install what it depends on without the agent, then run the same command again",
        )
    names = tuple(dict.fromkeys((*agents, *along)))
    notes = (f"goes along, since it depends on an agent: {', '.join(along)}",) if along else ()
    actions = (*_dpkg_before(files, packages, names), *_dpkg_purge(files, packages, names))
    return Removal(names, actions, notes, _dpkg_owned(files, names))


WITH_CARE: Mapping[str, Callable[[Files, Sequence[str]], Removal]] = {"apt": _plan_dpkg, "apk": _plan_apk}
"""Managers by whose own command more than the agents would go, or stay. The others are a row of `MANAGERS`."""


def _dpkg_owned(files: Files, names: Sequence[str]) -> frozenset[str]:
    paths = files.glob(f"{dpkg.LISTS}/{{{','.join((*names, names[0]))}}}{{,:*}}.list")
    listed = {line.strip("/") for path in paths for line in files.read_text(path).splitlines()}
    return frozenset(listed | {f"usr/{path}" for path in listed if path.startswith(("lib/", "bin/", "sbin/"))})


def _dpkg_before(files: Files, packages: Sequence[dpkg.Package], names: Sequence[str]) -> tuple[Action, ...]:
    automatic = (
        dpkg.parse_auto_installed(files.read_text(dpkg.EXTENDED_STATES))
        if files.exists(dpkg.EXTENDED_STATES)
        else set()
    )
    keep = dpkg.to_keep(packages, names, automatic)
    if not keep or not files.exists("usr/bin/apt-mark"):
        return ()
    why = "`apt autoremove` would take it once the agents are gone"
    return (Run(("apt-mark", "manual", *keep), QUIET, "mark as installed by hand", AGAIN, why=why),)


def _dpkg_purge(files: Files, packages: Sequence[dpkg.Package], names: Sequence[str]) -> tuple[Action, ...]:
    actions: list[Action] = []
    before, after = policy(files, "removed")
    actions += before
    settled = ("installed", "config-files", "not-installed")
    if any(each.state not in settled and each.name not in names for each in packages):
        argv = ("dpkg", "--configure", "--pending")
        actions.append(Run(argv, QUIET, "finish what an interrupted dpkg left", AGAIN))
    hint = f"if another package manager is running, wait for it; if a package's own script failed, fix it; {AGAIN}"
    actions.append(Run(("dpkg", "--purge", *names), QUIET, "remove the agents' packages", hint))
    return (*actions, *after)


def policy(files: Files, while_they_are: str) -> tuple[tuple[Action, ...], tuple[Action, ...]]:
    """What comes before and after work on Debian's packages, so that no service starts; nothing where the image has a
    policy of its own. `while_they_are`: `removed`, `installed`."""
    if files.exists(POLICY) and _POLICY_MARK not in files.read_head(POLICY, 4096):
        return (), ()
    why = f"no service may start while packages are {while_they_are}"
    return (Write(POLICY, _POLICY, 0o755, 0, 0, why),), (Remove(POLICY, "services may start again"),)


def policy_gone(files: Files) -> tuple[Action, ...]:
    """Take our policy-rc.d away, where a run that was cut off or failed left it: it keeps services from starting."""
    if files.exists(POLICY) and _POLICY_MARK in files.read_head(POLICY, 4096):
        return (Remove(POLICY, "left by an interrupted run"),)
    return ()
