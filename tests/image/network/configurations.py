"""Made-up network configurations, by a seed: words that the programs know, put together in ways that people do."""

import random
from collections.abc import Callable, Mapping

from tests.image.network.real import Job

CARDS = ("eth0", "eth1", "ens3", "wan0")
NAMES = ("eth0", "eth*", "e*", "en* eth*", "!eth1", "!eth1 eth2", "eth[0-9]", "ens?", "*", "wan0 ens3", "eth0,eth1")
FOLDERS = ("etc", "etc", "usr/lib", "run", "usr/local/lib")


def networkd(chosen: random.Random) -> Job:
    files: dict[str, str] = {}
    for _ in range(chosen.randrange(1, 6)):
        folder = chosen.choice(FOLDERS)
        name = f"{chosen.choice(('05', '10', '50', '9', 'a', 'Z'))}-{chosen.choice('ab')}.network"
        files[f"{folder}/systemd/network/{name}"] = chosen.choice(("", _network(chosen), *[_network(chosen)] * 8))
        if chosen.random() < 0.3:
            path = f"{chosen.choice(FOLDERS)}/systemd/network/{name}.d/{chosen.choice('xy')}.conf"
            files[path] = _section(chosen, "Match" if chosen.random() < 0.3 else "Network")
    return Job("networkd", files, CARDS)


_SHORT = "[Network]\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n"
"""Without it networkd waits for a router, for seconds."""


def _network(chosen: random.Random) -> str:
    said = [_section(chosen, name) for name in ("Match", "Link", "Network") if _wanted(chosen, name)]
    return "\n".join([*said, _SHORT])


def _wanted(chosen: random.Random, section: str) -> bool:
    return chosen.random() < {"Match": 0.95, "Link": 0.3, "Network": 0.9}[section]


_KEYS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "Match": (
        ("Name", NAMES),
        ("Name", NAMES),
        ("Name", (*NAMES, "")),
        ("Type", ("ether", "!ether", "wlan", "ether loopback")),
        ("Driver", ("veth", "!veth", "hv_netvsc", "hv_netvsc veth", "v*")),
        ("Host", ("nobody", "!nobody")),
        ("KernelCommandLine", ("!azready.nothing", "azready.nothing")),
    ),
    "Link": (
        ("Unmanaged", ("yes", "no", "true", "on", "0", "1", "maybe")),
        ("ActivationPolicy", ("up", "down", "manual", "always-up", "always-down")),
        ("RequiredForOnline", ("no",)),
        ("MTUBytes", ("1400",)),
    ),
    "Network": (
        (
            "DHCP",
            ("yes", "no", "ipv4", "ipv6", "true", "bogus", "both", "v4", "on", "none", "YES", "", "yes \\\n "),
        ),
        ("DHCP", ("yes", "ipv4")),
        ("Address", ("10.9.0.5/24", "")),
        ("EmitLLDP", ("no",)),
    ),
}


def _section(chosen: random.Random, section: str) -> str:
    lines = [f"[{section}]"]
    for _ in range(chosen.choice((0, 1, 1, 1, 2, 2, 3))):
        key, values = chosen.choice(_KEYS[section])
        comment = chosen.choice(("", "", "", "", "# DHCP=no\n", "; Name=eth0\n"))
        lines.append(f"{comment}{key}{chosen.choice(('=', '=', ' = '))}{chosen.choice(values)}")
    return "\n".join(lines) + "\n"


def ifupdown(chosen: random.Random) -> Job:
    main = chosen.choice(("", "source /etc/network/interfaces.d/*\n", "source-directory /etc/network/interfaces.d\n",
                          "source interfaces.d/*.cfg\n", "source-directory interfaces.d\n"))  # fmt: skip
    files = {"etc/network/interfaces": f"auto lo\niface lo inet loopback\n{main}{_stanzas(chosen)}"}
    for name in chosen.sample(("eth0", "lan", "50-azure", "a.cfg", "b.dpkg-old", ".hidden"), chosen.randrange(3)):
        files[f"etc/network/interfaces.d/{name}"] = _stanzas(chosen)
    return Job("ifupdown", files, ("eth0", "ens3"))


