"""What a packet filter does with new connections, told from its rules: nftables, iptables (and ufw), firewalld.

Sources: nft(8), iptables-save's form, firewalld.zone(5), firewalld.policy(5), firewalld.direct(5). What cannot be told
(a set that is filled elsewhere, a jump to nowhere) counts as letting the packet pass.
"""

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Literal

from azready.image.facts.reading import MOST_INCLUDED, Budget, decimal, first_there, text_of
from azready.image.targets import Files

Chain = tuple["Statement", ...]
_PORTS = {"ssh": 22, "http": 80, "https": 443, "domain": 53, "bootps": 67, "bootpc": 68, "ntp": 123}
_LARGEST_PORT = 65535
_DEEPEST = 16
_MOST_DEFINED = 1 << 20
_TABLE = r"\btable\s+(?:(ip6|ip|inet|arp|bridge|netdev)\s+)?\S+\s*\{"


@dataclass(frozen=True)
class Statement:
    """A rule: what it does with a packet that it meets, and which it meets. No ports, no addresses: any."""

    does: Literal["accept", "drop", "jump"]
    to: str = ""
    ports: tuple[tuple[int, int], ...] = ()
    addresses: tuple[str, ...] = ()
    limited: bool = False
    """Whether it meets no new tcp connection of root over the card: of `lo`, of udp, of another user."""
    narrow: bool = False
    """Whether it meets only some of them, in a way that is not read here."""

    def meets(self, port: int, address: str) -> bool:
        """Whether a new tcp connection to this port (and address, if one is given) may be among what it meets."""
        by_port = not self.ports or any(first <= port <= last for first, last in self.ports)
        return not self.limited and by_port and (not address or not self.addresses or _covers(self.addresses, address))


@dataclass(frozen=True)
class Ruleset:
    """The chains of a filter by name, and those that every packet in or out meets, with whether their policy drops."""

    chains: Mapping[str, Chain]
    coming: tuple[tuple[str, bool], ...] = ()
    going: tuple[tuple[str, bool], ...] = ()

    def keeps_in(self, address: str, port: int = 80) -> bool:
        """Whether some chain drops root's connections to an address."""
        return any(self._drops(name, drops, port, address) for name, drops in self.going)

    def keeps_out(self, port: int = 22) -> bool:
        """Whether some chain drops connections to a port of this machine."""
        return any(self._drops(name, drops, port, "") for name, drops in self.coming)

    def _drops(self, name: str, policy: bool, port: int, address: str) -> bool:
        verdict = self._verdict(name, port, address, {})
        return policy if verdict is None else verdict == "drop"

    def _verdict(self, name: str, port: int, address: str, known: dict[str, str | None]) -> str | None:
        """Of a chain, each looked at once: `known` holds the verdicts so far. A jump to nowhere, or back, accepts."""
        if name not in self.chains:
            return "accept" if known else None
        if name in known:
            return known[name]
        known[name] = "accept"
        known[name] = next(self._found(name, port, address, known), None)
        return known[name]

    def _found(self, name: str, port: int, address: str, known: dict[str, str | None]) -> Iterator[str]:
        for each in self.chains[name]:
            if each.meets(port, address):
                found = self._verdict(each.to, port, address, known) if each.does == "jump" else each.does
                if found == "accept" or (found == "drop" and not each.narrow):
                    yield found


def _covers(networks: Iterable[str], address: str) -> bool:
    for network in networks:
        try:
            if ip_address(address) in ip_network(network, strict=False):
                return True
        except ValueError:
            return True
    return False


def _ports(text: str) -> tuple[tuple[int, int], ...]:
    """`22`, `ssh`, `{ 22, 80 }`, `20:25,80`, `1-1024`; of what is not known, every port."""
    found = []
    for word in re.split(r"[\s,{}]+", text.strip("{} ")):
        first, _, last = word.partition("-" if "-" in word else ":")
        ports = [_PORTS.get(each, decimal(each)) for each in (first, last or first)]
        least, most = ports
        found.append((0, _LARGEST_PORT) if least is None or most is None else (least, most))
    return tuple(found)


