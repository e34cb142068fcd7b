"""Images that fail, each for one cause that users of Azure have met: what to break in a healthy tree.

`FAILING` at the end says what is said of each: by a boot, and before that by `azready check`.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from azready.fabric import Machine
from azready.fabric.scenario import load

SYSTEM = "etc/systemd/system"
WANTS = f"{SYSTEM}/multi-user.target.wants"
GUESTS = Path(__file__).parents[1] / "samples/guests"


def service(tree: Path, name: str, lines: str, order: str = "") -> None:
    """A oneshot unit that is started with multi-user.target."""
    unit = tree / SYSTEM / f"{name}.service"
    unit.write_text(f"[Unit]\n{order}\n[Service]\nType=oneshot\n{lines}\n")
    enable(tree, unit.name, f"/{SYSTEM}/{unit.name}")


def enable(tree: Path, unit: str, where: str, target: str = "multi-user") -> None:
    wants = tree / f"{SYSTEM}/{target}.target.wants"
    wants.mkdir(exist_ok=True)
    if not (wants / unit).is_symlink():
        (wants / unit).symlink_to(where)


def without_azready(tree: Path) -> None:
    """The guest program is there, and not enabled."""
    for link in (tree / WANTS).glob("azure-provisioning*"):
        link.unlink()


def script(tree: Path, path: str, text: str) -> None:
    file = tree / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def waagent_provisions(tree: Path) -> None:
    """Debian's waagent leaves provisioning to cloud-init: here it provisions itself, whoever else is there."""
    config = tree / "etc/waagent.conf"
    text = config.read_text()
    assert "Provisioning.Agent=cloud-init" in text, "the package does not wait for cloud-init any more"
    config.write_text(text.replace("Provisioning.Agent=cloud-init", "Provisioning.Agent=waagent"))


