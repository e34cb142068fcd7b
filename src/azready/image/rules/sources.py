"""Where rules come from, as pages and programs that anybody can read."""

from collections.abc import Mapping
from dataclasses import dataclass

_LEARN = "https://learn.microsoft.com/azure"
_VM = f"{_LEARN}/virtual-machines"
_TROUBLE = "https://learn.microsoft.com/troubleshoot/azure/virtual-machines/linux"


@dataclass(frozen=True)
class Source:
    """A title and an address."""

    title: str
    url: str


SOURCES: Mapping[str, Source] = {
    "GEN": Source("Prepare Linux for imaging", f"{_VM}/linux/create-upload-generic"),
    "UB": Source("Prepare an Ubuntu virtual machine", f"{_VM}/linux/create-upload-ubuntu"),
    "DEB": Source("Prepare a Debian VHD", f"{_VM}/linux/debian-create-upload-vhd"),
    "RH": Source("Prepare a Red Hat-based virtual machine", f"{_VM}/linux/redhat-create-upload-vhd"),
    "SUSE": Source("Prepare a SLES or openSUSE virtual machine", f"{_VM}/linux/suse-create-upload-vhd"),
    "NOAG": Source("Create generalized images without a provisioning agent", f"{_VM}/linux/no-agent"),
    "DIS": Source("Disable or remove the Linux agent", f"{_VM}/linux/disable-provisioning"),
    "PROV": Source("Azure Linux VM provisioning", f"{_VM}/linux/provisioning"),
    "G2": Source("Generation 2 virtual machines", f"{_VM}/generation-2"),
    "NVME": Source("Enable the NVMe interface", f"{_VM}/enable-nvme-interface"),
    "TL": Source("Trusted Launch for Azure virtual machines", f"{_VM}/trusted-launch"),
    "TIME": Source("Time sync for Linux VMs in Azure", f"{_VM}/linux/time-sync"),
    "ACG": Source("Azure Compute Gallery", f"{_VM}/azure-compute-gallery"),
    "UPL": Source("Upload a VHD to a managed disk", f"{_VM}/linux/disks-upload-vhd-to-managed-disk-cli"),
    "MANA": Source("MANA and Linux VMs", f"{_LEARN}/virtual-network/accelerated-networking-mana-linux"),
    "WIRE": Source("What is IP address 168.63.129.16?", f"{_LEARN}/virtual-network/what-is-ip-address-168-63-129-16"),
    "HVD": Source("Linux VM boot issues with Hyper-V drivers", f"{_TROUBLE}/linux-hyperv-issue"),
    "DEP": Source("Troubleshoot deployment of a new Linux VM", f"{_TROUBLE}/troubleshoot-deployment-new-vm-linux"),
    "CERT": Source(
        "VM certification issues and solutions",
        "https://learn.microsoft.com/partner-center/marketplace-offers/azure-vm-certification-faq",
    ),
    "LISA": Source("LISA, Microsoft's test suite for Linux on Azure", "https://github.com/microsoft/lisa"),
    "WALA": Source("Azure Linux Agent", "https://github.com/Azure/WALinuxAgent"),
    "CI": Source("cloud-init", "https://github.com/canonical/cloud-init"),
    "AVU": Source("azure-vm-utils", "https://github.com/Azure/azure-vm-utils"),
    "AI": Source("azure-init", "https://github.com/Azure/azure-init"),
    "GPA": Source("Azure Guest Proxy Agent", "https://github.com/Azure/GuestProxyAgent"),
    "MSP": Source("Metadata Security Protocol: troubleshoot", f"{_VM}/metadata-security-protocol/troubleshoot-guide"),
    "IMDSD": Source("systemd: systemd-imdsd", "https://github.com/systemd/systemd/pull/40980"),
    "VS": Source("virt-sysprep", "https://libguestfs.org/virt-sysprep.1.html"),
    "SD": Source("systemd: safely building images", "https://systemd.io/BUILDING_IMAGES/"),
    "MKOSI": Source("mkosi", "https://github.com/systemd/mkosi"),
    "OWN": Source("follows from the others; nobody tests it but azready", "../check.md#where-rules-come-from"),
}
