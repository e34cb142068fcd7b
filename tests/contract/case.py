"""What a case of the contract is: a machine, a platform, an image before the run, and the whole outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from azready import __version__
from azready.fabric.faults import Fault
from azready.fabric.machine import Machine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlZb0mFpOVY5rT0gIFbKxZ8Wcx3bqLJ9D2dJ0rCkq7Q someone@laptop"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl other@desk"
RSA_BODY = (
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQChU4Uk9Pxclm+sJsUuAvLMdlxIRCAS+HWg6oT1bI7EOZhd7svPIBShgFbOsbpIldCDYnZ8OgqG3Qe7"
    "BjiwJw7g/739CjMY26hiWLEqz+TagWyrSPbs7CzQs+Gobtvc5Af4fjEqfzQ/pju6anKfJtvodhVMqddzoqF8udptwGQlbt120RnyXarK3VsT"
    "UgTuMb+Tbt3wk1kFxnJdDMHKq979a9/VyIdqABpqBoOnebxAhuZAq8DhZQ5i7Am3cvmDG57XBjRNkhsSnf0u/F1SneSsPnd9bQp8zqPh6X6I"
    "yK9pyUbzJphLl5KjeDNhfqQ/2Yzbs7T+8wT+L/wuQGilj+MT"
)

STATE = "var/lib/azure-provisioning"
LINK = "etc/systemd/system/multi-user.target.wants/azure-provisioning.service"
DROP_IN = "etc/ssh/sshd_config.d/00-azure-provisioning.conf"
SUDOERS = "etc/sudoers.d/90-azure-provisioning"
KEYS = "home/azureuser/.ssh/authorized_keys"


@dataclass(frozen=True)
class File:
    """A regular file: before a run, or after it."""

    text: str
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    to: str


@dataclass(frozen=True)
class Folder:
    mode: int = 0o755


Node = File | Link | Folder

HOST_KEY = File("-----BEGIN OPENSSH PRIVATE KEY-----\nbody\n-----END OPENSSH PRIVATE KEY-----\n", 0o600)
POLICY = (
    "# Written by azure-provisioning: the password policy that the platform states for this VM.\n"
    "# sshd takes the first value that it reads, so this file sorts first.\n"
    "PasswordAuthentication {0}\nKbdInteractiveAuthentication {0}\nChallengeResponseAuthentication {0}\n"
)
OPEN, CLOSED = File(POLICY.format("yes")), File(POLICY.format("no"))
"""The drop-in, as the image brings it, and when the owner wants passwords."""


@dataclass(frozen=True)
class Report:
    """The last report that the platform accepted. `description` is compared whole, but for the words TIME and WHAT."""

    state: Literal["Ready", "NotReady"]
    description: str = ""
    substatus: str = ""
    form: Literal["xml", "json"] = "xml"


READY = Report("Ready")

IMDS = "imds GET /metadata/instance?api-version=2021-08-01&extended=true"
OLD_IMDS = "imds GET /metadata/instance?api-version=2019-06-01"
GOAL = "wireserver GET /machine?comp=goalstate"
HEALTH = "wireserver POST /machine?comp=health"
JSON = "wireserver POST /provisioning/health"
USUAL = (f"{IMDS} 200", f"{GOAL} 200", f"{HEALTH} 200")

USERADD = "useradd --prefix ROOT --create-home --shell /bin/bash --groups sudo,adm azureuser"
VISUDO = "visudo -c -q -f FILE"
SSHD = "sshd -t -f ROOT/etc/ssh/sshd_config"


@dataclass(frozen=True)
class Case:
    """One row of the contract. Everything that is not said is the usual: a plain image, a plain machine, Ready."""

    name: str
    machine: Machine = field(default_factory=lambda: Machine(name="web1", public_keys=(KEY,)))
    faults: tuple[Fault, ...] = ()
    medium: str | None = None
    """The text of ovf-env.xml; None for no medium."""
    tree: Mapping[str, Node | None] = field(default_factory=dict)
    """What the image has beyond, or, with None, without the plain one."""
    settings: str = ""
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    """Account tools that the image lacks."""

    exit: int = 0
    changes: Mapping[str, Node | None] = field(default_factory=dict)
    """Every path that is not what it was, with what it is; None for removed. Account files count only when named."""
    commands: tuple[str, ...] = (USERADD, VISUDO)
    requests: tuple[str, ...] = USUAL
    repeats: bool = False
    """How often each was asked depends on the clock: only what was asked counts."""
    report: Report | None = READY
    verdict: str = ""
    """The last line on stderr, the time as T; empty: the usual one for `report`."""
    says: tuple[str, ...] = ()
    """Texts that must be somewhere on stderr."""
    secret: str = ""
    """What must not be in the log, in a command line, or in a file that others can read."""
    everywhere: bool = False
    """Runs under every interpreter, shell and client, and not only under the two of reference."""
    findings: tuple[str, ...] = ()
    """Codes of findings that the platform records; none by default."""
    told: bool | None = None
    """Whether the run leaves the mark that it told how it went; None: where it reported a failure, or was refused."""


def machine(**fields: object) -> Machine:
    """The usual machine with some fields otherwise."""
    return Machine(**{"name": "web1", "public_keys": (KEY,), **fields})  # type: ignore[arg-type]


def imds(**values: object) -> Machine:
    """The usual machine, but IMDS's document says otherwise: keys are paths with `__` for the slash."""
    pairs = tuple((path.replace("__", "/"), value) for path, value in values.items())
    return machine(imds=pairs)


