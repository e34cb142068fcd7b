"""Sealing an image: what makes a machine this machine goes, so that many can be made from it.

The rules that `check` asks bring their fixes; this module only puts them in an order that is safe on a machine that
one is logged in to, adds the users that were named, carries everything out, and asks the same rules again. Every fix
looks at what is there, so a run that was cut off is completed by running it again.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from azready.errors import Failure
from azready.image.actions import Action, RemoveUser, Run, Write
from azready.image.apply import Outcome, apply
from azready.image.checking import (
    Found,
    Result,
    Unseen,
    ask,
)
from azready.image.facts import Facts, built
from azready.image.facts.users import Users
from azready.image.rules import RULES, repairs
from azready.image.rules.accounts import no_people
from azready.image.rules.model import Finding, Profile, Rule, Severity, Stage
from azready.image.targets import Target
from azready.image.targets.rehearsal import Rehearsal


class Useless(Failure):
    """Once sealed, the image could not be used any more."""


class Worse(Useless):
    """Sealing would break a rule that holds now."""


ROUNDS = 12
"""A fix may uncover what another rule finds, or write the same file: so plan and act until nothing is found."""

_SEED_DROP_IN = "run/systemd/system/systemd-random-seed.service.d/azready.conf"


@dataclass(frozen=True)
class Options:
    """What the user chose. `users` are removed, homes and all; `fix` adds the fixes of settings."""

    users: tuple[str, ...] = ()
    fix: bool = False
    skip: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Step:
    """What one rule found, and what is done about it. `rule` is None for what the user asked for."""

    title: str
    stage: Stage
    actions: tuple[Action, ...]
    rule: Rule | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Sealing:
    """The plan, in order, and what a person should know before."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        """All of them, in order."""
        return tuple(action for step in self.steps for action in step.actions)


@dataclass(frozen=True)
class Sealed:
    """How it ended: what is still found, and which of it a running system has written again."""

    outcomes: tuple[Outcome, ...]
    left: tuple[Result, ...]
    rewritten: tuple[Result, ...]


def plan(facts: Facts, options: Options) -> Sealing:
    """Decide what to do. Only reads: the whole plan is tried in memory, and every grave rule is asked of the outcome.

    Raises Useless for an image that could not be used once it is sealed (Worse, where sealing would be what breaks it),
    Failure where a rule could not look.
    """
    if built.verity(facts.boot_entries) == "root":
        raise Failure(
            "dm-verity guards the root file system: whatever is changed in it stops the boot",
            "let the image's build leave these traces out; azready check names them",
        )
    sealing = _next_round(facts, options)
    _refuse_what_would_be_worse(facts, options)
    return sealing


def _next_round(facts: Facts, options: Options) -> Sealing:
    """What to do about what is found now; carrying it out may uncover more."""
    steps: list[Step] = []
    for rule in _rules(options):
        answer = ask(rule, facts)
        if isinstance(answer, Unseen):
            raise Failure(
                f"{rule.id} ({rule.title}) could not look: {answer.reason}",
                f"make it readable, or leave the rule out: azready generalize --skip {rule.id}",
            )
        if isinstance(answer, Found) and rule.repair is not None:
            actions = tuple(rule.repair(facts, answer.findings))
            steps.append(Step(f"{rule.id}  {rule.title}", rule.stage, actions, rule, answer.findings))
    steps += _user_steps(facts, options.users)
    steps += _live_steps(facts, steps)
    _refuse_what_would_be_useless(facts, steps, options)
    ordered = sorted((step for step in steps if step.actions), key=lambda step: step.stage)
    return Sealing(tuple(ordered), tuple(_notes(facts, options)))


def _rules(options: Options) -> Iterator[Rule]:
    for rule in RULES:
        chosen = rule.seals or (options.fix and rule.repair is not None and Profile.AZURE in rule.severities)
        if chosen and rule.id not in options.skip:
            yield rule


def _user_steps(facts: Facts, names: Sequence[str]) -> Iterator[Step]:
    known = {account.name: account for account in facts.users.accounts}
    for name in names:
        account = known.get(name)
        if account is None:
            continue  # removed by a run that was cut off; `_notes` says it
        if account.uid == 0 or account not in facts.users.people():
            raise Failure(f"{name} (user id {account.uid}) is not an ordinary user", "remove system accounts by hand")
        actions = (*_sudo_lines(facts, name), RemoveUser(name, why="--user"))
        yield Step(f"--user {name}", Stage.USERS, actions)


def _sudo_lines(facts: Facts, name: str) -> Iterator[Action]:
    """Drop the user's own lines from sudoers: a new user of that name must not inherit them."""
    pattern = re.compile(rf"\s*{re.escape(name)}\s+\S+\s*=")
    for path in ("etc/sudoers", *facts.files.glob("etc/sudoers.d/*")):
        text = facts.text(path) or ""
        kept = "".join(line for line in text.splitlines(keepends=True) if not pattern.match(line))
        if kept != text:
            yield repairs.write(path, kept)


