"""A VM becomes an image that needs no agent, and a VM of that image proves it: Microsoft's article, as one list.

https://learn.microsoft.com/azure/virtual-machines/linux/no-agent. A base VM from the marketplace (or one that
exists) is prepared and sealed over ssh, deallocated, generalized, captured; a new VM without agent must become
Ready; what is no longer needed is removed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from azready.azure import preflight
from azready.azure.client import Client
from azready.azure.console_log import Fetch, read_console, tail
from azready.azure.instances import Instance, from_view
from azready.azure.known import Known
from azready.azure.preflight import check_definition, check_quota, check_size, find_size, next_version
from azready.azure.problems import AzureFailure
from azready.azure.requests import groups, images, machines, network
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.machines import VmWishes
from azready.azure.requests.model import COMPUTE, NETWORK, ImageUrn, Json, Place, PurchasePlan, Request, delete, read
from azready.azure.steps import Act, Ensure, Read, Remove, Runner, Step, Work
from azready.errors import Failure, UsageFailure


@dataclass(frozen=True)
class Host:
    """How to reach a guest: what the ssh part needs."""

    address: str
    user: str
    key_file: str


@dataclass(frozen=True)
class GuestWork:
    """What capture needs done inside guests; the command line passes it in. All raise Failure."""

    prepare: Callable[[Host], None]
    """Wait for sshd; take the agents out of the running system, put the guest program in."""
    check: Callable[[Host], None]
    """Look for everything that would keep an image of it from working on Azure."""
    generalize: Callable[[Host], None]
    """Seal it. The host's user is removed: nobody can log in afterwards."""
    journal: Callable[[Host], str]
    """What the guest program wrote in the new VM's journal."""


@dataclass(frozen=True)
class Wishes:
    """What to capture. `vm` names an existing VM of the group; empty makes one from `urn`."""

    place: Place
    name: str
    urn: ImageUrn
    vm: str
    size: str
    admin: str
    public_key: str
    key_file: str
    ssh_from: str
    security_type: str = "Standard"
    definition: Definition | None = None
    """A gallery definition to make a version of (its generation is filled in later); None makes a managed image."""
    version: str = ""
    regions: tuple[TargetRegion, ...] = ()
    try_it: bool = True
    keep: bool = False

    @property
    def base(self) -> str:
        return self.vm or f"{self.name}-base"

    @property
    def trial(self) -> str:
        return f"{self.name}-trial"

    def image(self, known: Known) -> str:
        """The id of what is made."""
        if self.definition is None:
            return images.image_id(self.place, self.name)
        return images.version_id(self.place, self.definition.gallery, self.definition.name, known.version)


@dataclass(frozen=True)
class Captured:
    """What came of it."""

    image: str
    generation: str
    trial: Instance | None
    journal: str


def check(wishes: Wishes) -> None:
    """Raise UsageFailure on names and combinations that Azure would refuse much later."""
    preflight.check_group_name(wishes.place.group)
    preflight.check_name("an image", wishes.name, 64 - len("-trial"))
    if wishes.definition:
        preflight.check_gallery_name(wishes.definition.gallery)
        if wishes.version:
            preflight.parse_version(wishes.version)
    elif wishes.security_type == "TrustedLaunch":
        raise UsageFailure(
            "a managed image cannot be made of a Trusted Launch VM",
            "give --gallery-name and --gallery-image-definition, or --security-type Standard",
        )


def plan(wishes: Wishes, guest: GuestWork) -> list[Step]:
    """Every step in order. Pure: nothing is asked or done until a Runner carries them out."""
    steps: list[Step] = [Ensure("group", "resource group", lambda _: groups.create_group(wishes.place), shared=True)]
    steps += _existing_vm(wishes) if wishes.vm else _base_vm(wishes)
    steps += _seal(wishes, guest)
    steps += _gallery_image(wishes, wishes.definition) if wishes.definition else [_managed_image(wishes)]
    if wishes.try_it:
        steps += _trial(wishes, guest)
    if not wishes.keep:
        steps += _clean_up(wishes)
    return steps


def _net(wishes: Wishes) -> list[Step]:
    """The network that the base VM and the trial VM share."""
    place, name = wishes.place, wishes.name
    return [
        Ensure(
            "nsg",
            f"security group, ssh from {wishes.ssh_from}",
            lambda _: network.create_security_group(place, f"{name}-nsg", wishes.ssh_from),
        ),
        Ensure("vnet", "virtual network", lambda _: network.create_network(place, f"{name}-vnet")),
    ]


