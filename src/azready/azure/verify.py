"""VMs from an image, without agent: do they become Ready, when, and if not, what does their console say?

One VM, or a flexible scale set of many: Azure's own engine does the work. They have no public address unless asked
for, live in a resource group of their own unless one is given, and are removed whatever happened.
"""

import concurrent.futures
from collections.abc import Callable
from dataclasses import dataclass, replace

from azready.azure import preflight, preflight_steps, rights
from azready.azure.client import Client
from azready.azure.console_log import Diagnose, Fetch, guest_seconds, read_console, tail
from azready.azure.image_facts import facts_of_image, parse_image
from azready.azure.instances import UNREACHED, Instance, from_view
from azready.azure.known import Known, planned
from azready.azure.reach import Reach
from azready.azure.removal import remove
from azready.azure.requests import groups, machines, network
from azready.azure.requests.machines import VmWishes
from azready.azure.requests.model import COMPUTE, NETWORK, Json, Place, PurchasePlan, Request
from azready.azure.steps import Ensure, Remove, Runner, Step
from azready.console import Console
from azready.errors import Exit, Failure, UsageFailure

CONSOLES = 4
"""How many consoles are fetched at a time."""
READY_CONSOLES, FAILED_CONSOLES = 16, 20
"""Of how many VMs of each kind the console is fetched: one call for each VM, and more of the same tells nothing."""


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
    secure_boot: bool = True
    plan: PurchasePlan | None = None
    """The terms of the marketplace image that it comes from, when the definition does not name them."""
    subnet: str = ""
    """Id of a subnet that exists; empty makes a network."""

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
    asked: int = 1
    """How many VMs were asked for; Azure may make fewer."""

    @property
    def ready(self) -> int:
        return sum(instance.ready for instance in self.instances)

    @property
    def all_ready(self) -> bool:
        return self.ready == len(self.instances) >= self.asked and not self.error

    @property
    def outcome(self) -> str:
        """`ready`; `not ready`: a guest failed; `untried`: Azure failed, which says nothing of the image."""
        if any(instance.blames_guest for instance in self.instances):
            return "not ready"
        return "ready" if self.all_ready else "untried"

    def __str__(self) -> str:
        made = len(self.instances)
        copies = self.instances and not any(instance.owes_report for instance in self.instances)
        text = f"{self.ready} of {self.asked} {'running' if copies else 'Ready'}"
        return text if made >= self.asked else f"{text}; {self.asked - made} were not made"


class NotRemoved(Failure):
    """VMs were looked at, and then not everything could be removed. The report is kept."""

    def __init__(self, report: Report, failures: list[Failure]) -> None:
        super().__init__(
            f"{report}, but not everything could be removed: " + "\n".join(each.message for each in failures),
            "; ".join(dict.fromkeys(each.hint for each in failures)),
        )
        self.report = report
        self.exit_code = Exit.NEGATIVE if report.outcome == "not ready" else Exit.UNABLE


def check(wishes: Wishes) -> None:
    """Raise UsageFailure on what Azure would refuse later."""
    parse_image(wishes.image)
    preflight.check_group_name(wishes.place.group)
    preflight.check_name("a VM", wishes.name, 50)
    if not 1 <= wishes.instances <= 1000:
        raise UsageFailure(f"{wishes.instances} instances cannot be verified at once", "use --instances 1 to 1000")
    if wishes.is_set and wishes.ssh_from:
        raise UsageFailure("a scale set gets no public addresses here", "leave out --public-ip, or --instances")
    if wishes.subnet:
        preflight.check_subnet(wishes.subnet)


def plan(wishes: Wishes) -> list[Step]:
    """Every step in order, up to the VMs; `clean_up` is the rest."""
    place = wishes.place
    making = _making(wishes)
    steps: list[Step] = [
        *facts_of_image(wishes.image, place, wishes.security_type, wishes.plan),
        *preflight_steps.room(place, wishes.size, wishes.instances),
        *rights.look(place, [*making, *clean_up(wishes)], _looked_at(wishes)),
    ]
    return [*steps, *([preflight_steps.subnet(place, wishes.subnet)] if wishes.subnet else []), *making]