_STANZAS = (
    "auto eth0\niface eth0 inet dhcp\n",
    "allow-hotplug eth0\niface eth0 inet dhcp\n",
    "iface eth0 inet dhcp\n",
    "auto eth0\n",
    "auto ens3 eth0\n",
    "auto eth0\niface eth0 inet manual\n",
    "auto eth0\niface eth0 inet static\n    address 10.0.0.4/24\n    gateway 10.0.0.1\n",
    "auto eth0\niface eth0 inet6 auto\n",
    "auto ens3\niface ens3 inet dhcp\n    metric 10\n",
    "# auto eth0\n# iface eth0 inet dhcp\n",
    "auto \\\n  eth0\niface eth0 inet dhcp\n",
    "auto /eth*\niface eth0 inet dhcp\n",
    "auto /e*=lan\niface lan inet dhcp\n",
    "auto eth0=lan\niface lan inet dhcp\n",
    "auto eth0=lan\niface lan inet manual\n",
    "iface base inet dhcp\n\nauto eth0\niface eth0 inet manual inherits base\n",
    "allow-auto eth0\niface eth0 inet dhcp\n",
    "no-auto-down eth0\n",
    "allow-class eth0\niface eth0 inet dhcp\n",
    "auto /!(lo)\niface eth0 inet dhcp\n",
    "source /etc/network/interfaces.d\n",
)


def _stanzas(chosen: random.Random) -> str:
    return "\n".join(chosen.choice(_STANZAS) for _ in range(chosen.randrange(3)))


_NG = (
    "auto eth0\niface eth0\n    use dhcp\n",
    "auto eth0\niface eth0 inet dhcp\n",
    "auto eth0\n",
    "iface eth0\n    use dhcp\n",
    "auto eth0\niface eth0\n    address 10.0.0.4/24\n",
    "template base\n    use dhcp\n\nauto eth0\niface eth0\n    inherits base\n",
    "template base\n    use dhcp\n\nauto eth0\niface eth0 inherits base\n",
    "iface base inet dhcp\n\nauto eth0\niface eth0\n    inherit base\n",
    "auto ens3\niface ens3 inet dhcp\n",
    "auto eth0\niface eth0 inet static\n    address 10.0.0.4/24\n",
    "auto eth0\niface eth0 inet6 auto\n",
    "auto eth0\niface eth0 inet manual\n    use dhcp\n",
    "auto ens3 eth0\niface eth0 inet dhcp\n",
    "allow-hotplug eth0\niface eth0 inet dhcp\n",
    "interface eth0\n    use dhcp\nauto eth0\n",
    "auto eth0\niface eth0 inet6 dhcp\n",
    "source interfaces.d/eth0\n",
)


def ifupdown_ng(chosen: random.Random) -> Job:
    main = chosen.choice(("", "source /etc/network/interfaces.d/*\n", "source-directory /etc/network/interfaces.d\n"))
    stanzas = "\n".join(chosen.sample(_NG, chosen.randrange(3)))
    files = {"etc/network/interfaces": f"auto lo\niface lo inet loopback\n{main}{stanzas}"}
    for name in chosen.sample(("eth0", "a.cfg"), chosen.randrange(2)):
        files[f"etc/network/interfaces.d/{name}"] = "\n".join(chosen.sample(_NG, 1))
    return Job("ifupdown-ng", files, ("eth0", "ens3"))


