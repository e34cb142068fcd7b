"""What capture makes an image of: a new VM from the marketplace, a copy of a VM of the user's, or that VM itself.

The user's own VM is only read: what is sealed, and can never start again, is a copy of its disk, made by a snapshot.
Sealing the original is for whoever asks for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from azready.azure import preflight
from azready.azure.known import Known
from azready.azure.requests import disks, groups, machines, network
from azready.azure.requests.machines import VmWishes
from azready.azure.requests.model import DISKS, NETWORK, ImageUrn, Json, Place, Request, read
from azready.azure.steps import Ensure, Read, Step, Work
from azready.errors import Failure


@dataclass(frozen=True)
class Surroundings:
    """Where VMs of a run are put: a network of the run's own, or a subnet that exists."""

    place: Place
    name: str
    """Of the image; the VMs, addresses and networks are named after it."""
    ssh_from: str
    subnet: str = ""
    public_address: bool = True

    @property
    def subnet_id(self) -> str:
        return self.subnet or network.subnet_id(self.place, f"{self.name}-vnet")

    def network(self, *, no_way_out: bool = False) -> list[Step]:
        """The security group and, without a subnet that exists, the network that the run's VMs share."""
        place, name = self.place, self.name
        guard: Step = Ensure(
            "nsg",
            f"security group, ssh from {self.ssh_from}",
            lambda _: network.create_security_group(place, f"{name}-nsg", self.ssh_from, no_way_out=no_way_out),
        )
        if self.subnet:
            return [guard]
        return [guard, Ensure("vnet", "virtual network", lambda _: network.create_network(place, f"{name}-vnet"))]

    def machine(self, part: str, title: str, vm: Callable[[Known], Request]) -> list[Step]:
        """An address, an interface, and the VM; learns where ssh reaches it."""
        place, name = self.place, f"{self.name}-{part}"
        address = f"{name}-ip" if self.public_address else ""

        def learn(known: Known, found: str) -> Known:
            return replace(known, base_address=found) if part == "base" else replace(known, trial_address=found)

        def learn_public(body: Json, known: Known) -> Known:
            return learn(known, str(body["properties"].get("ipAddress", "")))

        def learn_private(body: Json, known: Known) -> Known:
            return known if address else learn(known, _private_address(body))

        public = Ensure(
            f"{part}-ip",
            f"public address of the {title}",
            lambda _: network.create_public_address(place, address),
            learn=learn_public,
        )
        interface = Ensure(
            f"{part}-nic",
            f"network interface of the {title}",
            lambda _: network.create_interface(place, f"{name}-nic", self.subnet_id, f"{self.name}-nsg", address),
            learn=learn_private,
        )
        machine = Ensure(part, title, vm, again=False, why=lambda _: machines.instance_view(place, name))
        return [*([public] if address else []), interface, machine]


def _private_address(body: Json) -> str:
    configurations = body["properties"].get("ipConfigurations") or [{}]
    return str((configurations[0].get("properties") or {}).get("privateIPAddress") or "")


def marketplace_facts(place: Place, wanted: ImageUrn, security_type: str) -> list[Step]:
    """The marketplace image: newest version, generation, architecture, terms, and whether it can be what is asked."""

    def learn_version(body: Json, known: Known) -> Known:
        found = body.get("value") or []
        if not found:
            raise Failure(f"the marketplace has no {wanted} in {place.location}", "choose another --image")
        return replace(known, image_version=str(found[0]["name"]))

    def learn_image(body: Json, known: Known) -> Known:
        properties, features = body["properties"], preflight.features_of(body)
        generation = str(properties.get("hyperVGeneration", ""))
        if security_type == "TrustedLaunch" and (
            generation == "V1" or not features.get("SecurityType", "TrustedLaunch").startswith("TrustedLaunch")
        ):
            raise Failure(
                f"{wanted} cannot be a Trusted Launch VM", "choose another --image, or --security-type Standard"
            )
        return replace(
            known,
            generation=generation,
            architecture=str(properties.get("architecture", "x64")),
            security_type=security_type,
            controllers=features.get("DiskControllerTypes", ""),
            plan=preflight.plan_of(properties.get("plan") or {}),
        )

    def urn(known: Known) -> ImageUrn:
        return replace(wanted, version=known.image_version or wanted.version)

    version: Step = Work("version", "image version", lambda known: replace(known, image_version=wanted.version))
    if wanted.version == "latest":
        version = Read(
            "version",
            "newest version",
            lambda _: groups.newest_version(place, wanted),
            learn_version,
            once=True,
            optional="Azure takes the newest one itself",
        )
    facts = Read(
        "image-facts",
        "marketplace image",
        lambda known: groups.marketplace_image(place, urn(known)),
        learn_image,
        once=True,
        optional="its generation is read from the VM",
        when=lambda known: bool(known.image_version),
    )
    return [version, facts]


