"""From an image with an agent to one with the guest program: what to do, as a plan, and doing it.

The order makes every plan safe to interrupt. First the guest program and all that replaces the agents, then the
packages, then what packages leave, last the links that start the guest program. A second run plans again from what it
finds, so the same command completes what was cut off; each decision looks at what stays, never at what goes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from azready.agents import AGENTS, WAAGENT
from azready.errors import Failure
from azready.image.actions import Action, AddKeys, Run, Write
from azready.image.apply import AGAIN, ApplyFailed, Outcome, apply
from azready.image.facts import Facts, built
from azready.image.facts.leftovers import Leftover, agent_of_package
from azready.image.facts.selinux import SETFILES, relabels
from azready.image.parts import additions, guest_program, network_profile, replacements, reporting
from azready.image.removal import managers
from azready.image.targets import Target
from azready.image.targets.rehearsal import Rehearsal

_ROOM = 16 * 1024 * 1024
"""Bytes that package managers need to rewrite their databases, with some to spare."""

_DAEMONS = frozenset({*WAAGENT.services, *AGENTS["azure-init"].services})
"""Units that stay in memory once they have started."""


@dataclass(frozen=True)
class Options:
    """What the user chose. `grow` of None: grow the root file system when cloud-init did."""

    guest: str = "auto"
    init: str = "auto"
    clone_guard: bool = True
    firewall: bool = False
    grow: bool | None = None
    network_profile: bool = True
    disk_links: bool = True
    vf_rule: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    added: tuple[additions.Addition, ...] = ()
    report_only: bool = False
    """The agents that are there stay, for the data."""
    silence: tuple[str, ...] = ()
    """Agents that shall report no more; with `report_only`."""
    ready_when: str = ""
    """The unit whose success is the VM's."""

    @property
    def by_itself(self) -> bool:
        """Whether the image reports when a unit of its own is up."""
        return bool(self.ready_when) or self.settings.get("REPORT") == "none"

    @property
    def rows(self) -> frozenset[str]:
        """The options of install.toml that are on."""
        chosen = {"clone-guard": self.clone_guard, "firewall": self.firewall, "report": self.by_itself}
        return frozenset(name for name, on in chosen.items() if on)


@dataclass(frozen=True)
class Preparation:
    """The plan: what was found, what is chosen, what to do in order, and what a person should know."""

    distribution: str
    selection: guest_program.Selection
    found: tuple[Leftover, ...]
    actions: tuple[Action, ...]
    notes: tuple[str, ...]
    owned: frozenset[str] = frozenset()
    """Paths that go with the packages."""


def plan(facts: Facts, options: Options) -> Preparation:
    """Decide what to do to an image. Only reads; raises Failure for an image that cannot be prepared."""
    distribution = _distribution(facts)
    if options.report_only:
        return _plan_report_only(facts, options, distribution)
    found = facts.leftovers
    removing = managers.plan_removal(facts.files, facts.packages.manager, tuple(facts.packages.versions))
    selection = _select(facts, options)
    stays = _without(facts, found, removing)
    instead, said = _replacements(facts, stays, options)
    residue = tuple(action for each in found if not _goes_with_a_package(each, removing) for action in each.remedy)
    files = facts.files
    return Preparation(
        distribution,
        selection,
        found,
        (
            *guest_program.plan_files(files, selection),
            *instead,
            *_stop_daemons(found, facts.live, selection.init),
            *removing.actions,
            *residue,
            *additions.plan_additions(facts, options.added),
            *guest_program.plan_links(files, selection),
            *(reporting.plan_start(facts, options.ready_when) if options.ready_when else ()),
            *_relabel(facts),
            *_reload(facts.live, selection.init),
        ),
        (
            *removing.notes,
            *_slots_note(facts),
            *said,
            *_relabel_notes(facts),
            *replacements.notes(found, selection.options),
            *guest_program.notes(files, selection),
            *(reporting.notes(facts, options.ready_when, (), alone=False) if options.by_itself else ()),
        ),
        removing.owned,
    )


