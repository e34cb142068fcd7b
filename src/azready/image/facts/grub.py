"""GRUB's menu as GRUB goes through it: which entries it holds, in which order, which one it starts, where it searches.

Read line by line, as far as menus that grub-mkconfig and its like write need it; GRUB's whole language is not
understood, and both branches of an `if` count. Source: GRUB's manual (menuentry, submenu, search, default), Fedora's
blscfg command, which puts the boot loader entries where it stands.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

_LINUX = re.compile(r"\s*linux(?:16|efi)?\s+(\S+)\s*(.*)")
_INITRD = re.compile(r"\s*initrd(?:16|efi)?\s+(.*)")
_OPENS = re.compile(r"\s*(menuentry|submenu)\s+(.*?)\{\s*$")
_SEARCH = re.compile(r"\s*search(\.\w+)?\s+(.*)")
_SET = re.compile(r"\s*(?:set\s+)?([A-Za-z_]\w*)=(.*)")
_SOURCE = re.compile(r"\s*(?:source|\.)\s+(\S+)")
_NOT_EVERY_TIME = re.compile(r"recordfail|show_once|next_entry")
_DEEPEST = 2
"""Files within files: a menu takes in one, and that may take in another."""
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_BY = {"-u": "UUID", "--fs-uuid": "UUID", ".fs_uuid": "UUID", "-l": "LABEL", "--label": "LABEL"}
_BY |= {"--fs-label": "LABEL", ".fs_label": "LABEL"}


@dataclass(frozen=True)
class Search:
    """GRUB looks for a file system: `by` is UUID or LABEL, `name` the value, `where` is path and line."""

    by: str
    name: str
    where: str


@dataclass(frozen=True)
class Item:
    """An entry or a submenu of a menu. `kernel` is empty for what starts none (a chain loader, the firmware)."""

    title: str
    id: str
    where: str
    kernel: str = ""
    arguments: str = ""
    initramfs: tuple[str, ...] = ()
    searches: tuple[Search, ...] = ()
    items: tuple["Item", ...] = ()
    unrestricted: bool = False
    """Whether it starts without a password, where the menu has one."""


@dataclass(frozen=True)
class Menu:
    """A menu file. `default` is as GRUB's variable of that name: a number, a title or an id, `>` between levels."""

    items: tuple[Item, ...]
    searches: tuple[Search, ...]
    """Those outside of every entry."""
    default: str
    entries_at: int | None
    """How many items come before the boot loader entries that blscfg puts here; None without blscfg."""
    variables: Mapping[str, str]
    timeout: str | None = None
    """Seconds until the default starts; None: never said, so that GRUB waits for a choice."""

    @property
    def waits(self) -> bool:
        """Whether nothing starts until somebody chooses."""
        return self.timeout is None or self.timeout.startswith("-")

    def asks_for_password(self, item: Item) -> bool:
        """Whether an entry starts only for who knows the password of `superusers`."""
        return bool(self.variables.get("superusers")) and not item.unrestricted

    def chosen(self, items: Sequence[Item]) -> Item | None:
        """The item that starts without a choice; `items` are those of the menu, boot loader entries among them."""
        return _chosen(items, self.default)


def _chosen(items: Sequence[Item], default: str) -> Item | None:
    name, _, rest = default.partition(">")
    found = next((item for number, item in enumerate(items) if name in (item.id, item.title, str(number))), None)
    found = found or (items[0] if items else None)
    return _chosen(found.items, rest) if found and found.items else found


@dataclass
class _Open:
    """What is being read: a menu, an entry, or the body of something else."""

    kind: str
    item: Item = Item("", "", "")
    items: list[Item] = field(default_factory=list)


Reader = Callable[[str], str | None]
"""The text of a file of the image, by its path; None where there is none."""


def _of_nothing(path: str) -> str | None:
    return None


