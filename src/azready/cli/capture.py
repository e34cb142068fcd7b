"""`azready capture`: a VM in Azure becomes an image that needs no agent."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli.azure_options import (
    DEFAULT_SIZE,
    Admin,
    Asked,
    Auth,
    CloudName,
    Controllers,
    DefinitionName,
    DryRun,
    EncryptionSet,
    GalleryGroup,
    GalleryName,
    Group,
    Location,
    Offer,
    Output,
    Plan,
    PrintRole,
    Publisher,
    Quiet,
    Regions,
    Restart,
    Sku,
    SshKey,
    State,
    Subnet,
    Subscription,
    Tags,
    Version,
    Yes,
)

if TYPE_CHECKING:
    from azready.azure.capture import Captured, GuestWork, Wishes
    from azready.console import Console

DEFAULT_IMAGE = "debian:debian-12:12-gen2:latest"
SECURITY_TYPES = ("", "Standard", "TrustedLaunch", "TrustedLaunchSupported")


def register(app: typer.Typer) -> None:
    app.command("capture")(capture)


def capture(
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the image.")],
    group: Group,
    location: Location,
    image: Annotated[str, typer.Option("--image", help="Marketplace image of the base VM: URN.")] = DEFAULT_IMAGE,
    vm: Annotated[
        str, typer.Option("--vm", help="Capture this VM of the group: a copy of its disk is sealed, it stays as it is.")
    ] = "",
    seal_original: Annotated[
        bool, typer.Option("--seal-original", help="With --vm: seal the VM itself; it can never start again.")
    ] = False,
    specialized: Annotated[
        bool,
        typer.Option("--specialized", help="With --vm: take it as it is, users and all; VMs of the image are copies."),
    ] = False,
    gallery_name: GalleryName = "",
    gallery_group: GalleryGroup = "",
    definition: DefinitionName = "",
    version: Version = "",
    regions: Regions = [],  # noqa: B006 # Typer copies it
    publisher: Publisher = "azready",
    offer: Offer = "linux",
    sku: Sku = "",
    security_type: Annotated[
        str,
        typer.Option(
            "--security-type",
            help="Standard; TrustedLaunch: the base VM is one, and so are all VMs of the image; or "
            "TrustedLaunchSupported: they may be. A VM of --vm is what it is.",
        ),
    ] = "",
    controllers: Controllers = "",
    size: Annotated[
        str, typer.Option("--size", help=f"VM size; by default {DEFAULT_SIZE}, with --vm that VM's own.")
    ] = "",
    admin: Admin = "azureuser",
    ssh_key: SshKey = None,  # type: ignore[assignment]
    ssh_from: Annotated[
        str, typer.Option("--ssh-from", help="Who may reach the VMs by ssh: an address or CIDR; auto finds ours.")
    ] = "auto",
    subnet: Subnet = "",
    public_ip: Annotated[
        bool,
        typer.Option(
            "--public-ip/--no-public-ip", help="Without: ssh goes to the private address, by your ssh config."
        ),
    ] = True,
    encryption_set: EncryptionSet = "",
    plan: Plan = "",
    skip: Annotated[list[str], typer.Option("--skip", help="A rule of `azready check` to leave out; repeatable.")] = [],  # noqa: B006
    trial: Annotated[bool, typer.Option("--trial/--no-trial", help="Prove the image with a VM made from it.")] = True,
    keep: Annotated[bool, typer.Option("--keep", help="Remove nothing afterwards.")] = False,
    tags: Tags = [],  # noqa: B006
    subscription: Subscription = "",
    cloud: CloudName = "",
    auth: Auth = "auto",
    state: State = None,  # type: ignore[assignment]
    restart: Restart = False,
    dry_run: DryRun = False,
    role: PrintRole = False,
    yes: Yes = False,
    output: Output = "text",
    quiet: Quiet = False,
) -> None:
    """Make an image without agent from a VM: create, prepare over ssh, capture, prove with a new VM, clean up.

    A VM of yours (--vm) is only read: a copy of its disk is sealed. Microsoft's article "Creating generalized images
    without a provisioning agent", as one command. A run that was cut off goes on where it stopped when the same
    command is given again.
    """
    from azready.azure import capture as capturing
    from azready.azure import preflight
    from azready.azure.requests.images import Definition
    from azready.azure.requests.model import Place, parse_urn
    from azready.cli import azure_options as options
    from azready.console import Console
    from azready.errors import UsageFailure

    options.check_output(output)
    place = Place("", group, location.replace(" ", "").lower(), options.parse_tags(tags))
    kind = options.one_of("--security-type", security_type, SECURITY_TYPES)
    if vm and kind not in ("", "TrustedLaunchSupported"):
        raise UsageFailure(
            f"a VM that exists is what it is: --security-type {kind} cannot change {vm}", "leave out --security-type"
        )
    if (seal_original or specialized) and not vm:
        raise UsageFailure("--seal-original and --specialized are of a VM of yours", "name it with --vm")
    if kind == "TrustedLaunchSupported" and not gallery_name:
        raise UsageFailure("TrustedLaunchSupported is of a gallery definition", "give --gallery-name")
    subscription_of, group_of, gallery = options.gallery_of(gallery_name, gallery_group)
    wanted = Definition(
        gallery,
        definition or name,
        publisher,
        offer,
        sku or name,
        "",
        security_type=kind if kind == "TrustedLaunchSupported" else "",
        controllers=options.controllers_of(controllers),
        subscription=subscription_of,
        group=group_of,
    )
    wishes = capturing.Wishes(
        place=place,
        name=name,
        urn=parse_urn(image),
        vm=vm,
        size=size or ("" if vm else DEFAULT_SIZE),
        admin=admin,
        public_key="",
        key_file=str(ssh_key or ""),
        ssh_from=ssh_from,
        security_type="TrustedLaunch" if kind == "TrustedLaunch" else "Standard",
        definition=wanted if gallery_name else None,
        version=version,
        regions=preflight.parse_regions(regions, place.location),
        try_it=trial,
        keep=keep,
        copy=bool(vm) and not seal_original,
        base_key=str(ssh_key or "") if vm else None,
        subnet=subnet,
        public_address=public_ip,
        encryption_set=encryption_set,
        plan=preflight.parse_plan(plan),
        specialized=specialized,
    )
    capturing.check(wishes)
    asked = Asked(subscription, cloud, auth)
    console = Console(quiet=quiet)
    if role:
        options.print_role("capture", asked, capturing.rights_of(wishes, _no_work()), console)
        return
    if dry_run:
        _print_plan(wishes, asked, output)
        return
    if seal_original:
        options.confirm(f"{vm} will be prepared, sealed and generalized: it can never start again. Go on?", yes)
    done = _run(wishes, asked, console, state, restart, frozenset(each.upper() for each in skip))
    _render(done, keep, output)


def _print_plan(wishes: "Wishes", asked: Asked, output: str) -> None:
    from azready.azure import capture as capturing
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

    options.print_plan(capturing.plan(planned, _no_work()), endpoint, output)


def _no_work() -> "GuestWork":
    """For a plan that is only looked at."""
    from azready.azure.capture import GuestWork

    def nothing(host: object) -> None:
        pass

    return GuestWork(nothing, nothing, nothing, lambda host: "")


def _run(
    wishes: "Wishes", asked: Asked, console: "Console", state: Path | None, restart: bool, skip: frozenset[str]
) -> "Captured":
    from azready.azure import capture as capturing
    from azready.azure import keys
    from azready.azure.console_log import fetcher
    from azready.azure.own_address import source_of_ssh
    from azready.azure.requests.model import RUN_TAG
    from azready.azure.state import telling_leftovers
    from azready.azure.steps import Runner
    from azready.cli import azure_options as options
    from azready.pipelines.capture import guest_work

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
        done = capturing.run(ready, work, runner, session.client, fetcher(session.ca))
    if not ready.keep:
        file.forget()
        file.path.with_suffix(".hosts").unlink(missing_ok=True)
        if own_key:
            keys.forget(key)
    else:
        console.say(f"Kept, with the key {key}; listed in {file.path}")
    return done


def _render(done: "Captured", keep: bool, output: str) -> None:
    if output == "json":
        facts = {
            "image": done.image,
            "hyperVGeneration": done.generation,
            "ready": done.trial.ready if done.trial else None,
            "journal": done.journal.splitlines(),
            "kept": keep,
        }
        print(json.dumps(facts, indent=2))
        return
    print(done.image)
    if done.trial:
        print(f"generation {done.generation}; a VM made from it " + ("became Ready" if done.trial.ready else "did not"))
    for line in done.journal.splitlines():
        print(f"  {line}")
    print(f"make a VM: az vm create -g GROUP -n NAME --image {done.image} --enable-agent false")