def sample(tree: Path, program: str, interpreter: str, disable: bool = True) -> None:
    """One of the published samples for images without an agent, with its unit that switches itself off."""
    (tree / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(GUESTS / program, tree / "usr/local/bin" / program)
    lines = f"StandardOutput=journal\nExecStart=-{interpreter} /usr/local/bin/{program}"
    if disable:
        lines += "\nExecStart=/usr/bin/systemctl disable azure-sample.service"
    service(tree, "azure-sample", lines, "After=network-online.target\nWants=network-online.target")


def marked_by_waagent(tree: Path) -> None:
    """As captured without sealing: waagent's marker of another VM, the user gone."""
    marker = tree / "var/lib/waagent/provisioned"
    marker.parent.mkdir(exist_ok=True)
    marker.write_text("11112222-3333-4444-5555-666677778888")


def cloud_init_trusts_its_cache(tree: Path) -> None:
    (tree / "etc/cloud/cloud.cfg.d/99-cache.cfg").write_text("manual_cache_clean: true\n")


def ifup_works_once(tree: Path) -> None:
    """waagent publishes the host name with `ifdown eth0 && ifup eth0`."""
    interfaces = tree / "etc/network/interfaces"
    interfaces.write_text(interfaces.read_text() + "    pre-up mkdir /run/eth0.once\n")


def waits_for_cloud_init(tree: Path) -> None:
    """Debian's waagent as it is packaged, alone."""
    config = tree / "etc/waagent.conf"
    config.write_text(config.read_text().replace("Provisioning.Agent=waagent", "Provisioning.Agent=cloud-init"))


def waits_for_a_second_card(tree: Path) -> None:
    """The sample waits for network-online.target, and that for a card that this VM does not have."""
    without_azready(tree)
    sample(tree, "published.sh", "/bin/bash")
    name = "systemd-networkd-wait-online"
    drop_in = tree / SYSTEM / f"{name}.service.d/card.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(f"[Service]\nExecStart=\nExecStart=/lib/systemd/{name} --interface=eth1\n")


def ssh_behind_a_card_that_is_not_there(tree: Path) -> None:
    """Our program needs no network-online.target; the ssh server was ordered behind it, which waits without limit."""
    waits = tree / SYSTEM / "systemd-networkd-wait-online.service.d/card.conf"
    waits.parent.mkdir()
    program = "/lib/systemd/systemd-networkd-wait-online --interface=eth1 --timeout=0"
    waits.write_text(f"[Service]\nExecStart=\nExecStart={program}\n")
    behind = tree / SYSTEM / "ssh.service.d/online.conf"
    behind.parent.mkdir(exist_ok=True)
    behind.write_text("[Unit]\nWants=network-online.target\nAfter=network-online.target\n")


def firewall(tree: Path) -> None:
    """A hardened image whose ruleset forgets the WireServer."""
    rules = "type filter hook output priority 0; policy accept; ip daddr 168.63.129.16 tcp dport 80 drop;"
    text = f"#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {{\n chain output {{ {rules} }}\n}}\n"
    (tree / "etc/nftables.conf").write_text(text)
    enable(tree, "nftables.service", "/lib/systemd/system/nftables.service", "sysinit")
    config = tree / "etc/azure-provisioning.conf"
    config.write_text(config.read_text() + "\nDEADLINE=5\n")


def route_by_the_second_card(tree: Path) -> None:
    lines = ["[Match]", "Name=eth1", "[Network]", "Address=192.168.9.9/24"]
    for address in ("168.63.129.16", "169.254.169.254"):
        lines += ["[Route]", f"Destination={address}/32", "Gateway=192.168.9.1", "Metric=1"]
    (tree / "etc/systemd/network/10-eth1.network").write_text("\n".join(lines) + "\n")
    config = tree / "etc/azure-provisioning.conf"
    config.write_text(config.read_text() + "\nIMDS_WAIT=2\n")


def keys_as_they_come(tree: Path) -> None:
    """A home-made provisioner that writes IMDS's key without a look at it."""
    without_azready(tree)
    keys = "http://169.254.169.254/metadata/instance/compute/publicKeys/1/keyData?api-version=2021-01-01&format=text"
    script(
        tree,
        "usr/local/sbin/keys",
        "#!/bin/sh -e\nuseradd -m azureuser\nmkdir -m 700 /home/azureuser/.ssh\n"
        f"curl -sf -H Metadata:true '{keys}' >/home/azureuser/.ssh/authorized_keys\n"
        "chown -R azureuser: /home/azureuser\n",
    )
    order = "After=network-online.target\nWants=network-online.target"
    service(tree, "keys", "ExecStart=/usr/local/sbin/keys", f"{order}\nBefore=azure-sample.service")
    sample(tree, "mended.sh", "/bin/bash")


def malformed_report(tree: Path) -> None:
    without_azready(tree)
    post = "/usr/bin/curl -s -m 2 -H x-ms-version:2012-11-30 -H Content-Type:text/xml"
    body = "<Health><State>Ready</Health>"
    order = "After=network-online.target\nWants=network-online.target"
    service(tree, "sample", f"ExecStart={post} -d {body} http://168.63.129.16/machine?comp=health", order)


def nothing_asks_for_an_address(tree: Path) -> None:
    for profile in (tree / "etc/systemd/network").glob("*"):
        profile.unlink()
    for link in (tree / SYSTEM).rglob("systemd-networkd*"):
        link.unlink()


def prohibited_routes(tree: Path) -> None:
    service(
        tree,
        "hardening",
        "ExecStart=/usr/sbin/ip route add prohibit 168.63.129.16/32 metric 0\n"
        "ExecStart=/usr/sbin/ip route add prohibit 169.254.169.254/32 metric 0",
        "DefaultDependencies=no\nBefore=azure-provisioning.service systemd-networkd.service",
    )
    config = tree / "etc/azure-provisioning.conf"
    config.write_text(config.read_text() + "\nDEADLINE=4\nIMDS_WAIT=2\n")


def import_that_is_gone(tree: Path) -> None:
    (tree / "usr/lib/azure-provisioning/provision.py").write_text("import distutils.nothing\n")
    shutil.rmtree(tree / "usr/lib/azure-provisioning/__pycache__", ignore_errors=True)


def no_python(tree: Path) -> None:
    for python in (tree / "usr/bin").glob("python3*"):
        python.unlink()


def mount_that_fails(tree: Path) -> None:
    (tree / "etc/fstab").write_text("tmpfs /data tmpfs size=a-lot 0 0\n")
    (tree / "data").mkdir()


def hook_that_fails(tree: Path) -> None:
    script(tree, "etc/azure-provisioning.d/10-site", "#!/bin/sh\necho no licence >&2; exit 3\n")


def report_without_its_parts(tree: Path) -> None:
    without_azready(tree)
    body = "<Health><GoalStateIncarnation>1</GoalStateIncarnation></Health>"
    post = f"{_CURL} -H Content-Type:text/xml -d {body} http://168.63.129.16/machine?comp=health"
    service(tree, "sample", f"{_RETRY}\nExecStart={post}")


def asks_and_never_reports(tree: Path) -> None:
    without_azready(tree)
    service(tree, "sample", f"{_RETRY}\nExecStart={_CURL} http://168.63.129.16/machine?comp=goalstate")


_CURL = "/usr/bin/curl -sf -m 2 -H x-ms-version:2012-11-30"
_RETRY = "Restart=on-failure\nRestartSec=1"


def init_of_another_machine(tree: Path) -> None:
    """A tree of arm64, as far as its init goes."""
    (tree / "usr/sbin/init").unlink()
    (tree / "usr/sbin/init").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00\x01" + bytes(64))
    (tree / "usr/sbin/init").chmod(0o755)


# --- Azure would be content, the owner is not ---


def sshd_is_masked(tree: Path) -> None:
    (tree / SYSTEM / "ssh.service").symlink_to("/dev/null")


def pam_for_some(tree: Path) -> None:
    """A hardened image lets in a group that the owner is not in."""
    path = tree / "etc/pam.d/sshd"
    path.write_text("account required pam_succeed_if.so user ingroup wheel\n" + path.read_text())


def ssh_for_some(tree: Path) -> None:
    """A hardened sshd that lists who may log in."""
    (tree / "etc/ssh/sshd_config.d/10-hardening.conf").write_text("AllowUsers ops\n")


def menu_instead_of_a_shell(tree: Path) -> None:
    """An appliance whose sshd starts its menu, which is not there."""
    (tree / "etc/ssh/sshd_config.d/10-appliance.conf").write_text("ForceCommand /opt/appliance/menu\n")


def another_name_later(tree: Path) -> None:
    service(tree, "branding", "ExecStart=/bin/hostname golden", "After=azure-provisioning.service")


def sudo_hardened_later(tree: Path) -> None:
    """A hardening that takes away what the first boot has set up."""
    service(tree, "harden", "ExecStart=/bin/sh -c 'rm -f /etc/sudoers.d/*'", "After=azure-provisioning.service")


def units_cannot_be_switched_off(tree: Path) -> None:
    """An image whose units lie on a file system that is read-only."""
    where = "/etc/systemd/system"
    lines = f"ExecStart=/bin/mount --bind {where} {where}\nExecStart=/bin/mount -o remount,bind,ro {where}"
    service(tree, "sealed", lines, "Before=azure-provisioning.service")


def azready_beside(tree: Path, prepared: Path) -> None:
    """What `azready prepare` installs, put into a tree whose agent stays."""
    units = sorted((prepared / "usr/lib/systemd/system").glob("azure-provisioning*"))
    for path in (prepared / "usr/lib/azure-provisioning", prepared / "etc/azure-provisioning.conf", *units):
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, tree / path.relative_to(prepared))  # type: ignore[operator]
    enable(tree, "azure-provisioning.service", "/usr/lib/systemd/system/azure-provisioning.service")


