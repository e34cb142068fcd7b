"""Which values netplan's parser takes below a card: one that it does not makes it refuse all files.

Source: netplan's YAML reference, and what its generator (0.106, 1.1) refuses.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from azready.image.facts.reading import decimal

YES = ("true", "on", "yes", "y")
_BOOLEANS = (*YES, "false", "no", "off", "n")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}((:[0-9A-Fa-f]{2}){14})?")
_MAC_WORDS = ("permanent", "preserve", "random", "stable")
_OVERRIDES = (
    *("use-dns", "use-domains", "use-hostname", "use-mtu", "use-ntp", "use-routes", "hostname", "send-hostname"),
    "route-metric",
)
_ROUTE = (
    *("from", "to", "via", "on-link", "metric", "type", "scope", "table", "mtu", "congestion-window"),
    *("advertised-receive-window", "advmss", "mark"),
)
BOND_MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb",
              "active-passive", "balance-slb", "balance-tcp")  # fmt: skip


def _is_address(text: object, version: int = 0) -> bool:
    try:
        found = ipaddress.ip_address(str(text).partition("/")[0])
    except ValueError:
        return False
    return version in (0, found.version)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in _BOOLEANS


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and decimal(value) is not None


def _is_one_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words


def _are_all_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: value == "" or (isinstance(value, list) and all(each in words for each in value))


def _has_only(*keys: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(key in keys for key in value)


def _are_servers(value: Any) -> bool:
    return _has_only("addresses", "search")(value) and all(_is_address(each) for each in value.get("addresses") or ())


def _are_routes(value: Any) -> bool:
    """A default route without a gateway ends the generator by a failed assertion."""
    if value == "":
        return True
    return isinstance(value, list) and all(
        _has_only(*_ROUTE)(each) and not (each.get("to") in ("default", "0.0.0.0/0") and set(each) == {"to"})
        for each in value
    )


_VALUES: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("dhcp4", "dhcp6", "optional", "critical", "accept-ra", "ignore-carrier", "wakeonlan", "emit-lldp",
         "ipv6-privacy", "hairpin", "neigh-suppress", "port-mac-learning"), _is_boolean),
    **dict.fromkeys(("mtu", "ipv6-mtu"), _is_number),
    "gateway4": lambda value: _is_address(value, 4),
    "gateway6": lambda value: _is_address(value, 6),
    "macaddress": lambda value: isinstance(value, str) and (value in _MAC_WORDS or bool(_MAC.fullmatch(value))),
    **dict.fromkeys(("dhcp4-overrides", "dhcp6-overrides"), _has_only(*_OVERRIDES)),
    "nameservers": _are_servers,
    "link-local": _are_all_of("ipv4", "ipv6"),
    "optional-addresses": _are_all_of("ipv4-ll", "ipv6-ra", "dhcp4", "dhcp6", "static"),
    "activation-mode": _is_one_of("manual", "off"),
    "dhcp-identifier": _is_one_of("mac", "duid"),
    "routes": _are_routes,
}  # fmt: skip


def check_values(name: str, card: Mapping[str, Any]) -> None:
    """Raises ValueError for the first value that the parser refuses."""
    for key, value in card.items():
        if key in _VALUES and not _VALUES[key](value):
            raise ValueError(f"{key} of {name} cannot be {value or 'empty'}")
    match = card.get("match") or {}
    if isinstance(match.get("name", ""), list):
        raise ValueError(f"name in the match of {name} is no single pattern")
    if "macaddress" in match and not _MAC.fullmatch(str(match["macaddress"])):
        raise ValueError(f"macaddress in the match of {name} cannot be {match['macaddress']}")
