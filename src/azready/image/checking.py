"""Asking every rule about an image: (facts, rules, choice) → answers. Nothing is changed, nothing is run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from azready.errors import Exit, Failure
from azready.image.facts import Facts
from azready.image.rules import ids
from azready.image.rules.model import Copies, Finding, Profile, Reads, Rule, Severity, Skip
from azready.image.rules.waivers import Waiver


@dataclass(frozen=True)
class Passed:
    """The rule holds."""


@dataclass(frozen=True)
class Found:
    """The rule is broken; at least one finding."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Skipped:
    """The rule has nothing to say here, or was not to be asked."""

    reason: str


@dataclass(frozen=True)
class Unseen:
    """What the rule needs could not be read. Never a pass."""

    reason: str


Answer = Passed | Found | Skipped | Unseen


@dataclass(frozen=True)
class Result:
    """A rule, how grave it is with the chosen profiles, and its answer. `seconds` is what asking it took."""

    rule: Rule
    severity: Severity
    answer: Answer
    seconds: float = 0.0
    waiver: Waiver | None = None
    """Findings with a waiver are shown, and count for nothing."""

    @property
    def worst(self) -> Severity | None:
        """The gravest finding; None without findings."""
        if not isinstance(self.answer, Found):
            return None
        return max(finding.severity or self.severity for finding in self.answer.findings)


@dataclass(frozen=True)
class Choice:
    """Which rules are asked. `only` and `skip` hold rule ids, or the letter of an area."""

    profiles: frozenset[Profile] = frozenset({Profile.AZURE})
    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    waivers: tuple[Waiver, ...] = ()
    sealing: bool = True
    """Whether the rules that `azready generalize` fixes are asked too."""


def check(facts: Facts, rules: Sequence[Rule], choice: Choice) -> tuple[Result, ...]:
    """Ask the chosen rules. Raises UsageFailure for an id that no rule has."""
    choice = replace(choice, only=ids.named(choice.only, areas=True), skip=ids.named(choice.skip, areas=True))
    ids.named(waiver.id for waiver in choice.waivers)
    waived = {waiver.id.upper(): waiver for waiver in choice.waivers}
    return tuple(
        _told(_ask(rule, severity, facts, choice.skip, waived.get(rule.id)), choice)
        for rule in rules
        if (severity := rule.severity(choice.profiles)) is not None and _wanted(rule, choice)
    )


def stopping(results: Iterable[Result], fail_on: Severity) -> tuple[Result, ...]:
    """What keeps `exit_code` from being 0: findings as grave as `fail_on`, and rules so grave that could not look."""
    return tuple(
        result
        for result in results
        if not result.waiver
        and ((result.worst or 0) >= fail_on or (isinstance(result.answer, Unseen) and result.severity >= fail_on))
    )


def _wanted(rule: Rule, choice: Choice) -> bool:
    if choice.only and not {rule.id, rule.id[0]} & choice.only:
        return False
    return choice.sealing or not rule.seals


def _told(result: Result, choice: Choice) -> Result:
    """Of a specialized image: no command that seals mends it, and what copies share is information, however grave."""
    if Profile.SPECIALIZED not in choice.profiles or not isinstance(result.answer, Found):
        return result
    rule, findings = result.rule.of_a_copy(), result.answer.findings
    if rule.in_copies is Copies.TOLD:
        findings = tuple(replace(each, severity=None, fix="") for each in findings)
    return replace(result, rule=rule, answer=Found(findings))


def _ask(rule: Rule, severity: Severity, facts: Facts, skip: Iterable[str], waiver: Waiver | None) -> Result:
    if {rule.id, rule.id[0]} & set(skip):
        return Result(rule, severity, Skipped("left out on request"))
    started = perf_counter()
    answer = ask(rule, facts)
    return Result(rule, severity, answer, perf_counter() - started, waiver)


def ask(rule: Rule, facts: Facts) -> Answer:
    """Ask one rule. What it cannot read is an answer of its own; two stacks that read one file say one thing."""
    if facts.unseen and (rule.reads is Reads.ROOT or (rule.reads is Reads.MENU and not facts.boot_entries)):
        return Unseen(facts.unseen)
    return _guarded(lambda: tuple(dict.fromkeys(rule.find(facts))))


def _guarded(find: Callable[[], tuple[Finding, ...]]) -> Answer:
    try:
        findings = find()
    except Skip as reason:
        return Skipped(str(reason))
    except Failure as failure:
        return Unseen(failure.message)
    except OSError as error:
        return Unseen(f"{error.strerror or error}: /{str(error.filename or '').lstrip('/')}")
    except ValueError as error:  # a file of the image holds what it must not
        return Unseen(f"unexpected content: {error}")
    return Found(findings) if findings else Passed()


def exit_code(results: Iterable[Result], fail_on: Severity) -> Exit:
    """1 with a finding at least as grave as `fail_on`, else 3 where a rule that grave could not look, else 0."""
    results = [result for result in results if not result.waiver]
    if any((result.worst or 0) >= fail_on for result in results):
        return Exit.NEGATIVE
    if any(isinstance(result.answer, Unseen) and result.severity >= fail_on for result in results):
        return Exit.UNABLE
    return Exit.OK
