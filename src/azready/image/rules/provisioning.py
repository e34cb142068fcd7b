"""Who provisions a VM made from the image, and what may keep it from starting."""

import re
from collections.abc import Iterator, Sequence

from azready.agents import AGENTS
from azready.image.actions import Action, Link, Remove
from azready.image.facts import Facts, waagent
from azready.image.facts.network import STACKS
from azready.image.facts.reading import names_in
from azready.image.rules import repairs
from azready.image.rules.guards import needs_first_boot
from azready.image.rules.model import Copies, Finding, Severity, Stage, Vital, rule
from azready.installed import NAME, PROGRAM, STATE, UNIT, UNITS

REPORTED = "var/lib/{,private/}azure-report/reported"
PRESET_FILE = "etc/systemd/system-preset/05-azure-image.preset"
_SSH_SOCKETS = ("ssh.socket", "sshd.socket")
_OTHERS = tuple(agent for name, agent in AGENTS.items() if name not in ("azready", "waagent", "cloud-init"))
"""Agents of which nothing is read but whether they start."""
_WIZARDS = (
    "jeos-firstboot.service", "YaST2-Firstboot.service", "initial-setup.service", "initial-setup-graphical.service",
    "initial-setup-text.service", "gnome-initial-setup-first-login.service", "firstboot.service", "oem-config.service",
)  # fmt: skip
_WIZARD_FILES = (".unconfigured", "etc/reconfigSys", "var/lib/YaST2/reconfig_system", "var/lib/oem-config/run")


def _ours(facts: Facts) -> bool:
    return bool(facts.files.glob(f"{PROGRAM}/provision.{{py,sh}}"))


