"""VMs from an image, without agent: do they become Ready, when, and if not, what does their console say?

One VM, or a flexible scale set of many: Azure's own engine does the work. They have no public address unless asked
for, live in a resource group of their own unless one is given, and are removed whatever happened.
"""

import concurrent.futures
from collections.abc import Callable
from dataclasses import dataclass, replace

from azready.azure import preflight
from azready.azure.capture import remove, room
from azready.azure.client import Client
from azready.azure.console_log import Fetch, guest_seconds, read_console, tail
from azready.azure.instances import Instance, from_view
from azready.azure.known import Known
from azready.azure.problems import AzureFailure
from azready.azure.requests import groups, machines, network
from azready.azure.requests.machines import VmWishes
from azready.azure.requests.model import COMPUTE, GALLERIES, NETWORK, Json, Place, Request, read
from azready.azure.steps import Ensure, Read, Remove, Runner, Step
from azready.console import Console
from azready.errors import Failure, UsageFailure

CONSOLES = 4
"""How many consoles are fetched at a time."""


@dataclass(frozen=True)
class Wishes:
    """What to verify. `own_group`: the group is made for it and removed with it."""

    place: Place
    own_group: bool
    name: str
    image: str
    size: str
    admin: str
    public_key: str
    instances: int = 1
    security_type: str = ""
    """TrustedLaunch, Standard, or empty: what the gallery definition says."""
    ssh_from: str = ""
    """Who may reach the VM by ssh, at a public address; empty: nobody, and there is no public address."""
    keep: bool = False

    @property
    def is_set(self) -> bool:
        return self.instances > 1


@dataclass(frozen=True)
class Report:
    """What came of it: one instance a VM, in the order of their names."""

    image: str
    instances: tuple[Instance, ...]
    error: str = ""
    """What Azure said of the whole when it was not content."""

    @property
    def all_ready(self) -> bool:
        return bool(self.instances) and all(instance.ready for instance in self.instances)


def check(wishes: Wishes) -> None:
    """Raise UsageFailure on what Azure would refuse later."""
    parse_image(wishes.image)
    preflight.check_group_name(wishes.place.group)
    preflight.check_name("a VM", wishes.name, 50)
    if not 1 <= wishes.instances <= 1000:
        raise UsageFailure(f"{wishes.instances} instances cannot be verified at once", "use --instances 1 to 1000")
    if wishes.is_set and wishes.ssh_from:
        raise UsageFailure("a scale set gets no public addresses here", "leave out --public-ip, or --instances")


def parse_image(identity: str) -> tuple[str, str]:
    """The kind (`images` or `galleries`) of an image id, and the id to read its facts from.

    Raises UsageFailure when it is not the id of an image.
    """
    parts = identity.strip("/").split("/")
    lower = [part.lower() for part in parts]
    if len(parts) in (8, 10, 12) and lower[0] == "subscriptions" and lower[5] == "microsoft.compute":
        if lower[6] == "images" and len(parts) == 8:
            return "images", "/" + "/".join(parts)
        if lower[6] == "galleries" and len(parts) >= 10 and lower[8] == "images":
            return "galleries", "/" + "/".join(parts[:10])
    raise UsageFailure(
        f"{identity!r} is not the id of an image",
        "give the whole id, as `az image show -g GROUP -n NAME --query id -o tsv` or "
        "`az sig image-version show … --query id -o tsv` print it (azready publish and capture print it too)",
    )


def plan(wishes: Wishes) -> list[Step]:
    """Every step in order, up to the VMs; `clean_up` is the rest."""
    kind, source = parse_image(wishes.image)
    place, name = wishes.place, wishes.name

    def learn(body: Json, known: Known) -> Known:
        properties = body["properties"]
        features = {item.get("name"): str(item.get("value", "")) for item in properties.get("features") or ()}
        if properties.get("osState", "Generalized") != "Generalized":
            raise Failure(
                f"the image definition is {properties['osState']}: its VMs are copies, nothing is provisioned",
                "publish to a definition with osState Generalized",
            )
        trusted = "trustedlaunch" in features.get("SecurityType", "").lower()
        return replace(
            known,
            generation=str(properties.get("hyperVGeneration") or "V1"),
            architecture=str(properties.get("architecture") or "x64"),
            security_type="TrustedLaunch" if trusted else "Standard",
        )

    version = GALLERIES if kind == "galleries" else COMPUTE
    steps: list[Step] = [
        Read("image-facts", "the image", lambda _: read(source, version), learn),
        *room(place, wishes.size, wishes.instances),
        Ensure(
            "group", f"resource group {place.group}", lambda _: groups.create_group(place), shared=not wishes.own_group
        ),
        Ensure("nsg", "security group", lambda _: network.create_security_group(place, f"{name}-nsg", wishes.ssh_from)),
        Ensure("vnet", "virtual network", lambda _: network.create_network(place, f"{name}-vnet")),
    ]
    if wishes.is_set:
        steps.append(
            Ensure("set", f"scale set of {wishes.instances} VMs without agent", _scale_set(wishes), again=False)
        )
        return steps
    address = f"{name}-ip" if wishes.ssh_from else ""
    if address:
        steps.append(Ensure("ip", "public address", lambda _: network.create_public_address(place, address)))
    steps += [
        Ensure(
            "nic",
            "network interface",
            lambda _: network.create_interface(place, f"{name}-nic", f"{name}-vnet", f"{name}-nsg", address),
        ),
        Ensure("vm", "VM without agent", lambda known: machines.create_vm(place, _vm(wishes, known)), again=False),
    ]
    return steps


