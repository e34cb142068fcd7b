"""Stacks that ask for an address on every card unless they are told otherwise: dhcpcd, connman, Gentoo's netifrc.

Sources: dhcpcd.conf(5), connman.conf(5), connman-service.config(5), netifrc's net.example.
"""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from azready.image.facts.network.model import Draft, Fault, Line, Profile, Reading, Scene, Stack
from azready.image.facts.reading import numbered, sections, text_of

_DHCPCD = "etc/dhcpcd.conf"
_NETIFRC = "etc/conf.d/net"
_SWITCHES = {"noipv4": ("ipv4", False), "ipv6only": ("ipv4", False), "ipv4": ("ipv4", True),
             "nodhcp": ("dhcp", False), "dhcp": ("dhcp", True)}  # fmt: skip


def _read_dhcpcd(scene: Scene) -> Reading:
    """dhcpcd.conf: what stands before the first `interface` is meant for all; a block for its interface."""
    name, said = scene.nic.name, list(_blocks_of_dhcpcd(text_of(scene.files, _DHCPCD) or ""))
    lines = [line for block, line in said if block in ("", name)]
    left_out = _left_out_by_dhcpcd([line for block, line in said if not block], name)
    why = "dhcpcd.conf leaves it out" if left_out else _switched_off_by_dhcpcd(lines)
    static = tuple(line for line in lines if re.match(r"static\s+ip_address=|inform\b", line.text))
    faults = tuple(Fault("routes", line) for line in lines if line.text.split()[0] == "nogateway")
    profile = Profile("dhcpcd", _DHCPCD, (name,), dhcp4=not (why or static), static=static, faults=faults)
    return Reading((profile,) if static else (), (profile,), not why and not static, why or "its address is fixed")


def _blocks_of_dhcpcd(text: str) -> Iterator[tuple[str, Line]]:
    """Each setting, behind what it is meant for: nothing before the first `interface`, `ssid` or `profile`."""
    block = ""
    for number, line in numbered(text):
        words = line.split()
        if words[0] in ("interface", "ssid", "profile"):
            block = " ".join(words[1:])
        else:
            yield block, Line(line, f"{_DHCPCD}:{number}")


def _switched_off_by_dhcpcd(lines: Sequence[Line]) -> str:
    words = [line.text.split()[0] for line in lines]
    on = {"ipv4": True, "dhcp": True} | dict(_SWITCHES[word] for word in words if word in _SWITCHES)
    return "" if all(on.values()) else "dhcpcd.conf switches DHCP off"


def _left_out_by_dhcpcd(general: Sequence[Line], name: str) -> bool:
    words = [line.text.split() for line in general]
    denied = any(_listed(rest, name) for word, *rest in words if word == "denyinterfaces")
    allowed = [_listed(rest, name) for word, *rest in words if word == "allowinterfaces"]
    return denied or (bool(allowed) and not any(allowed))


def _listed(words: list[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for word in words for pattern in word.replace(",", " ").split())


def _read_connman(scene: Scene) -> Reading:
    if why := next(_left_out_by_connman(scene), ""):
        return Reading(why=why)
    for path in scene.files.glob("var/lib/connman/*.config"):
        for service in _provisioned(text_of(scene.files, path) or ""):
            method = service.get("IPv4", "dhcp")
            mine = "MAC" not in service and service.get("DeviceName", scene.nic.name) == scene.nic.name
            if service.get("Type") == "ethernet" and mine and method not in ("dhcp", "auto"):
                fixed = (Line(f"IPv4={method}", path),) if "/" in method else ()
                profile = Profile("connman", path, (scene.nic.name,), static=fixed)
                return Reading((profile,), (profile,), why=f"{path} says IPv4={method}")
    return Reading(asks=True)


def _left_out_by_connman(scene: Scene) -> Iterator[str]:
    """Why connman leaves the card alone: by main.conf, or by what somebody switched off while it ran."""
    for section, key, value, _ in sections(text_of(scene.files, "etc/connman/main.conf") or ""):
        heads = tuple(word.strip() for word in value.split(",") if word.strip())
        if (section, key) == ("General", "NetworkInterfaceBlacklist") and heads and scene.nic.name.startswith(heads):
            yield f"connman's {key} leaves it out"
        if (section, key) == ("General", "DefaultAutoConnectTechnologies") and "ethernet" not in heads:
            yield f"connman's {key} leaves wired cards out"
    stored = {(section, key): value for section, key, value, _ in sections(text_of(scene.files, _SETTINGS) or "")}
    if stored.get(("Wired", "Enable"), "true").lower() == "false":
        yield f"/{_SETTINGS} switches wired cards off"


_SETTINGS = "var/lib/connman/settings"


def _provisioned(text: str) -> list[dict[str, str]]:
    """The services of a file of connman-service.config(5)."""
    found: dict[str, dict[str, str]] = {}
    for section, key, value, _ in sections(text):
        if section.startswith("service_"):
            found.setdefault(section, {})[key] = value
    return list(found.values())


def _read_netifrc(scene: Scene) -> Reading:
    """`config_eth0="…"`; nothing said means DHCP."""
    said = re.search(rf"""(?m)^[ \t]*config_{scene.nic.name}=["'(]+([^"')]*)""", text_of(scene.files, _NETIFRC) or "")
    if said is None:
        return Reading(asks=True)
    asks = "dhcp" in said[1].split()
    fixed = () if asks else (Line(f"config_{scene.nic.name}={said[1]}", _NETIFRC),)
    profile = Profile("netifrc", _NETIFRC, (scene.nic.name,), dhcp4=asks, static=fixed)
    return Reading((profile,), (profile,), asks, "its address is fixed")


def _drafts_for_netifrc(scene: Scene) -> Iterator[Draft]:
    lines = (text_of(scene.files, _NETIFRC) or "").splitlines(keepends=True)
    left = "".join(line for line in lines if not line.startswith("config_eth0="))
    yield Draft(_NETIFRC, f'{left.rstrip()}\nconfig_eth0="dhcp"\n'.lstrip())


STACKS = (
    Stack("dhcpcd", "{usr/,}{sbin,bin}/dhcpcd", ("dhcpcd.service", "dhcpcd", "dhcpcd@eth0.service"), _read_dhcpcd),
    Stack("connman", "usr/sbin/connmand", ("connman.service", "connman"), _read_connman),
    Stack("netifrc", "etc/init.d/net.lo", ("net.eth0",), _read_netifrc, _drafts_for_netifrc),
)
