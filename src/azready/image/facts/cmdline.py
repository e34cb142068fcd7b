"""The ways to boot an image, in the order of its own boot loader: GRUB's menu, boot loader entries, extlinux, unified
kernel images; the first is what starts when nobody chooses.

Sources: GRUB's manual, the UAPI group's Boot Loader Specification ("Sorting", type 1 and 2 entries), systemd-boot(7)
and loader.conf(5), syslinux's configuration page, kernel-install(8).
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cmp_to_key, partial
from typing import Any

from azready.image.disk.formats.uki import Uki
from azready.image.facts import grub
from azready.image.facts.reading import first_there, numbered, shell_values, text_of
from azready.image.facts.versions import compare_uapi, name_key
from azready.image.targets import Files

GRUB_MENUS = ("boot/grub/grub.cfg", "boot/grub2/grub.cfg", "boot/efi/EFI/*/grub.cfg")
GRUB_ENVIRONMENTS = ("boot/grub2/grubenv", "boot/grub/grubenv", "boot/efi/EFI/*/grubenv")
BLS_ENTRIES = "{boot,boot/efi,efi}/loader/entries/*.conf"
LOADER_CONF = "{boot,boot/efi,efi}/loader/loader.conf"
EXTLINUX = ("boot/extlinux.conf", "boot/extlinux/extlinux.conf", "boot/syslinux/syslinux.cfg")
_PARTITIONS = ("", "boot/", "boot/efi/", "efi/")
"""Where the paths of a boot loader may begin, in the image's own tree."""
_MICROCODE = re.compile(r"(ucode|microcode)[^/]*$")
_RESCUE = frozenset({"single", "recovery", "systemd.unit=rescue.target", "rescue", "1"})


@dataclass(frozen=True)
class BootEntry:
    """A way to boot: the kernel's path as the loader names it, the arguments, and where they stand."""

    kernel: str
    args: tuple[str, ...]
    where: str
    """Path, with the line number where there are many entries in the file."""
    effective: bool = True
    """False when this is only what the next boot loader update will write (no menu was found)."""
    initramfs: str = ""
    """Its path in the image, where the entry names one that is there."""
    version: str = ""
    """The kernel's, where the entry says it."""
    id: str = ""
    """Of a boot loader entry: its file's name without `.conf`."""
    missing: tuple[str, ...] = ()
    """What it loads and is not there, as the loader names it."""
    searches: tuple[grub.Search, ...] = ()
    """File systems that GRUB looks for before it loads the kernel."""
    stops: str = ""
    """Why its boot loader does not start it by itself; empty: it does."""
    stops_by_default: bool = False
    """Whether it stops because nothing is said, and not because that is said."""

    def values(self, name: str) -> list[str]:
        """The values of every `name=value`, in order: the kernel takes the last of most, all of `console`."""
        return [arg.partition("=")[2] for arg in self.args if arg.startswith(f"{name}=")]

    def has(self, arg: str) -> bool:
        """Whether the argument stands there, exactly."""
        return arg in self.args

    @property
    def rescue(self) -> bool:
        """A recovery entry: it is meant to differ."""
        return bool(_RESCUE & set(self.args)) or "rescue" in self.kernel


@dataclass(frozen=True)
class _Listed:
    """A boot loader entry with what systemd-boot sorts it by."""

    entry: BootEntry
    title: str = ""
    sort_key: str = ""
    machine: str = ""
    tries_left: bool = True


def gather_boot_entries(files: Files, ukis: Iterable[Uki], by_systemd_boot: bool) -> tuple[BootEntry, ...]:
    """All entries, the one that starts first; predicted ones from the sources where no menu is."""
    variables = grub_environment(files)
    menus = _grub_menus(files, variables)
    bls = _bls_entries(files, {key: value for menu in menus for key, value in menu.variables.items()} | variables)
    unified = [_Listed(_of_uki(uki)) for uki in ukis if uki.cmdline]
    by_grub = [entry for menu in menus for entry in _of_menu(files, menu, bls)]
    by_systemd = [each.entry for each in _systemd_order(files, [*bls, *unified])]
    by_extlinux = [entry for path in EXTLINUX for entry in extlinux_entries(files, text_of(files, path) or "", path)]
    first = by_systemd if by_systemd_boot or not by_grub else []
    entries = dict.fromkeys([*first, *by_grub, *by_systemd, *by_extlinux])
    return tuple(_once(entries)) or tuple(_predicted(files))


def _grub_menus(files: Files, variables: dict[str, str]) -> list[grub.Menu]:
    return [
        grub.read_menu(text, path, variables, partial(text_of, files))
        for path in dict.fromkeys(path for pattern in GRUB_MENUS for path in files.glob(pattern))
        if re.search(r"(?m)^[ \t]*(linux|menuentry|blscfg|source|\.\s)", text := text_of(files, path) or "")
    ]


def _bls_entries(files: Files, variables: dict[str, str]) -> list[_Listed]:
    listed = [_bls(files, path, variables) for path in files.glob(BLS_ENTRIES)]
    return [each for each in listed if each.entry.kernel]