def _live_steps(facts: Facts, steps: Sequence[Step]) -> Iterator[Step]:
    """On a running system: its shutdown must not write a new seed for all clones to share."""
    unit = "systemd-random-seed.service"
    if facts.live and unit in facts.units.installed and any(step.actions for step in steps):
        actions = (
            Write(_SEED_DROP_IN, b"[Service]\nExecStop=\n", 0o644, why="until the machine stops"),
            Run(("systemctl", "daemon-reload"), title="let systemd read it", needed=False),
        )
        yield Step("no random seed is saved at shutdown", Stage.WIPE, actions)


def _refuse_what_would_be_useless(facts: Facts, steps: Sequence[Step], options: Options) -> None:
    repaired = {step.rule.id for step in steps if step.rule and step.actions}
    for rule in RULES:
        if rule.vital is None or rule.id in repaired or {rule.id, *rule.vital.excuses} & options.skip:
            continue
        if isinstance(ask(rule, facts), Found):
            raise Useless(rule.vital.message, rule.vital.hint)


def tried(facts: Facts, options: Options) -> Facts:
    """The facts after sealing, which is tried in memory: programs of the image are not run."""
    rehearsal = Rehearsal(facts.files, facts.live)
    _until_nothing_is_found(rehearsal, lambda: Facts(rehearsal, facts.live, facts.disk), options)
    return Facts(rehearsal, facts.live, facts.disk)


def _refuse_what_would_be_worse(facts: Facts, options: Options) -> None:
    """Try the plan in memory, and compare what every rule of weight says before and after."""
    after = tried(facts, options)
    for rule in RULES:
        if rule.id in options.skip or not (found := _grave(rule, after)) or _grave(rule, facts):
            continue
        raise Worse(
            f"sealing would break what works now: {rule.id} ({rule.title}): {found[0]}",
            f"{rule.fix}; or leave out the step that does it: --skip",
        )


def _grave(rule: Rule, facts: Facts) -> list[str]:
    """What is found with the weight of an error or more; also that it could not look, where it weighs so."""
    severity = rule.severity((Profile.AZURE,))
    if severity is None:
        return []
    match ask(rule, facts):
        case Found(findings):
            return [each.what for each in findings if (each.severity or severity) >= Severity.ERROR]
        case Unseen(reason):
            return [reason] if severity >= Severity.ERROR else []
        case _:
            return []


def _notes(facts: Facts, options: Options) -> Iterator[str]:
    known = {account.name for account in facts.users.accounts}
    for name in options.users:
        if name not in known:
            yield f"there is no user {name} (any more)"
    for account in facts.users.people():
        if account.name not in options.users:
            yield f"the user {account.name} stays, without keys and password: --user {account.name} removes it"
    if facts.live:
        yield "from here on nobody can log in to this machine any more; this session stays"
        yield "when it is done, do not restart: stop the machine, and capture it"


def carry_out(
    target: Target, look: Callable[[], Facts], options: Options, report: Callable[[Outcome], None] | None = None
) -> Sealed:
    """Plan, act, look again, until nothing is found. `look` gives fresh facts of the target.

    Raises what `plan` raises before anything is changed, ApplyFailed at the first action that fails; running it again
    goes on from there.
    """
    plan(look(), options)
    outcomes = _until_nothing_is_found(target, look, options, report)
    facts = look()
    left = tuple(_still_found(facts, options))
    rewritten = tuple(result for result in left if target.live and result.rule.rewritten_live)
    if target.live:
        target.run(["sync"], check=False)
    return Sealed(outcomes, tuple(result for result in left if result not in rewritten), rewritten)


def _until_nothing_is_found(
    target: Target, look: Callable[[], Facts], options: Options, report: Callable[[Outcome], None] | None = None
) -> tuple[Outcome, ...]:
    outcomes: list[Outcome] = []
    for _ in range(ROUNDS):
        done = apply(_next_round(look(), options).actions, target, report)
        outcomes += done
        if not any(outcome.changed for outcome in done):
            break
    return tuple(outcomes)


def _still_found(facts: Facts, options: Options) -> Iterator[Result]:
    for rule in _rules(options):
        answer = ask(rule, facts)
        if isinstance(answer, Found | Unseen):
            yield Result(rule, rule.severity((Profile.AZURE,)) or Severity.INFO, answer)
    names: Users = facts.users
    if any(account.name in options.users for account in names.accounts):
        yield Result(no_people, Severity.ERROR, ask(no_people, facts))
