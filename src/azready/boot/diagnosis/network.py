"""Why the platform was not reached. Pure."""

import re

from azready import agents
from azready.boot.diagnosis import questions
from azready.boot.diagnosis.questions import matching
from azready.boot.record import BootRecord, Cause
from azready.fabric.render import fault_words


def no_dhcp(record: BootRecord) -> Cause | None:
    kinds = [exchange.method for exchange in record.exchanges if exchange.service == "dhcp"]
    if questions.asked_platform(record) or "DHCPACK" in kinds:
        return None
    if mute := [each for each in record.faults if each.service == "dhcp" and each.silent]:
        faults = tuple(f"fault in force: {fault_words(each)}" for each in mute)
        return Cause("no-lease", "this platform answers no request for an address", faults, "boot without that fault")
    tried = matching(
        questions.said(record),
        r"DHCPDISCOVER on|[Ss]ending discover|broadcasting discover|soliciting a DHCP lease|No DHCPOFFERS|no lease, ",
    )
    if kinds or tried:
        asked = (f"{len(kinds)} × {', '.join(sorted(set(kinds)))}",) if kinds else ()
        faults = tuple(f"fault in force: {fault_words(each)}" for each in record.faults if each.service == "dhcp")
        return Cause(
            "no-lease",
            "the guest asked for an address and got none",
            (*asked, *tried[:2], *faults),
            "the DHCP client must take the offer, and ask for long enough: 300 s (`azready check`: N06)",
        )
    return Cause(
        "no-dhcp",
        "the guest never asked for an address",
        matching(
            questions.said(record),
            r"Cannot find device|SIOCGIF|(wait-online|dhc|networking).*([Ff]ailed|timeout|error)",
        ),
        "one network stack must be enabled, with DHCP on a NIC whose name is not known beforehand (en* eth*): "
        "`azready check` (N01, N02, N04); here the NIC is virtio or veth, in Azure hv_netvsc",
    )


_UNREACHED = (
    r"unreachable|No route|[Tt]imed? ?out|[Cc]ould not connect|[Cc]ouldn't connect|"
    r"(?<!failed: Operation )not permitted|[Pp]ermission denied|refused"
)
_OF_PLATFORM = r"168\.63\.129|169\.254\.169|" + agents.ANY
_NICS = "; of several NICs only the first reaches the platform: no route of another may be better"


def no_route(record: BootRecord) -> Cause | None:
    """The platform's addresses, or the WireServer alone, are out of reach although there is a lease."""
    if questions.asked(record, "wireserver"):
        return None
    half = questions.asked(record, "imds")
    about = r"168\.63\.129|[Gg]oal ?state|[Ww]ire ?[Ss]erver|report" if half else _OF_PLATFORM
    theirs = [line for line in questions.said(record) if re.search(about, line, re.I)]
    seen = matching(theirs, _UNREACHED)
    if not seen:
        return None
    several = record.machine.nics > 1
    return Cause(
        "no-route",
        "the guest reaches IMDS, but not the WireServer (168.63.129.16)"
        if half
        else "the guest has an address, but reaches neither platform address",
        seen,
        "no firewall of the image may drop 168.63.129.16 and 169.254.169.254 for root (`azready check`: N09), and the "
        f"routes of DHCP (option 121) must be taken (N14){_NICS if several else ''}",
    )


def lost_network(record: BootRecord) -> Cause | None:
    """It spoke with the platform, and then could not any more."""
    heard = [each.at for each in record.exchanges if each.service in ("imds", "wireserver")]
    if not heard:
        return None
    later = [f"{line.identifier}: {line.text}" for line in record.journal if line.at >= max(heard)]
    lost = matching(
        later, r"[Nn]etwork is unreachable|No route to host|failed to bring up|ifup.*fail|[Nn]etwork is down"
    )
    theirs = matching([line for line in later if re.search(_OF_PLATFORM, line, re.I)], _UNREACHED)
    if not lost:
        return None
    return Cause(
        "network-lost",
        f"the guest spoke with the platform until {max(heard):.1f} s, and then lost its network",
        tuple(dict.fromkeys((*lost, *theirs)))[:4],
        "the network must come back after `ifdown eth0 && ifup eth0`, by which walinuxagent publishes a host name; the "
        "program of `azready prepare` sets the name before the lease, and leaves the network alone",
    )
