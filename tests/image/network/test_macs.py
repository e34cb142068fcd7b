# ruff: noqa: E501 (a table)
"""What is bound to a MAC address still works when it is bound no more; comments and all else stay."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image import sealing
from azready.image.facts.of_target import facts_of
from azready.image.rules.mac_repairs import _rewritten, without_netplan_macs
from azready.image.targets.tree import Tree
from tests.image.sample import Sample, good_image

MAC = "52:54:00:12:34:56"
OTHER = "52:54:00:12:34:57"
HEAD = "network:\n  version: 2\n  ethernets:\n"
ANY = '"name": "e[nt][hopsx]*"'

NETPLAN = {
    "block": (f"    eth0:\n      match:\n        macaddress: '{MAC}'\n      dhcp4: true\n      set-name: eth0\n",
              f"    eth0:\n      match:\n        {ANY}\n      dhcp4: true\n"),
    "comment": (f"    a:\n      match:\n        # the builder's card\n        macaddress: '{MAC}'  # x\n      dhcp4: true\n",
                f"    a:\n      match:\n        # the builder's card\n        {ANY}  # x\n      dhcp4: true\n"),
    "flow": (f"    a: {{match: {{macaddress: '{MAC}'}}, dhcp4: true}}\n", f"    a: {{match: {{{ANY}}}, dhcp4: true}}\n"),
    "quoted key": (f"    a:\n      match:\n        \"macaddress\": {MAC}\n      dhcp4: true\n",
                   f"    a:\n      match:\n        {ANY}\n      dhcp4: true\n"),
    "other name": (f"    a:\n      match: {{macaddress: {MAC}}}\n      set-name: wan0\n      dhcp4: true\n",
                   f"    a:\n      match: {{{ANY}}}\n      set-name: wan0\n      dhcp4: true\n"),
    "with a name": (f"    a:\n      match:\n        name: eth0\n        macaddress: {MAC}\n      dhcp4: true\n",
                    "    a:\n      match:\n        name: eth0\n      dhcp4: true\n"),
    "with a driver": (f"    a:\n      match: {{macaddress: {MAC}, driver: hv_netvsc}}\n      dhcp4: true\n",
                      f"    a:\n      match: {{{ANY}, driver: hv_netvsc}}\n      dhcp4: true\n"),
    "given": (f"    eth0:\n      macaddress: {MAC}\n      dhcp4: true\n", "    eth0:\n      dhcp4: true\n"),
    "given, in flow": (f"    eth0: {{dhcp4: true, macaddress: '{MAC}'}}\n", "    eth0: {dhcp4: true}\n"),
    "given alone": (f"    eth0:\n      macaddress: {MAC}\n", "    eth0:\n      {}\n"),
    "two": (f"    a:\n      match: {{macaddress: {MAC}}}\n      dhcp4: true\n    b:\n      match: {{macaddress: {OTHER}}}\n",
            '    a:\n      match: {"name": "eth0"}\n      dhcp4: true\n    b:\n      match: {"name": "eth1"}\n'),
}  # fmt: skip


@pytest.mark.parametrize("name", NETPLAN)
def test_netplans_yaml_in_any_form(name: str) -> None:
    before, after = NETPLAN[name]
    assert without_netplan_macs(HEAD + before) == HEAD + after
    assert without_netplan_macs(HEAD + after) == HEAD + after


def test_netplan_as_json() -> None:
    text = json.dumps({"network": {"ethernets": {"eth0": {"match": {"macaddress": MAC}, "dhcp4": True}}}})
    assert without_netplan_macs(text) == text.replace(f'"macaddress": "{MAC}"', ANY)


def test_what_is_no_yaml_stays() -> None:
    assert without_netplan_macs("network:\n\tx: 1\n") == "network:\n\tx: 1\n"


@pytest.mark.parametrize("name", NETPLAN)
def test_netplan_itself_takes_what_is_left(
    name: str, debian_base: Callable[..., Path], need: Callable[..., None], tmp_path: Path
) -> None:
    """Its generator accepts the file, and the first card asks wherever the original would have."""
    need("root")
    root = debian_base("bookworm", "netplan.io", "ifupdown", "network-manager")
    (tmp_path / "etc/netplan").mkdir(parents=True)
    (tmp_path / "etc/netplan/a.yaml").write_text(without_netplan_macs(HEAD + NETPLAN[name][0]))
    script = f"mount --bind {tmp_path} {root}/mnt; exec chroot {root} /usr/libexec/netplan/generate --root-dir /mnt"
    done = subprocess.run(["unshare", "--mount", "sh", "-euc", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = "".join(path.read_text() for path in (tmp_path / "run/systemd/network").glob("*.network"))
    assert MAC not in made and ("DHCP=ipv4" in made) == ("dhcp4: true" in NETPLAN[name][0])


def _networkd(s: Sample, text: str) -> Sample:
    return s.write("etc/systemd/network/10-eth0.network", text)


def _networkmanager(s: Sample, text: str) -> Sample:
    s.disable("systemd-networkd").remove("etc/systemd/network/10-eth0.network").unit("NetworkManager")
    s.remove("etc/systemd/system/multi-user.target.wants/systemd-networkd-wait-online.service")
    s.write("etc/NetworkManager/conf.d/server.conf", "[main]\nno-auto-default=*\n")
    return s.write("etc/NetworkManager/system-connections/a.nmconnection", text, 0o600)


def _ifcfg(s: Sample, text: str) -> Sample:
    s.disable("systemd-networkd").remove("etc/systemd/network/10-eth0.network").unit("network")
    s.write("etc/sysconfig/network-scripts/ifup", "", 0o755)
    s.remove("etc/systemd/system/multi-user.target.wants/systemd-networkd-wait-online.service")
    return s.write("etc/sysconfig/network-scripts/ifcfg-lan", text)


BOUND: dict[str, Callable[[Sample], Sample]] = {
    "networkd": lambda s: _networkd(s, f"[Match]\n# mine\nMACAddress={MAC}\n\n[Network]\nDHCP=yes\n"),
    "networkd, permanent": lambda s: _networkd(s, f"[Match]\nPermanentMACAddress={MAC}\n[Network]\nDHCP=yes\n"),
    "networkd, with a type": lambda s: _networkd(s, f"[Match]\nType=ether\nMACAddress={MAC}\n[Network]\nDHCP=yes\n"),
    "networkd, given": lambda s: _networkd(s, f"[Match]\nName=eth0\n[Link]\nMACAddress={MAC}\n[Network]\nDHCP=yes\n"),
    "link": lambda s: _networkd(s, "[Match]\nName=wan0\n[Network]\nDHCP=yes\n").write(
        "etc/systemd/network/10-wan.link", f"[Match]\nMACAddress={MAC}\n[Link]\nName=wan0\n"),
    "NetworkManager": lambda s: _networkmanager(s, f"[connection]\ntype=ethernet\n[ethernet]\nmac-address={MAC}\n"),
    "NetworkManager, old": lambda s: _networkmanager(
        s, f"[connection]\ntype=802-3-ethernet\n[802-3-ethernet]\nmac-address={MAC}\ncloned-mac-address={MAC}\n"),
    "ifcfg": lambda s: _ifcfg(s, f"HWADDR={MAC}\nBOOTPROTO=dhcp\nONBOOT=yes\n"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", BOUND)
def test_a_sealed_image_still_asks_for_an_address(name: str, tmp_path: Path, need: Callable[..., None]) -> None:
    need("root")
    BOUND[name](good_image(tmp_path))
    with Tree(tmp_path) as tree:
        sealed = sealing.carry_out(tree, lambda: facts_of(tree), sealing.Options())
        assert sealed.left == ()
        assert facts_of(tree).network.asking
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and MAC.encode() in path.read_bytes()]


FILE = "etc/sysconfig/network-scripts/ifcfg-%s"
PROFILE = "etc/NetworkManager/system-connections/a.nmconnection"


@pytest.mark.parametrize(
    ("path", "number", "text", "left"),
    [
        (FILE % "eth1", None, "HWADDR=x\nONBOOT=yes\n", "DEVICE=eth1\nONBOOT=yes\n"),
        (FILE % "lan", None, "HWADDR=x\nONBOOT=yes\n", "DEVICE=eth0\nONBOOT=yes\n"),
        (FILE % "eth1", 0, "HWADDR=x\n", "DEVICE=eth0\n"),
        (FILE % "lan", 2, " HWADDR = x\n", "DEVICE=eth2\n"),
        (FILE % "lan", 2, "DEVICE=lan\nHWADDR=x\n", "DEVICE=lan\n"),
        (FILE % "lan", None, "MACADDR=x\nLLADDR=y\nONBOOT=yes\n", "ONBOOT=yes\n"),
        ("etc/systemd/network/a.link", None, "[Match]\nMACAddress=x\n[Link]\nName=n\n", "[Match]\nOriginalName=eth0\n[Link]\nName=n\n"),
        ("etc/systemd/network/a.link", 3, "[Match]\nMACAddress=x\n", "[Match]\nOriginalName=eth3\n"),
        ("etc/systemd/network/a.link", 3, "[Match]\nOriginalName=e\nMACAddress=x\n", "[Match]\nOriginalName=e\n"),
        ("etc/systemd/network/a.network", 1, "[Match]\nPermanentMACAddress=x\nMACAddress=y\n", "[Match]\nName=eth1\n"),
        ("etc/systemd/network/a.network", 1, "[Match]\nDriver=d\nMACAddress=y\n[Link]\nMACAddress=z\n", "[Match]\nDriver=d\n[Link]\n"),
        ("etc/systemd/network/a.network", 1, "[Link]\nName=x\n[Match]\n MACAddress = y", "[Link]\nName=x\n[Match]\nName=eth1\n"),
        ("etc/systemd/network/a.network.d/b.conf", 1, "[Match]\nMACAddress=y\n", "[Match]\n"),
        (PROFILE, None, "[connection]\n[ethernet]\nmac-address=a:b\n", "[connection]\n[ethernet]\n"),
        (PROFILE, 1, "[connection]\n[ethernet]\nmac-address=a:b\n", "[connection]\ninterface-name=eth1\n[ethernet]\n"),
        (PROFILE, 1, "[connection]\ninterface-name=x\n[ethernet]\nmac-address=a:b\n", "[connection]\ninterface-name=x\n[ethernet]\n"),
        (PROFILE, 1, "[connection]\n[ethernet]\ncloned-mac-address=a:b\n", "[connection]\n[ethernet]\n"),
        (PROFILE, 1, "[connection]\n[ethernet]\ncloned-mac-address=random\n", "[connection]\n[ethernet]\ncloned-mac-address=random\n"),
        ("etc/other", None, "x", None),
    ],
)  # fmt: skip
def test_what_is_left_of_a_file(path: str, number: int | None, text: str, left: str | None) -> None:
    """`number`: which of several files that know a card by its address alone it is."""
    assert _rewritten(path, text, number) == left