def own_vm_facts(place: Place, vm: str, admin: str, *, managed_image: bool, copy: bool) -> list[Step]:
    """Read the user's VM, its disk, its interface and its address; refuse what cannot be captured."""

    def learn_vm(body: Json, known: Known) -> Known:
        return _learned_vm(place, vm, body, known, admin, managed_image)

    def learn_disk(body: Json, known: Known) -> Known:
        properties = body["properties"]
        able = properties.get("supportedCapabilities") or {}
        return replace(
            known,
            generation=str(properties.get("hyperVGeneration") or known.generation),
            architecture=str(able.get("architecture") or known.architecture),
            controllers=str(able.get("diskControllerTypes") or known.controllers),
        )

    def learn_interface(body: Json, known: Known) -> Known:
        configurations = body["properties"].get("ipConfigurations") or [{}]
        address = (configurations[0].get("properties") or {}).get("publicIPAddress") or {}
        return replace(known, address_id=str(address.get("id", "")), base_address=_private_address(body))

    def learn_address(body: Json, known: Known) -> Known:
        return replace(known, base_address=str(body["properties"].get("ipAddress") or known.base_address))

    steps: list[Step] = [
        Read("vm-facts", "the VM", lambda _: machines.read_vm(place, vm), learn_vm),
        Read(
            "disk-facts",
            "its disk",
            lambda known: read(known.os_disk, DISKS),
            learn_disk,
            missing=lambda _, known: known,
            optional="its architecture is taken from the VM's size",
        ),
    ]
    if not copy:
        steps += [
            Read("nic-facts", "its interface", lambda known: read(known.interface, NETWORK), learn_interface),
            Read(
                "ip-facts",
                "its address",
                lambda known: read(known.address_id or known.interface, NETWORK),
                learn_address,
                when=lambda known: bool(known.address_id),
            ),
        ]
    return [*steps, generation(place, vm), architecture_of_size(place)]


def _learned_vm(place: Place, vm: str, body: Json, known: Known, admin: str, managed_image: bool) -> Known:
    _require_imageable(place, vm, body, managed_image)
    properties = body["properties"]
    interfaces = properties["networkProfile"]["networkInterfaces"]
    security = _security_type(properties)
    managed = _managed_disk(properties)
    return replace(
        known,
        interface=str(interfaces[0]["id"]),
        os_disk=managed,
        vm_size=str(properties.get("hardwareProfile", {}).get("vmSize") or ""),
        security_type=security,
        plan=preflight.plan_of(body.get("plan") or {}),
        base_user=str(properties.get("osProfile", {}).get("adminUsername") or admin),
    )


def _require_imageable(place: Place, vm: str, body: Json, managed_image: bool) -> None:
    """Raise Failure for a VM of whose disk no image can be made, with what to do instead."""
    properties = body["properties"]
    security = _security_type(properties)
    location = str(body.get("location", place.location)).replace(" ", "").lower()
    if not properties.get("networkProfile", {}).get("networkInterfaces"):
        raise Failure(f"the VM {vm} has no network interface", "choose another --vm")
    if location != place.location:
        raise Failure(f"the VM {vm} is in {location}, not in {place.location}", f"use --location {location}")
    if security not in ("Standard", "TrustedLaunch"):
        raise Failure(
            f"{vm} is a {security}: its disk is bound to it, azready makes no image of such VMs",
            "choose a VM that is Standard or Trusted Launch",
        )
    if security == "TrustedLaunch" and managed_image:
        raise Failure(
            f"{vm} is a Trusted Launch VM, of which there can be no managed image",
            "give --gallery-name and --gallery-image-definition",
        )
    if not _managed_disk(properties) or properties["storageProfile"]["osDisk"].get("diffDiskSettings"):
        kind = "an ephemeral disk" if _managed_disk(properties) else "an unmanaged disk, which Azure has retired"
        raise Failure(f"{vm} has {kind}: azready makes no image of it", "choose a VM with a managed disk")


def _security_type(properties: Json) -> str:
    return str(properties.get("securityProfile", {}).get("securityType") or "Standard")


def _managed_disk(properties: Json) -> str:
    disk = properties.get("storageProfile", {}).get("osDisk") or {}
    return str((disk.get("managedDisk") or {}).get("id") or "")


def architecture_of_size(place: Place) -> Step:
    """For a VM whose disk does not say its architecture: its size does."""

    def learn(body: Json, known: Known) -> Known:
        return replace(known, architecture=preflight.find_size(body, known.vm_size, place.location).architecture)

    return Read(
        "vm-size",
        "size of the VM",
        lambda _: groups.list_sizes(place),
        learn,
        once=True,
        optional="it is taken for x64",
        when=lambda known: not known.architecture and bool(known.vm_size),
    )


def generation(place: Place, vm: str) -> Step:
    """The generation is read from the VM: the default of `az image create` is V1, whatever the VM is."""

    def learn(body: Json, known: Known) -> Known:
        found = str(body.get("hyperVGeneration") or known.generation)
        if found not in ("V1", "V2"):
            raise Failure(
                f"Azure does not say of which generation {vm} is", "start the VM once, then run the same command again"
            )
        return replace(known, generation=found)

    return Read("generation", "generation of the VM", lambda _: machines.instance_view(place, vm), learn, once=True)


def copied_vm(around: Surroundings, vm: str, encryption_set: str) -> list[Step]:
    """A VM from a copy of the user's: same disk, same size, a network that leads nowhere out."""
    place, name = around.place, around.name
    snapshot, disk = f"{name}-copy", f"{name}-base-os"

    def machine(known: Known) -> Request:
        wishes = VmWishes(
            name=f"{name}-base",
            size=known.vm_size or "<size of the VM>",
            image="",
            interface=f"{name}-base-nic",
            admin=known.base_user,
            public_key="",
            agent=True,
            security_type=known.security_type or "Standard",
            plan=known.plan,
            specialized=True,
            disk=disks.disk_id(place, disk),
        )
        return machines.create_vm(place, wishes)

    return [
        Ensure(
            "snapshot",
            f"snapshot of the disk of {vm}",
            lambda known: disks.create_snapshot(place, snapshot, known.os_disk),
        ),
        Ensure(
            "copy",
            f"copy of the disk of {vm}",
            lambda known: disks.create_copy(
                place, disk, disks.snapshot_id(place, snapshot), known.security_type, encryption_set
            ),
        ),
        *around.network(no_way_out=True),
        *around.machine("base", f"copy of {vm}", machine),
    ]