def read_menu(
    text: str,
    path: str,
    environment: Mapping[str, str],
    read: Reader = _of_nothing,
    above: frozenset[str] = frozenset(),
) -> Menu:
    """Read a menu file and those that it takes in, each once; `environment` are the variables of GRUB's environment
    block, `above` the files that this one is taken in by. Never raises."""
    variables = dict(environment)
    stack = [_Open("menu")]
    defaults: list[str] = []
    searches: list[Search] = []
    entries_at = None
    taken = {path, *above}
    timeouts = _timeouts(text)
    for number, line in _joined(text):
        top, where = stack[-1], f"{path}:{number}"
        if opened := _OPENS.match(line):
            stack.append(_Open(opened[1], _titled(opened[2], where)))
        elif line.rstrip().endswith("{") and not line.lstrip().startswith("#"):
            stack.append(_Open("block"))
        elif line.strip() == "}" and len(stack) > 1:
            _close(stack)
        elif (source := _SOURCE.match(line)) and (more := _taken_in(source[1], path, read)) and len(above) < _DEEPEST:
            if more[0] in taken:
                continue  # of an `if`, whose branches name it one way and another
            taken.add(more[0])
            inner = read_menu(more[1], more[0], variables, read, above | {path})
            next(each for each in reversed(stack) if each.kind != "block").items.extend(inner.items)
            defaults += [inner.default] if inner.default != "0" else []
            timeouts += [inner.timeout] if inner.timeout is not None else []
        elif setting := _SET.match(line):
            if setting[1] == "default":
                defaults.append(setting[2].strip("\"' "))
            else:
                variables.setdefault(setting[1], setting[2].strip("\"' "))
        elif found := parse_search(line, where, variables):
            if top.kind == "menuentry":
                top.item = replace(top.item, searches=(*top.item.searches, found))
            else:
                searches.append(found)
        elif re.match(r"\s*blscfg\b", line) and entries_at is None:
            entries_at = len(stack[0].items)
        else:
            _command(stack, line, where)
    while len(stack) > 1:
        _close(stack)
    timeout = expand(timeouts[-1], variables) if timeouts else None
    return Menu(tuple(stack[0].items), tuple(searches), _default(defaults, variables), entries_at, variables, timeout)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers; a "\\" at the end joins a line with the next."""
    begun, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            begun, first = f"{begun}{line[:-1]} ", first or number
        else:
            yield first or number, begun + line
            begun, first = "", 0


def _taken_in(name: str, path: str, read: Reader) -> tuple[str, str] | None:
    """The path and text of a file that `source` names: beside the menu, or by its path."""
    beside = re.sub(r"^\$\{?(prefix|config_directory)\}?(?=/)", path.rpartition("/")[0], name.strip("\"'"))
    place = re.sub(r"^\([^)]*\)", "", beside).lstrip("/")
    text = read(place) if "$" not in place else None
    return None if text is None else (place, text)


def _timeouts(text: str) -> list[str]:
    """What `timeout` is set to, in order, but for what an `if` says only after a boot that failed, or once."""
    said: list[str] = []
    seldom: list[bool] = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["if"]:
            seldom.append(bool(_NOT_EVERY_TIME.search(line)))
        elif words[:1] in (["else"], ["elif"]) and seldom:
            seldom[-1] = words[0] == "elif" and bool(_NOT_EVERY_TIME.search(line))
        elif words[:1] == ["fi"] and seldom:
            seldom.pop()
        elif (found := _SET.match(line)) and found[1] == "timeout" and not any(seldom):
            said.append(found[2].strip("\"' "))
    return said


def _titled(words: str, where: str) -> Item:
    try:
        parts = shlex.split(words)
    except ValueError:
        parts = words.split()
    marks = [at for at, word in enumerate(parts) if word in ("--id", "$menuentry_id_option", "${menuentry_id_option}")]
    name = parts[marks[0] + 1] if marks and marks[0] + 1 < len(parts) else ""
    free = any("unrestricted" in word for word in parts[1:])
    return Item(parts[0] if parts else "", name, where, unrestricted=free)


def _close(stack: list[_Open]) -> None:
    done = stack.pop()
    parent = next(each for each in reversed(stack) if each.kind != "block")
    if done.kind == "submenu":
        parent.items.append(replace(done.item, items=tuple(done.items)))
    elif done.kind == "menuentry":
        parent.items.append(done.item)


def _command(stack: list[_Open], line: str, where: str) -> None:
    """`linux` and `initrd`, in an entry or, in the simplest menus, outside of any."""
    place = next(each for each in reversed(stack) if each.kind != "block")
    if (found := _LINUX.match(line)) and not found[1].startswith("(loop"):
        if place.kind == "menuentry":
            place.item = replace(place.item, kernel=found[1], arguments=found[2], where=where)
        else:
            place.items.append(Item("", "", where, found[1], found[2]))
    elif found := _INITRD.match(line):
        names = tuple(found[1].split())
        if place.kind == "menuentry":
            place.item = replace(place.item, initramfs=names)
        elif place.items:
            place.items[-1] = replace(place.items[-1], initramfs=names)


def _default(defaults: Sequence[str], variables: Mapping[str, str]) -> str:
    """The last `set default`; the one of `next_entry` counts, and comes first, only where such an entry is set."""
    for value in reversed(defaults):
        if "next_entry" in value:
            if following := variables.get("next_entry"):
                return following
        elif "prev_saved_entry" not in value and (told := expand(value, variables)) and not variables.get("next_entry"):
            return told
    return "0"


def parse_search(line: str, where: str, variables: Mapping[str, str]) -> Search | None:
    """A `search` for a UUID or a label; None for other lines, and for names that are not known before."""
    found = _SEARCH.match(line)
    if not found:
        return None
    words = found[2].split()
    by = next((_BY[word] for word in (found[1], *words) if word in _BY), "")
    if not by and any(re.match(r"-\w*u\w*$", word) for word in words):
        by = "UUID"
    names = [word.strip("\"'") for word in words if not word.startswith("-")]
    name = expand(names[0], variables) if names else ""
    return Search(by, name, where) if by and name else None


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Variables put in; unknown ones are empty."""
    return _VARIABLE.sub(lambda found: variables.get(found[1], ""), text)


def kernels_of(items: Sequence[Item]) -> Iterator[Item]:
    """Every item that starts a kernel, in order, those of submenus among them."""
    for item in items:
        if item.kernel:
            yield item
        yield from kernels_of(item.items)