def _machine(wishes: Wishes, part: str, title: str, vm: Callable[[Known], Request]) -> list[Step]:
    """A public address, an interface, and the VM; learns `{part}_address`."""
    place, name = wishes.place, f"{wishes.name}-{part}"

    def learn(body: Json, known: Known) -> Known:
        address = str(body["properties"].get("ipAddress", ""))
        return replace(known, base_address=address) if part == "base" else replace(known, trial_address=address)

    return [
        Ensure(
            f"{part}-ip",
            f"public address of the {title}",
            lambda _: network.create_public_address(place, f"{name}-ip"),
            learn=learn,
        ),
        Ensure(
            f"{part}-nic",
            f"network interface of the {title}",
            lambda _: network.create_interface(
                place, f"{name}-nic", f"{wishes.name}-vnet", f"{wishes.name}-nsg", f"{name}-ip"
            ),
        ),
        Ensure(part, title, vm, again=False),
    ]


def _base_vm(wishes: Wishes) -> list[Step]:
    place = wishes.place

    def learn_version(body: Json, known: Known) -> Known:
        found = body.get("value") or []
        if not found:
            raise Failure(f"the marketplace has no {wishes.urn} in {place.location}", "choose another --image")
        return replace(known, image_version=str(found[0]["name"]))

    def learn_image(body: Json, known: Known) -> Known:
        properties = body["properties"]
        terms = properties.get("plan") or {}
        return replace(
            known,
            generation=str(properties.get("hyperVGeneration", "")),
            architecture=str(properties.get("architecture", "x64")),
            plan=PurchasePlan(*(str(terms.get(key, "")) for key in ("publisher", "product", "name")))
            if terms
            else None,
        )

    def urn(known: Known) -> ImageUrn:
        return replace(wishes.urn, version=known.image_version)

    version: Step = Work("version", "image version", lambda known: replace(known, image_version=wishes.urn.version))
    if wishes.urn.version == "latest":
        version = Read(
            "version", "newest version", lambda _: groups.newest_version(place, wishes.urn), learn_version, once=True
        )
    return [
        version,
        Read(
            "image-facts",
            "marketplace image",
            lambda known: groups.marketplace_image(place, urn(known)),
            learn_image,
            once=True,
        ),
        *room(place, wishes.size, 2 if wishes.try_it else 1),
        *_net(wishes),
        *_machine(wishes, "base", "base VM", lambda known: machines.create_vm(place, _base_wishes(wishes, known))),
        _generation(wishes),
    ]


def room(place: Place, size: str, instances: int) -> list[Step]:
    """The size exists, boots what we have, and the quotas have room."""

    def fits(body: Json, known: Known) -> Known:
        found = find_size(body, size, place.location)
        check_size(found, known.generation, known.architecture)
        return replace(known, size=found)

    def has_room(body: Json, known: Known) -> Known:
        if known.size:
            check_quota(body, known.size, instances, place.location)
        return known

    return [
        Read("size", "VM size", lambda _: groups.list_sizes(place), fits, once=True),
        Read("quota", "quota", lambda _: groups.list_usages(place), has_room, once=True),
    ]


def _base_wishes(wishes: Wishes, known: Known) -> VmWishes:
    return VmWishes(
        name=wishes.base,
        size=wishes.size,
        image=replace(wishes.urn, version=known.image_version),
        interface=f"{wishes.name}-base-nic",
        admin=wishes.admin,
        public_key=wishes.public_key,
        agent=True,
        security_type=wishes.security_type,
        plan=known.plan,
        key_file=f"{wishes.key_file}.pub",
    )


