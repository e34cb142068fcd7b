"""What provision.sh cannot do as provision.py does, each with its reason: docs/guest.md prints this table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """One difference. `case` names the contract's case that shows it, where one does; such a case is left out for
    the programs whose name holds `program` (empty: every shell)."""

    what: str
    why: str
    case: str = ""
    program: str = ""

    def applies(self, case: str, program: str) -> bool:
        return bool(self.case) and self.case == case and self.program in program


LIMITS: tuple[Limit, ...] = (
    Limit("The hypervisor's random bytes are mixed in, but not credited", "crediting is a system call (ioctl)"),
    Limit("A network that comes up is noticed by trying again, up to 1 s late", "sh cannot listen on netlink"),
    Limit("Times in the log are multiples of 10 ms", "the only clock without a process is /proc/uptime"),
    Limit("Documents must be UTF-8; that they are is not checked", "awk works on bytes"),
    Limit("Two runs at once are kept apart only where there is `flock`", "locks are system calls"),
    Limit(
        "When `chpasswd` cannot hash, `openssl` or `mkpasswd` must be there",
        "5,000 rounds of SHA-512 are beyond awk",
    ),
    Limit(
        "busybox wget follows redirects, and hides Retry-After", "it cannot be told otherwise", program="busybox-wget"
    ),
    Limit("A `Retry-After` that is a date is not understood: the usual pause holds", "Azure states seconds"),
    Limit("By bash's /dev/tcp, connecting may take 12 s instead of 2 s", "bash has no time limit of its own"),
    Limit("With busybox's `timeout`, what a hook has started may outlive it", "it ends one process, not its group"),
    Limit(
        "Where systemd keeps IMDS for itself (`imds.network=locked`), `systemd-imds` must be there, and is asked",
        "marking a socket is a system call",
    ),
)


def table() -> str:
    """The rows as docs/guest.md shows them."""
    rows = [f"| {limit.what} | {limit.why} |" for limit in LIMITS]
    return "\n".join(("| provision.sh | because |", "|---|---|", *rows))