def _rearm(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    """Enable our units again, and forget which VM was provisioned and reported."""
    yield from (Remove(path) for path in facts.files.glob(REPORTED))
    if not _ours(facts):
        return
    for name in UNITS:
        if path := facts.units.installed.get(name):
            yield Link(f"etc/systemd/system/multi-user.target.wants/{name}", f"/{path}")
    if facts.files.exists(f"etc/init.d/{NAME}"):
        yield Link(f"etc/runlevels/default/{NAME}", f"/etc/init.d/{NAME}")
    yield from (Remove(f"{STATE}/{name}") for name in names_in(facts.files, STATE))


@rule(
    "P01",
    "something will provision the VM and report it ready",
    fault="nothing will provision the VM and report it ready",
    why="A VM that never reports ready is restarted, and after some 40 minutes its deployment fails with "
    "OSProvisioningTimedOut. A provisioner that thinks it is done reports nothing.",
    fix="azready prepare installs our program; azready generalize arms it again",
    sources="NOAG DEP AI",
    severity=Severity.FATAL,
    repair=_rearm,
    stage=Stage.WIPE,
    vital=Vital(
        "nothing in this image will provision a VM: once sealed it cannot be reached any more",
        "run azready prepare first; or say --skip P01 if something that azready does not know will",
    ),
    in_copies=Copies.UNASKED,
)
def somebody_provisions(facts: Facts) -> Iterator[Finding]:
    for path in facts.files.glob(REPORTED):
        yield Finding("the mark of the VM that was reported last", path, "azready generalize TARGET", Severity.ERROR)
    if not _ours(facts):
        yield from _others_will_not(facts)
        return
    if not facts.units.enabled(UNIT, NAME):
        yield Finding(f"{UNIT} is installed, and not enabled", PROGRAM, "azready generalize TARGET")
    for name in names_in(facts.files, STATE):
        grave = None if name in ("applied", "reported") else Severity.ERROR
        yield Finding(
            "state of the VM that was provisioned last", f"{STATE}/{name}", "azready generalize TARGET", grave
        )


def _others_will_not(facts: Facts) -> Iterator[Finding]:
    """Why none of the others provisions on Azure; nothing where one does."""
    if any(facts.units.enabled(*agent.starts) for agent in _OTHERS):
        return
    cloud, agent, fix = facts.cloud_init, facts.waagent, "azready prepare TARGET"
    if agent and agent.provisions:
        yield from _provisioned_before(facts)
    elif agent and agent.who == "nobody":
        what = f"{agent.line}: it reports ready, and applies no user, no key, no host name"
        yield Finding(what, agent.where, fix, Severity.ERROR)
    elif cloud and cloud.works:
        yield from _provisioned_before(facts) if agent else ()
        for what, where in cloud.omits:
            yield Finding(f"cloud-init reports ready, but {what}", where, fix, Severity.ERROR)
    elif cloud:
        yield Finding(f"cloud-init is enabled, but {cloud.idle}", cloud.where, fix)
    elif agent:
        yield Finding(f"{agent.line}, and no cloud-init is enabled", agent.where, fix)
    else:
        yield Finding("no provisioner is installed, or none is enabled", fix=fix)


def _provisioned_before(facts: Facts) -> Iterator[Finding]:
    """waagent takes its marker for its own VM's, and reports nothing."""
    if facts.files.exists(waagent.MARKER):
        what = "waagent's marker of the VM that was provisioned last"
        yield Finding(what, waagent.MARKER, "azready generalize TARGET")


def _flips(facts: Facts) -> Iterator[tuple[str, bool]]:
    """Units that a first boot would enable or disable, against what they are now."""
    units = facts.units
    for name in sorted(units.installed):
        if "@." in name or name in units.masked:
            continue
        preset = units.preset(name)
        wanted = preset is None or preset.enable
        now = units.enabled(name) or name in UNITS  # ours disables itself when it is done; sealing enables it
        if wanted == now or (now and not facts.distro.full_preset):
            continue
        if units.installable(name):
            yield name, wanted


def _preset_text(facts: Facts) -> str:
    lines = ["# A first boot applies presets. They must not change what this image starts: made by azready generalize."]
    lines += [f"enable {name}" for name in _vital(facts)]
    lines += [f"{'disable' if wanted else 'enable'} {name}" for name, wanted in _flips(facts)]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _vital(facts: Facts) -> list[str]:
    """Enabled units without which the VM is not provisioned, not reached, or not logged in to."""
    stacks = [name for stack in STACKS if stack.name in facts.network.stacks for name in stack.units]
    wanted = [*UNITS, "ssh.service", "sshd.service", "ssh.socket", *stacks]
    enabled = [name for name in wanted if name in UNITS or facts.units.enabled(name)]
    return [name for name in enabled if name in facts.units.installed]


@rule(
    "P02",
    "a first boot's presets change nothing that is enabled or disabled now",
    fault="a first boot's presets change what is enabled or disabled now",
    why="A machine id of `uninitialized` makes systemd apply presets at first boot. On Fedora, RHEL and Azure Linux "
    "that disables every unit that no preset names; elsewhere it enables what somebody had disabled, a second network "
    "stack too.",
    fix="azready generalize writes a preset file that says what is enabled now",
    sources="SD WALA",
    severity=Severity.WARNING,
    repair=lambda facts, findings: [repairs.write(PRESET_FILE, _preset_text(facts), 0o644)],
    stage=Stage.WIPE,
    in_copies=Copies.UNASKED,
)
def presets_agree(facts: Facts) -> Iterator[Finding]:
    needs_first_boot(facts)
    vital = set(_vital(facts))
    stacks = {name for stack in STACKS for name in stack.units} if facts.network.stacks else set()
    for name, wanted in _flips(facts):
        preset = facts.units.preset(name)
        where = preset.where if preset else facts.units.installed[name]
        if name in vital:
            yield Finding(f"a first boot disables {name}", where, severity=Severity.FATAL)
        elif wanted and name in stacks:
            yield Finding(f"a first boot enables {name}, a second network stack", where, severity=Severity.ERROR)
        elif wanted and name in _SSH_SOCKETS and vital & {"ssh.service", "sshd.service"}:
            what = f"a first boot enables {name}, which conflicts with the ssh service"
            yield Finding(what, where, severity=Severity.ERROR)
        else:
            yield Finding(f"a first boot {'enables' if wanted else 'disables'} {name}", where)


def _mask_wizards(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    for finding in findings:
        if finding.where.endswith(".service"):
            yield Link(f"etc/systemd/system/{finding.where.rpartition('/')[2]}", "/dev/null")
        else:
            yield Remove(finding.path)


@rule(
    "P03",
    "no first-boot wizard asks questions on the console",
    fault="a first-boot wizard asks questions on the console",
    why="It waits for an answer that nobody types, before ssh and provisioning start.",
    fix="azready generalize masks the unit, and removes the file that calls it",
    sources="VS SD",
    severity=Severity.FATAL,
    repair=_mask_wizards,
    stage=Stage.WIPE,
)
def no_wizard(facts: Facts) -> Iterator[Finding]:
    for name in _WIZARDS:
        if facts.units.enabled(name) and name in facts.units.installed:
            yield Finding(f"{name} is enabled", facts.units.installed[name])
    for path in _WIZARD_FILES:
        if facts.files.exists(path):
            yield Finding("it calls a first-boot wizard", path)
    yield from _systemd_firstboot(facts)


_ASKS = {
    "--prompt-locale": ("etc/locale.conf", "etc/default/locale"),
    "--prompt-timezone": ("etc/localtime",),
    "--prompt-keymap": ("etc/vconsole.conf", "etc/default/keyboard"),
}


def _systemd_firstboot(facts: Facts) -> Iterator[Finding]:
    """systemd-firstboot asks, on a first boot, for what is not set yet."""
    name = "systemd-firstboot.service"
    if name not in facts.units.installed or not facts.units.enabled(name) or facts.text("etc/machine-id") == "":
        return
    starts = " ".join(facts.units.values(name, "Service", "ExecStart"))
    options = [option for option in ("--prompt", *_ASKS) if re.search(rf"{option}(\s|$)", starts)]
    missing = [option for option, paths in _ASKS.items() if not any(_there(facts, path) for path in paths)]
    asked = [option for option in missing if option in options or "--prompt" in options]
    if asked:
        what = ", ".join(option.removeprefix("--prompt-") for option in asked)
        yield Finding(f"{name} asks for {what} at a first boot", facts.units.installed[name])


def _there(facts: Facts, path: str) -> bool:
    """Whether a path is there, be it a link into a folder that is not (etc/localtime in a minimal image)."""
    folder, _, name = path.rpartition("/")
    return name in names_in(facts.files, folder)


@rule(
    "P05",
    "the Hyper-V key-value daemon is there and enabled",
    fault="the Hyper-V key-value daemon is missing or not enabled",
    why="It brings the provisioning report to the host, and the VM's address to the portal. Nothing waits for it.",
    fix="install the Hyper-V daemons and enable the unit",
    sources="LISA DEB",
    severity=Severity.INFO,
)
def kvp_daemon(facts: Facts) -> Iterator[Finding]:
    names = facts.distro.names
    units = [f"{name}.service" for name in names.kvp_units]
    if not any(facts.units.has(name) for name in (*units, *names.kvp_units)):
        yield Finding("it is not installed", fix=f"install {names.kvp_package}")
    elif not facts.units.enabled(*units, *names.kvp_units):
        rules = any("hv_kvp" in text or "vmbus/hv_kvp" in text for text in facts.udev_rules.values())
        if not rules:
            yield Finding(f"{units[0]} is not enabled")
