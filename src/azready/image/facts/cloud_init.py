"""Whether cloud-init does its work in a VM on Azure, and which: told from its switches and configuration.

Sources: cloud-init's documentation ("How to disable cloud-init", "Configuration sources", the modules Growpart and
SSH), ds-identify's own head (ds-identify.cfg and the kernel's arguments). Later files of cloud.cfg.d win, lists as a
whole; the kernel's command line wins over all of them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azready.agents import CLOUD_INIT
from azready.image.facts import yaml_text
from azready.image.facts.cmdline import BootEntry
from azready.image.facts.reading import numbered, text_of
from azready.image.facts.units import Units
from azready.image.targets import Files

_SWITCH = "etc/cloud/cloud-init.disabled"
_IDENTIFY = "etc/cloud/ds-identify.cfg"


@dataclass(frozen=True)
class CloudInit:
    """An enabled cloud-init. `idle` says why it will do nothing on Azure, and `where` that stands; empty: it works."""

    idle: str = ""
    where: str = ""
    configures_network: bool = True
    modules: frozenset[str] | None = None
    """Of the init stage (`ssh`, `growpart`); None where the configuration does not list them: all that are usual."""
    grows: bool = True
    """Whether the growpart module may do its work, if it runs."""
    omits: tuple[tuple[str, str], ...] = ()
    """What of the platform's user it leaves out, and where that stands."""
    makes_keys: bool = True
    """Whether the ssh module makes host keys, if it runs."""

    @property
    def works(self) -> bool:
        """Whether it provisions on Azure."""
        return not self.idle

    def runs(self, module: str) -> bool:
        """Whether a module of the init stage runs."""
        return self.works and (self.modules is None or module in self.modules)


def gather_cloud_init(files: Files, units: Units, entries: Sequence[BootEntry]) -> CloudInit | None:
    """None where no cloud-init starts at all."""
    if not units.enabled(*CLOUD_INIT.starts):
        return None
    settings, origins = _settings(files)
    first = entries[:1]
    idle, where = _by_argument(first) or _by_file(files, first) or _by_source(files, settings, origins) or ("", "")
    network = settings.get("network")
    argument = any(arg == "network-config=disabled" for entry in first for arg in entry.args)
    listed = settings.get("cloud_init_modules")
    growpart = settings.get("growpart")
    mode = growpart.get("mode") if isinstance(growpart, dict) else None
    return CloudInit(
        idle,
        where,
        not argument and not (isinstance(network, dict) and network.get("config") == "disabled"),
        frozenset(map(_module, listed)) if isinstance(listed, list) else None,
        mode not in ("off", False, None) if isinstance(growpart, dict) and "mode" in growpart else True,
        tuple(_omitted(files, settings, origins)),
        settings.get("ssh_genkeytypes") != [],
    )


def _lacking_modules(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(settings.get("cloud_init_modules"), list):
        modules = {_module(each) for key in _STAGES for each in settings.get(key) or ()}
        for name, lacks in (("users_groups", "it makes no user"), ("ssh", "it puts no key in place")):
            if modules and name not in modules:
                yield name, lacks


def _omitted(files: Files, settings: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Its Azure source hands the platform's user over as the default one, which only these settings make."""
    main = "etc/cloud/cloud.cfg"
    if (text_of(files, main) or "").strip() and not _table(text_of(files, main) or ""):
        yield "it cannot read this file, and runs no module: no user, no key", main
        return
    users = settings.get("users")
    if isinstance(users, list) and not any(each == "default" for each in users):
        yield "`users` has no `default`: it makes no user of the platform's", origins["users"]
    for name, lacks in _lacking_modules(settings):
        yield f"its modules lack {name}: {lacks}", origins["cloud_init_modules"]
    if settings.get("allow_public_ssh_keys") is False:
        yield "`allow_public_ssh_keys: false`: it puts no key in place", origins["allow_public_ssh_keys"]


_STAGES = ("cloud_init_modules", "cloud_config_modules", "cloud_final_modules")


def _settings(files: Files) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration of /etc/cloud, and the file that each key is from; what is no YAML counts for nothing."""
    settings: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for path in ("etc/cloud/cloud.cfg", *files.glob("etc/cloud/cloud.cfg.d/*.cfg")):
        for key, value in _table(text_of(files, path) or "").items():
            known = settings.get(key)
            settings[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
            origins[key] = path
    return settings, origins


def _table(text: str) -> dict[str, Any]:
    try:
        loaded = yaml_text.loads(text, "typed", more="refused")
    except ValueError:
        return {}
    return {str(key): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}


def _module(listed: object) -> str:
    """A module may stand in a list with how often it runs: `[growpart, always]`."""
    return str(listed[0] if isinstance(listed, list) and listed else listed).replace("-", "_")


def _by_argument(entries: Sequence[BootEntry]) -> tuple[str, str] | None:
    for entry in entries:
        for arg in entry.args:
            name, _, value = arg.partition("=")
            source = re.split(r"[;,]", value)[0].strip("\"'").lower()
            if arg == "cloud-init=disabled":
                return "it is switched off by cloud-init=disabled on the kernel's command line", entry.where
            if name in ("ds", "ci.ds", "ci.datasource") and source not in ("azure", ""):
                return f"it is told by {arg} on the kernel's command line to look elsewhere", entry.where
            if name == "ci.di.policy" and value.split(",")[0] == "disabled":
                return f"it is switched off by {arg} on the kernel's command line", entry.where
    return None


def _by_file(files: Files, entries: Sequence[BootEntry]) -> tuple[str, str] | None:
    if any(entry.has("cloud-init=enabled") for entry in entries):
        return None
    if files.exists(_SWITCH):
        return f"it is switched off by /{_SWITCH}", _SWITCH
    for number, line in numbered(text_of(files, _IDENTIFY) or ""):
        key, _, value = (part.strip().strip("\"'") for part in line.partition(":"))
        if key == "policy" and value.split(",")[0] == "disabled":
            return f"it is switched off by `{line}`", f"{_IDENTIFY}:{number}"
        if key == "datasource" and value.lower() not in ("azure", ""):
            return f"it is told by `{line}` to look elsewhere", f"{_IDENTIFY}:{number}"
    return None


def _by_source(files: Files, settings: Mapping[str, Any], origins: Mapping[str, str]) -> tuple[str, str] | None:
    listed = settings.get("datasource_list")
    if isinstance(listed, str):
        listed = [listed]
    if not isinstance(listed, list) or not listed or any(str(each).lower() == "azure" for each in listed):
        return None
    path = origins["datasource_list"]
    lines = enumerate((text_of(files, path) or "").splitlines(), 1)
    number = next((number for number, line in lines if line.startswith("datasource_list")), 0)
    return f"datasource_list is {', '.join(map(str, listed))}: Azure is not among them", f"{path}:{number}"
