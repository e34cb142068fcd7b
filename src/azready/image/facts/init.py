"""What starts the image: the program that /sbin/init leads to."""

from typing import Literal

from azready.image.targets import Files

Init = Literal["systemd", "openrc", "sysv", "runit", "busybox"]
KNOWN: tuple[Init, ...] = ("systemd", "openrc", "sysv", "runit", "busybox")


def gather_init(files: Files) -> Init | None:
    """None where /sbin/init is missing or leads to a program that is not known. A base tree lacks the link until the
    package systemd-sysv is installed: there systemd's own program tells."""
    if not files.glob("sbin/init"):
        return "systemd" if files.glob("{usr/,}lib/systemd/systemd") else None
    match files.resolve("sbin/init").rpartition("/")[2]:
        case "systemd":
            return "systemd"
        case "runit-init" | "runit":
            return "runit"
        case "openrc-init":
            return "openrc"
        case "busybox":
            return "openrc" if files.exists("etc/runlevels") else "busybox"
        case "init":
            return "openrc" if files.exists("etc/runlevels") else "sysv"
        case _:
            return None
