"""`azready publish`: a disk on this machine becomes a managed image or a gallery version."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli import outputs
from azready.cli.azure_options import (
    Asked,
    EncryptionSet,
    GalleryOptions,
    Group,
    Location,
    Name,
    Plan,
    Restart,
    RunOptions,
)
from azready.cli.records import takes

if TYPE_CHECKING:
    from azready.azure.preflight import DiskFacts
    from azready.azure.publish import Published, Wishes
    from azready.azure.requests.images import Definition
    from azready.console import Console


def register(app: typer.Typer) -> None:
    app.command("publish")(publish)


@dataclass(frozen=True, kw_only=True)
class Options(GalleryOptions, RunOptions):
    """What the command line says."""

    disk: Annotated[Path, typer.Argument(metavar="DISK", help="A fixed VHD, as `azready convert` makes it.")]
    name: Name
    group: Group
    location: Location
    generation: Annotated[
        str, typer.Option("--hyper-v-generation", help="V1 (BIOS) or V2 (UEFI); by default what the disk shows.")
    ] = ""
    architecture: Annotated[str, typer.Option("--architecture", help="x64 or Arm64.")] = "x64"
    security_type: Annotated[
        str,
        typer.Option(
            "--security-type",
            help="Of a new definition: Standard, or TrustedLaunchSupported (also: TrustedLaunch), whose VMs may be "
            "Trusted Launch.",
        ),
    ] = ""
    os_state: Annotated[
        str, typer.Option("--os-state", help="Generalized; or Specialized: VMs are copies that nothing provisions.")
    ] = "Generalized"
    plan: Plan = ""
    disk_sku: Annotated[str, typer.Option("--storage-sku", help="Kind of the disk that is uploaded to.")] = (
        "Standard_LRS"
    )
    encryption_set: EncryptionSet = ""
    keep_disk: Annotated[bool, typer.Option("--keep-disk", help="Keep the managed disk that was uploaded to.")] = False
    restart: Restart = False


@takes(Options)
def publish(given: Options) -> None:
    """Upload a disk, only what is not zero, and make an image of it: in one region, or in many by a gallery.

    A run that was cut off goes on where it stopped, in the middle of the upload too.
    """
    from azready.azure import preflight, publish
    from azready.cli import azure_options as options
    from azready.console import Console

    wanted = given.told(given.disk)
    wishes = _wishes(given)
    publish.check(wishes)
    asked = given.asked
    console = Console()
    if given.role:
        options.print_role("publish", asked, publish.rights_of(wishes), console)
        return
    if given.dry_run:
        _print_plan(wishes, asked, wanted)
        for line in preflight.shut_out(wishes.definition) if wishes.definition else ():
            console.say(line)
        return
    _render(_run(wishes, asked, console, given.state, given.restart), wanted)


def _wishes(given: Options) -> "Wishes":
    """What was asked for, as the azure part takes it. Raises UsageFailure."""
    from azready.azure.publish import Wishes

    facts = disk_facts(given.disk, given.generation, given.architecture)
    place = given.place(given.group, given.location)
    wanted = _definition(given, facts)
    return Wishes(
        place,
        given.name,
        given.disk,
        facts,
        wanted if given.gallery_name else None,
        given.version,
        given.targets(place.location, given.encryption_set),
        given.disk_sku,
        given.keep_disk,
        given.encryption_set,
    )


def _definition(given: Options, facts: "DiskFacts") -> "Definition":
    from azready.azure import preflight
    from azready.cli import azure_options as options
    from azready.errors import UsageFailure

    kind = options.one_of("--security-type", given.security_type, options.SECURITY_TYPES)
    state = options.one_of("--os-state", given.os_state, ("Generalized", "Specialized"))
    of_gallery = {
        "--security-type": kind not in ("", "Standard"),
        "--os-state Specialized": state == "Specialized",
        "--plan": bool(given.plan),
        "--disk-controller-types": bool(given.controllers),
    }
    wrong = [option for option, was_given in of_gallery.items() if was_given]
    if wrong and not given.gallery_name:
        raise UsageFailure(f"{', '.join(wrong)}: of a gallery definition only", "give --gallery-name")
    return replace(
        given.wanted(given.name),
        generation=facts.generation,
        architecture=facts.architecture,
        security_type={"TrustedLaunch": "TrustedLaunchSupported", "Standard": ""}.get(kind, kind),
        plan=preflight.parse_plan(given.plan),
        specialized=state == "Specialized",
    )


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


def _print_plan(wishes: "Wishes", asked: Asked, wanted: "outputs.Wanted") -> None:
    from azready.azure import publish
    from azready.azure.requests.model import RUN_TAG
    from azready.cli import azure_options as options

    endpoint, found = options.planned_place(asked)
    tags = (*wishes.place.tags, (RUN_TAG, "<run>"))
    planned = replace(wishes, place=replace(wishes.place, subscription=found, tags=tags))
    options.print_plan(publish.plan(planned, lambda: None), endpoint, wanted)


def _run(wishes: "Wishes", asked: Asked, console: "Console", state: Path | None, restart: bool) -> "Published":
    from azready.azure import publish
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
        "encryption set": wishes.encryption_set,
        "regions": options.regions_as_text(wishes.regions),
        **options.definition_inputs(wishes.definition),
    }
    file = options.open_state(state, "publish", wishes.place.group, wishes.name, inputs, restart, console)
    session = options.open_session(asked, console)
    tags = (*wishes.place.tags, (RUN_TAG, file.run.id))
    ready = replace(wishes, place=replace(wishes.place, subscription=session.subscription, tags=tags))
    with telling_leftovers(file, console):
        runner = Runner(session.client, file, console)
        done = publish.run(ready, runner, session.client, console, ca=session.ca)
    file.forget()
    return done


def _render(done: "Published", wanted: outputs.Wanted) -> None:
    sent = done.uploaded
    facts = {
        "image": done.image,
        "bytesSent": sent.sent if sent else 0,
        "bytesSkipped": sent.skipped if sent else 0,
    }
    outputs.tell(wanted, lambda: f"{done.image}\ntry it: azready verify {done.image} -l REGION", lambda: facts)
