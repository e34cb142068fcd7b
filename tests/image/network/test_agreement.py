# ruff: noqa: E501 (a table)
"""prepare and check read one model: what check finds, prepare puts right or says why it cannot; over every tree of the
rules' cases, and the trees of the reports on network files that do not fit."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from azready.image import preparation, sealing
from azready.image.checking import Found, ask
from azready.image.facts import Facts
from azready.image.facts.network import STACKS
from azready.image.facts.network.model import Stack, no_drafts
from azready.image.rules import RULES
from azready.image.rules.model import Severity
from azready.image.targets.tree import Tree
from tests.image.rules.cases import CASES, alpine
from tests.image.sample import Sample, good_image

pytestmark = pytest.mark.long

NETWORKD = "etc/systemd/network/10-eth0.network"
DHCP = "[Network]\nDHCP=yes\n"
LO = "auto lo\niface lo inet loopback\n"
INTERFACES = "etc/network/interfaces"
SERVER = "[main]\nno-auto-default=*\n"


def _ifupdown(s: Sample) -> Sample:
    s.disable("systemd-networkd").remove(NETWORKD).unit("networking").write("usr/sbin/dhclient", "", 0o755)
    return s.remove("etc/systemd/system/multi-user.target.wants/systemd-networkd-wait-online.service")


def _ng(s: Sample) -> Sample:
    return _ifupdown(s).write("usr/libexec/ifupdown-ng/dhcp", "", 0o755)


def _scripts(s: Sample, text: str) -> Sample:
    s.disable("systemd-networkd").remove(NETWORKD).unit("network").write("etc/sysconfig/network-scripts/ifup", "")
    s.write("etc/sysconfig/network-scripts/ifcfg-eth0", text)
    return s.remove("etc/systemd/system/multi-user.target.wants/systemd-networkd-wait-online.service")


def _netifrc(s: Sample, text: str) -> Sample:
    alpine(s)  # OpenRC, as on Gentoo
    s.disable("systemd-networkd").remove(NETWORKD).write("etc/init.d/net.lo", "")
    s.write("etc/init.d/sshd", "generate_host_keys() { ssh-keygen -A; }\n")
    return s.link("etc/runlevels/default/net.eth0", "/etc/init.d/net.eth0").write("etc/conf.d/net", text)


def _nm(s: Sample) -> Sample:
    s.disable("systemd-networkd").remove(NETWORKD).unit("NetworkManager").write("usr/sbin/NetworkManager", "", 0o755)
    return s.remove("etc/systemd/system/multi-user.target.wants/systemd-networkd-wait-online.service")


def _connman(s: Sample, path: str, text: str) -> Sample:
    return (
        s.disable("systemd-networkd").remove(NETWORKD).unit("connman").write("usr/sbin/connmand", "").write(path, text)
    )


def _wicked(s: Sample, text: str) -> Sample:
    s.disable("systemd-networkd").remove(NETWORKD).unit("wicked").write("usr/sbin/wicked", "")
    return s.write("etc/sysconfig/network/ifcfg-eth0", text)


def _netplan(s: Sample, text: str) -> Sample:
    s.remove(NETWORKD).write("usr/lib/systemd/system-generators/netplan", "", 0o755)
    return s.write("etc/netplan/60-mine.yaml", text, 0o600)


# how the network is set up → whether the first card asks
TREES: dict[str, tuple[Callable[[Sample], object], bool]] = {
    "first file wins": (lambda s: s.write("etc/systemd/network/05-all.network", "[Match]\nName=eth*\n[Network]\n"), False),
    "another hypervisor": (lambda s: s.write(NETWORKD, "[Match]\nType=ether\nVirtualization=kvm\n" + DHCP), False),
    "this hypervisor": (lambda s: s.write(NETWORKD, "[Match]\nType=ether\nVirtualization=microsoft\n" + DHCP), True),
    "not in containers": (lambda s: s.write(NETWORKD, "[Match]\nType=ether\nVirtualization=!container\n" + DHCP), True),
    "by path": (lambda s: s.write(NETWORKD, "[Match]\nPath=pci-0000:00:05.0\n" + DHCP), False),
    "for one host": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\nHost=builder\n" + DHCP), False),
    "real cards": (lambda s: s.write(NETWORKD, "[Match]\nKind=!*\nType=ether\n" + DHCP), True),
    "unmanaged": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\n[Link]\nUnmanaged=yes\n" + DHCP), False),
    "stays down": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\n[Link]\nActivationPolicy=down\n" + DHCP), False),
    "renamed": (lambda s: s.write("etc/systemd/network/10-w.link", "[Match]\nDriver=hv_netvsc\n[Link]\nName=wan0\n"), False),
    "renamed by MAC": (lambda s: s.write("etc/systemd/network/9.link", "[Match]\nOriginalName=*\n[Link]\nNamePolicy=mac\n"), False),
    "renamed by udev": (lambda s: s.write("etc/udev/rules.d/1.rules", 'SUBSYSTEM=="net", DRIVERS=="hv_netvsc", NAME="wan0"\n'), False),
    "renamed, another card": (lambda s: s.write("etc/udev/rules.d/1.rules", 'SUBSYSTEM=="net", ATTR{address}=="52:54:*", NAME="wan0"\n'), True),
    "renamed and right": (lambda s: s.write(NETWORKD, "[Match]\nName=wan0\n" + DHCP).write(
        "etc/systemd/network/10-w.link", "[Match]\nOriginalName=eth0\n[Link]\nName=wan0\n"), True),
    "drop-in takes": (lambda s: s.write(f"{NETWORKD}.d/a.conf", "[Network]\nDHCP=no\nAddress=10.0.0.5/24\n"), False),
    "drop-in gives": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\n").write(f"{NETWORKD}.d/a.conf", DHCP), True),
    "empty match": (lambda s: s.write(NETWORKD, "[Match]\n" + DHCP), False),
    "a bridge that asks": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\n[Network]\nBridge=br0\n").write(
        "etc/systemd/network/20-br.network", "[Match]\nName=br0\n" + DHCP).write(
        "etc/systemd/network/20-br.netdev", "[NetDev]\nName=br0\nKind=bridge\n"), True),
    "a bridge that nobody makes": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\n[Network]\nBridge=br0\n").write(
        "etc/systemd/network/20-br.network", "[Match]\nName=br0\n" + DHCP), False),
    "another kind": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\nKind=veth\n" + DHCP), False),
    "another processor": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\nArchitecture=arm64\n" + DHCP), False),
    "this processor": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\nArchitecture=x86-64\n" + DHCP), True),
    "older kernels": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\nKernelVersion=<4.0\n" + DHCP), False),
    "newer kernels": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\nKernelVersion=>=4.0\n" + DHCP), True),
    "netplan, a key misspelt": (lambda s: _netplan(s, "network: {ethernets: {eth0: {dhcp4: true, dhpc6: no}}}\n"), False),
    "netplan, ethernet": (lambda s: _netplan(s, "network: {ethernet: {eth0: {dhcp4: true}}}\n"), False),
    "netplan, version 1": (lambda s: _netplan(s, "network: {version: 1, ethernets: {eth0: {dhcp4: true}}}\n"), False),
    "netplan, a name for all": (lambda s: _netplan(s, "network: {ethernets: {eth0: {dhcp4: true, set-name: lan}}}\n"), False),
    "connman": (lambda s: _connman(s, "x", ""), True),
    "connman, blacklisted": (lambda s: _connman(s, "etc/connman/main.conf", "[General]\nNetworkInterfaceBlacklist=vmnet,eth\n"), False),
    "connman, provisioned": (lambda s: _connman(s, "var/lib/connman/a.config", "[service_e]\nType=ethernet\nIPv4=10.0.0.4/24/10.0.0.1\n"), False),
    "connman, switched off": (lambda s: _connman(s, "var/lib/connman/settings", "[Wired]\nEnable=false\n"), False),
    "connman, wifi only": (lambda s: _connman(s, "etc/connman/main.conf", "[General]\nDefaultAutoConnectTechnologies=wifi\n"), False),
    "connman, another card provisioned": (lambda s: _connman(s, "var/lib/connman/a.config", "[service_e]\nType=ethernet\nDeviceName=eth1\nIPv4=off\n"), True),
    "wicked, a bridge": (lambda s: _wicked(s, "BOOTPROTO='none'\nSTARTMODE='auto'\n").write(
        "etc/sysconfig/network/ifcfg-br0", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\nBRIDGE='yes'\nBRIDGE_PORTS='eth0'\n"), True),
    "wicked, by hand": (lambda s: _wicked(s, "BOOTPROTO='dhcp'\nSTARTMODE='manual'\n"), False),
    "ifupdown, a bridge of all": (lambda s: _ifupdown(s).write(INTERFACES, f"{LO}auto br0\niface br0 inet dhcp\n  bridge_ports all\n"), True),
    "ifupdown, a bridge by pattern": (lambda s: _ifupdown(s).write(INTERFACES, f"{LO}auto br0\niface br0 inet dhcp\n  bridge_ports regex eth.*\n"), True),
    "NetworkManager, ONBOOT=on": (lambda s: _nm(s).write("etc/NetworkManager/conf.d/a.conf", SERVER).write(
        "etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=on\n"), True),
    "a bridge that does not": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\n[Network]\nBridge=br0\n"), False),
    "static eth0, another driver asks": (lambda s: s.write(NETWORKD, "[Match]\nName=eth*\nDriver=mlx5_core\n" + DHCP), False),
    "masked by an empty file": (lambda s: s.write("usr/lib/systemd/network/10-eth0.network", "[Match]\nName=eth0\n" + DHCP).write(
        NETWORKD, ""), False),
    "netplan, one static": (lambda s: _netplan(s, "network: {ethernets: {eth0: {addresses: [10.0.0.4/24]}, eth1: {dhcp4: true}}}\n"), False),
    "netplan, in flow style": (lambda s: _netplan(s, "{network: {ethernets: {eth0: {dhcp4: true}}}}\n"), True),
    "netplan, yes": (lambda s: _netplan(s, "network:\n  ethernets:\n    eth0:\n      dhcp4: yes\n"), True),
    "netplan, taken back": (lambda s: _netplan(s, "network: {ethernets: {eth0: {dhcp4: true}}}\n").write(
        "etc/netplan/99.yaml", "network: {ethernets: {eth0: {dhcp4: false}}}\n"), False),
    "netplan, two files": (lambda s: _netplan(s, "network: {ethernets: {a: {match: {name: eth0}}}}\n").write(
        "etc/netplan/99.yaml", "network: {ethernets: {a: {dhcp4: true}}}\n"), True),
    "netplan, a driver added to a name": (lambda s: _netplan(s, "network: {ethernets: {ens3: {dhcp4: true}}}\n").write(
        "etc/netplan/99.yaml", "network: {ethernets: {ens3: {match: {driver: hv_netvsc}}}}\n"), False),
    "netplan, broken": (lambda s: _netplan(s, "network:\n  ethernets:\n    eth0:\n      match:\n      dhcp4: true\n"), False),
    "netplan, renamed": (lambda s: _netplan(s, "network: {ethernets: {a: {match: {driver: hv_netvsc}, set-name: lan0, dhcp4: true}}}\n"), True),
    "netplan, off": (lambda s: _netplan(s, "network: {ethernets: {eth0: {dhcp4: true, activation-mode: off}}}\n"), False),
    "NetworkManager by itself": (_nm, True),
    "NetworkManager, not by itself": (lambda s: _nm(s).write("usr/lib/NetworkManager/conf.d/00-server.conf", SERVER), False),
    "NetworkManager, only wifi": (lambda s: _nm(s).write("usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf",
                                  "[keyfile]\nunmanaged-devices=*,except:type:wifi,except:type:gsm\n"), False),
    "NetworkManager, only wifi, undone": (lambda s: _nm(s).write(
        "usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf", "[keyfile]\nunmanaged-devices=*,except:type:wifi\n").write(
        "etc/NetworkManager/conf.d/10-globally-managed-devices.conf", ""), True),
    "NetworkManager, autoconnect off": (lambda s: _nm(s).write("etc/NetworkManager/conf.d/a.conf", SERVER).write(
        "etc/NetworkManager/system-connections/a.nmconnection", "[connection]\ntype=ethernet\nautoconnect=false\n", 0o600), False),
    "NetworkManager, open to all": (lambda s: _nm(s).write("etc/NetworkManager/conf.d/a.conf", SERVER).write(
        "etc/NetworkManager/system-connections/a.nmconnection", "[connection]\ntype=ethernet\n", 0o644), False),
    "NetworkManager, static first": (lambda s: _nm(s).write(
        "etc/NetworkManager/system-connections/a.nmconnection",
        "[connection]\ntype=ethernet\ninterface-name=eth0\nautoconnect-priority=9\n[ipv4]\nmethod=manual\naddress1=10.0.0.4/24\n", 0o600).write(
        "etc/NetworkManager/system-connections/b.nmconnection", "[connection]\ntype=ethernet\n", 0o600), False),
    "NetworkManager, left to ifupdown": (lambda s: _nm(s).write("etc/NetworkManager/NetworkManager.conf",
        "[main]\nplugins=ifupdown,keyfile\n[ifupdown]\nmanaged=false\n").write(INTERFACES, "iface eth0 inet manual\n"), False),
    "ifupdown, auto in another file": (lambda s: _ifupdown(s).write(INTERFACES, "auto lo eth0\niface lo inet loopback\nsource interfaces.d/*\n").write(
        "etc/network/interfaces.d/eth0", "iface eth0 inet dhcp\n"), True),
    "ifupdown-ng": (lambda s: _ng(s).write(INTERFACES, "auto eth0\niface eth0\n\tuse dhcp\n"), True),
    "ifupdown-ng, a pattern it does not know": (lambda s: _ng(s).write(INTERFACES, "source interfaces.d/*\nauto eth0\niface eth0 inet dhcp\n"), False),
    "ifupdown-ng, its program not known": (lambda s: _ifupdown(s).write(INTERFACES, "auto eth0\niface eth0\n\tuse dhcp\n"), True),
    "ifupdown-ng, inherits": (lambda s: _ng(s).write(INTERFACES, "iface net inet dhcp\nauto eth0\niface eth0 inherits net\n"), True),
    "ifupdown, another folder": (lambda s: _ifupdown(s).write(INTERFACES, f"{LO}source /etc/network/more/*.cfg\n").write(
        "etc/network/more/e.cfg", "auto eth0\niface eth0 inet dhcp\n"), True),
    "ifupdown, a name it does not read": (lambda s: _ifupdown(s).write(INTERFACES, f"{LO}source-directory interfaces.d\n").write(
        "etc/network/interfaces.d/e.cfg", "auto eth0\niface eth0 inet dhcp\n"), False),
    "ifupdown, nothing starts it": (lambda s: _ifupdown(s).write(INTERFACES, f"{LO}iface eth0 inet dhcp\n"), False),
    "ifupdown, pattern": (lambda s: _ifupdown(s).write(INTERFACES, f"{LO}auto /eth*\niface eth0 inet dhcp\n"), True),
    "ifupdown, inherits": (lambda s: _ifupdown(s).write(INTERFACES, "iface net inet dhcp\nauto eth0\niface eth0 inet manual inherits net\n"), False),
    "ifupdown, static": (lambda s: _ifupdown(s).write(INTERFACES, f"{LO}auto eth0\niface eth0 inet static\n  address 10.0.0.4/24\n  gateway 10.0.0.1\n"), False),
    "ifupdown, the cloud's helper": (lambda s: _ifupdown(s).write(INTERFACES, LO).write("etc/network/cloud-ifupdown-helper", "").write(
        "etc/udev/rules.d/75-cloud-ifupdown.rules", 'RUN+="/etc/network/cloud-ifupdown-helper"\n'), True),
    "netplan, a gateway that is none": (lambda s: _netplan(s, "network: {ethernets: {eth0: {dhcp4: true, gateway4: router}}}\n"), False),
    "netplan, servers in a list": (lambda s: _netplan(s, "network: {ethernets: {eth0: {dhcp4: true, nameservers: [10.0.0.1]}}}\n"), False),
    "netplan, a default route to nowhere": (lambda s: _netplan(s, "network: {ethernets: {eth0: {dhcp4: true, routes: [{to: default}]}}}\n"), False),
    "netplan, names in a list": (lambda s: _netplan(s, "network: {ethernets: {a: {dhcp4: true, match: {name: [eth0]}}}}\n"), False),
    "netplan, a card without a word": (lambda s: _netplan(s, "network:\n  ethernets:\n    eth0:\n"), False),
    "netplan, a second document": (lambda s: _netplan(s, "network: {ethernets: {eth0: {dhcp4: true}}}\n---\nno: no\n"), True),
    "netplan, an alias": (lambda s: _netplan(s, "network: {ethernets: {eth0: &c {dhcp4: true}, eth1: *c}}\n"), True),
    "netplan, a VLAN over nothing": (lambda s: _netplan(s, "network: {ethernets: {eth0: {dhcp4: true}}, vlans: {v: {id: 5, link: x}}}\n"), False),
    "networkd, a value it does not know": (lambda s: s.write(NETWORKD, "[Match]\nName=eth0\n[Network]\nDHCP=yes\nDHCP=@dhcp@\n"), True),
    "networkd, two lines joined": (lambda s: s.write(NETWORKD, "[Match]\nName=ens3 \\\n eth0\n[Network]\nDHCP=yes\n"), True),
    "networkd, saved by Notepad": (lambda s: s.write(NETWORKD, "\ufeff[Match]\r\nName=eth0\r\n[Network]\r\nDHCP=yes\r\n"), True),
    "NetworkManager, for one user": (lambda s: _nm(s).write(
        "etc/NetworkManager/system-connections/a.nmconnection", "[connection]\ntype=ethernet\npermissions=user:bob:;\n", 0o600), False),
    "NetworkManager, a method it does not know": (lambda s: _nm(s).write(
        "etc/NetworkManager/system-connections/a.nmconnection", "[connection]\ntype=ethernet\n[ipv4]\nmethod=dhcp\n", 0o600), True),
    "NetworkManager, first section counts": (lambda s: _nm(s).write("etc/NetworkManager/conf.d/a.conf",
        "[device-a]\nmatch-device=interface-name:eth0\nmanaged=1\n[device-b]\nmatch-device=*\nmanaged=0\n"), True),
    "ifupdown, source of a folder": (lambda s: _ifupdown(s).write(INTERFACES, f"{LO}source /etc/network/interfaces.d\n").write(
        "etc/network/interfaces.d/eth0", "auto eth0\niface eth0 inet dhcp\n"), False),
    "ifupdown, all but lo": (lambda s: _ifupdown(s).write(INTERFACES, f"{LO}auto /!(lo)\niface eth0 inet dhcp\n"), True),
    "ifupdown-ng, a second name": (lambda s: _ng(s).write(INTERFACES, f"{LO}auto eth1 eth0\niface eth0 inet dhcp\n"), False),
    "ifupdown-ng, hotplug": (lambda s: _ng(s).write(INTERFACES, f"{LO}allow-hotplug eth0\niface eth0 inet dhcp\n"), False),
    "network-scripts": (lambda s: _scripts(s, "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n"), True),
    "network-scripts, static": (lambda s: _scripts(s, "DEVICE=eth0\nBOOTPROTO=none\nIPADDR=10.0.0.4\nPREFIX=24\nONBOOT=yes\n"), False),
    "netifrc": (lambda s: _netifrc(s, ""), True),
    "netifrc, static": (lambda s: _netifrc(s, 'config_eth0="10.0.0.4/24"\n'), False),
    "dhcpcd": (lambda s: s.disable("systemd-networkd").unit("dhcpcd"), True),
    "dhcpcd, static": (lambda s: s.disable("systemd-networkd").unit("dhcpcd").write(
        "etc/dhcpcd.conf", "interface eth0\nstatic ip_address=10.0.0.4/24\n"), False),
    "dhcpcd, denied": (lambda s: s.disable("systemd-networkd").unit("dhcpcd").write("etc/dhcpcd.conf", "denyinterfaces eth*\n"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_check_knows_whether_the_first_card_asks(name: str, tmp_path: Path) -> None:
    change, asks = TREES[name]
    change(good_image(tmp_path))
    assert bool(Facts(Tree(tmp_path)).network.asking) == asks


PAGE = Path(__file__).parents[3] / "docs/prepare.md"
_ASKS_BY_ITSELF = {"dhcpcd", "connman"}
"""Stacks that ask on every card: where one does not, its owner said so, and prepare says what to do by hand."""


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.name)
def test_all_of_a_stack_is_known(stack: Stack) -> None:
    """What a new one may forget."""
    writes = stack.drafts is not no_drafts
    assert writes != (stack.name in _ASKS_BY_ITSELF), "write a profile for it (drafts), or say that it needs none"
    assert any(name.lower().startswith(stack.name) for name in TREES), "TREES has no tree of it"
    title = "NetworkManager" if stack.name == "networkmanager" else stack.name
    assert not writes or title in PAGE.read_text(), "docs/prepare.md does not name it"


def _all_trees() -> Iterator[tuple[str, Callable[[Sample], object]]]:
    yield from ((name, change) for name, (change, _) in TREES.items())
    for id in ("N01", "N02", "N03", "N04"):
        yield from ((f"{id}-{number}", change) for number, change in enumerate((*CASES[id].bad, *CASES[id].good)))


@pytest.mark.parametrize(("name", "change"), list(_all_trees()), ids=lambda each: each if isinstance(each, str) else "")
def test_prepare_does_what_check_says_it_does(name: str, change: Callable[[Sample], object], tmp_path: Path) -> None:
    """N01 found: after prepare it holds, or prepare says what to do by hand. N01 not found: prepare writes nothing."""
    sample = good_image(tmp_path)
    sample.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n").write("usr/bin/curl", "", 0o755)
    sample.write("usr/lib/systemd/systemd-networkd", "", 0o755) if "networkd" in str(change) else None
    change(sample)
    rule = next(rule for rule in RULES if rule.id == "N01")
    facts = Facts(Tree(tmp_path))
    answer = ask(rule, facts)
    fatal = isinstance(answer, Found) and any(each.severity in (None, Severity.FATAL) for each in answer.findings)
    plan = preparation.plan(facts, preparation.Options())
    said = [note for note in plan.notes if "asks for an address" in note]
    assert bool(said) == fatal
    after = preparation.tried(facts, plan)
    assert after.network.asking or any(
        "by hand" in note or "netplan refuses" in note or "install one" in note for note in said
    )


@pytest.mark.parametrize(("name", "change"), list(_all_trees()), ids=lambda each: each if isinstance(each, str) else "")
def test_sealing_leaves_the_network_as_good_as_it_found_it(
    name: str, change: Callable[[Sample], object], tmp_path: Path, need: Callable[..., None]
) -> None:
    need("root")
    change(good_image(tmp_path))
    with Tree(tmp_path) as tree:
        asked = bool(Facts(tree).network.asking)
        sealing.carry_out(tree, lambda: Facts(tree), sealing.Options())
        assert bool(Facts(tree).network.asking) >= asked


def test_what_is_tried_keeps_the_links_that_systems_share(tmp_path: Path) -> None:
    """/lib is a link to a folder, and among the paths that nearly every package owns."""
    sample = good_image(tmp_path).write("usr/lib/agent/program", "").write("usr/bin/curl", "", 0o755)
    sample.write("usr/lib/shared/file", "").link("alias", "usr/lib").link("gone", "nowhere")
    facts = Facts(Tree(tmp_path))
    plan = preparation.plan(facts, preparation.Options())
    owned = frozenset({"alias", "alias/agent", "usr/lib/agent/program", "gone", ".", "usr"})
    after = preparation.tried(facts, replace(plan, owned=owned)).files
    assert after.exists("alias/shared/file") and after.exists("usr/bin/curl")
    assert not after.exists("usr/lib/agent/program") and not after.glob("gone")