def _existing_vm(wishes: Wishes) -> list[Step]:
    """Read the VM, its interface and its address; refuse what cannot be captured."""
    place = wishes.place

    def learn_vm(body: Json, known: Known) -> Known:
        properties = body["properties"]
        interfaces = properties.get("networkProfile", {}).get("networkInterfaces") or []
        if not interfaces:
            raise Failure(f"the VM {wishes.vm} has no network interface", "choose another --vm")
        if body.get("location", place.location).lower() != place.location.lower():
            raise Failure(
                f"the VM {wishes.vm} is in {body['location']}, not in {place.location}",
                f"use --location {body['location']}",
            )
        trusted = properties.get("securityProfile", {}).get("securityType") == "TrustedLaunch"
        if trusted and wishes.definition is None:
            raise Failure(
                f"{wishes.vm} is a Trusted Launch VM, of which there can be no managed image",
                "give --gallery-name and --gallery-image-definition",
            )
        return replace(
            known,
            interface=str(interfaces[0]["id"]),
            security_type="TrustedLaunch" if trusted else "Standard",
            base_user=str(properties.get("osProfile", {}).get("adminUsername") or wishes.admin),
        )

    def learn_interface(body: Json, known: Known) -> Known:
        configurations = body["properties"].get("ipConfigurations") or [{}]
        inner = configurations[0].get("properties", {})
        address = str((inner.get("publicIPAddress") or {}).get("id", ""))
        return replace(known, address_id=address, base_address=str(inner.get("privateIPAddress", "")))

    def learn_address(body: Json, known: Known) -> Known:
        return replace(known, base_address=str(body["properties"].get("ipAddress") or known.base_address))

    def address(known: Known) -> Request:
        return read(known.address_id or known.interface, NETWORK)

    return [
        Read("vm-facts", "the VM", lambda _: machines.read_vm(place, wishes.vm), learn_vm),
        Read("nic-facts", "its interface", lambda known: read(known.interface, NETWORK), learn_interface),
        Read("ip-facts", "its address", address, learn_address),
        _generation(wishes),
        *([*room(place, wishes.size, 1), *_net(wishes)] if wishes.try_it else []),
    ]


def _generation(wishes: Wishes) -> Step:
    """The generation is read from the VM: the default of `az image create` is V1, whatever the VM is."""

    def learn_generation(body: Json, known: Known) -> Known:
        found = str(body.get("hyperVGeneration") or "")
        if found not in ("V1", "V2"):
            raise Failure(
                f"Azure does not say of which generation {wishes.base} is",
                "start the VM once, then run the same command again",
            )
        return replace(known, generation=found)

    view = machines.instance_view(wishes.place, wishes.base)
    return Read("generation", "generation of the VM", lambda _: view, learn_generation, once=True)


def _seal(wishes: Wishes, guest: GuestWork) -> list[Step]:
    place = wishes.place

    def inside(work: Callable[[Host], None]) -> Callable[[Known], Known]:
        def do(known: Known) -> Known:
            work(Host(known.base_address, known.base_user or wishes.admin, wishes.key_file))
            return known

        return do

    target = f"ssh://{wishes.admin}@ADDRESS_OF_{wishes.base}"
    sealing = f"azready generalize {target} --user {wishes.admin} --yes"
    return [
        Work("prepare", "prepare over ssh", inside(guest.prepare), f"azready prepare {target} --yes"),
        Work("check", "check over ssh", inside(guest.check), f"azready check {target} --before-generalize"),
        Work("seal", "generalize over ssh", inside(guest.generalize), sealing),
        Act("deallocate", "deallocate", lambda _: machines.deallocate(place, wishes.base)),
        Act("generalize", "mark as generalized", lambda _: machines.generalize(place, wishes.base)),
    ]


def _managed_image(wishes: Wishes) -> Step:
    vm = machines.vm_id(wishes.place, wishes.base)
    return Ensure(
        "image",
        f"image {wishes.name}",
        lambda known: images.create_image(wishes.place, wishes.name, known.generation, vm=vm),
    )


def _gallery_image(wishes: Wishes, wanted: Definition) -> list[Step]:
    vm = machines.vm_id(wishes.place, wishes.base)

    def complete(known: Known) -> Definition:
        return replace(wanted, generation=known.generation, architecture=known.architecture or "x64")

    return gallery_steps(
        wishes.place,
        complete,
        wishes.version,
        lambda known: images.create_version(wishes.place, complete(known), known.version, wishes.regions, vm=vm),
    )


