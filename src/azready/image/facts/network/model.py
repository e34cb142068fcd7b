"""The shapes in which every network stack's configuration is told: a card, a profile, what a stack makes of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from azready.image.facts.units import Units
from azready.image.targets import Files

FIRST_NIC = "eth0"
"""Hyper-V's synthetic adapter has no slot to be named after: it is eth0 under every naming policy."""

_TEMPORARY = ("lo", "veth*", "docker*", "br-*", "virbr*", "ve-*", "vz-*", "vb-*", "host0", "wl*", "ww*", "bnep*")
_FUNCTION_DRIVERS = ("mlx4_en", "mlx5_core", "mana")
TRUE = ("yes", "true", "1", "on", "y", "t")
FALSE = ("no", "false", "0", "off", "n", "f")


def fits(patterns: tuple[str, ...], *values: str) -> bool:
    """As systemd.network(5) matches: a pattern with "!" must not match, one of the others must; no patterns fit all."""
    positive = [pattern for pattern in patterns if not pattern.startswith("!")]
    negative = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    if any(fnmatchcase(value, pattern) for value in values for pattern in negative):
        return False
    return not positive or any(fnmatchcase(value, pattern) for value in values for pattern in positive)


@dataclass(frozen=True)
class Nic:
    """A network card as programs at boot meet it: `name` after udev, `original` the kernel's, other names it answers
    to. `kind` is empty for a real card (else `bridge`, `bond` …)."""

    name: str = FIRST_NIC
    original: str = FIRST_NIC
    driver: str = "hv_netvsc"
    others: tuple[str, ...] = ()
    kind: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, the one in use first."""
        return (self.name, *self.others)


@dataclass(frozen=True)
class Line:
    """A setting and where it stands: `path` or `path:line`."""

    text: str
    where: str


@dataclass(frozen=True)
class Fault:
    """What a profile takes away from its DHCP: the routes that come with it, the host's name that is sent, or the time
    in which an answer may come."""

    lacks: Literal["routes", "name", "patience"]
    line: Line


@dataclass(frozen=True)
class Profile:
    """What one file says about some cards."""

    stack: str
    path: str
    names: tuple[str, ...] = ()
    """Name patterns; none: it applies to any Ethernet interface. A "!" before one means all but these."""
    drivers: tuple[str, ...] = ()
    """Patterns of drivers, in the same way."""
    dhcp4: bool = False
    static: tuple[Line, ...] = ()
    macs: tuple[Line, ...] = ()
    """Where it is bound to a MAC address, or gives one."""
    unmanaged: bool = False
    elsewhere: str = ""
    """Why it applies to no card of Azure, whatever the name: `Virtualization=kvm`. Empty: it may apply."""
    master: str = ""
    """The bridge or bond that the card becomes a part of; the address is that one's."""
    ports: tuple[str, ...] = ()
    """The cards that the bridge or bond is made of, where its own file names them."""
    down: bool = False
    """Whether the card stays down at boot."""
    faults: tuple[Fault, ...] = ()
    file: str = ""
    """The file name by which its stack sorts it; empty: that of `path`."""

    @property
    def order(self) -> str:
        """What its stack sorts by."""
        return self.file or self.path.rpartition("/")[2]

    def applies_to(self, nic: Nic) -> bool:
        """Whether this card is meant."""
        if self.elsewhere and not nic.kind:
            return False
        return fits(self.names, *nic.names) and fits(self.drivers, nic.driver)

    def applies_to_virtual_functions(self) -> bool:
        """Whether a second NIC of accelerated networking is meant too: it has a name by its slot, or is eth1."""
        named = any(fits(self.names, name) for name in ("enP1s1", "enP30832p0s0", "eth1"))
        return not self.elsewhere and named and any(fits(self.drivers, driver) for driver in _FUNCTION_DRIVERS)

    def is_for_machines_nics(self) -> bool:
        """Whether it is about a network card at all, and not about loopback, bridges or containers."""
        return not self.names or not all(any(fnmatchcase(name, each) for each in _TEMPORARY) for name in self.names)


@dataclass(frozen=True)
class Reading:
    """What a stack, once it runs, makes of the first card: the profiles that take it, and whether it asks for an IPv4
    address. `why` says why not. `profiles` are all that it reads."""

    profiles: tuple[Profile, ...] = ()
    applied: tuple[Profile, ...] = ()
    asks: bool = False
    why: str = ""


@dataclass(frozen=True)
class Scene:
    """What a stack's reader looks at: the files, the card, what starts, and what netplan hands to the stack."""

    files: Files
    nic: Nic
    units: Units
    netplan: tuple[Profile, ...] = ()
    taken: bool = False
    """Whether netplan has given the card to another stack."""


@dataclass(frozen=True)
class Draft:
    """A file by which a stack would ask for an address. `mode` None: mode and owner of the file that is there."""

    path: str
    text: str
    mode: int | None = 0o644


def no_drafts(scene: Scene) -> Iterator[Draft]:
    """Of a stack that asks on every card: where it does not, its owner said so."""
    return iter(())


@dataclass(frozen=True)
class Stack:
    """A program that configures cards. `units` make it run at boot (the first stands for it); `scripts` are its init
    scripts under SysV; `program` is a pattern of its executable."""

    name: str
    program: str
    units: tuple[str, ...]
    read: Callable[[Scene], Reading] = field(repr=False)
    drafts: Callable[[Scene], Iterator[Draft]] = field(default=no_drafts, repr=False)
    """The files of which each by itself may make it ask on the first card, the plainest first."""
    scripts: tuple[str, ...] = ()
    wait_online: str = ""
    """The unit by which network-online.target waits for it; empty: its own unit is up when the network is."""
