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


def register(app: typer.Typer) -> None:
    app.command("publish")(publish)


def publish(
    disk: Annotated[Path, typer.Argument(metavar="DISK", help="A fixed VHD, as `azready convert` makes it.")],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the image.")],
    group: Group,
    location: Location,
    gallery_name: GalleryName = "",
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
    security_type: SecurityFeature = "",
    controllers: Annotated[
        str, typer.Option("--disk-controller-types", help="Feature of a new definition: `SCSI, NVMe`.")
    ] = "",
    disk_sku: Annotated[
        str, typer.Option("--storage-sku", help="Kind of the disk that is uploaded to.")
    ] = "Standard_LRS",
    keep_disk: Annotated[bool, typer.Option("--keep-disk", help="Keep the managed disk that was uploaded to.")] = False,
    tags: Tags = [],  # noqa: B006
    subscription: Subscription = "",
    cloud: CloudName = "",
    auth: Auth = "auto",
    state: State = None,  # type: ignore[assignment]
    restart: Restart = False,
    dry_run: DryRun = False,
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

    options.check_output(output)
    facts = disk_facts(disk, generation, architecture)
    place = Place("", group, location.replace(" ", "").lower(), options.parse_tags(tags))
    feature = {"TrustedLaunch": "TrustedLaunchSupported", "Standard": ""}.get(security_type, security_type)
    wanted = Definition(
        gallery_name,
        definition or name,
        publisher,
        offer,
        sku or name,
        facts.generation,
        facts.architecture,
        feature,
        controllers,
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
    )
    publishing.check(wishes)
    asked = Asked(subscription, cloud, auth)
    if dry_run:
        _print_plan(wishes, asked, output)
        return
    console = Console(quiet=quiet)
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
