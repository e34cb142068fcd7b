"""The network of an image without agents: does anything ask for an address on the first NIC, and if not, what should.

Agents bring network configuration of their own (cloud-init's netplan file, above all), and it goes with them. Azure
gives addresses by DHCP only, on a NIC that hv_netvsc calls eth0.
"""

from collections.abc import Iterator

from azready.image.actions import Action, Link, Write
from azready.image.apply import apply
from azready.image.facts import Facts
from azready.image.facts.network import STACKS, netplan, networkd
from azready.image.facts.network.model import Draft, Scene
from azready.image.targets.rehearsal import Rehearsal

_ENABLED_NETWORKD = "networkd, enabled for it,"
NO_ADDRESS = "nothing asks for an address"
"""How a note begins about an image that stays without an address, whatever is written."""


def plan_profile(facts: Facts) -> tuple[tuple[Action, ...], str]:
    """What to write so that the first card gets an address, and why (empty: nothing is needed).

    `facts` are of what stays once the agents are gone, so the answer is the same before and after. Each way to write
    it is tried in memory, and the first after which a stack asks is taken; where none helps, the text says what to do.
    """
    network = facts.network
    if network.asking:
        return (), ""
    for name in _choices(facts):
        for actions in _ways(facts, name):
            if _asks(facts, actions):
                return actions, _why(name, network.nic.name)
    return (), _by_hand(facts)


def _choices(facts: Facts) -> list[str]:
    """netplan where it has a stack to hand its files to, then what starts, then networkd, which is enabled for it."""
    network = facts.network
    names = list(network.stacks)
    if network.netplan.installed and {"networkd", "networkmanager"} & {*names, *network.installed}:
        names.insert(0, "netplan")
    if "networkd" in network.installed and "networkd" not in names:
        names.append(_ENABLED_NETWORKD)
    return names


def _asks(facts: Facts, actions: tuple[Action, ...]) -> bool:
    tried = Rehearsal(facts.files, facts.live)
    apply(actions, tried)
    return bool(Facts(tried, facts.live).network.asking)


def _why(stack: str, card: str) -> str:
    title = "NetworkManager" if stack == "networkmanager" else stack
    return f"once the agents are gone nothing asks for an address on {card}: a DHCP profile for {title} is written"


def _by_hand(facts: Facts) -> str:
    network = facts.network
    if network.netplan.refused:
        return f"{NO_ADDRESS}: {network.netplan.refused.text} ({network.netplan.refused.where})"
    if not (network.installed or network.stacks):
        return f"{NO_ADDRESS}, and no known network stack is installed: install one"
    told = [f"{name}: {network.readings[name].why}" for name in network.stacks or network.installed]
    return f"{NO_ADDRESS} on {network.nic.name}, put it right by hand: {'; '.join(told)}"


def _ways(facts: Facts, name: str) -> Iterator[tuple[Action, ...]]:
    """The ways to write the profile of one of `_choices`, the plainest first."""
    enable = (_enable_networkd(facts),) if name == _ENABLED_NETWORKD else ()
    for draft in _drafts(facts, networkd.STACK.name if enable else name):
        yield (_written(draft), *enable)


def _drafts(facts: Facts, name: str) -> Iterator[Draft]:
    if name == "netplan":
        return netplan.drafts()
    stack = next(each for each in STACKS if each.name == name)
    return stack.drafts(Scene(facts.files, facts.network.nic, facts.units))


def _written(draft: Draft) -> Write:
    data = draft.text.encode(errors="surrogateescape")
    return Write(draft.path, data) if draft.mode is None else Write(draft.path, data, draft.mode, 0, 0)


def _enable_networkd(facts: Facts) -> Link:
    folder = "usr/lib" if facts.files.exists("usr/lib/systemd/systemd-networkd") else "lib"
    return Link(
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
        f"/{folder}/systemd/system/systemd-networkd.service",
        "no other network stack asks for an address",
    )
