"""What the agents did besides provisioning, and what takes its place: each is replaced, or said.

Replaced here: the network profile, sudo of the agents' users until the image is sealed, disk links, the SCSI timeout,
the rule that leaves accelerated networking's second NIC alone. Replaced by the guest program: users, keys, passwords,
host name, host keys, the report, growth of the root file system. Said: the rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from azready import installed
from azready.image.actions import Action, Write
from azready.image.facts import passwd
from azready.image.facts.leftovers import SUDO_RULES, Leftover
from azready.image.targets import Files

_RULES_FOLDER = "etc/udev/rules.d"
_OURS = installed.SUDO_FILE.rpartition("/")[2]


@dataclass(frozen=True)
class UdevRule:
    """A udev rule file of ours. `instead_of` are globs: where one that stays matches, ours is not needed."""

    name: str
    feature: str
    instead_of: tuple[str, ...]
    why: str


UDEV_RULES = (
    UdevRule(
        "66-azure-provisioning-disks.rules",
        "disk-links",
        ("{etc,usr/lib,lib}/udev/rules.d/80-azure-disk.rules",),
        "/dev/disk/azure links, which went with the agent",
    ),
    UdevRule(
        "67-azure-provisioning-timeout.rules",
        "disk-links",
        (),
        "waiting 300 s for a disk, which waagent set while it ran",
    ),
    UdevRule(
        "68-azure-provisioning-vf.rules",
        "vf-rule",
        (),  # azure-vm-utils' own rule looks at a flag that the kernel may set later than udev looks
        "accelerated networking: its second NIC is left to hv_netvsc",
    ),
)


def plan_udev(files: Files, features: Iterable[str]) -> tuple[Action, ...]:
    """The udev rules that the image lacks, for the features that are wanted."""
    if not files.glob("{usr/,}lib/udev/rules.d"):
        return ()
    wanted = set(features)
    folder = resources.files("azready.image.parts").joinpath("udev_rules")
    return tuple(
        Write(f"{_RULES_FOLDER}/{rule.name}", folder.joinpath(rule.name).read_bytes(), 0o644, 0, 0, rule.why)
        for rule in UDEV_RULES
        if rule.feature in wanted and not any(files.glob(pattern) for pattern in rule.instead_of)
    )


def plan_sudo(files: Files) -> tuple[Action, ...]:
    """Keep the sudo rights that agents gave to users who exist: whoever runs azready over ssh may need them next.

    They move to the guest program's own file, which its first run replaces and sealing removes.
    """
    if not files.exists("etc/passwd"):
        return ()
    names = {account.name for account in passwd.parse_passwd(files.read_text("etc/passwd"))}
    carried = [
        line
        for pattern in SUDO_RULES
        for path in files.glob(pattern)
        for line in files.read_text(path).splitlines()
        if line.split(maxsplit=1)[:1] and line.split(maxsplit=1)[0] in names
    ]
    file = _last_of(files)
    old = files.read_text(file) if files.exists(file) else ""
    new = [line for line in dict.fromkeys(carried) if line not in old.splitlines()]
    if not new:
        return ()
    text = f"{old.rstrip()}\n" if old.strip() else ""
    data = text + "\n".join(new) + "\n"
    return (Write(file, data.encode(errors="surrogateescape"), 0o440, 0, 0, "sudo stays until sealing"),)


def _last_of(files: Files) -> str:
    """Our file in sudoers.d, where the last file counts: its name sorts after all others, as the guest chooses it."""
    going = {path for pattern in SUDO_RULES for path in files.glob(pattern)}
    names = [path.rpartition("/")[2] for path in files.glob("etc/sudoers.d/*") if path not in going]
    others = [name for name in names if "." not in name and not name.endswith("~")]
    return installed.SUDO_FILE if all(name <= _OURS for name in others) else f"etc/sudoers.d/{_behind(others)}"


def _behind(others: Iterable[str]) -> str:
    name = f"zz-{_OURS}"
    while any(name < other < "{" for other in others):
        name = f"z{name}"
    return name


def notes(found: Iterable[Leftover], options: Iterable[str]) -> tuple[str, ...]:
    """What goes with the agents that were found, and is not replaced."""
    agents = {each.agent for each in found}
    said = []
    if "waagent" in agents:
        said.append("VM extensions and `az vm run-command` need waagent: create VMs with --enable-agent false")
        said.append("waagent formatted and mounted the temporary disk, perhaps with swap on it: nothing does now")
        if "firewall" not in options:
            said.append("waagent let only root talk to the WireServer: with --firewall our rule does it")
        said.append("waagent let everyone read the VM's id (DMI product_uuid): now only root may, as usual")
    if "cloud-init" in agents:
        said.append("cloud-init's user data (#cloud-config) is not understood by the guest program: see docs/guest.md")
    return tuple(said)