# ---- nftables


def nftables(files: Files, path: str) -> Ruleset:
    """Of a file of nft's and those that it includes."""
    text = _defined(
        re.sub(r"(?m)#.*$", "", _included(files, path, 0, Budget(MOST_INCLUDED, "files"))).replace("\\\n", " ")
    )
    chains: dict[str, Chain] = {}
    hooked: dict[str, list[tuple[str, bool]]] = {"input": [], "output": []}
    tables = [*re.finditer(_TABLE, text)]
    begins = [table.start() for table in tables]
    for found in re.finditer(r"\bchain\s+(\S+)\s*\{((?:[^{}]|\{[^{}]*\})*)\}", text):
        name, body = found[1], found[2]
        head = re.search(r"\bhook\s+(input|output)\b", body)
        if re.search(r"\bhook\b", body):
            name = f"{name}@{found.start()}"  # every table has an `input`
        if head and re.search(r"\btype\s+filter\b", body) and _is_of_ipv4(tables, bisect(begins, found.start()) - 1):
            hooked[head[1]].append((name, re.search(r"policy\s+drop", body) is not None))
        chains[name] = tuple(made for line in re.split(r"[;\n](?![^{]*\})", body) if (made := _of_nft(line)))
    return Ruleset(chains, tuple(hooked["input"]), tuple(hooked["output"]))


def _is_of_ipv4(tables: Sequence[re.Match[str]], number: int) -> bool:
    """Whether a chain in that table, -1 for none, is of IPv4's packets."""
    return number < 0 or tables[number][1] in ("ip", "inet", None)


def _included(files: Files, path: str, depth: int, budget: Budget) -> str:
    budget.take()
    text = text_of(files, path) or ""
    if depth > _DEEPEST:
        return ""

    def insert(found: re.Match[str]) -> str:
        place = found[1].lstrip("/") if found[1].startswith("/") else f"etc/{found[1]}"
        return "\n".join(_included(files, each, depth + 1, budget) for each in files.glob(place))

    return re.sub(r"""(?m)^[ \t]*include\s+["']([^"']+)["'].*$""", insert, text)


def _defined(text: str) -> str:
    values = dict(re.findall(r"(?m)^[ \t]*define\s+(\w+)\s*=\s*(\{[^}]*\}|[^\n;]+)", text))
    budget = Budget(_MOST_DEFINED, "characters of definitions")

    def insert(found: re.Match[str]) -> str:
        value = str(values.get(found[1], found[1]))
        budget.take(len(value))
        return value

    for _ in range(_DEEPEST):
        text, replaced = re.subn(r"\$(\w+)", insert, text)
        if not replaced:
            break
    return text


def _is_of_others(line: str) -> bool:
    """Whether no packet of ours is meant: neither root's, nor of a new connection by TCP over a card."""
    state = re.search(r"\bct\s+state\s+(\{[^}]*\}|\S+(?:\s*,\s*\w+)*)", line)
    uid = re.search(r"\bskuid\s+(\{[^}]*\}|\S+)", line)
    return (
        re.search(r"""\b[io]if(name)?\s+["']?lo\b""", line) is not None
        or (state is not None and "new" not in state[1])
        or (uid is not None and not re.search(r"\b(0|root)\b", uid[1]))
        or re.search(r"\budp\b|\bicmp|\bip6\b|\bsctp\b|pkttype|\bfib\b|\bct\s+status\b", line) is not None
    )


