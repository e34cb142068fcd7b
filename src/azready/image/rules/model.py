"""What a rule is, and what asking one can answer.

A rule is a record around one small function. To add one: a function with `@rule(…)` in the module of its area, and in
tests/image/rules a tree that breaks it and one that does not. Documentation, `--only`, `--skip` and `azready
generalize` follow from the table.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum, StrEnum, auto

from azready.image.actions import Action
from azready.image.facts import Facts


class Severity(IntEnum):
    """How bad a finding is."""

    INFO = auto()
    """Good to know; nothing fails."""
    WARNING = auto()
    """Something is slower, weaker or missing for somebody."""
    ERROR = auto()
    """The image provisions, but a user will be locked out, exposed, or refused by a test of Microsoft's."""
    FATAL = auto()
    """The image will not boot, not be accepted, or never report ready."""

    @property
    def word(self) -> str:
        """As options and reports spell it."""
        return self.name.lower()


class Profile(StrEnum):
    """What the image is meant for. `azure` always counts; the others add rules, or make them graver.

    `specialized` takes rules away: see `Copies`.
    """

    AZURE = "azure"
    NVME = "nvme"
    TRUSTED_LAUNCH = "trusted-launch"
    MARKETPLACE = "marketplace"
    MSP = "msp"
    SPECIALIZED = "specialized"


class Stage(IntEnum):
    """When a repair is carried out; the order is safe on a machine that one is logged in to."""

    FIX = auto()
    """A setting is wrong: `prepare` and `generalize --fix` put it right; sealing alone does not touch it."""
    WIPE = auto()
    """Identity, secrets and state of this machine."""
    USERS = auto()
    IDENTITY = auto()
    """machine-id and seeds: after it the machine must not be restarted before it is captured."""
    LOGS = auto()
    """Last, since everything before may write to them."""


class Copies(Enum):
    """What a specialized image is asked: nothing provisions it, and its VMs are copies of one machine."""

    ASKED = "like any image"
    TOLD = "every copy has it too, and that is what was asked for: a finding is information"
    UNASKED = "it is about who provisions, its DVD, and the user that it makes"


class Reads(Enum):
    """What must be readable for a rule to have an answer."""

    ROOT = "the root file system"
    MENU = "the boot menu, wherever it lies"
    DISK = "partitions, firmware's programs, and the disk file"


class Skip(Exception):
    """Raised by a rule that has nothing to say about this image; the text says why."""


@dataclass(frozen=True)
class Finding:
    """Something that breaks a rule: what it is, where (a path, or `path:line`), and how to fix it."""

    what: str
    where: str = ""
    fix: str = ""
    """Empty: as the rule says."""
    severity: Severity | None = None
    """None: as the rule says."""
    by_hand: bool = False
    """Whether it is left alone by the rule's repair: `fix` says what a person does."""
    subject: str = ""
    """What the repair takes hold of, where `where` does not say it: an argument as it stands in the menu. Not shown."""

    @property
    def path(self) -> str:
        """The file of `where`, without the line number."""
        path, colon, number = self.where.rpartition(":")
        return path if colon and number.isdecimal() else self.where

    @property
    def line(self) -> int:
        """The line number of `where`, 0 when it has none."""
        number = self.where.rpartition(":")[2]
        return int(number) if ":" in self.where and number.isdecimal() else 0


Find = Callable[[Facts], Iterable[Finding]]
Repair = Callable[[Facts, Sequence[Finding]], Iterable[Action]]


@dataclass(frozen=True)
class Vital:
    """What a sealed image could not do any more, and what to do about it. Skipping a rule of `excuses` allows it."""

    message: str
    hint: str
    excuses: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """A requirement of Azure, or of an image that many machines are made from."""

    id: str
    title: str
    """What holds in a good image."""
    fault: str
    """What is the matter with an image in which it does not hold: the line above findings."""
    why: str
    fix: str
    sources: tuple[str, ...]
    """Keys of `sources.SOURCES`."""
    severities: Mapping[Profile, Severity]
    """By profile; the gravest of those chosen counts. A rule without any of them is not asked."""
    find: Find = field(repr=False)
    repair: Repair | None = field(default=None, repr=False)
    stage: Stage = Stage.FIX
    rewritten_live: bool = False
    """Whether a running system writes it again: found after the wipe, it holds only what came since."""
    vital: Vital | None = None
    """Why an image that breaks this rule is not sealed, where no repair helps. None: it may be sealed."""
    finished_only: bool = False
    """Whether only the finished disk file can keep it: a step before it need not."""
    in_copies: Copies = Copies.ASKED
    reads: Reads = Reads.ROOT

    @property
    def seals(self) -> bool:
        """Whether `azready generalize` fixes it."""
        return self.repair is not None and self.stage is not Stage.FIX

    def severity(self, profiles: Iterable[Profile]) -> Severity | None:
        """The gravest of the chosen profiles; None when it is not asked."""
        chosen = {Profile.AZURE, *profiles}
        found = max((self.severities[each] for each in chosen if each in self.severities), default=None)
        if found is None or Profile.SPECIALIZED not in chosen:
            return found
        return {Copies.UNASKED: None, Copies.TOLD: Severity.INFO}.get(self.in_copies, found)

    def of_a_copy(self) -> "Rule":
        """The rule whose findings are only told: sealing would take away what the copies are to have."""
        fix = "take it out by hand where the copies should not share it" if self.in_copies is Copies.TOLD else self.fix
        return replace(self, repair=None, fix=fix)


def rule(
    id: str,
    title: str,
    *,
    fault: str,
    why: str,
    fix: str,
    sources: str,
    severity: Severity | Mapping[Profile, Severity],
    repair: Repair | None = None,
    stage: Stage = Stage.FIX,
    rewritten_live: bool = False,
    vital: Vital | None = None,
    finished_only: bool = False,
    in_copies: Copies = Copies.ASKED,
    reads: Reads = Reads.ROOT,
) -> Callable[[Find], Rule]:
    """Make a rule of a function that yields findings. `sources` are keys separated by spaces."""
    severities = {Profile.AZURE: severity} if isinstance(severity, Severity) else severity

    def made(find: Find) -> Rule:
        return Rule(
            id,
            title,
            fault,
            why,
            fix,
            tuple(sources.split()),
            severities,
            find,
            repair,
            stage,
            rewritten_live,
            vital,
            finished_only,
            in_copies,
            reads,
        )

    return made