def hosts(name: str) -> File:
    return File(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")


def sudoers(name: str) -> File:
    return File(f"# Written by azure-provisioning\n{name} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)


def stamp(vm: Machine) -> File:
    first, second, third, rest = vm.vm_id.split("-", 3)
    turned = "-".join(
        ["".join(part[i : i + 2] for i in range(len(part) - 2, -1, -2)) for part in (first, second, third)]
    )
    return File(f"{vm.vm_id}\n{turned}-{rest}\n", 0o600)


def stamps(vm: Machine) -> dict[str, Node | None]:
    """What a run that ended Ready leaves: both stamps, the unit off, the lock."""
    return {
        f"{STATE}/applied": stamp(vm),
        f"{STATE}/reported": stamp(vm),
        LINK: None,
        **begun(),
    }


def begun() -> dict[str, Node | None]:
    """What every run that got beyond its guards leaves."""
    return {"run/azure-provisioning/lock": File("", 0o600)}


def named(host: str = "web1") -> dict[str, Node | None]:
    return {"etc/hostname": File(f"{host}\n"), "etc/hosts": hosts(host)}


def account(user: str = "azureuser", *keys: str) -> dict[str, Node | None]:
    """A user with sudo, and keys."""
    made: dict[str, Node | None] = {SUDOERS: sudoers(user)}
    if keys:
        made[f"home/{user}/.ssh/authorized_keys"] = File("".join(f"{key}\n" for key in keys), 0o600)
    return made


def provisioned(
    vm: Machine | None = None, host: str = "web1", user: str = "azureuser", keys: tuple[str, ...] = (KEY,)
) -> dict[str, Node | None]:
    """Everything that a usual run changes."""
    return {**stamps(vm or machine()), **named(host), **account(user, *keys)}


def failed(reason: str, *facts: str, vm: Machine | None = None, form: Literal["xml", "json"] = "xml") -> Report:
    """The report of a failure, with the facts that every report ends with."""
    vm_id = (vm or machine()).vm_id
    ending = (f"agent=azure-provisioning/{__version__}", f"vm_id={vm_id}", "timestamp=TIME")
    return Report("NotReady", "|".join((reason, *facts, *ending)), "ProvisioningFailed", form)
