"""How the causes of a console log are written down: a boot in, a cause out, or None. Pure.

Most causes are one line that only they write. `Words` is such a cause as a row; a function is used where something has
to be taken from the lines, or where the cause is what the log does not say.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from azready.boot.console_log.reading import Boot
from azready.boot.record import Cause

Ask = Callable[[Boot], Cause | None]


@dataclass(frozen=True)
class Words:
    """A cause that goes by words: `seen` must be in a line; `also`, where given, in another; `unless` in none."""

    code: str
    says: str
    seen: str
    fix: str
    also: str = ""
    unless: str = ""

    def __call__(self, boot: Boot) -> Cause | None:
        lines = boot.find(self.seen)
        if not lines or (self.unless and boot.has(self.unless)):
            return None
        others = boot.find(self.also, limit=2) if self.also else ()
        if self.also and not others:
            return None
        return Cause(self.code, self.says, tuple(dict.fromkeys((*lines, *others))), self.fix)


def first(asks: Iterable[Ask], boot: Boot) -> Cause | None:
    """The first cause that applies."""
    return next((found for ask in asks if (found := ask(boot)) is not None), None)


def taken(boot: Boot, pattern: str) -> str:
    """What the first group of the pattern takes from the first line that has it; empty for none."""
    expression = re.compile(pattern)
    return next((match[1] for line in boot.lines if (match := expression.search(line))), "")