# --- what is said of each ---


@dataclass(frozen=True)
class Failing:
    """A healthy tree, what breaks it, and what is said of it then: the cause of its boot, which quotes `seen` and
    advises `fix`, and the rule of `azready check` that sees it in the files; none where no file shows it."""

    break_it: Callable[[Path], None]
    code: str
    seen: str
    fix: str
    rule: str = ""
    packages: tuple[str, ...] = ()
    base: Literal["azready", "waagent"] = "azready"
    """Who provisions the healthy tree."""
    deadline: float = 8.0
    login: bool = False
    on_console: str = ""
    """What the console's lines alone name, where that is another cause: a log in Azure has nothing else."""
    reports: bool = False
    """Whether Ready is reported all the same."""
    machine: Machine | None = None


TWO_NICS = Machine(secondary_nics=(("00:0d:3a:6e:00:99", "10.1.0.9"),))
CRLF = load("keys-crlf").applied_to(Machine())
_TOOLS = ("python3-minimal", "curl", "nftables")
"""One tree for all that need more than a guest program does."""

FAILING = (
    Failing(without_azready, "no-provisioner", "no request to IMDS", "azready prepare", "P01"),
    Failing(init_of_another_machine, "no-init", "/sbin/init: Exec format error", "processor"),
    Failing(nothing_asks_for_an_address, "no-dhcp", "", "N01", "N01", on_console="platform-not-reached"),
    Failing(prohibited_routes, "no-route", "ermission denied", "option 121", deadline=10.0, on_console="firewall"),
    Failing(firewall, "no-route", "timed out", "N09", "N09", _TOOLS, deadline=10.0, on_console="platform-not-reached"),
    Failing(
        route_by_the_second_card,
        "no-route",
        "IMDS",
        "several NICs",
        "N03",
        deadline=12.0,
        machine=TWO_NICS,
        on_console="platform-not-reached",
    ),
    Failing(waits_for_a_second_card, "slow-boot", "wait-online.service", "N04", "N04", _TOOLS),
    Failing(mount_that_fails, "emergency-mode", "Failed to mount", "nofail", on_console="fstab"),
    Failing(import_that_is_gone, "agent-crashed", "Error: No module named", "azready prepare"),
    Failing(no_python, "agent-crashed", "EXEC", "interpreter", "A10", on_console="agent-failed"),
    Failing(
        waits_for_cloud_init,
        "provisioner-waits-for-another",
        "cloud-init",
        "azready prepare",
        "P01",
        base="waagent",
        on_console="not-enabled",
    ),
    Failing(ifup_works_once, "network-lost", "ifup", "ifdown eth0 && ifup eth0", base="waagent", deadline=25.0),
    Failing(hook_that_fails, "reported-failure", "10-site", "the guest says why"),
    Failing(
        malformed_report,
        "report-refused",
        "cannot be read",
        "Health/{GoalStateIncarnation",
        packages=_TOOLS,
        on_console="no-provisioner",
    ),
    Failing(
        report_without_its_parts,
        "report-refused",
        "without Health/",
        "every element",
        packages=_TOOLS,
        on_console="no-provisioner",
    ),
    Failing(
        asks_and_never_reports,
        "no-report",
        "goalstate",
        "Incarnation of the goal state",
        packages=_TOOLS,
        on_console="no-provisioner",
    ),
    # Ready was reported, and yet:
    Failing(
        marked_by_waagent,
        "stale-marker",
        "unique identifier has changed",
        "azready generalize",
        "P01",
        base="waagent",
        deadline=60.0,
        login=True,
        reports=True,
    ),
    Failing(
        ssh_behind_a_card_that_is_not_there,
        "slow-boot",
        "wait-online.service",
        "time limit",
        "N04",
        _TOOLS,
        login=True,
        reports=True,
    ),
    Failing(sshd_is_masked, "no-sshd", "refused", "S01", "S01", login=True, reports=True),
    Failing(pam_for_some, "login-closed", "pam_succeed_if may keep", "S08", "S08", login=True, reports=True),
    Failing(ssh_for_some, "reported-failure", "AllowUsers", "the guest says why", "S06"),
    Failing(
        keys_as_they_come,
        "login-refused",
        "with CR and LF inside",
        "CR and LF",
        packages=_TOOLS,
        deadline=20.0,
        login=True,
        reports=True,
        machine=CRLF,
    ),
    Failing(menu_instead_of_a_shell, "no-shell", "the session ends", "/etc/passwd", login=True, reports=True),
    Failing(another_name_later, "wrong-host-name", "golden, not azready-vm", "computerName", login=True, reports=True),
    Failing(sudo_hardened_later, "no-sudo", "password is required", "A07", login=True, reports=True),
    Failing(units_cannot_be_switched_off, "unit-still-on", "unit is off: enabled", "/etc/systemd/system", reports=True),
)
