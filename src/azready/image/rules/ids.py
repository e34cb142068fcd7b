"""Which rules somebody means who names them: the one place that says that there is no such rule."""

from collections.abc import Iterable

from azready.errors import UsageFailure
from azready.image.rules import RULES


def named(given: Iterable[str], *, areas: bool = False, where: str = "") -> frozenset[str]:
    """The ids as the rules have them (`k01` is K01). With `areas` the letter of an area may stand for all of its rules.

    Raises UsageFailure that says which are none; `where` they stand, with a sign behind it, comes before it.
    """
    asked = frozenset(each.upper() for each in given)
    letters = {rule.id[0] for rule in RULES} if areas else set[str]()
    if unknown := sorted(asked - letters - {rule.id for rule in RULES}):
        raise UsageFailure(f"{where}there is no rule {', '.join(unknown)}", "`azready check --list` prints all of them")
    return asked