def rights_of(wishes: Wishes) -> frozenset[rights.Right]:
    """All that the verb asks for, the optional looks too."""
    steps = [*plan(wishes), *clean_up(wishes)]
    return rights.of_steps(steps, planned(wishes.place), _looked_at(wishes))


def _looked_at(wishes: Wishes) -> list[Request]:
    """What is asked when the VMs are there."""
    place, name = wishes.place, wishes.name
    looks = [machines.instance_view(place, name), machines.console_log(place, name), machines.read_vm(place, name)]
    return [*looks, *([machines.list_scale_set_vms(place, name)] if wishes.is_set else [])]


def _making(wishes: Wishes) -> list[Step]:
    place, name = wishes.place, wishes.name
    subnet = wishes.subnet or network.subnet_id(place, f"{name}-vnet")
    steps: list[Step] = [
        Ensure(
            "group", f"resource group {place.group}", lambda _: groups.create_group(place), shared=not wishes.own_group
        ),
        Ensure("nsg", "security group", lambda _: network.create_security_group(place, f"{name}-nsg", wishes.ssh_from)),
    ]
    if not wishes.subnet:
        steps.append(Ensure("vnet", "virtual network", lambda _: network.create_network(place, f"{name}-vnet")))
    if wishes.is_set:
        steps.append(
            Ensure("set", f"scale set of {wishes.instances} VMs without agent", _scale_set(wishes, subnet), again=False)
        )
        return steps
    address = f"{name}-ip" if wishes.ssh_from else ""
    if address:
        steps.append(
            Ensure(
                "ip",
                "public address",
                lambda _: network.create_public_address(place, address),
                learn=lambda body, known: replace(known, trial_address=str(body["properties"].get("ipAddress") or "")),
            )
        )
    steps += [
        Ensure(
            "nic",
            "network interface",
            lambda _: network.create_interface(place, f"{name}-nic", subnet, f"{name}-nsg", address),
        ),
        Ensure(
            "vm",
            "VM without agent",
            lambda known: machines.create_vm(place, _vm(wishes, known)),
            again=False,
            why=lambda _: machines.instance_view(place, name),
        ),
    ]
    return steps


def _vm(wishes: Wishes, known: Known) -> VmWishes:
    return VmWishes(
        name=wishes.name,
        size=wishes.size,
        image=wishes.image,
        interface=f"{wishes.name}-nic",
        admin=wishes.admin,
        public_key=wishes.public_key,
        agent=False,
        security_type=wishes.security_type or known.security_type or "Standard",
        secure_boot=wishes.secure_boot,
        plan=known.plan or wishes.plan,
        specialized=known.specialized,
    )


