"""What makes a container look like an Azure VM: SMBIOS data, and for agents that ask further, a disguise.

Values are those that Hyper-V shows on Azure: Generation 2 has Microsoft's own firmware, Generation 1 an AMI BIOS.
"""

from azready.boot.guest_root import NOTIFY
from azready.fabric.machine import ASSET_TAG, Machine
from azready.fabric.protocol import media


def dmi(machine: Machine) -> dict[str, str]:
    """/sys/class/dmi/id of this machine: file name → text."""
    second = machine.generation == 2
    serial = "0000-" + "-".join(machine.vm_id.replace("-", "")[at : at + 4] for at in range(0, 24, 4))
    return {
        "bios_date": "03/08/2024" if second else "12/07/2018",
        "bios_vendor": "Microsoft Corporation" if second else "American Megatrends Inc.",
        "bios_version": "Hyper-V UEFI Release v4.1" if second else "090008",
        "board_asset_tag": "None",
        "board_name": "Virtual Machine",
        "board_vendor": "Microsoft Corporation",
        "board_version": "Hyper-V UEFI Release v4.1" if second else "7.0",
        "chassis_asset_tag": ASSET_TAG,
        "chassis_type": "3",
        "chassis_vendor": "Microsoft Corporation",
        "chassis_version": "Hyper-V UEFI Release v4.1" if second else "7.0",
        "product_name": "Virtual Machine",
        "product_serial": serial,
        "product_uuid": machine.product_uuid,
        "product_version": "Hyper-V UEFI Release v4.1" if second else "7.0",
        "sys_vendor": "Microsoft Corporation",
    }


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


def disguise(machine: Machine) -> dict[str, str]:
    """What agents that refuse to work in a container are shown besides, all of it in /run: systemd's name of the
    hypervisor in place of the container's, and start conditions of their units lifted."""
    lifted = "[Unit]\nConditionVirtualization=\n"
    return {
        f"/run/systemd/system/{unit}.d/azready.conf": lifted for unit in ("walinuxagent.service", "waagent.service")
    }


def provisioning_medium(machine: Machine, mounted: bool) -> dict[str, object]:
    """The machine's medium; `mounted` where waagent and cloud-init look for one that is mounted already."""
    at = "/mnt/cdrom/secure" if mounted else ""
    return {"device": "/dev/sr0", "mounted_at": at, "files": {media.FILE_NAME: media.ovf_env(machine)}}