def _plan_report_only(facts: Facts, options: Options, distribution: str) -> Preparation:
    """Only the report: every agent stays. Raises Failure without systemd, and where azready provisions already."""
    files = facts.files
    if guest_program.choose_init(facts.init, options.init) != "systemd":
        raise Failure(
            "only systemd starts report.py and report.sh", "start report.sh from a script of your init system"
        )
    if files.glob(reporting.PROGRAMS):
        raise Failure(
            "azready provisions this image already, and reports for it",
            "say --ready-when UNIT without --report-only, to report when a unit of yours is up",
        )
    guest, rows = reporting.choose_reporter(files, options.guest), reporting.rows(facts, options.silence)
    selection = guest_program.Selection(guest, "systemd", rows, {}, "report")
    started = reporting.plan_start(facts, options.ready_when) if options.ready_when else ()
    return Preparation(
        distribution,
        selection,
        (),
        (
            *guest_program.plan_files(files, selection),
            *additions.plan_additions(facts, options.added),
            *started,
            *_relabel(facts),
            *_reload(facts.live, "systemd"),
        ),
        (
            *_relabel_notes(facts),
            *reporting.notes(facts, options.ready_when, options.silence, alone=True),
        ),
    )


def tried(facts: Facts, preparation: Preparation) -> Facts:
    """The facts after the plan, without carrying it out: programs are not run, nor what hangs on them done, but what
    packages own is gone."""
    rehearsal = Rehearsal(facts.files, facts.live)
    apply([action for action in preparation.actions if not isinstance(action, Run | AddKeys)], rehearsal)
    _forget(rehearsal, preparation.owned)
    return Facts(rehearsal, facts.live, facts.disk)


def _without(facts: Facts, found: Sequence[Leftover], removing: managers.Removal) -> Facts:
    """What stays once the agents are gone."""
    rehearsal = Rehearsal(facts.files, facts.live)
    for each in found:
        apply(each.remedy, rehearsal)
    _forget(rehearsal, removing.owned)
    return Facts(rehearsal, facts.live, facts.disk)


def _forget(rehearsal: Rehearsal, owned: Iterable[str]) -> None:
    """Take out what removed packages own. A folder stays for others; so does a link to one, such as /lib."""
    for path in owned:
        if rehearsal.glob(path) and not (rehearsal.exists(path) and rehearsal.stat(path).kind == "dir"):
            rehearsal.remove(path)


def carry_out(
    target: Target, preparation: Preparation, report: Callable[[Outcome], None] | None = None
) -> tuple[Leftover, ...]:
    """Carry the plan out, remove what package scripts wrote meanwhile, and return what is left of agents: nothing.

    Raises ApplyFailed at the first action that fails, Failure before any when there is no room.
    """
    if target.free_space() < _ROOM:
        raise Failure(
            f"{target.describe()} has less than {_ROOM >> 20} MiB of free space", "make room in it, then run it again"
        )
    try:
        apply(preparation.actions, target, report)
    except ApplyFailed:
        apply(managers.policy_gone(target), target, report)
        raise
    return _swept(target, report) if preparation.selection.job == "provision" else ()


def _swept(target: Target, report: Callable[[Outcome], None] | None) -> tuple[Leftover, ...]:
    """Remove what is left until nothing more goes: a folder is empty only once the last file in it went."""
    left, before = Facts(target).leftovers, None
    while left != before and any(each.remedy for each in left):
        apply([action for each in left for action in each.remedy], target, report)
        left, before = Facts(target).leftovers, left
    return left


_BY_PACKAGE_SCRIPTS = ("enabled unit", "unit state", "init script")


def _goes_with_a_package(each: Leftover, removing: managers.Removal) -> bool:
    """Left out of the plan, to keep it readable; what a package leaves after all, `carry_out`'s second look finds."""
    packaged = each.agent in {agent_of_package(name) for name in removing.names}
    return each.path in removing.owned or (packaged and each.what in _BY_PACKAGE_SCRIPTS)


