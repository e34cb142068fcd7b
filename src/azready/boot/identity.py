"""What makes a container look like an Azure VM: SMBIOS data, and for agents that ask further, a disguise.

Values are those that Hyper-V shows on Azure: Generation 2 has Microsoft's own firmware, Generation 1 an AMI BIOS.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from azready.agents import WAAGENT
from azready.boot.container.root import NOTIFY
from azready.boot.record import MachineFacts
from azready.fabric.machine import ASSET_TAG, Machine
from azready.fabric.protocol import media


def dmi(machine: Machine) -> dict[str, str]:
    """/sys/class/dmi/id of this machine: file name → text."""
    second = machine.generation == 2
    version = "Hyper-V UEFI Release v4.1" if second else "7.0"
    serial = "0000-" + "-".join(machine.vm_id.replace("-", "")[at : at + 4] for at in range(0, 24, 4))
    values = {
        "bios_date": "03/08/2024" if second else "12/07/2018",
        "bios_release": "4.1" if second else "8.15",
        "bios_vendor": "Microsoft Corporation" if second else "American Megatrends Inc.",
        "bios_version": "Hyper-V UEFI Release v4.1" if second else "090008",
        "board_asset_tag": "None",
        "board_name": "Virtual Machine",
        "board_serial": serial,
        "board_vendor": "Microsoft Corporation",
        "board_version": version,
        "chassis_asset_tag": ASSET_TAG,
        "chassis_serial": serial,
        "chassis_type": "3",
        "chassis_vendor": "Microsoft Corporation",
        "chassis_version": version,
        "product_family": "Virtual Machine",
        "product_name": "Virtual Machine",
        "product_serial": serial,
        "product_sku": "None",
        "product_uuid": machine.product_uuid,
        "product_version": version,
        "sys_vendor": "Microsoft Corporation",
    }
    modalias = _modalias(values)
    return {**values, "modalias": modalias, "uevent": f"MODALIAS={modalias}"}


_MODALIAS = {
    "bvn": "bios_vendor",
    "bvr": "bios_version",
    "bd": "bios_date",
    "br": "bios_release",
    "svn": "sys_vendor",
    "pn": "product_name",
    "pvr": "product_version",
    "rvn": "board_vendor",
    "rn": "board_name",
    "rvr": "board_version",
    "cvn": "chassis_vendor",
    "ct": "chassis_type",
    "cvr": "chassis_version",
    "sku": "product_sku",
}
"""Prefix → field of the kernel's DMI alias, in its order (drivers/firmware/dmi-id.c). The chassis asset tag is not in
it: systemd appends it."""


def _modalias(values: Mapping[str, str]) -> str:
    """The kernel leaves out blanks, colons and what is not ASCII."""
    kept = {
        prefix: "".join(letter for letter in values[field] if "!" <= letter <= "~" and letter != ":")
        for prefix, field in _MODALIAS.items()
    }
    return "dmi:" + "".join(f"{prefix}{text}:" for prefix, text in kept.items())


def described(machine: Machine) -> MachineFacts:
    """What the platform was asked for, for a boot's record."""
    return MachineFacts(
        name=machine.name,
        computer_name=machine.computer_name,
        admin_username=machine.admin_username,
        vm_id=machine.vm_id,
        generation=machine.generation,
        address=machine.address,
        mac=machine.mac,
        location=machine.location,
        size=machine.size,
        nics=1 + len(machine.secondary_nics),
        keys=len(machine.public_keys),
        keys_broken=any(mark in key.strip() for key in machine.public_keys for mark in "\r\n"),
    )


MASKED_UNITS = ("dev-hugepages.mount", "sys-fs-fuse-connections.mount")
"""Units that fail in every container for want of a kernel of its own; an empty file in /run masks a unit."""


def runtime_files() -> dict[str, str]:
    """Files that every booted systemd finds in its /run."""
    return {f"/run/systemd/system/{unit}": "" for unit in MASKED_UNITS}


ENVIRONMENT = {
    "container": "azready",
    "TERM": "dumb",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "NOTIFY_SOCKET": NOTIFY,
}
"""Of init: systemd's container interface, a console without colours, and where to say READY=1."""


_DETECT_VIRT = "/run/azready/systemd-detect-virt"
_SHIM = """#!/bin/sh
# Says what systemd-detect-virt says on Azure.
case " $* " in
    *' -c '* | *' --container '*) name=none status=1 ;;
    *) name=microsoft status=0 ;;
esac
case " $* " in *' -q '* | *' --quiet '*) ;; *) echo $name ;; esac
exit $status
"""


@dataclass(frozen=True)
class Disguise:
    """What agents that refuse to work in a container are shown besides. Nothing of the tree is changed by it."""

    files: Mapping[str, str]
    """In /run: start conditions of units lifted, and the container's name where systemd looks for it first."""
    covers: Mapping[str, str]
    """Programs of the tree that others are mounted over."""
    arguments: tuple[str, ...]
    """Of init, which in a container stand for the kernel's command line."""
    environment: Mapping[str, str]


NO_DISGUISE = Disguise({}, {}, (), ENVIRONMENT)


def netplan_matches(macs: Sequence[str]) -> dict[str, str]:
    """Files of /run that let cloud-init's netplan find its cards in a container.

    It names them by MAC address, netplan makes `PermanentMACAddress=` of that, and a veth has no permanent address, as
    hv_netvsc and virtio have. cloud-init calls Azure's cards eth0, eth1 …, so netplan's files have these names.
    """
    return {
        f"/run/systemd/network/10-netplan-eth{index}.network.d/azready.conf": "[Match]\nPermanentMACAddress=\n"
        f"MACAddress={mac}\n"
        for index, mac in enumerate(macs)
    }


def disguise() -> Disguise:
    """For waagent (its unit asks for ConditionVirtualization=microsoft) and cloud-init (it reads no SMBIOS data when
    systemd-detect-virt or the environment of PID 1 speak of a container, and then searches no data source)."""
    lifted = "[Unit]\nConditionVirtualization=\n"
    return Disguise(
        files={
            **{f"/run/systemd/system/{unit}.d/azready.conf": lifted for unit in WAAGENT.services},
            "/run/host/container-manager": "azready\n",
            _DETECT_VIRT: _SHIM,
        },
        covers={"/usr/bin/systemd-detect-virt": _DETECT_VIRT},
        arguments=("ci.ds=Azure",),
        environment={name: value for name, value in ENVIRONMENT.items() if name != "container"},
    )


def provisioning_medium(machine: Machine, mounted: bool) -> dict[str, object]:
    """The machine's medium; `mounted` where waagent and cloud-init look for one that is mounted already."""
    at = "/mnt/cdrom/secure" if mounted else ""
    files = {name: content.decode() for name, content in media.files(machine).items()}
    return {"device": "/dev/sr0", "mounted_at": at, "files": files}
