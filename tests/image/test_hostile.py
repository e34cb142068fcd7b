"""Images whose files are not what they should be: no rule may crash, hang, or take what it cannot read for a pass."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.checking import (
    Found,
    Passed,
    Skipped,
    Unseen,
    ask,
)
from azready.image.facts import Facts
from azready.image.facts.disk import gather_disk
from azready.image.rules import RULES
from azready.image.targets.tree import Tree
from tests.image.sample import GOOD, Sample, good_image

TEXTS = sorted(path for path in GOOD if not path.endswith("/"))


def _noise(s: Sample, path: str) -> None:
    s.write(path, random.Random(path).randbytes(700))


def _odd_lines(s: Sample, path: str) -> None:
    s.write(path, ": = [ { }\n[\n=\n:::::::\n" + "x" * 70000 + "\n\xff\x00\n%NAME%\n\ninclude *\nInclude /etc/**\n")


def _folder(s: Sample, path: str) -> None:
    (s.root / path).unlink()
    (s.root / path).mkdir()


def _loop(s: Sample, path: str) -> None:
    s.link(path, path.rpartition("/")[2])


def _out_of_the_image(s: Sample, path: str) -> None:
    s.link(path, "../../../../../../../../etc/passwd")


def _pipe(s: Sample, path: str) -> None:
    import os

    (s.root / path).unlink()
    os.mkfifo(s.root / path)


NUMBERED = {
    "etc/login.defs": "UID_MIN 1000\nUID_MAX 60000\n",
    "etc/NetworkManager/conf.d/x.conf": "[connection]\nipv4.dhcp-timeout=30\n",
    "etc/NetworkManager/system-connections/x.nmconnection": (
        "[connection]\nid=1\ntype=ethernet\nautoconnect-priority=-1\n[ipv4]\nmethod=auto\ndhcp-timeout=3\n"
    ),
    "etc/systemd/network/1.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n[DHCPv4]\nMaxAttempts=3\n",
    "etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nONBOOT=1\nBOOTPROTO=dhcp\nIPV4_DHCP_TIMEOUT=3\nMTU=9\n",
    "etc/netplan/1.yaml": "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true, mtu: 9}\n",
    "etc/nftables.conf": "table ip f {\nchain c {\ntype filter hook input priority 0\ntcp dport 1-65 accept\n}\n}\n",
    "etc/dhcp/dhclient.conf": "timeout 30;\nretry 60;\n",
    "etc/ssh/sshd_config": "ClientAliveInterval 180\nMaxSessions 0\nPort 22\nRequiredRSASize 3072\n",
    "opt/omi/bin/omiserver": "",
    "var/lib/dpkg/status": "Package: omi\nStatus: install ok installed\nVersion: 1.6.8.1\n\nPackage: openssl\n"
    "Status: install ok installed\nVersion: 1:1.0.1-2\n\n",
}


@pytest.mark.parametrize(
    "odd", ["²", "--1", "٣", "9" * 5000, "0x", ""], ids=["no decimal", "two signs", "Arabic", "long", "0x", "none"]
)
def test_numbers_that_are_none_blind_no_rule(odd: str, tmp_path: Path) -> None:
    sample = good_image(tmp_path)
    for path, text in NUMBERED.items():
        sample.write(path, text)
    for path in {*TEXTS, *NUMBERED}:
        if path.startswith("boot/"):
            continue  # there they are in the names of files
        file = sample.root / path
        if file.is_file() and not file.is_symlink() and b"\0" not in file.read_bytes():
            file.write_bytes(re.sub(rb"[0-9]+", odd.encode(), file.read_bytes()))
    with Tree(tmp_path) as tree:
        facts = Facts(tree)
        for rule in RULES:
            answer = ask(rule, facts)
            assert not isinstance(answer, Unseen), (rule.id, answer)


@pytest.mark.long
@pytest.mark.parametrize("spoil", [_odd_lines, _folder, _loop, _out_of_the_image, _pipe])
def test_no_spoiled_file_makes_a_rule_crash(spoil: Callable[[Sample, str], None], tmp_path: Path) -> None:
    """Four at a time, never two that are read together. Spoilt bytes are in tests/fuzz/facts_bytes.py."""
    sample = good_image(tmp_path)
    groups = len(TEXTS) // 4
    for paths in (TEXTS[group::groups] for group in range(groups)):
        for path in paths:
            spoil(sample, path)
        with Tree(sample.root) as tree:
            facts = Facts(tree)
            for rule in RULES:
                assert isinstance(ask(rule, facts), Passed | Found | Skipped | Unseen), (paths, rule.id)
        for path in paths:
            place = sample.root / path
            if place.is_dir() and not place.is_symlink():
                place.rmdir()
            sample.write(path, GOOD[path])


def test_all_files_spoiled_at_once(tmp_path: Path) -> None:
    sample = good_image(tmp_path)
    for path in TEXTS:
        _noise(sample, path)
    facts = Facts(Tree(tmp_path))
    assert all(ask(rule, facts) for rule in RULES)


def _again(include: str, folder: str, first: str, ending: str = "") -> dict[str, str]:
    """Thirty files, each of which takes the next one in twice."""
    names = [first, *(f"{folder}/{number:02}{ending}" for number in range(30))]
    chain = zip(names, [*names[1:], "none"], strict=True)
    return {name: f"{include.format('/' + after)}\n" * 2 for name, after in chain}


def _aliases(key: str) -> str:
    """YAML of 700 characters that comes to 10^12, written out."""
    lists = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 12))
    return f"l0: &l0 ['xxxxxxxxxx']\n{lists}{key}: *l11\n"


WITHOUT_END: dict[str, tuple[str, dict[str, str]]] = {
    "sshd": ("S01", _again("Include {}", "etc/ssh/sshd_config.d", "etc/ssh/sshd_config", ".conf")),
    "pam": ("S08", _again("@include {}", "etc/pam.d", "etc/pam.d/sshd")),
    "pam's other way": ("S08", _again("account include {}", "etc/pam.d", "etc/pam.d/sshd")),
    "ifupdown": ("N02", _again("source {}", "etc/network/interfaces.d", "etc/network/interfaces")),
    "nft": ("N09", _again('include "{}"', "etc/nft", "etc/nftables.conf")),
    "nft's names": (
        "N09",
        {"etc/nftables.conf": "".join(f"define v{n} = {f'$v{n + 1}' * 99}\n" for n in range(16)) + "add rule $v0\n"},
    ),
    "nft's chains": (
        "N09",
        {
            "etc/nftables.conf": "table ip f {\n chain o { type filter hook output priority 0; jump c0; }\n"
            + "".join(f" chain c{n} {{ {f'jump c{n + 1}; ' * 99}}}\n" for n in range(16))
            + " chain c16 { }\n}\n"
        },
    ),
    "blank lines": ("N09", {"etc/nftables.conf": "table ip f {\n" + "\n" * 500_000}),
    "blank lines of a menu": ("B02", {"boot/grub/grub.cfg": "\n \t" * 200_000}),
    "chains that nobody closes": ("N09", {"etc/nftables.conf": "table ip f {\n chain a { type filter hook\n" * 20_000}),
    "netplan": ("N02", {"etc/netplan/a.yaml": _aliases("network")}),
    "netplan's values": ("N02", {"etc/netplan/a.yaml": "network:\n renderer: " + "[" * 2000}),
    "cloud-init": ("P02", {"etc/cloud/cloud.cfg": _aliases("datasource_list")}),
}
"""What is small and has no end; the rule that reads it."""


@pytest.mark.parametrize("kind", WITHOUT_END)
def test_what_repeats_itself_without_end_is_read_to_an_end(kind: str, tmp_path: Path) -> None:
    sample = good_image(tmp_path)
    asked, files = WITHOUT_END[kind]
    for path, text in files.items():
        sample.write(path, text)
    with Tree(tmp_path) as tree:
        answer = ask(next(rule for rule in RULES if rule.id == asked), Facts(tree))
    assert isinstance(answer, Unseen if "takes in more" in repr(answer) else Passed | Found | Skipped), answer


@pytest.mark.parametrize("size", [1, 511, 512, 4096, 1 << 20])
def test_disks_of_noise_and_of_zeros_are_looked_at(size: int, tmp_path: Path) -> None:
    noise = b"\x01" + random.Random(size).randbytes(size - 1)  # a byte that no text has: text is refused
    for name, data in {"noise": noise, "zeros": bytes(size)}.items():
        (tmp_path / name).write_bytes(data)
        facts = Facts(Tree(good_image(tmp_path / f"{name}-tree").root), disk=gather_disk(tmp_path / name))
        assert all(ask(rule, facts) for rule in RULES)
        assert isinstance(ask(next(rule for rule in RULES if rule.id == "B15"), facts), Found)
