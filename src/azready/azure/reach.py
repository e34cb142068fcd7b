"""Whether an ssh server answers at an address: for VMs that owe nobody a report."""

import socket
import time
from collections.abc import Callable

Reach = Callable[[str], bool]
"""From an address: whether its ssh server answered within the time that it is given."""

PATIENCE = 180.0
"""Seconds that a VM which runs may take until its sshd answers."""


def ssh_answers(address: str, patience: float = PATIENCE, pause: float = 3.0, port: int = 22) -> bool:
    """Whether a server there says that it speaks ssh (RFC 4253, 4.2), asked again until `patience` is over."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with socket.create_connection((address, port), timeout=10) as there:
                there.settimeout(10)
                if there.recv(255).startswith(b"SSH-"):
                    return True
        except OSError:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
