"""netplan: files that are merged, and handed to networkd or NetworkManager at boot by its generator.

Source: netplan's YAML reference, and what its generator (0.106, 1.1) writes. A file that it refuses takes all with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from azready.image.facts import yaml_text
from azready.image.facts.network.model import FIRST_NIC, Draft, Fault, Line, Nic, Profile, fits
from azready.image.facts.network.netplan_values import BOND_MODES, YES, check_values
from azready.image.facts.reading import layered, text_of
from azready.image.targets import Files

FOLDERS = ("run/netplan", "etc/netplan", "usr/lib/netplan", "lib/netplan")
_KINDS = (
    "ethernets",
    "bridges",
    "bonds",
    "vlans",
    "wifis",
    "tunnels",
    "modems",
    "vrfs",
    "dummy-devices",
    "virtual-ethernets",
)
GENERATOR = "{usr/lib,lib,usr/libexec}/systemd/system-generators/netplan"


@dataclass(frozen=True)
class Netplan:
    """What the generator makes of all files: profiles for networkd and for NetworkManager, and cards it renames.
    `refused` says which file it does not take, and why: then there is nothing else."""

    networkd: tuple[Profile, ...] = ()
    networkmanager: tuple[Profile, ...] = ()
    set_names: tuple[tuple[str, str], ...] = ()
    refused: Line | None = None
    installed: bool = False


def gather_netplan(files: Files) -> Netplan:
    """Read netplan's files as its generator does; `installed` says whether it is there to do so."""
    installed = bool(files.glob(GENERATOR))
    merged: dict[str, Any] = {}
    places: dict[str, str] = {}
    for path in layered(files, FOLDERS, ".yaml"):
        try:
            document = parse_netplan(text_of(files, path) or "")
        except ValueError as error:
            return Netplan(refused=Line(f"netplan refuses it: {error}", path), installed=installed)
        _merge(merged, document)
        for name, card in merged.get("ethernets", {}).items():
            if isinstance(card, dict):
                card.setdefault("match", {"name": name})  # and a later file adds to it
        if why := _undefined(document, merged):
            return Netplan(refused=Line(f"netplan refuses it: {why}", path), installed=installed)
        places.update(dict.fromkeys(document.get("ethernets", {}), path))
        places.update(dict.fromkeys(document.get("bridges", {}), path))
        places.update(dict.fromkeys(document.get("bonds", {}), path))
    if why := _unsupported(merged):
        return Netplan(refused=Line(f"netplan refuses it: {why}", next(iter(places.values()), "")), installed=installed)
    made = list(_profiles(merged, places))
    return Netplan(
        tuple(each for each in made if each.stack == "networkd"),
        tuple(each for each in made if each.stack == "networkmanager"),
        tuple(_set_names(merged)),
        installed=installed,
    )


def parse_netplan(text: str) -> dict[str, Any]:
    """The `network` mapping, every scalar as text. Raises ValueError for what netplan refuses."""
    document = yaml_text.loads(text, "text", more="ignored")
    if document is None or document == "":
        return {}
    network = _only(_mapping(document, "the file"), ("network",), "the file").get("network", {})
    _only(_mapping(network, "network"), _NETWORK_KEYS, "network")
    if network.get("version", "2") != "2":
        raise ValueError(f"version {network['version']}: it takes only 2")
    _check_renderer(network, "network")
    for kind in ("ethernets", "bridges", "bonds", "vlans"):
        for name, card in _mapping(network.get(kind, {}), kind).items():
            _check_card(str(name), card, kind)
    return {key: _unshared(value) for key, value in network.items()}


