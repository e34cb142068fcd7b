"""Option 245 of DHCP leases: one table of lease files, read by both programs, in every folder and form they know.

A client's form is a row of `LEASES`. What only one of the two programs knows, or no row shows, fails here.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

GUEST = Path(__file__).parents[2] / "src/azready/guest"
SHELL = (GUEST / "provision.sh").read_text().partition("\n# ---- main ----")[0]
"""All functions of provision.sh, and nothing that runs them."""
AWK = (GUEST / "sh/awk/lease-245.awk").read_text()
NETWORKD = "run/systemd/netif/leases/2"
PACKET = (
    b"\x02"
    + bytes(235)
    + b"\x63\x82\x53\x63"
    + b"\x35\x01\x05\x00\x00\xf5\x04\xa8\x3f\x81\x10\xff\xf5\x04\x01\x02\x03\x04"
)
DHCLIENT = 'lease {{\n  interface "{}";\n  option unknown-245 {};\n  expire {};\n}}\n'
LATER, OVER = "4 2100/04/01 10:00:00", "4 2012/04/01 10:00:00"


@dataclass(frozen=True)
class Lease:
    """A lease file by its path in the image, and the address that it tells; of another boot where it is `old`."""

    path: str
    content: bytes
    address: str = "168.63.129.16"
    old: bool = False


def dhclient(interface: str = "eth0", value: str = "0a:00:00:03", expire: str = LATER) -> bytes:
    return DHCLIENT.format(interface, value, expire).encode()


LEASES = {
    "networkd": Lease(NETWORKD, b"# networkd\nADDRESS=10.1.0.4\nOPTION_245=a83f8110\n"),
    "networkd, empty": Lease(NETWORKD, b"OPTION_245=\n", ""),
    "networkd, broadcast": Lease(NETWORKD, b"OPTION_245=ffffffff\n", ""),
    "networkd, zero": Lease(NETWORKD, b"OPTION_245=00000000\n", ""),
    "networkd, too short": Lease(NETWORKD, b"OPTION_245=a83f811\n", ""),
    "networkd, no digits": Lease(NETWORKD, b"OPTION_245=zz3f8110\n", ""),
    "networkd, in quotes": Lease(NETWORKD, b"OPTION_245='a83f8110'\n"),
    "networkd, a digit too many": Lease(NETWORKD, b"OPTION_245=a83f81100\n", ""),
    "networkd, colons": Lease(NETWORKD, b"OPTION_245=a8:3f:81:10\n"),
    "networkd, five bytes": Lease(NETWORKD, b"OPTION_245=a8:3f:81:10:11\n", ""),
    "nothing": Lease(NETWORKD, b"", ""),
    "NetworkManager, its state": Lease("run/NetworkManager/devices/2", b"[device]\nprivate_245=a8:3f:81:10\n"),
    "NetworkManager, by dhclient": Lease("var/lib/NetworkManager/dhclient-1-eth0.lease", dhclient(), "10.0.0.3"),
    "NetworkManager, its own client": Lease("var/lib/NetworkManager/internal-1-eth0.lease", b"OPTION_245=a83f8110\n"),
    "NetworkManager, in /run": Lease("run/NetworkManager/internal-1-eth0.lease", b"OPTION_245=a83f8110\n"),
    "dhclient": Lease("var/lib/dhcp/dhclient.eth0.leases", b"  option unknown-245 a8:3f:81:10;\n"),
    "dhclient, characters": Lease("var/lib/dhcp/dhclient.leases", b'  option unknown-245 "\\250?\\201\\020";\n'),
    "dhclient, named by number": Lease("run/dhclient.eth0.leases", b"  option option-245 168.63.129.16;\n"),
    "dhclient of Red Hat": Lease("var/lib/dhclient/dhclient.leases", dhclient(), "10.0.0.3"),
    "dhclient, the last of two": Lease(
        "var/lib/dhcp/dhclient.leases", b"  option unknown-245 1:2:3:4;\n  option unknown-245 5:6:7:8;\n", "5.6.7.8"
    ),
    "dhclient, over": Lease("var/lib/dhcp/dhclient.leases", dhclient(expire=OVER), ""),
    "dhclient, the last is over": Lease(
        "var/lib/dhcp/dhclient.leases", dhclient() + dhclient(value="0a:00:00:04", expire=OVER), "10.0.0.3"
    ),
    "dhclient, by the epoch": Lease("var/lib/dhcp/dhclient.leases", dhclient(expire="epoch 4110000000"), "10.0.0.3"),
    "dhclient, for ever": Lease("var/lib/dhcp/dhclient.leases", dhclient(expire="never"), "10.0.0.3"),
    "dhclient, of a card that is not there": Lease("var/lib/dhcp/dhclient.leases", dhclient("ens3"), ""),
    "dhclient, of the image": Lease("var/lib/dhcp/dhclient.leases", dhclient(), "", old=True),
    "udhcpc": Lease("run/udhcpc/eth0", b"opt245='a83f8110'\n"),
    "udhcpc, in /var": Lease("var/lib/udhcpc/eth0", b"opt245=a83f8110\n"),
    "dhcpcd": Lease("var/lib/dhcpcd/eth0.lease", PACKET),
    "dhcpcd, in /run": Lease("run/dhcpcd/eth0.lease", PACKET),
    "dhcpcd, without the option": Lease("var/lib/dhcpcd/eth0.lease", PACKET[:-12], ""),
}


def plant(lease: Lease, root: Path) -> Path:
    """A tree with one card and this lease."""
    (root / "sys/class/net/eth0").mkdir(parents=True)
    path = root / lease.path
    path.parent.mkdir(parents=True)
    path.write_bytes(lease.content)
    if lease.old:
        os.utime(path, (1, 1))
    return root


@pytest.mark.parametrize("lease", LEASES.values(), ids=LEASES)
def test_option_245_is_found_in_every_clients_lease(guest: ModuleType, lease: Lease, tmp_path: Path) -> None:
    assert guest.leased_wireserver(guest.Tree(str(plant(lease, tmp_path)), False)) == lease.address


def shells() -> Iterator[object]:
    """Every shell that is here, with an awk of its own each."""
    pairs = (("dash", "mawk"), ("bash --posix", "gawk"), ("mksh", "original-awk"), ("busybox ash", "busybox"))
    for words, awk in pairs:
        if shutil.which(words.split()[0]) and shutil.which(awk):
            yield pytest.param(words.split(), awk, id=f"{words}-{awk}")


@pytest.mark.parametrize(("shell", "awk"), list(shells()))
def test_provision_sh_finds_the_same(shell: list[str], awk: str, tmp_path: Path) -> None:
    roots = [plant(lease, tmp_path / str(number)) for number, lease in enumerate(LEASES.values())]
    program, script = tmp_path / "bin/awk", tmp_path / "leases.sh"
    program.parent.mkdir()
    program.symlink_to(str(shutil.which(awk)))
    script.write_text(f'{SHELL}\nfor root in "$@"; do leased_wireserver; line "$leased"; done\n')
    done = subprocess.run(
        [*shell, script, *roots],
        env={"PATH": f"{program.parent}:/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = dict(zip(LEASES, done.stdout.splitlines(), strict=True))
    assert found == {name: lease.address for name, lease in LEASES.items()}, done.stderr


def test_both_programs_know_the_same_folders_and_each_has_a_row(guest: ModuleType) -> None:
    folders = re.search(r"(?m)^LEASES='([^']*)'", SHELL)
    assert folders and tuple(folders[1].split()) == guest.LEASES
    assert set(guest.LEASES) == {f"/{lease.path.rpartition('/')[0]}" for lease in LEASES.values()}


def test_both_programs_know_the_same_forms_and_each_has_a_row(guest: ModuleType) -> None:
    marks = re.search(r'split\("(.*)", marks', AWK)
    assert marks and tuple(mark.replace("@", " ") for mark in marks[1].split()) == guest.LEASE_MARKS
    text = b"\n".join(lease.content for lease in LEASES.values() if lease.address).decode("latin-1")
    assert [mark for mark in guest.LEASE_MARKS if mark not in text] == []
