"""`azready publish`: a disk on this machine becomes a managed image or a gallery version."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli.azure_options import (
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
    State,
    Subscription,
    Tags,
    Version,
)

if TYPE_CHECKING:
    from azready.azure.preflight import DiskFacts
    from azready.azure.publish import Published, Wishes
    from azready.console import Console


SECURITY_TYPES = ("", "Standard", "TrustedLaunch", "TrustedLaunchSupported")


def register(app: typer.Typer) -> None:
    app.command("publish")(publish)


def publish(
    disk: Annotated[Path, typer.Argument(metavar="DISK", help="A fixed VHD, as `azready convert` makes it.")],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the image.")],
    group: Group,
    location: Location,
    gallery_name: GalleryName = "",
    gallery_group: GalleryGroup = "",
    definition: DefinitionName = "",
    version: Version = "",
    regions: Regions = [],  # noqa: B006 # Typer copies it
    publisher: Publisher = "azready",
    offer: Offer = "linux",
    sku: Sku = "",
    generation: Annotated[
        str, typer.Option("--hyper-v-generation", help="V1 (BIOS) or V2 (UEFI); by default what the disk shows.")
    ] = "",
    architecture: Annotated[str, typer.Option("--architecture", help="x64 or Arm64.")] = "x64",
    security_type: Annotated[
        str,
        typer.Option(
            "--security-type",
            help="Of a new definition: Standard, or TrustedLaunchSupported (also: TrustedLaunch), whose VMs may be "
            "Trusted Launch.",
        ),
    ] = "",
    controllers: Controllers = "",
    os_state: Annotated[
        str, typer.Option("--os-state", help="Generalized; or Specialized: VMs are copies that nothing provisions.")
    ] = "Generalized",
    plan: Plan = "",
    disk_sku: Annotated[
        str, typer.Option("--storage-sku", help="Kind of the disk that is uploaded to.")
    ] = "Standard_LRS",
    encryption_set: EncryptionSet = "",
    keep_disk: Annotated[bool, typer.Option("--keep-disk", help="Keep the managed disk that was uploaded to.")] = False,
    tags: Tags = [],  # noqa: B006
    subscription: Subscription = "",
    cloud: CloudName = "",
    auth: Auth = "auto",
    state: State = None,  # type: ignore[assignment]
    restart: Restart = False,
    dry_run: DryRun = False,
    role: PrintRole = False,
    output: Output = "text",
    quiet: Quiet = False,
) -> None:
    """Upload a disk, only what is not zero, and make an image of it: in one region, or in many by a gallery.

    A run that was cut off goes on where it stopped, in the middle of the upload too.
    """
    from azready.azure import preflight
    from azready.azure import publish as publishing
    from azready.azure.requests.images import Definition
    from azready.azure.requests.model import Place
    from azready.cli import azure_options as options
    from azready.console import Console
    from azready.errors import UsageFailure

    options.check_output(output)
    facts = disk_facts(disk, generation, architecture)
    place = Place("", group, location.replace(" ", "").lower(), options.parse_tags(tags))
    asked_type = options.one_of("--security-type", security_type, SECURITY_TYPES)
    state_asked = options.one_of("--os-state", os_state, ("Generalized", "Specialized"))
    if (asked_type not in ("", "Standard") or state_asked == "Specialized" or plan) and not gallery_name:
        raise UsageFailure(
            "--security-type, --os-state Specialized and --plan are of a gallery definition", "give --gallery-name"
        )
    subscription_of, group_of, gallery = options.gallery_of(gallery_name, gallery_group)
    wanted = Definition(
        gallery,
        definition or name,
        publisher,
        offer,
        sku or name,
        facts.generation,
        facts.architecture,
        {"TrustedLaunch": "TrustedLaunchSupported", "Standard": ""}.get(asked_type, asked_type),
        options.controllers_of(controllers),
        preflight.parse_plan(plan),
        state_asked == "Specialized",
        subscription_of,
        group_of,
    )
    wishes = publishing.Wishes(
        place,
        name,
        disk,
        facts,
        wanted if gallery_name else None,
        version,
        preflight.parse_regions(regions, place.location),
        disk_sku,
        keep_disk,
        encryption_set,
    )
    publishing.check(wishes)
    asked = Asked(subscription, cloud, auth)
    console = Console(quiet=quiet)
    if role:
        options.print_role("publish", asked, publishing.rights_of(wishes), console)
        return
    if dry_run:
        _print_plan(wishes, asked, output)
        for line in preflight.shut_out(wishes.definition) if wishes.definition else ():
            console.say(line)
        return
    _render(_run(wishes, asked, console, state, restart), output)


def disk_facts(path: Path, generation: str, architecture: str) -> "DiskFacts":
    """What the image part finds in a disk file, as plain values for the Azure part. Raises UsageFailure."""
    from azready.azure.preflight import DiskFacts
    from azready.errors import UsageFailure
    from azready.image import conversion
    from azready.image.disk import diskfile
    from azready.image.disk.formats import vhd

    if generation not in ("", "V1", "V2"):
        raise UsageFailure(f"--hyper-v-generation is {generation!r}", "use V1 (BIOS) or V2 (UEFI)")
    if architecture not in ("x64", "Arm64"):
        raise UsageFailure(f"--architecture is {architecture!r}", "use x64 or Arm64")
    found = diskfile.inspect(path)
    fixed = found.format == "vhd"
    plan = conversion.plan(path)
    shown = [f"V{number}" for number in plan.generations]
    with diskfile.reading(replace(found, format="raw", size=path.stat().st_size)) as read:
        footer = vhd.parse(read(path.stat().st_size - vhd.FOOTER_SIZE, vhd.FOOTER_SIZE)) if fixed else None
    problems = list(vhd.problems(footer, path.stat().st_size)) if footer else []
    if generation and shown and generation not in shown:
        problems.append(f"it is made for {' and '.join(shown)}, not for {generation}")
    chosen = generation or (shown[-1] if shown else "")
    return DiskFacts(path.stat().st_size, fixed, chosen, architecture, tuple(problems))


def _print_plan(wishes: "Wishes", asked: Asked, output: str) -> None:
    from azready.azure import publish as publishing
    from azready.azure.requests.model import RUN_TAG
    from azready.cli import azure_options as options

    endpoint, found = options.planned_place(asked)
    tags = (*wishes.place.tags, (RUN_TAG, "<run>"))
    planned = replace(wishes, place=replace(wishes.place, subscription=found, tags=tags))
    options.print_plan(publishing.plan(planned, lambda: None), endpoint, output)


def _run(wishes: "Wishes", asked: Asked, console: "Console", state: Path | None, restart: bool) -> "Published":
    from azready.azure import publish as publishing
    from azready.azure.requests.model import RUN_TAG
    from azready.azure.state import telling_leftovers
    from azready.azure.steps import Runner
    from azready.cli import azure_options as options

    inputs = {
        "subscription": asked.subscription,
        "location": wishes.place.location,
        "disk": str(wishes.file.resolve()),
        "size": str(wishes.facts.size),
        "generation": wishes.facts.generation,
        "architecture": wishes.facts.architecture,
        "gallery": wishes.definition.gallery if wishes.definition else "",
        "definition": wishes.definition.name if wishes.definition else "",
        "version": wishes.version,
        "storage SKU": wishes.disk_sku,
        "regions": options.regions_as_text(wishes.regions),
        **options.definition_inputs(wishes.definition),
    }
    file = options.open_state(state, "publish", wishes.place.group, wishes.name, inputs, restart, console)
    session = options.open_session(asked, console)
    tags = (*wishes.place.tags, (RUN_TAG, file.run.id))
    ready = replace(wishes, place=replace(wishes.place, subscription=session.subscription, tags=tags))
    with telling_leftovers(file, console):
        runner = Runner(session.client, file, console)
        done = publishing.run(ready, runner, session.client, console, ca=session.ca)
    file.forget()
    return done


def _render(done: "Published", output: str) -> None:
    if output == "json":
        sent = done.uploaded
        facts = {
            "image": done.image,
            "bytesSent": sent.sent if sent else 0,
            "bytesSkipped": sent.skipped if sent else 0,
        }
        print(json.dumps(facts, indent=2))
        return
    print(done.image)
    print(f"try it: azready verify {done.image} -l REGION")
