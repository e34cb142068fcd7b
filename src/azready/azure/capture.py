"""A VM becomes an image that needs no agent, and a VM of that image proves it: Microsoft's article, as one list.

https://learn.microsoft.com/azure/virtual-machines/linux/no-agent. A base VM from the marketplace, or a copy of one that
exists, is prepared and sealed over ssh, deallocated, generalized, captured; a new VM without agent must become Ready;
what is no longer needed is removed. Everything that Azure could refuse is asked before the VM is sealed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from azready import installed
from azready.azure import gallery, preflight, preflight_steps, rights, sources
from azready.azure.client import Client
from azready.azure.console_log import Diagnose, Fetch, read_console, tail
from azready.azure.instances import Instance, from_view
from azready.azure.known import Known, planned
from azready.azure.problems import AzureFailure
from azready.azure.removal import remove
from azready.azure.requests import disks, groups, images, machines
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.machines import VmWishes
from azready.azure.requests.model import COMPUTE, DISKS, NETWORK, ImageUrn, Json, Place, PurchasePlan, Request
from azready.azure.steps import Act, Ensure, Read, Runner, Step, Work
from azready.errors import UsageFailure


@dataclass(frozen=True)
class Host:
    """How to reach a guest: what the ssh part needs. Without `key_file`, the user's own ssh configuration knows."""

    address: str
    user: str
    key_file: str


@dataclass(frozen=True)
class GuestWork:
    """What capture needs done inside guests; the command line passes it in. All raise Failure."""

    prepare: Callable[[Host], None]
    """Wait for sshd; take the agents out of the running system, put the guest program in."""
    check: Callable[[Host], str | None]
    """Look for everything that would keep an image of it from working on Azure.

    Returns the disk controllers that it can boot from, `SCSI` or `SCSI, NVMe`, when that can be seen.
    """
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
    """Of the VMs that are made; empty, with `vm`: what that VM has."""
    admin: str
    public_key: str
    key_file: str
    ssh_from: str
    security_type: str = "Standard"
    """Of the base VM: Standard or TrustedLaunch. A VM that exists is what it is."""
    definition: Definition | None = None
    """A gallery definition to make a version of; what the source decides is filled in. None makes a managed image."""
    version: str = ""
    regions: tuple[TargetRegion, ...] = ()
    try_it: bool = True
    keep: bool = False
    copy: bool = False
    """With `vm`: seal a copy of it, and leave the VM itself alone."""
    base_key: str | None = None
    """The private key of the existing VM; empty: the user's own ssh configuration knows. None: `key_file`."""
    subnet: str = ""
    """Id of a subnet that exists; empty makes a network."""
    public_address: bool = True
    encryption_set: str = ""
    plan: PurchasePlan | None = None
    specialized: bool = False
    """Take the VM as it is, name, users and all, and seal nothing: VMs of the image are copies."""

    @property
    def base(self) -> str:
        return self.vm if self.vm and not self.copy else f"{self.name}-base"

    @property
    def trial(self) -> str:
        return f"{self.name}-trial"

    @property
    def target(self) -> gallery.Target | None:
        """The version that is made; None for a managed image."""
        if self.definition is None:
            return None
        wanted = replace(self.definition, plan=self.plan, specialized=self.specialized)
        source = "" if self.vm else self.security_type
        bridge = f"{self.name}-source"
        return gallery.Target(self.place, wanted, self.version, self.regions, bridge, source or "Standard")

    @property
    def around(self) -> sources.Surroundings:
        return sources.Surroundings(self.place, self.name, self.ssh_from, self.subnet, self.public_address)

    def image(self, known: Known) -> str:
        """The id of what is made."""
        return self.target.id(known) if self.target else images.image_id(self.place, self.name)


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
    if wishes.subnet:
        preflight.check_subnet(wishes.subnet)
    if not wishes.public_address and not wishes.subnet:
        raise UsageFailure(
            "without a public address nobody reaches a VM in azready's own network",
            "give a subnet that you can reach: --subnet ID",
        )
    if wishes.specialized and (not wishes.vm or not wishes.definition):
        raise UsageFailure(
            "a specialized image is made of a VM of yours, in a gallery", "give --vm NAME and --gallery-name GALLERY"
        )
    if wishes.definition:
        preflight.check_gallery_name(wishes.definition.gallery)
        preflight.check_name("a gallery image definition", wishes.definition.name, 80)
        if wishes.version:
            preflight.parse_version(wishes.version)
    elif wishes.security_type == "TrustedLaunch":
        raise UsageFailure(
            "a managed image cannot be made of a Trusted Launch VM",
            "give --gallery-name and --gallery-image-definition, or --security-type Standard",
        )
    elif len(wishes.regions) > 1:
        raise UsageFailure(
            "a managed image lives in one region", "for --target-regions, make a gallery version: --gallery-name"
        )