_NETWORK_KEYS = (
    *("version", "renderer", "ethernets", "wifis", "modems", "bridges", "bonds", "vlans", "vrfs", "tunnels"),
    *("dummy-devices", "virtual-ethernets", "nm-devices", "openvswitch"),
)
_ETHERNET_KEYS = (
    *("renderer", "match", "set-name", "wakeonlan", "emit-lldp", "dhcp4", "dhcp6", "dhcp4-overrides"),
    *("dhcp6-overrides", "dhcp-identifier", "ra-overrides", "accept-ra", "addresses", "gateway4", "gateway6"),
    *("nameservers", "macaddress", "mtu", "ipv6-mtu", "ipv6-privacy", "ipv6-address-generation"),
    *("ipv6-address-token", "link-local", "ignore-carrier", "critical", "optional", "optional-addresses"),
    *("activation-mode", "routes", "routing-policy", "neigh-suppress", "hairpin", "port-mac-learning"),
    *("networkmanager", "openvswitch", "auth", "link", "virtual-function-count", "embedded-switch-mode"),
    *("delay-virtual-functions-rebind", "infiniband-mode", "receive-checksum-offload"),
    *("transmit-checksum-offload", "tcp-segmentation-offload", "tcp6-segmentation-offload"),
    *("generic-segmentation-offload", "generic-receive-offload", "large-receive-offload"),
)
"""Of every version of netplan so far (its YAML reference): a key that none knows makes it refuse all files."""


def _only(value: dict[str, Any], keys: tuple[str, ...], what: str) -> dict[str, Any]:
    if unknown := [str(key) for key in value if key not in keys]:
        raise ValueError(f"{what} has {', '.join(sorted(unknown))}: unknown")
    return value


def _check_renderer(fields: dict[str, Any], what: str) -> None:
    if fields.get("renderer", "networkd") not in ("networkd", "NetworkManager"):
        raise ValueError(f"renderer {fields['renderer']} of {what} is unknown")


def _check_card(name: str, card: object, kind: str) -> None:
    fields = _mapping(card, name)
    if kind == "ethernets":
        _only(fields, _ETHERNET_KEYS, name)
        _check_renderer(fields, name)
    if "set-name" in fields and not fields.get("match"):
        raise ValueError(f"set-name of {name} needs a match")
    for address in fields.get("addresses") or ():
        if isinstance(address, str) and "/" not in address:
            raise ValueError(f"address {address} of {name} has no /prefix")
    match = _mapping(fields.get("match", {}), f"match of {name}")
    if unknown := set(match) - {"name", "driver", "macaddress"}:
        raise ValueError(f"match of {name} has {', '.join(sorted(unknown))}")
    check_values(name, fields)
    parameters = fields.get("parameters") or {}
    if kind == "bonds" and isinstance(parameters, dict) and parameters.get("mode", BOND_MODES[0]) not in BOND_MODES:
        raise ValueError(f"mode {parameters['mode']} of {name} is unknown")


def _unshared(value: Any) -> Any:
    """What a YAML alias repeats, as copies: later files add to each by itself."""
    if isinstance(value, dict):
        return {key: _unshared(each) for key, each in value.items()}
    return [_unshared(each) for each in value] if isinstance(value, list) else value


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no mapping")
    return value


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """As netplan reads file after file: mappings grow, lists too, and a later value wins."""
    for key, value in more.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        else:
            into[key] = [*old, *value] if isinstance(old, list) and isinstance(value, list) else value


def _undefined(document: dict[str, Any], known: dict[str, Any]) -> str:
    """A part of a bridge or bond that neither this file nor one before it defines: netplan refuses the file."""
    names = {str(name) for kind in _KINDS for name in known.get(kind, {})}
    for name, vlan in document.get("vlans", {}).items():
        if str(vlan.get("link", "")) not in names:
            return f"{name}: interface '{vlan.get('link', '')}' is not defined"
    for kind in ("bridges", "bonds"):
        for name, above in document.get(kind, {}).items():
            parts = above.get("interfaces", []) if isinstance(above, dict) else []
            if missing := [str(part) for part in parts if str(part) not in names]:
                return f"{name}: interface '{missing[0]}' is not defined"
    return ""


def _unsupported(network: dict[str, Any]) -> str:
    """Why the generator ends without having written everything; empty when it does not."""
    for name, card in network.get("ethernets", {}).items():
        fields = card if isinstance(card, dict) else {}
        if _renderer(fields, network) == "NetworkManager":
            if fields.get("activation-mode") == "off":
                return f"{name}: NetworkManager definitions do not support activation-mode off"
            by_driver = isinstance(match := fields.get("match"), dict) and match.get("driver")
            if by_driver and "set-name" not in fields:
                return f"{name}: NetworkManager definitions do not support matching by driver"
    return ""