def _of_nft(line: str) -> Statement | None:
    line = re.sub(r'comment\s+"[^"]*"', "", line)
    mapped = re.search(r"dport\s+vmap\s+(\{[^}]*\})", line)
    if mapped:
        words = re.findall(r"([\w-]+)\s*:\s*(accept|jump|goto)", mapped[1])
        return Statement("accept", "", tuple(port for word, _ in words for port in _ports(word))) if words else None
    verdict = re.search(r"\b(accept|drop|reject|(?:jump|goto)\s+(\S+))\s*(?:with\b.*)?$", line.strip())
    if verdict is None or re.search(r"\b(vmap|policy)\b", line):
        return None
    ports = re.search(r"\bdport\s+(\{[^}]*\}|[^\s{]+)", line)
    addresses = re.search(r"\bip\s+daddr\s+(\{[^}]*\}|[^\s{]+)", line)
    return Statement(
        "jump" if verdict[2] else "accept" if verdict[1] == "accept" else "drop",
        verdict[2] or "",
        _ports(ports[1]) if ports else (),
        tuple(re.findall(r"\d+\.\d+\.\d+\.\d+(?:/\d+)?", addresses[1])) if addresses else (),
        _is_of_others(line),
        "!" in line or re.search(r"\bsaddr\b|\blimit\b|\bsport\b|\bflags\b|\bmark\b|[io]if|\b@", line) is not None,
    )


# ---- iptables


def iptables(text: str, begins: Mapping[Literal["in", "out"], str] | None = None) -> Ruleset:
    """Of iptables-save's output, its filter table. `begins` are other names of the chains that packets meet."""
    first = {"in": "INPUT", "out": "OUTPUT", **(begins or {})}
    tables = re.split(r"(?m)^\*(\w+)\s*$", text)
    body = tables[0] + "".join(part for name, part in zip(tables[1::2], tables[2::2], strict=True) if name == "filter")
    policies = dict(re.findall(r"(?m)^:(\S+)\s+(\w+)", body))
    chains: dict[str, Chain] = dict.fromkeys(policies, ())
    for name, rest in re.findall(r"(?m)^-[AI]\s+(\S+)[ \t]*(.*)$", body):
        if made := of_iptables(rest, name):
            chains[name] = (*chains.get(name, ()), made)
    drops = {name: policies.get(name) in ("DROP", "REJECT") for name in first.values()}
    return Ruleset(chains, ((first["in"], drops[first["in"]]),), ((first["out"], drops[first["out"]]),))


def closed(rules: Ruleset) -> Ruleset:
    """The same rules under policies that drop, as ufw has them in chains of its own."""
    return replace(
        rules,
        coming=tuple((name, True) for name, _ in rules.coming),
        going=tuple((name, True) for name, _ in rules.going),
    )


def of_iptables(rest: str, chain: str = "") -> Statement | None:
    """A rule behind the name of its chain."""
    target = re.search(r"(?:^|\s)(?:-j|--jump|-g|--goto)\s+(\S+)", rest)
    if target is None or target[1] in ("RETURN", "LOG", "NFLOG", "MARK", "CONNMARK", "AUDIT", "TRACE"):
        return None
    ports = re.search(r"--(?:dports?|destination-ports?)\s+(\S+)", rest)
    addresses = re.search(r"(?:^|\s)(?:-d|--destination)\s+(\S+)", rest)
    state = re.search(r"--(?:ct)?state\s+(\S+)", rest)
    protocol = re.search(r"(?:^|\s)(?:-p|--protocol)\s+(\S+)", rest)
    uid = re.search(r"--[ug]id-owner\s+(\S+)", rest)
    limited = (
        re.search(r"(?:^|\s)-[io]\s+lo\b", rest) is not None
        or (state is not None and "NEW" not in state[1])
        or (uid is not None and uid[1] not in ("0", "root"))
        or (protocol is not None and protocol[1] not in ("tcp", "6", "all", "0"))
        or re.search(r"--(dst|src|pkt)-type|--uid-owner\s+!", rest) is not None
    )
    word = target[1]
    return Statement(
        "accept" if word == "ACCEPT" else "drop" if word in ("DROP", "REJECT", "TARPIT") else "jump",
        word,
        _ports(ports[1]) if ports else (),
        tuple(addresses[1].split(",")) if addresses else (),
        limited,
        "!" in rest
        or re.search(
            r"(?:^|\s)(-s|--source|-i|-o|--sports?|-m\s+(?!tcp|comment|conntrack|state|multiport|owner)\S+)\s", rest
        )
        is not None,
    )


