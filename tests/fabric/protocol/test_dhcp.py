"""DHCP: a configuration that dnsmasq takes, and its log read back."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from azready.fabric.faults import Fault
from azready.fabric.ledger import Exchange, Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol import dhcp

MACHINE = Machine(computer_name="web-1", secondary_nics=(("00:0d:3a:6e:00:99", "10.1.0.9"),))


def test_dnsmasq_takes_the_configuration(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:dnsmasq")
    path = tmp_path / "dnsmasq.conf"
    path.write_text(dhcp.configuration(MACHINE, "br0", str(tmp_path / "leases"), [Fault(service="dhcp", delay=2)]))
    done = subprocess.run(["/usr/sbin/dnsmasq", "--test", "-C", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_offer_names_the_wireserver_and_the_routes() -> None:
    lines = dhcp.configuration(MACHINE, "br0", "/l").splitlines()
    assert "dhcp-option-force=tag:primary,245,168.63.129.16" in lines
    assert any(line.startswith("dhcp-option-force=tag:primary,121,0.0.0.0/0,10.1.0.1,168.63") for line in lines)
    assert "dhcp-host=00:0d:3a:6e:00:01,set:primary,10.1.0.4,web-1,infinite" in lines
    assert "dhcp-option=tag:secondary,3" in lines


def test_a_fault_leaves_options_out() -> None:
    text = dhcp.configuration(MACHINE, "br0", "/l", [Fault(service="dhcp", without=(245, 121))])
    assert "245" not in text
    assert ",121," not in text
    assert "tag:primary,3," in text


def test_the_log_becomes_entries() -> None:
    log = """\
dnsmasq-dhcp: 2231 DHCPDISCOVER(br0) 00:0d:3a:6e:00:01
dnsmasq-dhcp: 2231 client provides name: debian
dnsmasq-dhcp: 2231 DHCPOFFER(br0) 10.1.0.4 00:0d:3a:6e:00:01
dnsmasq-dhcp: 2231 requested options: 1:netmask, 3:router, 245
dnsmasq-dhcp[99]: 2231 DHCPACK(br0) 10.1.0.4 00:0d:3a:6e:00:01 web-1
dnsmasq: started, version 2.90 DNS disabled"""
    entries = [entry for line in log.splitlines() for entry in dhcp.entries(line, 1.0, MACHINE)]
    exchanges = [entry for entry in entries if isinstance(entry, Exchange)]
    assert [(one.method, one.target, one.status) for one in exchanges] == [
        ("DHCPDISCOVER", "00:0d:3a:6e:00:01", None),
        ("DHCPOFFER", "10.1.0.4", 200),
        ("DHCPACK", "10.1.0.4", 200),
    ]
    assert [entry.code for entry in entries if isinstance(entry, Finding)] == ["dhcp-hostname"]