def _vm(wishes: Wishes, known: Known) -> VmWishes:
    security = wishes.security_type or known.security_type or "Standard"
    return VmWishes(
        name=wishes.name,
        size=wishes.size,
        image=wishes.image,
        interface=f"{wishes.name}-nic",
        admin=wishes.admin,
        public_key=wishes.public_key,
        agent=False,
        security_type=security,
    )


def _scale_set(wishes: Wishes) -> Callable[[Known], Request]:
    name = wishes.name
    return lambda known: machines.create_scale_set(
        wishes.place, _vm(wishes, known), f"{name}-vnet", f"{name}-nsg", wishes.instances
    )


def clean_up(wishes: Wishes) -> list[Step]:
    """Remove the group when it is ours, else each resource, first what holds the others."""
    place, name = wishes.place, wishes.name
    if wishes.own_group:
        return [Remove("remove group", f"remove resource group {place.group}", lambda _: groups.delete_group(place))]
    machine = place.compute("virtualMachineScaleSets" if wishes.is_set else "virtualMachines", name)
    gone = [(machine, COMPUTE)]
    if not wishes.is_set:
        gone.append((place.network("networkInterfaces", f"{name}-nic"), NETWORK))
        if wishes.ssh_from:
            gone.append((place.network("publicIPAddresses", f"{name}-ip"), NETWORK))
    gone += [
        (place.network("virtualNetworks", f"{name}-vnet"), NETWORK),
        (place.network("networkSecurityGroups", f"{name}-nsg"), NETWORK),
    ]
    return [remove(identity, version) for identity, version in gone]


def run(wishes: Wishes, runner: Runner, client: Client, console: Console, fetch: Fetch) -> Report:
    """Create, look, remove. Raises Failure only when no VM came to be; a VM that failed is an answer."""
    try:
        error = ""
        try:
            runner.run(plan(wishes), runner.state.run.known)
        except AzureFailure as failure:
            if not _vm_was_asked_for(wishes, runner):
                raise
            error = failure.message
            console.say(error)
        instances = _look(wishes, client, console, fetch)
        if not instances:
            raise Failure(error or "Azure made no VM", "run the same command again")
        return Report(wishes.image, instances, error)
    finally:
        if not wishes.keep and runner.state.run.created:
            runner.run(_only_created(clean_up(wishes), runner), Known())


def _vm_was_asked_for(wishes: Wishes, runner: Runner) -> bool:
    kind = "virtualMachineScaleSets" if wishes.is_set else "virtualMachines"
    return any(f"/{kind}/" in item for item in runner.state.run.created)


def _only_created(steps: list[Step], runner: Runner) -> list[Step]:
    """A run that failed early removes what it asked for, and touches nothing else."""
    created = {item.lower() for item in runner.state.run.created}
    return [step for step in steps if isinstance(step, Remove) and step.request(Known()).path.lower() in created]


def _look(wishes: Wishes, client: Client, console: Console, fetch: Fetch) -> tuple[Instance, ...]:
    """Every VM's outcome; with the end of the console of those that failed."""
    place = wishes.place
    if wishes.is_set:
        found = client.find(machines.list_scale_set_vms(place, wishes.name))
        vms = list((found.body.get("value") or []) if found else [])
    else:
        one = client.find(machines.read_vm(place, wishes.name))
        vms = [one.body] if one else []

    def look(vm: Json) -> Instance:
        name = str(vm["name"])
        created = str((vm.get("properties") or {}).get("timeCreated") or "")
        instance = from_view(name, client.send(machines.instance_view(place, name)).body, created)
        text = read_console(client, place, name, fetch)
        return replace(instance, guest_seconds=guest_seconds(text), console="" if instance.ready else tail(text, 30))

    with (
        console.step(f"instance views and consoles of {len(vms)} VMs"),
        concurrent.futures.ThreadPoolExecutor(CONSOLES) as pool,
    ):
        return tuple(sorted(pool.map(look, vms), key=lambda instance: instance.name))
