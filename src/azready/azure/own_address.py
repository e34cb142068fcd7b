"""The public address of this machine, so that ssh is opened to it alone and not to the whole world."""

import ipaddress
import urllib.error
import urllib.request
from collections.abc import Callable

from azready.errors import Failure, UsageFailure

ECHO = "https://api.ipify.org"
"""A public service that answers with the caller's IPv4 address."""


def source_of_ssh(asked: str, say: Callable[[str], None]) -> str:
    """`auto` becomes this machine's address; an address becomes a CIDR. Raises Failure and UsageFailure."""
    if asked != "auto":
        return parse(asked)
    try:
        with urllib.request.urlopen(ECHO, timeout=10) as answer:
            found = str(ipaddress.IPv4Address(answer.read(64).decode().strip()))
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Failure(
            f"this machine's public address cannot be found: {ECHO} {error}", "say it: --ssh-from ADDRESS/32"
        ) from error
    say(f"ssh will be open to {found} alone ({ECHO} says that this is us; --ssh-from says otherwise)")
    return f"{found}/32"


def parse(text: str) -> str:
    """An address or a CIDR as a CIDR. Raises UsageFailure; the whole world must be said as 0.0.0.0/0."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise UsageFailure(
            f"{text!r} is not an address", "write ADDRESS or CIDR, such as 203.0.113.7 or 198.51.100.0/24"
        ) from error