def plan(wishes: Wishes, guest: GuestWork) -> list[Step]:
    """Every step in order. Pure: nothing is asked or done until a Runner carries them out."""
    target = wishes.target
    making = _specialized(wishes, target) if wishes.specialized and target else _making(wishes, guest)
    return [*_looks(wishes), *rights.look(wishes.place, making, [_console(wishes)]), *making]


def _console(wishes: Wishes) -> Request:
    return machines.console_log(wishes.place, wishes.trial)


def rights_of(wishes: Wishes, guest: GuestWork) -> frozenset[rights.Right]:
    """All that the verb asks for, the optional looks too."""
    return rights.of_steps(plan(wishes, guest), planned(wishes.place), [_console(wishes)])


def _looks(wishes: Wishes) -> list[Step]:
    """Everything that Azure could refuse, asked before anything is made."""
    place, target = wishes.place, wishes.target
    if wishes.vm:
        steps = sources.own_vm_facts(
            place, wishes.vm, wishes.admin, managed_image=target is None, copy=wishes.copy or wishes.specialized
        )
    else:
        steps = sources.marketplace_facts(place, wishes.urn, wishes.security_type)
    steps += gallery.look(target) if target else [preflight_steps.free_name(place, wishes.name)]
    if target:
        steps += preflight_steps.regions(place, target.regions)
    steps += preflight_steps.encryption_sets(place, wishes.encryption_set, wishes.regions)
    new = (not wishes.vm or wishes.copy) + wishes.try_it
    if new:
        steps += preflight_steps.room(place, wishes.size, new)
    return [*steps, *([preflight_steps.subnet(place, wishes.subnet)] if wishes.subnet else [])]


def _making(wishes: Wishes, guest: GuestWork) -> list[Step]:
    target = wishes.target
    steps: list[Step] = [Ensure("group", "resource group", lambda _: groups.create_group(wishes.place), shared=True)]
    if not wishes.vm:
        steps += _base_vm(wishes)
    elif wishes.copy:
        steps += sources.copied_vm(wishes.around, wishes.vm, wishes.encryption_set)
    elif wishes.try_it:
        steps += wishes.around.network()
    steps += _prepared(wishes, guest)
    steps += gallery.make_definition(target) if target else []
    steps += _sealed(wishes, guest)
    vm = machines.vm_id(wishes.place, wishes.base)
    steps += gallery.make_version(target, vm=vm) if target else [_managed_image(wishes, vm)]
    if wishes.try_it:
        steps += _trial(wishes, guest)
    return steps if wishes.keep else [*steps, *_clean_up(wishes)]


def _specialized(wishes: Wishes, target: gallery.Target) -> list[Step]:
    """A version from a snapshot of the VM's disk; a copy made from it has to run. No guest is touched."""
    place, snapshot = wishes.place, f"{wishes.name}-copy"
    steps: list[Step] = [
        Ensure("group", "resource group", lambda _: groups.create_group(place), shared=True),
        *gallery.make_definition(target),
        Ensure(
            "snapshot",
            f"snapshot of the disk of {wishes.vm}",
            lambda known: disks.create_snapshot(place, snapshot, known.os_disk or "<disk of the VM>"),
        ),
        *gallery.make_version(target, disk=disks.snapshot_id(place, snapshot)),
    ]
    if wishes.try_it:
        steps += [*wishes.around.network(no_way_out=True), *_trial_vm(wishes)]
    return steps if wishes.keep else [*steps, *_clean_up(wishes)]


def _base_vm(wishes: Wishes) -> list[Step]:
    def machine(known: Known) -> Request:
        wanted = VmWishes(
            name=wishes.base,
            size=wishes.size,
            image=replace(wishes.urn, version=known.image_version or wishes.urn.version),
            interface=f"{wishes.name}-base-nic",
            admin=wishes.admin,
            public_key=wishes.public_key,
            agent=True,
            security_type=wishes.security_type,
            plan=known.plan or wishes.plan,
            key_file=f"{wishes.key_file}.pub",
            encryption_set=wishes.encryption_set,
        )
        return machines.create_vm(wishes.place, wanted)

    return [
        *wishes.around.network(),
        *wishes.around.machine("base", "base VM", machine),
        sources.generation(wishes.place, wishes.base),
    ]


def _base_host(wishes: Wishes, known: Known) -> Host:
    key = wishes.key_file if wishes.base_key is None else wishes.base_key
    return Host(known.base_address, known.base_user or wishes.admin, key)


def _prepared(wishes: Wishes, guest: GuestWork) -> list[Step]:
    def prepare(known: Known) -> Known:
        guest.prepare(_base_host(wishes, known))
        return known

    def checked(known: Known) -> Known:
        found = guest.check(_base_host(wishes, known))
        return replace(known, controllers=found or "")

    target = f"ssh://{wishes.admin}@ADDRESS_OF_{wishes.base}"
    return [
        Work("prepare", "prepare over ssh", prepare, f"azready prepare {target} --yes"),
        Work("check", "check over ssh", checked, f"azready check {target} --before-generalize"),
    ]