# ---- firewalld

_ZONES = ("etc/firewalld/zones", "usr/lib/firewalld/zones")
_CLOSED = ("drop", "block")
"""Of the zones that firewalld brings, those that let nothing in."""


@dataclass(frozen=True)
class Zone:
    """The zone of the first card: its name, its file (empty: firewalld's own), and whether it lets ssh in."""

    name: str
    path: str
    lets_ssh_in: bool


def zone_of(files: Files, card: str) -> Zone:
    """The zone that a card of this name is in: the one that names it, else the default."""
    named = re.compile(rf"""<interface\s+name=["']{re.escape(card)}["']""")
    bound = (path for path in files.glob("etc/firewalld/zones/*.xml") if named.search(text_of(files, path) or ""))
    path = next(bound, "")
    if not path:
        said = re.search(r"(?m)^[ \t]*DefaultZone\s*=\s*(\S+)", text_of(files, "etc/firewalld/firewalld.conf") or "")
        name = said[1] if said else "public"
        path = first_there(files, (f"{folder}/{name}.xml" for folder in _ZONES)) or ""
        if not path:
            return Zone(name, "", name not in _CLOSED)
    name = path.rpartition("/")[2].removesuffix(".xml")
    return Zone(name, path, _lets_ssh_in(re.sub(r"(?s)<!--.*?-->", "", text_of(files, path) or "")))


def _lets_ssh_in(zone: str) -> bool:
    if re.search(r"""<zone[^>]*\btarget=["']ACCEPT["']""", zone):
        return True
    rules = re.findall(r"(?s)<rule\b.*?</rule>", zone)
    plain = re.sub(r"(?s)<rule\b.*?</rule>", "", zone)
    accepting = "".join(rule for rule in rules if re.search(r"<accept\b", rule))
    if re.search(r"""<service\s+name=["']ssh["']""", plain + accepting):
        return True
    ports = re.findall(r"<port\s([^>]*)", plain + accepting)
    numbers = (re.search(r"""\bport=["']([\w-]+)["']""", port) for port in ports if "udp" not in port)
    return any(first <= 22 <= last for found in numbers if found for first, last in _ports(found[1]))


def direct_rules(files: Files) -> Ruleset:
    """firewalld's direct rules and passthroughs about what goes out, which come before its own."""
    text = text_of(files, "etc/firewalld/direct.xml") or ""
    found = re.findall(r"<(?:rule|passthrough)\s([^<>]*)>([^<]*)<", re.sub(r"(?s)<!--.*?-->", "", text))
    lines = []
    for attributes, rest in found:
        if "ipv4" not in attributes or re.search(r"""table=["'](?!filter)|-t\s+(?!filter)""", f"{attributes} {rest}"):
            continue
        chain = re.search(r"""chain=["'](\w+)["']""", attributes)
        said = re.search(r"-[AI]\s+(\w+)\s*\d*\s+(.*)", rest)
        if (chain and chain[1] == "OUTPUT") or (said and said[1] == "OUTPUT"):
            lines.append(rest if chain else said[2] if said else "")
    return Ruleset({"OUTPUT": tuple(made for line in lines if (made := of_iptables(line)))}, (), (("OUTPUT", False),))


def closing_policies(files: Files) -> Iterator[str]:
    """Files of policies that drop what this machine sends to everywhere, and accept nothing by a rule."""
    for path in files.glob("etc/firewalld/policies/*.xml"):
        text = re.sub(r"(?s)<!--.*?-->", "", text_of(files, path) or "")
        ends = all(re.search(rf"""<{end}-zone\s+name=["']{zone}["']""", text) for end, zone in _OUTWARD)
        drops = re.search(r"""<policy[^>]*\btarget=["'](DROP|REJECT)["']""", text)
        if ends and drops and not re.search(r"<(service|port|rule|protocol)\b", text):
            yield path


_OUTWARD: Sequence[tuple[str, str]] = (("ingress", "HOST"), ("egress", "ANY"))