_NETPLAN_VALUES = {
    "dhcp4": ("true", "false", "yes", "no", "on", "Y", "0", "maybe"),
    "dhcp6": ("true", "no"),
    "optional": ("true",),
    "match": ("{name: eth0}", '{name: "e*"}', "{driver: hv_netvsc}", '{driver: ["veth", "hv_netvsc"]}', "{}",
              '{name: "eth*", driver: mlx5_core}', "{macaddress: 00:0d:3a:00:00:01}", "{nmae: eth0}", "{name: [eth0]}",
              "{macaddress: any}"),
    "addresses": ("[10.0.0.4/24]",),
    "activation-mode": ("manual", "off", "up"),
    "set-name": ("lan0",),
    "renderer": ("networkd", "NetworkManager"),
    "link-local": ("[]", "[ipv6]", "[ipv5]"),
    "macaddress": ("00:0d:3a:00:00:02",),
    "dhpc4": ("true",),
    "mtu": ("1400", "big"),
    "gateway4": ("10.0.0.1", "fd00::1"),
    "nameservers": ("{addresses: [10.0.0.1]}", "[10.0.0.1]", "{addresses: [one]}"),
    "routes": ("[{to: default, via: 10.0.0.1}]", "[{to: default}]", "[{to: 10.0.0.0/8, vai: 10.0.0.1}]"),
    "dhcp4-overrides": ("{route-metric: 100}", "{use-domains: route}", "{metric: 100}"),
    "optional-addresses": ("[ipv4-ll, dhcp6]", "[dhcp]"),
    "dhcp-identifier": ("mac", "duid", "uuid"),
}  # fmt: skip


def netplan(chosen: random.Random) -> Job:
    files: dict[str, str] = {}
    for _ in range(chosen.randrange(1, 4)):
        name = f"{chosen.choice(('etc', 'etc', 'run', 'lib'))}/netplan/{chosen.choice(('10', '50', '99'))}.yaml"
        cards = {chosen.choice(("eth0", "eth0", "a", "ens3")): _card(chosen) for _ in range(chosen.randrange(1, 3))}
        renderer = chosen.choice(("", "", "", "", "  renderer: NetworkManager\n"))
        body = "".join(f"    {card}:{text}" for card, text in cards.items())
        files[name] = f"network:\n  version: 2\n{renderer}  ethernets:\n{body}"
        if chosen.random() < 0.15:
            files[name] += "  bridges:\n    br0: {interfaces: [eth0], dhcp4: true}\n"
    return Job("netplan", files, ("eth0", "ens3"))


def _card(chosen: random.Random) -> str:
    keys = chosen.sample(list(_NETPLAN_VALUES), chosen.randrange(4)) + ["dhcp4"] * (chosen.random() < 0.6)
    said = {key: chosen.choice(_NETPLAN_VALUES[key]) for key in keys}
    if "set-name" in said and "match" not in said and chosen.random() < 0.8:
        said["match"] = "{driver: hv_netvsc}"
    return "".join(f"\n      {key}: {value}" for key, value in said.items()) + "\n" if said else " {}\n"


_DHCPCD = ("denyinterfaces eth0", "denyinterfaces eth*", "denyinterfaces eth1 eth0", "allowinterfaces eth0 zlast",
           "allowinterfaces e* z*", "noipv4", "nodhcp", "interface eth0", "interface eth1", "interface zlast",
           "static routers=10.0.0.1", "interface eth0\nipv4", "dhcp", "hostname", "# denyinterfaces eth0",
           "interface eth1\ninform 10.0.0.5/24", "interface eth0\nstatic ip_address=10.0.0.4/24",
           "interface e*\nnodhcp", "interface eth0 eth1\nnodhcp",
           "profile late\nstatic ip_address=10.0.0.4/24", "nooption domain_name", "ipv6only")  # fmt: skip


def dhcpcd(chosen: random.Random) -> Job:
    lines = [chosen.choice(_DHCPCD) for _ in range(chosen.randrange(5))]
    text = "\n".join(["duid", *lines, "interface zlast", "ipv4", "dhcp", ""])
    return Job("dhcpcd", {"etc/dhcpcd.conf": text}, ("eth0", "eth1", "zlast"))


_CONNMAN = ("NetworkInterfaceBlacklist=vmnet,eth", "NetworkInterfaceBlacklist = eth0,ens", "NetworkInterfaceBlacklist=",
            "DefaultAutoConnectTechnologies=wifi,ethernet", "SingleConnectedTechnology=false")  # fmt: skip


def connman(chosen: random.Random) -> Job:
    """The last card always asks: by it one sees that connman has met the others."""
    lines = chosen.sample(_CONNMAN, chosen.randrange(3))
    files = {"etc/connman/main.conf": "\n".join(["[General]", *lines, ""])}
    if chosen.random() < 0.6:
        card, method = chosen.choice(("eth0", "ens3")), chosen.choice(("dhcp", "off", "10.0.0.4/24/10.0.0.1"))
        service = f"[service_e]\nType=ethernet\nDeviceName={card}\nIPv4={method}\n"
        files["var/lib/connman/a.config"] = service
    return Job("connman", files, ("eth0", "ens3", "zlast"))