def _renderer(card: dict[str, Any], network: dict[str, Any]) -> str:
    return str(card.get("renderer", network.get("renderer", "networkd")))


def _profiles(network: dict[str, Any], places: dict[str, str]) -> Iterator[Profile]:
    masters = {
        str(part): str(name)
        for kind in ("bridges", "bonds")
        for name, above in network.get(kind, {}).items()
        for part in (above.get("interfaces", []) if isinstance(above, dict) else [])
    }
    for kind in ("ethernets", "bridges", "bonds"):
        for name, card in network.get(kind, {}).items():
            fields = card if isinstance(card, dict) else {}
            stack = "networkmanager" if _renderer(fields, network) == "NetworkManager" else "networkd"
            yield _profile(stack, places.get(name, ""), str(name), fields, masters.get(str(name), ""))


def _profile(stack: str, path: str, name: str, card: dict[str, Any], master: str) -> Profile:
    match = card.get("match")
    names = _strings(card.get("set-name")) or (_strings(match.get("name")) if isinstance(match, dict) else (name,))
    static = [Line(f"{key}: {card[key]}", path) for key in ("addresses", "gateway4", "routes") if card.get(key)]
    bound = match.get("macaddress") if isinstance(match, dict) else None
    macs = [bound, card.get("macaddress")]
    return Profile(
        stack,
        path,
        names,
        _strings(match.get("driver")) if isinstance(match, dict) else (),
        str(card.get("dhcp4", "no")).lower() in YES,
        tuple(static),
        tuple(Line(f"macaddress: {mac}", path) for mac in macs if mac),
        elsewhere="it is bound to a MAC address" if bound else _empty_match(stack, match, card),
        master=master,
        faults=tuple(_faults(path, card.get("dhcp4-overrides"))),
        down=card.get("activation-mode") in ("off", "manual"),
        file=f"10-netplan-{name}.network",
    )


def _faults(path: str, overrides: object) -> Iterator[Fault]:
    said = overrides if isinstance(overrides, dict) else {}
    if str(said.get("use-routes", "yes")).lower() not in YES:
        yield Fault("routes", Line(f"use-routes: {said['use-routes']}", path))
    if str(said.get("send-hostname", "yes")).lower() not in YES:
        yield Fault("name", Line(f"send-hostname: {said['send-hostname']}", path))


def _empty_match(stack: str, match: object, card: dict[str, Any]) -> str:
    empty = isinstance(match, dict) and not any(match.values()) and not card.get("set-name")
    return "its match is empty, and systemd ignores it" if empty and stack == "networkd" else ""


def _set_names(network: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, card in network.get("ethernets", {}).items():
        match = card.get("match", {}) if isinstance(card, dict) else {}
        if not card or "set-name" not in card or match.get("macaddress"):
            continue
        nic = Nic()
        if fits(_strings(match.get("name")), FIRST_NIC) and fits(_strings(match.get("driver")), nic.driver):
            yield f"10-netplan-{name}.link", str(card["set-name"])


def _strings(value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    return tuple(str(each) for each in value) if isinstance(value, list) else (str(value),)


PROFILE = """\
# Written by azready: an address by DHCP, as Azure gives it. The first NIC has the default route.
network:
  version: 2
  ethernets:
    eth0:
      dhcp4: true
      dhcp6: true
      optional: true
      dhcp4-overrides: {route-metric: 100}
      dhcp6-overrides: {route-metric: 100}
    azure-more:
      match: {name: "eth[1-9]*"}
      dhcp4: true
      optional: true
      dhcp4-overrides: {route-metric: 200, use-dns: false}
    elsewhere:  # outside Azure (a test in QEMU) udev names the card by its slot
      match: {name: "en[opsx]*"}
      dhcp4: true
      dhcp6: true
      optional: true
"""


def drafts() -> Iterator[Draft]:
    """Under the name eth0 it adds to what other files say of eth0; under one of its own it stands beside them."""
    own = '    azure-first:\n      match: {name: "eth0"}\n'
    for text in (PROFILE, PROFILE.replace("    eth0:\n", own)):
        yield Draft("etc/netplan/50-azure-dhcp.yaml", text, 0o600)
