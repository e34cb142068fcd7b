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
    DefinitionName,
    DryRun,
    GalleryName,
    Group,
    Location,
    Offer,
    Output,
    Publisher,
    Quiet,
    Regions,
    Restart,
    SecurityFeature,
    Size,
    Sku,
    SshKey,
    State,
    Subscription,
    Tags,
    Version,
    Yes,
)

if TYPE_CHECKING:
    from azready.azure.capture import Captured, Wishes
    from azready.console import Console

DEFAULT_IMAGE = "debian:debian-12:12-gen2:latest"


def register(app: typer.Typer) -> None:
    app.command("capture")(capture)


def capture(
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the image.")],
    group: Group,
    location: Location,
    image: Annotated[str, typer.Option("--image", help="Marketplace image of the base VM: URN.")] = DEFAULT_IMAGE,
    vm: Annotated[str, typer.Option("--vm", help="Capture this VM of the group; it can never start again.")] = "",
    gallery_name: GalleryName = "",
    definition: DefinitionName = "",
    version: Version = "",
    regions: Regions = [],  # noqa: B006 # Typer copies it
    publisher: Publisher = "azready",
    offer: Offer = "linux",
    sku: Sku = "",
    security_type: SecurityFeature = "Standard",
    size: Size = DEFAULT_SIZE,
    admin: Admin = "azureuser",
    ssh_key: SshKey = None,  # type: ignore[assignment]
    ssh_from: Annotated[
        str, typer.Option("--ssh-from", help="Who may reach the VMs by ssh: an address or CIDR; auto finds ours.")
    ] = "auto",
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
    yes: Yes = False,
    output: Output = "text",
    quiet: Quiet = False,
) -> None:
    """Make an image without agent from a VM: create, prepare over ssh, capture, prove with a new VM, clean up.

    Microsoft's article "Creating generalized images without a provisioning agent", as one command. A run that
    was cut off goes on where it stopped when the same command is given again.
    """
    from azready.azure import capture as capturing
    from azready.azure import preflight
    from azready.azure.requests.images import Definition
    from azready.azure.requests.model import Place, parse_urn
    from azready.cli import azure_options as options
    from azready.console import Console

    options.check_output(output)
    place = Place("", group, location.replace(" ", "").lower(), options.parse_tags(tags))
    feature = "TrustedLaunchSupported" if security_type == "TrustedLaunch" else ""
    wanted = Definition(gallery_name, definition or name, publisher, offer, sku or name, "", security_type=feature)
    wishes = capturing.Wishes(
        place=place,
        name=name,
        urn=parse_urn(image),
        vm=vm,
        size=size,
        admin=admin,
        public_key="",
        key_file=str(ssh_key or ""),
        ssh_from=ssh_from,
        security_type=security_type,
        definition=wanted if gallery_name else None,
        version=version,
        regions=preflight.parse_regions(regions, place.location),
        try_it=trial,
        keep=keep,
    )
    capturing.check(wishes)
    asked = Asked(subscription, cloud, auth)
    if dry_run:
        _print_plan(wishes, asked, output)
        return
    console = Console(quiet=quiet)
    if vm:
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

    def nothing(host: object) -> None:
        pass

    work = capturing.GuestWork(nothing, nothing, nothing, lambda host: "")
    options.print_plan(capturing.plan(planned, work), endpoint, output)


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
        "security": wishes.security_type,
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
        ssh_from=source_of_ssh(wishes.ssh_from, console.say),
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
        print(f"generation {done.generation}; a VM made from it became Ready" if done.trial.ready else "not Ready")
    for line in done.journal.splitlines():
        print(f"  {line}")
    print(f"make a VM: az vm create -g GROUP -n NAME --image {done.image} --enable-agent false")