def _scale_set(wishes: Wishes, subnet: str) -> Callable[[Known], Request]:
    return lambda known: machines.create_scale_set(
        wishes.place, _vm(wishes, known), subnet, f"{wishes.name}-nsg", wishes.instances
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
    if not wishes.subnet:
        gone.append((place.network("virtualNetworks", f"{name}-vnet"), NETWORK))
    gone.append((place.network("networkSecurityGroups", f"{name}-nsg"), NETWORK))
    return [remove(identity, version) for identity, version in gone]


@dataclass(frozen=True)
class Probes:
    """How a VM is looked at from outside: its console fetched, that of one that failed explained, and the ssh server of
    a copy that has a public address tried."""

    fetch: Fetch
    diagnose: Diagnose | None = None
    reach: Reach | None = None

    def call(self, console: Console, instance: Instance, address: str) -> Instance:
        """A copy that runs, with whether its ssh server answers at its public address."""
        if not instance.ready or instance.owes_report or not address or self.reach is None:
            return instance
        with console.step(f"ssh server of {instance.name}"):
            reached = self.reach(address)
        if reached:
            return replace(instance, reached=True)
        message = f"it runs, but no ssh server answers at {address}"
        return replace(instance, ready=False, code=UNREACHED, message=message, reached=False)

    def hear(self, client: Client, place: Place, instance: Instance) -> Instance:
        """The instance with what its console says."""
        heard = read_console(client, place, instance.name, self.fetch)
        seconds = guest_seconds(heard.text)
        if instance.ready:
            return replace(instance, guest_seconds=seconds)
        found = heard.diagnosis(self.diagnose) if instance.blames_guest else None
        return replace(instance, guest_seconds=seconds, console=tail(heard.text, 30), diagnosis=found)


def run(
    wishes: Wishes,
    runner: Runner,
    client: Client,
    console: Console,
    probes: Probes,
) -> Report:
    """Create, look, remove. Raises Failure only when no VM came to be; a VM that failed is an answer.

    What was found out is never lost to a removal that fails: NotRemoved holds the report, and another failure tells of
    the removal behind its own words.
    """
    try:
        report = _tried(wishes, runner, client, console, probes)
    except BaseException as failure:
        failures = _removed(wishes, runner)
        if failures and isinstance(failure, Failure):
            failure.message += "\n  then " + "\n  then ".join(each.message for each in failures)
        raise
    failures = _removed(wishes, runner)
    if failures:
        raise NotRemoved(report, failures)
    return report


def _tried(wishes: Wishes, runner: Runner, client: Client, console: Console, probes: Probes) -> Report:
    error = ""
    try:
        known = runner.run(plan(wishes), runner.state.run.known)
    except Failure as failure:
        if not _vm_was_asked_for(wishes, runner):
            raise
        known, error = runner.state.run.known, failure.message
        console.say(error)
    instances = _look(wishes, known, client, console, probes)
    if not instances:
        raise Failure(error or "Azure made no VM", "run the same command again")
    if any(instance.blames_guest for instance in instances) and len(instances) >= wishes.instances:
        error = ""  # each instance says it itself
    return Report(wishes.image, instances, error, wishes.instances)


def _vm_was_asked_for(wishes: Wishes, runner: Runner) -> bool:
    kind = "virtualMachineScaleSets" if wishes.is_set else "virtualMachines"
    return any(f"/{kind}/" in item for item in runner.state.run.created)


def _removed(wishes: Wishes, runner: Runner) -> list[Failure]:
    """Remove what the run asked for and nothing else; what cannot be removed keeps nothing else from it."""
    failures: list[Failure] = []
    created = {item.lower() for item in runner.state.run.created}
    for step in [] if wishes.keep else clean_up(wishes):
        if isinstance(step, Remove) and step.request(Known()).path.lower() in created:
            try:
                runner.run([step], runner.state.run.known)
            except Failure as failure:
                failures.append(failure)
    return failures


def _of_set(wishes: Wishes, known: Known, client: Client) -> list[Instance]:
    found = client.find(machines.list_scale_set_vms(wishes.place, wishes.name))
    return [_instance(vm, known) for vm in (found.body.get("value") or [] if found else [])]


def _of_one(wishes: Wishes, known: Known, client: Client) -> list[Instance]:
    one = client.find(machines.read_vm(wishes.place, wishes.name))
    view = client.find(machines.instance_view(wishes.place, wishes.name)) if one else None
    return [_instance(one.body, known, view.body)] if one and view else []


def _look(wishes: Wishes, known: Known, client: Client, console: Console, probes: Probes) -> tuple[Instance, ...]:
    """Every VM's outcome; with the end of the console of those that failed."""
    instances = _of_set(wishes, known, client) if wishes.is_set else _of_one(wishes, known, client)
    if not wishes.is_set:
        address = known.trial_address if wishes.ssh_from else ""
        instances = [probes.call(console, instance, address) for instance in instances]
    instances.sort(key=lambda instance: instance.name)
    listened = {each.name for each in [one for one in instances if one.ready][:READY_CONSOLES]}
    listened |= {each.name for each in [one for one in instances if not one.ready][:FAILED_CONSOLES]}

    def listen(instance: Instance) -> Instance:
        return probes.hear(client, wishes.place, instance) if instance.name in listened else instance

    with (
        console.step(f"consoles of {len(listened)} of {len(instances)} VMs"),
        concurrent.futures.ThreadPoolExecutor(CONSOLES) as pool,
    ):
        return tuple(pool.map(listen, instances))


def _instance(vm: Json, known: Known, view: Json | None = None) -> Instance:
    properties = vm.get("properties") or {}
    created = str(properties.get("timeCreated") or "")
    return from_view(str(vm["name"]), view or properties.get("instanceView") or {}, created, running=known.specialized)
