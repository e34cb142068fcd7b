"""`azready capture`: a VM in Azure becomes an image that needs no agent."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli import completion, outputs
from azready.cli.azure_options import (
    DEFAULT_SIZE,
    Admin,
    Asked,
    EncryptionSet,
    GalleryOptions,
    Group,
    Keep,
    Location,
    Name,
    Plan,
    Restart,
    RunOptions,
    SshKey,
    Subnet,
    Yes,
)
from azready.cli.records import takes

if TYPE_CHECKING:
    from azready.azure.capture import Captured, GuestWork, Wishes
    from azready.console import Console

DEFAULT_IMAGE = "debian:debian-12:12-gen2:latest"


def register(app: typer.Typer) -> None:
    app.command("capture")(capture)


@dataclass(frozen=True, kw_only=True)
class Options(GalleryOptions, RunOptions):
    """What the command line says."""

    name: Name
    group: Group
    location: Location
    image: Annotated[str, typer.Option("--image", help="Marketplace image of the base VM: URN.")] = DEFAULT_IMAGE
    vm: Annotated[
        str, typer.Option("--vm", help="Capture this VM of the group: a copy of its disk is sealed, it stays as it is.")
    ] = ""
    seal_original: Annotated[
        bool, typer.Option("--seal-original", help="With --vm: seal the VM itself; it can never start again.")
    ] = False
    specialized: Annotated[
        bool,
        typer.Option("--specialized", help="With --vm: take it as it is, users and all; VMs of the image are copies."),
    ] = False
    security_type: Annotated[
        str,
        typer.Option(
            "--security-type",
            help="Standard; TrustedLaunch: the base VM is one, and so are all VMs of the image; or "
            "TrustedLaunchSupported: they may be. A VM of --vm is what it is.",
        ),
    ] = ""
    size: Annotated[
        str, typer.Option("--size", help=f"VM size; by default {DEFAULT_SIZE}, with --vm that VM's own.")
    ] = ""
    admin: Admin = "azureuser"
    ssh_key: SshKey = None  # type: ignore[assignment]
    ssh_from: Annotated[
        str, typer.Option("--ssh-from", help="Who may reach the VMs by ssh: an address or CIDR; auto finds ours.")
    ] = "auto"
    subnet: Subnet = ""
    public_ip: Annotated[
        bool,
        typer.Option(
            "--public-ip/--no-public-ip", help="Without: ssh goes to the private address, by your ssh config."
        ),
    ] = True
    encryption_set: EncryptionSet = ""
    plan: Plan = ""
    skip: Annotated[
        list[str],
        typer.Option(
            "--skip", help="A rule of `azready check` to leave out; repeatable.", autocompletion=completion.rules
        ),
    ] = field(default_factory=list)
    trial: Annotated[bool, typer.Option("--trial/--no-trial", help="Prove the image with a VM made from it.")] = True
    keep: Keep = False
    restart: Restart = False
    yes: Yes = False


@takes(Options)
def capture(given: Options) -> None:
    """Make an image without agent from a VM: create, prepare over ssh, capture, prove with a new VM, clean up.

    A VM of yours (--vm) is only read: a copy of its disk is sealed. Microsoft's article "Creating generalized images
    without a provisioning agent", as one command. A run that was cut off goes on where it stopped when the same
    command is given again.
    """
    from azready.azure import capture
    from azready.cli import azure_options as options
    from azready.console import Console
    from azready.image.rules import ids

    wanted = given.told(given.ssh_key)
    wishes = _wishes(given)
    capture.check(wishes)
    skip = ids.named(given.skip, areas=True)
    asked = given.asked
    console = Console()
    if given.role:
        options.print_role("capture", asked, capture.rights_of(wishes, _no_work()), console)
        return
    if given.dry_run:
        _print_plan(wishes, asked, wanted)
        return
    if given.seal_original:
        options.confirm(
            f"{given.vm} will be prepared, sealed and generalized: it can never start again. Go on?", given.yes
        )
    done = _run(wishes, asked, console, given.state, given.restart, skip)
    _render(done, given.keep, wanted)


def _wishes(given: Options) -> "Wishes":
    """What was asked for, as the azure part takes it. Raises UsageFailure."""
    from azready.azure import preflight
    from azready.azure.capture import Wishes
    from azready.azure.requests.model import parse_urn

    kind = _security_type(given)
    feature = kind if kind == "TrustedLaunchSupported" else ""
    place = given.place(given.group, given.location)
    return Wishes(
        place=place,
        name=given.name,
        urn=parse_urn(given.image),
        vm=given.vm,
        size=given.size or ("" if given.vm else DEFAULT_SIZE),
        admin=given.admin,
        public_key="",
        key_file=str(given.ssh_key or ""),
        ssh_from=given.ssh_from,
        security_type="TrustedLaunch" if kind == "TrustedLaunch" else "Standard",
        definition=replace(given.wanted(given.name), security_type=feature) if given.gallery_name else None,
        version=given.version,
        regions=given.targets(place.location, given.encryption_set),
        try_it=given.trial,
        keep=given.keep,
        copy=bool(given.vm) and not given.seal_original,
        base_key=str(given.ssh_key or "") if given.vm else None,
        subnet=given.subnet,
        public_address=given.public_ip,
        encryption_set=given.encryption_set,
        plan=preflight.parse_plan(given.plan),
        specialized=given.specialized,
    )


def _security_type(given: Options) -> str:
    from azready.cli.azure_options import SECURITY_TYPES, one_of
    from azready.errors import UsageFailure

    kind = one_of("--security-type", given.security_type, SECURITY_TYPES)
    if given.vm and kind not in ("", "TrustedLaunchSupported"):
        raise UsageFailure(
            f"a VM that exists is what it is: --security-type {kind} cannot change {given.vm}",
            "leave out --security-type",
        )
    if (given.seal_original or given.specialized) and not given.vm:
        raise UsageFailure("--seal-original and --specialized are of a VM of yours", "name it with --vm")
    if (kind == "TrustedLaunchSupported" or given.controllers) and not given.gallery_name:
        what = "--disk-controller-types" if given.controllers else kind
        raise UsageFailure(f"{what} is of a gallery definition", "give --gallery-name")
    return kind


def _print_plan(wishes: "Wishes", asked: Asked, wanted: "outputs.Wanted") -> None:
    from azready.azure import capture, known
    from azready.azure.requests.model import RUN_TAG
    from azready.cli import azure_options as options

    endpoint, found = options.planned_place(asked)
    tags = (*wishes.place.tags, (RUN_TAG, "<run>"))
    planned = replace(
        wishes,
        place=replace(wishes.place, subscription=found, tags=tags),
        public_key="<public key>",
        key_file=wishes.key_file or "<key>",
        ssh_from="<this machine>" if wishes.ssh_from == "auto" else wishes.ssh_from,
    )

    options.print_plan(capture.plan(planned, _no_work()), endpoint, wanted, known.planned(planned.place))


def _no_work() -> "GuestWork":
    """For a plan that is only looked at."""
    from azready.azure.capture import GuestWork

    def nothing(host: object) -> None:
        pass

    return GuestWork(nothing, nothing, nothing, lambda host: "")


def _run(
    wishes: "Wishes", asked: Asked, console: "Console", state: Path | None, restart: bool, skip: frozenset[str]
) -> "Captured":
    from azready.azure import capture, keys
    from azready.azure.console_log import fetcher
    from azready.azure.own_address import source_of_ssh
    from azready.azure.requests.model import RUN_TAG
    from azready.azure.state import telling_leftovers
    from azready.azure.steps import Runner
    from azready.cli import azure_options as options
    from azready.pipelines.capture import guest_work
    from azready.pipelines.console_log import diagnose

    inputs = {
        "subscription": asked.subscription,
        "location": wishes.place.location,
        "image": str(wishes.urn),
        "vm": wishes.vm,
        "size": wishes.size,
        "admin": wishes.admin,
        "gallery": wishes.definition.gallery if wishes.definition else "",
        "definition": wishes.definition.name if wishes.definition else "",
        "security": wishes.security_type,
        "version": wishes.version,
        "regions": options.regions_as_text(wishes.regions),
        "copy": str(wishes.copy),
        "specialized": str(wishes.specialized),
        "subnet": wishes.subnet,
        "public address": str(wishes.public_address),
        "encryption set": wishes.encryption_set,
        "plan of the image": str(wishes.plan or ""),
        **options.definition_inputs(wishes.definition),
    }
    file = options.open_state(state, "capture", wishes.place.group, wishes.name, inputs, restart, console)
    own_key = not wishes.key_file
    key = file.path.with_suffix(".key") if own_key else Path(wishes.key_file).expanduser()
    session = options.open_session(asked, console)
    tags = (*wishes.place.tags, (RUN_TAG, file.run.id))
    ready = replace(
        wishes,
        place=replace(wishes.place, subscription=session.subscription, tags=tags),
        public_key=keys.make(key) if own_key else keys.read_public(key),
        key_file=str(key),
        ssh_from=source_of_ssh(wishes.ssh_from, console.say) if wishes.public_address else "VirtualNetwork",
    )
    with telling_leftovers(file, console):
        runner = Runner(session.client, file, console)
        work = guest_work(file.path.with_suffix(".hosts"), console, skip)
        done = capture.run(ready, work, runner, session.client, fetcher(session.ca), diagnose)
    if not ready.keep:
        file.forget()
        file.path.with_suffix(".hosts").unlink(missing_ok=True)
        if own_key:
            keys.forget(key)
    else:
        console.say(f"Kept, with the key {key}; listed in {file.path}")
    return done


def _render(done: "Captured", keep: bool, wanted: outputs.Wanted) -> None:
    facts = {
        "image": done.image,
        "hyperVGeneration": done.generation,
        "ready": done.trial.ready if done.trial else None,
        "journal": done.journal.splitlines(),
        "kept": keep,
    }
    lines = [done.image]
    if done.trial:
        became = "became Ready" if done.trial.ready else "did not"
        lines.append(f"generation {done.generation}; a VM made from it {became}")
    lines += [f"  {line}" for line in done.journal.splitlines()]
    lines.append(f"make a VM: az vm create -g GROUP -n NAME --image {done.image} --enable-agent false")
    outputs.tell(wanted, lambda: "\n".join(lines), lambda: facts)