def gallery_steps(
    place: Place, definition: Callable[[Known], Definition], version: str, create: Callable[[Known], Request]
) -> list[Step]:
    """A gallery, its definition, and the next (or the given) version of it; learns `version`."""

    def learn_version(body: Json, known: Known) -> Known:
        if known.version:
            return known
        return replace(known, version=version or next_version(str(item["name"]) for item in body.get("value") or ()))

    def fits(body: Json, known: Known) -> None:
        check_definition(definition(known).name, body, definition(known))

    return [
        Ensure(
            "gallery",
            "gallery",
            lambda known: images.create_gallery(place, definition(known).gallery),
            shared=True,
        ),
        Ensure(
            "definition",
            "image definition",
            lambda known: images.create_definition(place, definition(known)),
            shared=True,
            accept=fits,
        ),
        Read(
            "versions",
            "versions",
            lambda known: images.list_versions(place, definition(known).gallery, definition(known).name),
            learn_version,
        ),
        Ensure(
            "image-version",
            "image version, replicated",
            create,
            progress=region_progress,
            watch=lambda known: images.replication(
                place, definition(known).gallery, definition(known).name, known.version
            ),
        ),
    ]


def region_progress(body: Json) -> str:
    """`westeurope 100 %, eastus 30 %`, from a version with its replication status."""
    status = body["properties"].get("replicationStatus") or {}
    rows = status.get("summary") or ()
    return ", ".join(f"{row.get('region')} {row.get('progress', 0)} %" for row in rows)


def _trial(wishes: Wishes, guest: GuestWork) -> list[Step]:
    place = wishes.place

    def vm(known: Known) -> Request:
        trusted = "TrustedLaunch" in (wishes.security_type, known.security_type)
        wanted = VmWishes(
            name=wishes.trial,
            size=wishes.size,
            image=wishes.image(known),
            interface=f"{wishes.name}-trial-nic",
            admin=wishes.admin,
            public_key=wishes.public_key,
            agent=False,
            security_type="TrustedLaunch" if trusted else "Standard",
            key_file=f"{wishes.key_file}.pub",
        )
        return machines.create_vm(place, wanted)

    def learn(body: Json, known: Known) -> Known:
        return replace(known, trial=from_view(wishes.trial, body))

    def journal(known: Known) -> Known:
        text = guest.journal(Host(known.trial_address, wishes.admin, wishes.key_file))
        return replace(known, journal=tail(text))

    note = f"ssh {wishes.admin}@ADDRESS_OF_{wishes.trial} journalctl -u azure-provisioning"
    return [
        *_machine(wishes, "trial", "trial VM without agent", vm),
        Read("trial-view", "what Azure says of it", lambda _: machines.instance_view(place, wishes.trial), learn),
        Work("journal", "the guest's journal over ssh", journal, note),
    ]


def _clean_up(wishes: Wishes) -> list[Step]:
    """Everything but the image, its group and what was there before; first what holds the others."""
    place, name = wishes.place, wishes.name
    parts = ["trial"] if wishes.try_it else []
    parts += [] if wishes.vm else ["base"]
    gone: list[tuple[str, str]] = [(place.compute("virtualMachines", f"{name}-{part}"), COMPUTE) for part in parts]
    gone += [(place.network("networkInterfaces", f"{name}-{part}-nic"), NETWORK) for part in parts]
    gone += [(place.network("publicIPAddresses", f"{name}-{part}-ip"), NETWORK) for part in parts]
    if parts:
        gone += [(place.network("virtualNetworks", f"{name}-vnet"), NETWORK)]
        gone += [(place.network("networkSecurityGroups", f"{name}-nsg"), NETWORK)]
    return [remove(identity, version) for identity, version in gone]


def remove(identity: str, version: str) -> Remove:
    """The step that removes a resource, by its id."""
    usual = machines.DELETE if "/virtualMachines/" in identity else network.QUICK
    short = "/".join(identity.split("/")[-2:])
    return Remove(f"remove {short}", f"remove {short}", lambda _: delete(identity, version, usual))


def run(wishes: Wishes, guest: GuestWork, runner: Runner, client: Client, fetch: Fetch) -> Captured:
    """Carry out the plan. When the trial VM never becomes Ready, its console is in the failure's text."""
    try:
        known = runner.run(plan(wishes, guest), runner.state.run.known)
    except AzureFailure as failure:
        if failure.code.startswith("OSProvisioning"):
            text = tail(read_console(client, wishes.place, wishes.trial, fetch), 40)
            failure.message += f"\n  the end of its console:\n{text}"
        raise
    return Captured(wishes.image(known), known.generation, known.trial, known.journal)
