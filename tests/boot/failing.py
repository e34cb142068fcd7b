"""Images that fail, each for one cause that users of Azure have met: what to break in a healthy tree."""

import shutil
from pathlib import Path

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
    waagent_provisions(tree)
    marker = tree / "var/lib/waagent/provisioned"
    marker.parent.mkdir(exist_ok=True)
    marker.write_text("11112222-3333-4444-5555-666677778888")


def cloud_init_trusts_its_cache(tree: Path) -> None:
    (tree / "etc/cloud/cloud.cfg.d/99-cache.cfg").write_text("manual_cache_clean: true\n")


def ifup_works_once(tree: Path) -> None:
    """waagent publishes the host name with `ifdown eth0 && ifup eth0`."""
    waagent_provisions(tree)
    interfaces = tree / "etc/network/interfaces"
    interfaces.write_text(interfaces.read_text() + "    pre-up mkdir /run/eth0.once\n")


def waits_for_a_second_card(tree: Path) -> None:
    """The sample waits for network-online.target, and that for a card that this VM does not have."""
    without_azready(tree)
    sample(tree, "published.sh", "/bin/bash")
    name = "systemd-networkd-wait-online"
    drop_in = tree / SYSTEM / f"{name}.service.d/card.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(f"[Service]\nExecStart=\nExecStart=/lib/systemd/{name} --interface=eth1\n")


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


def azready_beside(tree: Path, prepared: Path) -> None:
    """What `azready prepare` installs, put into a tree whose agent stays."""
    units = sorted((prepared / "usr/lib/systemd/system").glob("azure-provisioning*"))
    for path in (prepared / "usr/lib/azure-provisioning", prepared / "etc/azure-provisioning.conf", *units):
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, tree / path.relative_to(prepared))  # type: ignore[operator]
    enable(tree, "azure-provisioning.service", "/usr/lib/systemd/system/azure-provisioning.service")
