"""DHCP as Azure gives it, for dnsmasq; and dnsmasq's log as entries of the ledger.

Azure's offer has the address, a router, DNS 168.63.129.16, the WireServer's address as option 245, classless
routes (121) to WireServer and IMDS, and the VM's name (12). Secondary NICs get an address and no routes.
"""

import ipaddress
import re
from collections.abc import Sequence

from azready.fabric.faults import Fault
from azready.fabric.ledger import Exchange, Finding
from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found

WIRESERVER = "168.63.129.16"
IMDS = "169.254.169.254"
DOMAIN = "internal.cloudapp.net"


def gateway(machine: Machine) -> str:
    """The router of the machine's subnet: its first address."""
    return str(ipaddress.ip_network(machine.subnet, strict=False)[1])


def configuration(machine: Machine, interface: str, lease_file: str, faults: Sequence[Fault] = ()) -> str:
    """A dnsmasq configuration that serves `machine`, and no other MAC, on `interface`.

    Of `faults`, those of the service dhcp are heeded: `without` leaves options out, `delay` waits with the offer.
    (`silent` is for the caller: not to run dnsmasq at all.)
    """
    network = ipaddress.ip_network(machine.subnet, strict=False)
    mine = [fault for fault in faults if fault.service == "dhcp"]
    router = gateway(machine)
    options = {
        3: router,
        6: WIRESERVER,
        15: DOMAIN,
        121: f"0.0.0.0/0,{router},{WIRESERVER}/32,{router},{IMDS}/32,{router}",
        245: WIRESERVER,
    }
    for left_out in {option for fault in mine for option in fault.without}:
        options.pop(left_out, None)
    delay = round(sum(fault.delay for fault in mine))
    name = machine.computer_name if 12 not in {option for fault in mine for option in fault.without} else ""
    primary = ",".join(part for part in (machine.mac, "set:primary", machine.address, name, "infinite") if part)
    lines = [
        "port=0",
        "user=root",
        "group=root",
        f"interface={interface}",
        "except-interface=lo",
        "bind-interfaces",
        "dhcp-authoritative",
        "no-ping",
        "log-dhcp",
        "log-facility=-",
        f"dhcp-leasefile={lease_file}",
        f"dhcp-range={network.network_address},static,{network.netmask},infinite",
        f"dhcp-host={primary}",
        *(f"dhcp-option-force=tag:primary,{number},{value}" for number, value in sorted(options.items())),
        *(f"dhcp-option=tag:primary,{number}" for number in (3, 6) if number not in options),
        *(f"dhcp-host={mac},set:secondary,{address},infinite" for mac, address in machine.secondary_nics),
        "dhcp-option=tag:secondary,3",
        "dhcp-option=tag:secondary,6",
        *([f"dhcp-reply-delay={delay}"] if delay else []),
    ]
    return "\n".join(lines) + "\n"


_EVENT = re.compile(r"dnsmasq-dhcp(?:\[\d+\])?: (\d+ )?(DHCP[A-Z]+)\([^)]*\) (?:(\d+\.\d+\.\d+\.\d+) )?(\S+)")
_NAME = re.compile(r"dnsmasq-dhcp(?:\[\d+\])?: (\d+ )?client provides name: (\S+)")
_ANSWERS = ("DHCPOFFER", "DHCPACK")


def entries(line: str, at: float, machine: Machine) -> tuple[Exchange | Finding, ...]:
    """What a line of dnsmasq's log (with log-dhcp) says of the guest; nothing for most lines.

    An answer has the status 200, a refusal (DHCPNAK) 403, a question none; the target is the address, or the MAC.
    """
    if event := _EVENT.search(line):
        _, kind, address, mac = event.groups()
        status = 200 if kind in _ANSWERS else 403 if kind == "DHCPNAK" else None
        return (Exchange(at, "dhcp", kind, address or mac, status, mac),)
    if (named := _NAME.search(line)) and named[2].partition(".")[0] != machine.computer_name.partition(".")[0]:
        return (found(at, "dhcp-hostname", found=named[2], wanted=machine.computer_name),)
    return ()