def _once(entries: Iterable[BootEntry]) -> Iterator[BootEntry]:
    """Without those that another loader lists again."""
    seen = set()
    for entry in entries:
        if entry.where not in seen:
            seen.add(entry.where)
            yield entry


def grub_environment(files: Files) -> dict[str, str]:
    """The variables that GRUB keeps in its environment block."""
    values: dict[str, str] = {}
    for pattern in GRUB_ENVIRONMENTS:
        for path in files.glob(pattern):
            for line in (text_of(files, path) or "").splitlines():
                key, equals, value = line.partition("=")
                if equals and not key.startswith("#"):
                    values.setdefault(key, value)
    return values


def _of_menu(files: Files, menu: grub.Menu, bls: Sequence[_Listed]) -> Iterator[BootEntry]:
    """The entries of a GRUB menu, the default one first."""
    items = list(menu.items)
    of_bls: dict[str, BootEntry] = {}
    if menu.entries_at is not None:
        for each in sorted(bls, key=lambda each: name_key(each.entry.id), reverse=True):
            of_bls[each.entry.where] = replace(each.entry, searches=menu.searches)
        found = [grub.Item(each.title, each.entry.id, each.entry.where, each.entry.kernel) for each in bls]
        found.sort(key=lambda item: name_key(item.id), reverse=True)
        items[menu.entries_at : menu.entries_at] = found
    chosen = menu.chosen(items)
    said = "its timeout is never set" if menu.timeout is None else f"timeout={menu.timeout}"
    waits = f"GRUB waits at its menu until somebody chooses ({said})" if menu.waits and _has_entries(menu) else ""
    for item in sorted(grub.kernels_of(items), key=lambda item: item is not chosen):
        entry = of_bls.get(item.where) or _of_item(files, menu, item)
        locked = "GRUB asks for a password (superusers, no --unrestricted)" if menu.asks_for_password(item) else ""
        stops = waits or ("" if item.where in of_bls else locked)
        yield replace(entry, stops=stops, stops_by_default=bool(waits) and menu.timeout is None)


def _has_entries(menu: grub.Menu) -> bool:
    """Whether there is a menu at all, and not only commands that are carried out."""
    return menu.entries_at is not None or any(item.title for item in menu.items)


def _of_item(files: Files, menu: grub.Menu, item: grub.Item) -> BootEntry:
    args = _words(grub.expand(item.arguments, menu.variables))
    kernel = re.sub(r"^\([^)]*\)", "", grub.expand(item.kernel, menu.variables))
    entry = BootEntry(kernel, args, item.where, searches=item.searches)
    return _located(files, entry, [kernel, *(item.initramfs)], menu.variables)


def _located(files: Files, entry: BootEntry, named: Sequence[str], variables: Mapping[str, str]) -> BootEntry:
    """With the initramfs (the last file named, before it come microcode and the like) and what is not there."""
    partition = f"{entry.where.partition('/loader/')[0]}/" if "/loader/" in entry.where else ""
    places = dict.fromkeys((partition, *_PARTITIONS))
    found: dict[str, str | None] = {}
    for name in dict.fromkeys(grub.expand(each, variables) for each in named):
        if path := re.sub(r"^\([^)]*\)", "", name).lstrip("/"):
            found[name] = first_there(files, (f"{place}{path}" for place in places))
    last = [there for name, there in list(found.items())[1:] if not _MICROCODE.search(name)][-1:]
    return replace(
        entry, initramfs=(last and last[0]) or "", missing=tuple(name for name, there in found.items() if not there)
    )


def _bls(files: Files, path: str, variables: Mapping[str, str]) -> _Listed:
    """One boot loader entry: `linux`, and any number of `initrd` and `options` lines."""
    fields: dict[str, list[str]] = {}
    for _, line in numbered(text_of(files, path) or ""):
        key, _, value = line.partition(" ")
        fields.setdefault(key, []).append(value.strip())
    (kernel, *_) = fields.get("linux") or fields.get("efi") or fields.get("uki") or [""]
    args = _words(grub.expand(" ".join(fields.get("options", [])), variables))
    name = path.rpartition("/")[2].removesuffix(".conf")
    tries = re.search(r"\+(\d+)(-\d+)?$", name)
    first = {key: values[0] for key, values in fields.items()}
    version = first.get("version", "")
    entry = BootEntry(kernel, args, path, version=version, id=name[: tries.start()] if tries else name)
    initramfs = [word for line in fields.get("initrd", []) for word in line.split() if not word.startswith("$")]
    return _Listed(
        _located(files, entry, [kernel, *initramfs], variables),
        first.get("title", ""),
        first.get("sort-key", ""),
        first.get("machine-id", ""),
        not tries or tries[1] != "0",
    )


def _of_uki(uki: Uki) -> BootEntry:
    name = uki.path.rpartition("/")[2]
    return BootEntry(uki.path, _words(uki.cmdline), uki.path, version=uki.uname, id=name)


def _other_way_round(one: str, other: str) -> int:
    return compare_uapi(other, one)


_newest = cmp_to_key(_other_way_round)
"""Versions, the newest first."""