_CONNECTION = {
    "connection": ("type=802-3-ethernet", "type=wifi", "interface-name=eth0", "interface-name=eth1",
                   "autoconnect=false", "autoconnect=true", "autoconnect=no", "autoconnect=0",
                   "permissions=user:bob:;", "autoconnect-priority=5", "autoconnect-priority=-9"),
    "match": ("interface-name=eth*;", "interface-name=eth*;!eth1;", "interface-name=ens3;", "driver=veth;",
              "driver=hv_netvsc;"),
    "ipv4": ("method=auto", "method=manual\naddress1=10.0.0.4/24,10.0.0.1", "method=disabled",
             "method=link-local", "method=dhcp", "method=manual"),
    "802-3-ethernet": ("mac-address=00:0D:3A:00:00:01", "mtu=1400"),
}  # fmt: skip
_SETTINGS = (
    "[main]\nno-auto-default=*",
    "[main]\nno-auto-default=eth0",
    "[keyfile]\nunmanaged-devices=interface-name:eth*",
    "[keyfile]\nunmanaged-devices=*,except:type:wifi",
    "[keyfile]\nunmanaged-devices=*,except:interface-name:eth0",
    "[keyfile]\nunmanaged-devices=interface-name:~eth*",
    "[keyfile]\nunmanaged-devices=interface-name:=eth0",
    "[keyfile]\nunmanaged-devices=driver:veth",
    "[keyfile]\nunmanaged-devices=type:ethernet",
    "[device-x]\nmatch-device=interface-name:ens3\nmanaged=0",
    "[device]\nmanaged=false",
    "[device-a]\nmatch-device=interface-name:eth0\nmanaged=1\n[device-b]\nmatch-device=*\nmanaged=0",
    "[keyfile]\nunmanaged-devices=interface-name:e[!n]*",
    "[main]\nplugins=ifupdown,keyfile\n[ifupdown]\nmanaged=false",
)


def networkmanager(chosen: random.Random) -> Job:
    files: dict[str, str] = {"etc/NetworkManager/NetworkManager.conf": "[main]\nplugins=keyfile\n"}
    for number in range(chosen.randrange(4)):
        lines = [f"[connection]\nid=c{number}\nuuid=0000000{number}-0000-4000-8000-000000000000"]
        lines += ["type=ethernet"] * (chosen.random() < 0.8)
        lines += chosen.sample(_CONNECTION["connection"], chosen.randrange(3))
        for section in ("match", "ipv4", "802-3-ethernet"):
            if chosen.random() < (0.6 if section == "ipv4" else 0.25):
                lines += [f"[{section}]", chosen.choice(_CONNECTION[section])]
        folder = chosen.choice(("etc", "etc", "usr/lib", "run"))
        name = f"{folder}/NetworkManager/system-connections/c{number}.nmconnection"
        files[name] = "\n".join([*lines, "[ipv6]", "method=disabled", ""])
    for number in range(chosen.choice((0, 0, 1, 2))):
        folder = chosen.choice(("etc/NetworkManager/conf.d", "usr/lib/NetworkManager/conf.d"))
        files[f"{folder}/{chosen.choice(('10', '90'))}-{number}.conf"] = chosen.choice(_SETTINGS) + "\n"
    return Job("networkmanager", files)


MAKERS: Mapping[str, Callable[[random.Random], Job]] = {
    "networkd": networkd,
    "netplan": netplan,
    "ifupdown": ifupdown,
    "ifupdown-ng": ifupdown_ng,
    "dhcpcd": dhcpcd,
    "connman": connman,
    "networkmanager": networkmanager,
}


def jobs(program: str, seed: int, count: int) -> list[Job]:
    """The same for the same seed."""
    return [MAKERS[program](random.Random(f"{program} {seed} {number}")) for number in range(count)]