def _distribution(facts: Facts) -> str:
    """The name in os-release. Raises Failure for what is no Linux system, or one that is not changed in place."""
    files, distro = facts.files, facts.distro
    if not distro.known or not files.exists("etc/passwd"):
        raise Failure(
            "this is not the root of a Linux system: it has no etc/os-release or no etc/passwd",
            "give the folder that holds etc, usr and var",
        )
    if built.deployed(files) or distro.id in ("flatcar", "nixos"):
        raise Failure(
            f"{distro.name} is built as an image: its /usr is not changed in place",
            "leave the agents out and add the guest program where the image is built: docs/prepare.md shows how",
        )
    if guarded := built.verity(facts.boot_entries):
        raise Failure(
            f"{distro.name} starts with dm-verity over its /{'' if guarded == 'root' else guarded}: "
            "whatever is changed in it stops the boot",
            "leave the agents out and add the guest program where the image is built: docs/prepare.md shows how",
        )
    return distro.name


def _slots_note(facts: Facts) -> tuple[str, ...]:
    names = built.slots(facts.disk)
    if not names:
        return ()
    told = (
        "only the one that was looked at is changed; an update that starts the other needs the guest program there, too"
    )
    return (f"the disk holds two systems ({', '.join(names)}): {told}",)


def _select(facts: Facts, options: Options) -> guest_program.Selection:
    settings = dict(options.settings)
    grow = options.grow
    if grow is None and "GROW" not in settings and any(each.agent == "cloud-init" for each in facts.leftovers):
        grow = True
    if grow is not None:
        settings["GROW"] = "yes" if grow else "no"
    if options.ready_when:
        settings.setdefault("REPORT", "none")
    return guest_program.Selection(
        guest_program.choose_guest(facts.files, options.guest),
        guest_program.choose_init(facts.init, options.init),
        options.rows,
        settings,
    )


def _replacements(facts: Facts, stays: Facts, options: Options) -> tuple[tuple[Action, ...], tuple[str, ...]]:
    actions: tuple[Action, ...] = replacements.plan_sudo(facts.files)
    said: tuple[str, ...] = ()
    if options.network_profile:
        profile, why = network_profile.plan_profile(stays)
        actions += profile
        said = (why,) if why else ()
    features = {"disk-links": options.disk_links, "vf-rule": options.vf_rule}
    actions += replacements.plan_udev(facts.files, [name for name, on in features.items() if on])
    return actions, said


def _stop_daemons(found: Sequence[Leftover], live: bool, init: str) -> tuple[Action, ...]:
    """On a running system an agent that stays in memory would write its files again."""
    if not live or init != "systemd":
        return ()
    units = sorted({name for each in found if (name := each.path.rpartition("/")[2]) in _DAEMONS})
    argv = ("systemctl", "--quiet", "stop", *units)
    return (Run(argv, title="stop the agents", hint=AGAIN, needed=False),) if units else ()


_RELABEL_NOTE = "SELinux is on: the first boot labels all files anew (/.autorelabel), and starts once more after that"


def _relabel_notes(facts: Facts) -> tuple[str, ...]:
    if facts.live or facts.selinux == "disabled":
        return ()
    if facts.selinux == "enforcing" and not relabels(facts.files):
        return (f"SELinux is on, and nothing in the image labels what is written here: {SETFILES}",)
    return (_RELABEL_NOTE,) if _relabel(facts) else ()


def _relabel(facts: Facts) -> tuple[Action, ...]:
    """What is written from outside carries no label; in enforcing mode nobody could log in (rule P19)."""
    if facts.live or facts.selinux == "disabled" or facts.files.exists(".autorelabel"):
        return ()
    return (Write(".autorelabel", b"", 0o644, 0, 0, "SELinux is on, and files were written from outside"),)


def _reload(live: bool, init: str) -> tuple[Action, ...]:
    if not live or init != "systemd":
        return ()
    return (Run(("systemctl", "daemon-reload"), title="let systemd read its units again", needed=False),)