def _sealed(wishes: Wishes, guest: GuestWork) -> list[Step]:
    place = wishes.place

    def seal(known: Known) -> Known:
        guest.generalize(_base_host(wishes, known))
        return known

    sealing = f"azready generalize ssh://{wishes.admin}@ADDRESS_OF_{wishes.base} --user {wishes.admin} --yes"
    return [
        Work("seal", "generalize over ssh", seal, sealing),
        Act("deallocate", "deallocate", lambda _: machines.deallocate(place, wishes.base)),
        Act("generalize", "mark as generalized", lambda _: machines.generalize(place, wishes.base)),
    ]


def _managed_image(wishes: Wishes, vm: str) -> Step:
    return Ensure(
        "image",
        f"image {wishes.name}",
        lambda known: images.create_image(wishes.place, wishes.name, known.generation, vm=vm),
    )


def _trial_vm(wishes: Wishes) -> list[Step]:
    def machine(known: Known) -> Request:
        feature = wishes.target.feature(known) if wishes.target else ""
        wanted = VmWishes(
            name=wishes.trial,
            size=wishes.size or known.vm_size,
            image=wishes.image(known),
            interface=f"{wishes.name}-trial-nic",
            admin=wishes.admin,
            public_key=wishes.public_key,
            agent=False,
            security_type="TrustedLaunch" if feature.startswith("TrustedLaunch") else "Standard",
            plan=known.plan or wishes.plan,
            key_file=f"{wishes.key_file}.pub",
            specialized=wishes.specialized,
            encryption_set=wishes.encryption_set,
        )
        return machines.create_vm(wishes.place, wanted)

    def learn(body: Json, known: Known) -> Known:
        return replace(known, trial=from_view(wishes.trial, body, running=wishes.specialized))

    view = machines.instance_view(wishes.place, wishes.trial)
    title = "trial VM, a copy" if wishes.specialized else "trial VM without agent"
    return [
        *wishes.around.machine("trial", title, machine),
        Read("trial-view", "what Azure says of it", lambda _: view, learn),
    ]


def _trial(wishes: Wishes, guest: GuestWork) -> list[Step]:
    def journal(known: Known) -> Known:
        text = guest.journal(Host(known.trial_address, wishes.admin, wishes.key_file))
        return replace(known, journal=tail(text))

    note = f"ssh {wishes.admin}@ADDRESS_OF_{wishes.trial} journalctl -u {installed.NAME}"
    return [*_trial_vm(wishes), Work("journal", "the guest's journal over ssh", journal, note)]


def _clean_up(wishes: Wishes) -> list[Step]:
    """Everything but the image, its group and what was there before; first what holds the others."""
    place, name = wishes.place, wishes.name
    gone = _machines_of_ours(wishes)
    if wishes.copy and not wishes.specialized:
        gone += [(disks.disk_id(place, f"{name}-base-os"), DISKS)]
    if wishes.copy or wishes.specialized:
        gone += [(disks.snapshot_id(place, f"{name}-copy"), DISKS)]
    return [remove(identity, version) for identity, version in gone]


def _machines_of_ours(wishes: Wishes) -> list[tuple[str, str]]:
    """The ids of the VMs that the run makes and of what is theirs, each with the api-version of its kind."""
    place, name = wishes.place, wishes.name
    parts = ["trial"] if wishes.try_it else []
    parts += ["base"] if not wishes.specialized and (wishes.copy or not wishes.vm) else []
    gone = [(place.compute("virtualMachines", f"{name}-{part}"), COMPUTE) for part in parts]
    gone += [(place.network("networkInterfaces", f"{name}-{part}-nic"), NETWORK) for part in parts]
    if wishes.public_address:
        gone += [(place.network("publicIPAddresses", f"{name}-{part}-ip"), NETWORK) for part in parts]
    if parts and not wishes.subnet:
        gone += [(place.network("virtualNetworks", f"{name}-vnet"), NETWORK)]
    if parts:
        gone += [(place.network("networkSecurityGroups", f"{name}-nsg"), NETWORK)]
    return gone


def run(
    wishes: Wishes,
    guest: GuestWork,
    runner: Runner,
    client: Client,
    fetch: Fetch,
    diagnose: Diagnose | None = None,
) -> Captured:
    """Carry out the plan. A trial VM that never becomes Ready: cause and console are in the failure's text."""
    try:
        known = runner.run(plan(wishes, guest), runner.state.run.known)
    except AzureFailure as failure:
        if failure.code.startswith("OSProvisioning"):
            heard = read_console(client, wishes.place, wishes.trial, fetch)
            found = heard.diagnosis(diagnose)
            failure.message += "".join(f"\n  {line}" for line in (found.lines if found else ()))
            failure.message += f"\n  the end of its console:\n{tail(heard.text, 40)}"
        raise
    return Captured(wishes.image(known), known.generation, known.trial, known.journal)
