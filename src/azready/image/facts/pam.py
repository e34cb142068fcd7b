"""PAM's rules of a service for accounts and sessions: what is asked even of who comes with a key.

Sources: pam.d(5), and what Linux-PAM does of it: "-" before a type only keeps it silent about a missing module, a
module that is missing fails its line, a type of which a service has no rule is that of "other", a line that PAM does
not understand refuses, and a file that is included as a whole (`@include`) and cannot be read leaves no rule at all.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from azready.image.facts.reading import MOST_INCLUDED, Budget, first_there, text_of
from azready.image.targets import Files

KINDS = ("account", "session")
_FOLDERS = ("etc/pam.d", "usr/lib/pam.d")
_MODULES = "{usr/lib64,lib64,usr/lib,lib,usr/lib/*-linux-*,lib/*-linux-*}/security/pam_unix.so"
_CONTROLS: Mapping[str, Mapping[str, str]] = {
    "required": {"success": "ok", "default": "bad"},
    "requisite": {"success": "ok", "default": "die"},
    "sufficient": {"success": "done", "default": "ignore"},
    "optional": {"success": "ok", "default": "ignore"},
}
_ACTIONS = re.compile(r"ignore|bad|die|ok|done|reset|0*[1-9][0-9]{0,2}")
_ANSWERS = re.compile(
    "default|success|open_err|symbol_err|service_err|system_err|buf_err|perm_denied|auth_err|cred_insufficient|"
    "authinfo_unavail|user_unknown|maxtries|new_authtok_reqd|acct_expired|session_err|cred_(unavail|expired|err)|"
    "no_module_data|conv_err|authtok_(err|recover_err|lock_busy|disable_aging|expired)|try_again|ignore|abort|"
    "module_unknown|bad_item|conv_again|incomplete"
)


@dataclass(frozen=True)
class PamRule:
    """One line: `account` or `session`, what follows from its module's answers, the module as it is written.

    `broken` says in words why PAM refuses by this line itself; with kind "" it then reads no rule of the service.
    """

    kind: str
    where: str
    answers: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    arguments: str = ""
    depth: int = 0
    broken: str = ""

    @property
    def name(self) -> str:
        """The module without folder and ending: `pam_deny`."""
        return self.module.rpartition("/")[2].partition(".")[0]


def pam_rules(files: Files, service: str) -> Sequence[PamRule]:
    """The rules of a service in PAM's order; what is included stands in its place. Empty without PAM's files.

    Raises ValueError for includes without end.
    """
    reading = _Reading(files, Budget(MOST_INCLUDED, "files"))
    own = list(reading.service(service))
    lacking = (kind for kind in KINDS if not any(rule.kind == kind for rule in own))
    return own + [rule for kind in lacking for rule in reading.service("other", kind)]


def modules_folders(files: Files) -> tuple[str, ...]:
    """The folders of PAM's modules, one for each kind of processor (pam.i686 beside pam.x86_64)."""
    return tuple(path.rpartition("/")[0] for path in files.glob(_MODULES))


def counted(rules: Sequence[PamRule], answer: Callable[[PamRule], str]) -> Sequence[PamRule]:
    """Those of the rules of one type whose answer PAM counts, given what each module answers ("success", "auth_err" …).

    None of them: PAM refuses, as it does by each that does not answer "success".
    """
    found: list[PamRule] = []
    at = 0
    while at < len(rules):
        rule = rules[at]
        at += 1
        action = rule.answers.get(answer(rule), rule.answers.get("default", "bad"))
        if action.isdigit():
            at = _behind(rules, at, rule.depth, int(action))
            if at > len(rules):
                return [each for each in found if answer(each) != "success"]
        elif action == "reset":
            found = []
        elif action != "ignore":
            found.append(rule)
        if action in ("done", "die"):
            at = next((i for i in range(at, len(rules)) if rules[i].depth < rule.depth), len(rules))
    return found


def _behind(rules: Sequence[PamRule], at: int, depth: int, jump: int) -> int:
    """Where a jump over so many rules of a depth leads; one behind the end where there are not so many."""
    for _ in range(jump):
        if at >= len(rules):
            return len(rules) + 1
        at = next((i for i in range(at + 1, len(rules)) if rules[i].depth <= depth), len(rules))
    return at


@dataclass(frozen=True)
class _Reading:
    """One reading of an image's rules; `only` is the type that is asked for, `above` what includes what is read."""

    files: Files
    budget: Budget

    def service(self, name: str, only: str = "") -> Iterator[PamRule]:
        path = self._file(name)
        return self._rules(path, only, (path,), 0) if path else iter(())

    def _file(self, name: str) -> str | None:
        if name.startswith("/"):
            return name.lstrip("/") if self.files.exists(name.lstrip("/")) else None
        return first_there(self.files, (f"{folder}/{name}" for folder in _FOLDERS)) if name else None

    def _rules(self, path: str, only: str, above: tuple[str, ...], depth: int) -> Iterator[PamRule]:
        self.budget.take()
        for number, line in _lines(text_of(self.files, path) or ""):
            kind, control, module, rest = _words(line)
            how, where = control.lower(), f"{path}:{number}"
            if not line:
                yield PamRule(
                    only,
                    where,
                    depth=depth,
                    broken="the file ends within this line, which PAM before 1.7 does not read",
                )
            elif kind == "@include":
                yield from self._included(control, PamRule(only, where, depth=depth), only, above)
            elif kind not in KINDS or only not in ("", kind):
                continue
            elif how in ("include", "substack"):
                by = PamRule(kind, where, depth=depth + (how == "substack"))
                yield from self._included(module, by, kind, above)
            elif module and (answers := _answers(control)):
                yield PamRule(kind, where, answers, module, rest, depth)
            else:
                yield PamRule(kind, where, depth=depth, broken=f"PAM does not understand {line!r}")

    def _included(self, name: str, by: PamRule, only: str, above: tuple[str, ...]) -> Iterator[PamRule]:
        path = self._file(name)
        if path and path not in above:
            yield from self._rules(path, only, (*above, path), by.depth)
        else:
            what = "itself" if path else f"{name}, which is not there" if name else "nothing"
            yield replace(by, broken=f"it includes {what}")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that PAM reads, by number: without comments, joined at a backslash; "" is one that never ends."""
    whole, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        said, comment, _ = line.partition("#")
        said = said.replace("\t", " ").strip(" ")
        first = first if whole else number
        if said.endswith("\\") and not comment:
            whole += said[:-1] + " "
        elif said:
            yield first, (whole + said).lstrip(" ")
            whole = ""
    if whole:
        yield first, ""


def _words(line: str) -> tuple[str, str, str, str]:
    """Type, control, module, arguments; [...] is one word. "-" before the type changes nothing that matters here."""
    kind, _, rest = line.partition(" ")
    rest = rest.lstrip(" ")
    control, closed, rest = rest.partition("]" if rest.startswith("[") else " ")
    module, _, rest = rest.strip(" ").partition(" ")
    return kind.lower().lstrip("-"), control + closed.strip(), module, rest.strip(" ")


def _answers(control: str) -> Mapping[str, str]:
    """What follows from a module's answers; nothing where PAM does not understand it."""
    if not (control.startswith("[") and control.endswith("]")):
        return _CONTROLS.get(control.lower(), {})
    words = [word.partition("=") for word in re.sub(" *= *", "=", control[1:-1]).split()]
    understood = all(_ANSWERS.fullmatch(answer) and _ACTIONS.fullmatch(action) for answer, _, action in words)
    return {answer: action for answer, _, action in words} if understood else {}