def _systemd_key(each: _Listed) -> tuple[Any, ...]:
    """By which systemd-boot sorts: those with tries left first, then those with a sort key, by it and their version."""
    by_key = (each.sort_key, each.machine, _newest(each.entry.version)) if each.sort_key else ()
    return (not each.tries_left, not each.sort_key, *by_key, _newest(each.entry.id))


def _systemd_order(files: Files, listed: Sequence[_Listed]) -> list[_Listed]:
    """As systemd-boot shows them, the default first: `default` of loader.conf, which may be a pattern, if one fits."""
    ordered = sorted(listed, key=_systemd_key)
    lines = [line for path in files.glob(LOADER_CONF) for _, line in numbered(text_of(files, path) or "")]
    wanted = [line.split(maxsplit=1)[1] for line in lines if re.match(r"default\s+\S", line)][-1:]
    if any(re.match(r"timeout\s+menu-force", line) for line in lines):
        stops = "systemd-boot waits at its menu until somebody chooses (timeout menu-force)"
        ordered = [replace(each, entry=replace(each.entry, stops=stops)) for each in ordered]
    fits = [each for each in ordered if wanted and _is_wanted(each.entry, wanted[0])]
    return [*fits[:1], *(each for each in ordered if each not in fits[:1])]


def _is_wanted(entry: BootEntry, pattern: str) -> bool:
    names = (entry.id, f"{entry.id}.conf", entry.where.rpartition("/")[2])
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)


def _extlinux_labels(text: str) -> list[dict[str, tuple[str, int]]]:
    """Each label's keys with their values and lines, the default label first."""
    labels: list[dict[str, tuple[str, int]]] = []
    default = ""
    for number, line in numbered(text):
        key, _, value = (part.strip() for part in line.partition(" "))
        if key.upper() == "LABEL":
            labels.append({"LABEL": (value, number)})
        elif key.upper() in ("DEFAULT", "ONTIMEOUT") and not labels:
            default = default or value
        elif line.upper().split() == ["MENU", "DEFAULT"] and labels:
            default = labels[-1]["LABEL"][0]
        elif labels:
            labels[-1][key.upper()] = (value, number)
    return sorted(labels, key=lambda each: each["LABEL"][0] != default)


def extlinux_entries(files: Files, text: str, path: str) -> Iterator[BootEntry]:
    """The labels of an extlinux menu, the default one first: LINUX or KERNEL, INITRD, APPEND."""
    stops = "extlinux waits until somebody chooses (TIMEOUT)" if _extlinux_waits(text) else ""
    for each in _extlinux_labels(text):
        kernel, at = each.get("LINUX") or each.get("KERNEL") or ("", 0)
        args, line_of_args = each.get("APPEND", ("", at))
        if kernel and not kernel.endswith((".c32", ".0")):
            initramfs, _ = each.get("INITRD", ("", 0))
            named = re.findall(r"\binitrd=(\S+)", args) or re.split(r"[,\s]+", initramfs)
            entry = BootEntry(kernel, _words(args), f"{path}:{line_of_args}", stops=stops)
            yield _located(files, entry, [_beside(path, name) for name in (kernel, *named) if name], {})


def _extlinux_waits(text: str) -> bool:
    """A prompt or a menu, and no end of waiting: a TIMEOUT of 0, or none, is none."""
    said = {words[0].upper(): words[1] for _, line in numbered(text) if len(words := line.split()) > 1}
    asks = said.get("PROMPT", "0") != "0" or "menu.c32" in f"{said.get('UI', '')} {said.get('DEFAULT', '')}"
    ends = any(said.get(key, "0").strip("0") for key in ("TIMEOUT", "TOTALTIMEOUT"))
    return asks and not ends


def _beside(menu: str, name: str) -> str:
    """A path of extlinux: relative ones begin at the menu's folder, which is on the partition that is mounted."""
    return name if name.startswith("/") else f"{menu.rpartition('/')[0].removeprefix('boot').strip('/')}/{name}"


def _predicted(files: Files) -> Iterator[BootEntry]:
    """What kernel-install or update-grub would write, when neither has run yet."""
    if (line := text_of(files, "etc/kernel/cmdline")) is not None:
        yield BootEntry("", _words(line), "etc/kernel/cmdline", effective=False)
    elif files.exists("etc/default/grub"):
        values = grub_defaults(files)
        line = f"{values.get('GRUB_CMDLINE_LINUX', '')} {values.get('GRUB_CMDLINE_LINUX_DEFAULT', '')}"
        yield BootEntry("", _words(line), "etc/default/grub", effective=False)


def grub_defaults(files: Files) -> dict[str, str]:
    """etc/default/grub and its drop-ins (Debian), which may add to what stands: `"$GRUB_CMDLINE_LINUX x=y"`."""
    values: dict[str, str] = {}
    for path in ("etc/default/grub", *files.glob("etc/default/grub.d/*.cfg")):
        for key, value in shell_values(text_of(files, path) or "").items():
            values[key] = grub.expand(value, values)
    return values


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return tuple(text.split())


def shown(argument: str) -> str:
    """An argument as reports show it: without the user and password that an address may hold."""
    return re.sub(r"(?<=://)[^/@\s]*(?=@)", "…", argument)
