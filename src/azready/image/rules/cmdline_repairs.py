"""Fixes that change the kernel's command line: in the menu that boots next, and where the next update takes it from.

Both as plain edits of text, so that they work on a tree or a disk too, where no boot loader's tool could run. A
unified kernel image is signed as a whole: its command line is changed where it is built, never here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from azready.image.actions import Write
from azready.image.facts import Facts
from azready.image.facts.distro import Family
from azready.image.rules import repairs

Edit = Callable[[list[str]], list[str]]

_DROP_IN = "etc/default/grub.d/50-azure.cfg"
_SOURCES = (
    ("etc/default/grub", r"^(\s*GRUB_CMDLINE_LINUX(?:_DEFAULT)?=)(.*)$"),
    ("etc/update-extlinux.conf", r"^(\s*default_kernel_opts=)(.*)$"),
    ("etc/kernel/cmdline", r"^()(.+)$"),
)
_MENU_LINE = re.compile(r"^(\s*(?:linux(?:16|efi)?|options|APPEND|append)\s+)(.*)$")


def add(facts: Facts, args: Sequence[str]) -> Iterator[Write]:
    """Append arguments to every entry that is no rescue, and to what the next update writes."""
    yield from change(facts, (), args)


def drop(facts: Facts, args: Iterable[str]) -> Iterator[Write]:
    """Take arguments out of every entry that is no rescue, and out of what the next update writes."""
    yield from change(facts, args, ())


def change(facts: Facts, unwanted: Iterable[str], wanted: Sequence[str]) -> Iterator[Write]:
    """Both in one write a file: no image between has neither. What is in both becomes the last."""
    gone, sources = set(unwanted), dict(_SOURCES)
    yield from _menus(facts, lambda words: _changed(words, gone, wanted))
    drop_in = bool(wanted) and facts.distro.family is Family.DEBIAN and facts.files.exists("etc/default/grub")
    of_grub = [*facts.files.glob("etc/default/grub.d/*.cfg"), *((_DROP_IN,) if drop_in else ())]
    for path, pattern in {**sources, **dict.fromkeys(of_grub, _SOURCES[0][1])}.items():
        before = facts.text(path) or ""
        text = re.sub(pattern, lambda line: line[1] + _without(line[2], gone), before, flags=re.MULTILINE)
        if drop_in and path == _DROP_IN:
            line = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {" ".join(wanted)}"\n'
            text += line if line not in text else ""
        elif wanted and not drop_in and path in sources:
            text = re.sub(pattern, lambda line: line[1] + _with(line[2], wanted), text, count=1, flags=re.MULTILINE)
        if text != before:
            yield repairs.write(path, text, 0o644 if path == _DROP_IN else None)


def _changed(words: list[str], gone: set[str], wanted: Iterable[str]) -> list[str]:
    left = [word for word in words if word not in gone]
    return left + [word for word in wanted if word not in left]


def _menus(facts: Facts, edit: Edit) -> Iterator[Write]:
    lines_of: dict[str, set[int]] = {}
    for entry in facts.boot_entries:
        path, _, number = entry.where.rpartition(":")
        if not entry.effective or entry.where.lower().endswith(".efi"):
            continue
        lines_of.setdefault(path or entry.where, set()).update([int(number)] if path else [])
    for path, numbers in lines_of.items():
        text = facts.text(path) or ""
        lines = [
            _edited(line, edit) if number in numbers or (not numbers and _MENU_LINE.match(line)) else line
            for number, line in enumerate(text.splitlines(keepends=True), 1)
        ]
        if "".join(lines) != text:
            yield repairs.write(path, "".join(lines))


def _edited(line: str, edit: Edit) -> str:
    found = _MENU_LINE.match(line.rstrip("\n"))
    if not found or (found[1].strip() == "linux" and " " not in found[2].strip()):
        return line  # a boot loader entry's own `linux` line names the kernel only
    return found[1] + " ".join(edit(found[2].split())) + "\n"


def _with(value: str, args: Iterable[str]) -> str:
    quote = value[:1] if value[:1] in ("'", '"') else ""
    inner = value.strip(quote) if quote else value
    return f"{quote}{' '.join([*inner.split(), *args])}{quote}"


def _without(value: str, args: set[str]) -> str:
    quote = value[:1] if value[:1] in ("'", '"') else ""
    inner = value.strip(quote) if quote else value
    words = inner.split()
    return f"{quote}{' '.join(word for word in words if word not in args)}{quote}" if args & {*words} else value
