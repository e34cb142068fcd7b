"""A VHD on this machine becomes a managed image, or a gallery version in many regions.

The disk is uploaded straight into a managed disk (no storage account), which is the source of the image and is
removed afterwards. Everything that can be refused is looked at before the first byte is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from azready.azure import preflight
from azready.azure.capture import gallery_steps
from azready.azure.client import Client
from azready.azure.known import Known
from azready.azure.pages import Sas
from azready.azure.preflight import DiskFacts, check_definition, next_version
from azready.azure.requests import disks, groups, images
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.model import COMPUTE, DISKS, GALLERIES, Json, Place, Request, delete, read
from azready.azure.state import StateFile
from azready.azure.steps import Act, Ensure, NameTaken, Read, Remove, Runner, Step, Work
from azready.azure.upload import Upload, Uploaded, journal_for
from azready.console import Console
from azready.errors import UsageFailure


@dataclass(frozen=True)
class Wishes:
    """What to publish. With a `definition` the result is a gallery version, else the managed image `name`."""

    place: Place
    name: str
    file: Path
    facts: DiskFacts
    definition: Definition | None = None
    version: str = ""
    regions: tuple[TargetRegion, ...] = ()
    disk_sku: str = "Standard_LRS"
    keep_disk: bool = False

    @property
    def disk(self) -> str:
        return f"{self.name}-upload"

    def image(self, known: Known) -> str:
        """The id of what is made."""
        if self.definition is None:
            return images.image_id(self.place, self.name)
        return images.version_id(self.place, self.definition.gallery, self.definition.name, known.version)


@dataclass(frozen=True)
class Published:
    """What came of it; `uploaded` is None when an earlier run had uploaded everything."""

    image: str
    uploaded: Uploaded | None


def check(wishes: Wishes) -> None:
    """Raise UsageFailure on everything that is wrong without asking Azure."""
    preflight.check_disk(wishes.file.name, wishes.facts)
    preflight.check_group_name(wishes.place.group)
    preflight.check_name("an image", wishes.name, 80 - len("-upload"))
    if wishes.definition is None:
        if wishes.facts.architecture != "x64":
            raise UsageFailure(
                f"a managed image cannot be {wishes.facts.architecture}",
                "publish to a gallery: --gallery-name and --gallery-image-definition",
            )
        if len(wishes.regions) > 1:
            raise UsageFailure(
                "a managed image lives in one region", "for --target-regions, publish to a gallery: --gallery-name"
            )
        return
    preflight.check_gallery_name(wishes.definition.gallery)
    preflight.check_name("a gallery image definition", wishes.definition.name, 80)
    if wishes.version:
        preflight.parse_version(wishes.version)


def plan(wishes: Wishes, upload: Callable[[], None]) -> list[Step]:
    """Every step in order; `upload` sends the file (its SAS comes from the printed `beginGetAccess`)."""
    place = wishes.place

    def send(known: Known) -> Known:
        upload()
        return known

    steps: list[Step] = [*_regions(wishes), *_looks(wishes)]
    steps.append(Ensure("group", "resource group", lambda _: groups.create_group(place), shared=True))
    steps += [
        Ensure("disk", f"managed disk {wishes.disk}", lambda _: _disk(wishes)),
        Work(
            "upload",
            f"upload {wishes.file.name}",
            send,
            "page writes to the SAS that beginGetAccess gives; azcopy copy FILE SAS --blob-type PageBlob",
            request=disks.grant_access(place, wishes.disk),
            tells=True,
        ),
        Act("revoke", "end of the upload", lambda _: disks.revoke_access(place, wishes.disk)),
    ]
    disk = disks.disk_id(place, wishes.disk)
    wanted = wishes.definition
    if wanted is None:
        generation = wishes.facts.generation
        steps.append(
            Ensure(
                "image",
                f"image {wishes.name}",
                lambda _: images.create_image(place, wishes.name, generation, disk=disk),
            )
        )
    else:

        def version(known: Known) -> Request:
            return images.create_version(place, wanted, known.version, wishes.regions, disk=disk)

        steps += gallery_steps(place, lambda _: wanted, wishes.version, version)
    if not wishes.keep_disk:
        steps.append(Remove("remove disk", f"remove disks/{wishes.disk}", lambda _: delete(disk, DISKS, disks.QUICK)))
    return steps


def _disk(wishes: Wishes) -> Request:
    facts = wishes.facts
    return disks.create_upload_disk(
        wishes.place, wishes.disk, facts.size, facts.generation, facts.architecture, wishes.disk_sku
    )


def _regions(wishes: Wishes) -> list[Step]:
    """Ask for each region's quotas: a region that does not exist is refused before the upload, not after."""
    names = [wishes.place.location, *(region.name for region in wishes.regions if region.name != wishes.place.location)]
    return [_region(Place(wishes.place.subscription, wishes.place.group, name)) for name in names]


def _region(place: Place) -> Read:
    return Read(f"region {place.location}", f"region {place.location}", lambda _: groups.list_usages(place), once=True)


def _looks(wishes: Wishes) -> list[Step]:
    """Look at what is there already, before the upload: an image of that name, a definition that does not fit."""
    place, wanted = wishes.place, wishes.definition

    def taken(body: Json, known: Known) -> Known:
        raise NameTaken(read(str(body["id"]), COMPUTE))

    def free(_: Json, known: Known) -> Known:
        return known

    if wanted is None:
        return [
            Read(
                "name",
                "name of the image",
                lambda _: read(images.image_id(place, wishes.name), COMPUTE),
                taken,
                missing=free,
                once=True,
            )
        ]

    def fits(body: Json, known: Known) -> Known:
        check_definition(wanted.name, body, wanted)
        return known

    def choose(body: Json, known: Known) -> Known:
        existing = {str(item["name"]): str(item["id"]) for item in body.get("value") or ()}
        if wishes.version in existing:
            raise NameTaken(read(existing[wishes.version], GALLERIES))
        return replace(known, version=wishes.version or next_version(existing))

    return [
        Read(
            "definition-facts",
            "gallery definition",
            lambda _: read(images.definition_id(place, wanted.gallery, wanted.name), GALLERIES),
            fits,
            missing=free,
        ),
        Read(
            "version-facts",
            "versions so far",
            lambda _: images.list_versions(place, wanted.gallery, wanted.name),
            choose,
            missing=choose,
            once=True,
        ),
    ]


def run(wishes: Wishes, runner: Runner, client: Client, console: Console, *, ca: str | None = None) -> Published:
    """Carry out the plan. Raises Failure; what arrived of an upload is not sent again by the next run."""
    uploaded: list[Uploaded] = []

    def upload() -> None:
        uploaded.append(_upload(wishes, client, console, runner.state, ca))

    known = runner.run(plan(wishes, upload), runner.state.run.known)
    return Published(wishes.image(known), uploaded[0] if uploaded else None)


def _upload(wishes: Wishes, client: Client, console: Console, state: StateFile, ca: str | None) -> Uploaded:
    def grant() -> Sas:
        return Sas(str(client.send(disks.grant_access(wishes.place, wishes.disk)).body["accessSAS"]))

    disk = disks.disk_id(wishes.place, wishes.disk)
    journal = journal_for(state.path.with_suffix(".pages"), f"{disk}#{state.run.id}", wishes.file)
    with console.transfer(f"upload {wishes.file.name}", wishes.facts.size) as progress:
        done = Upload(wishes.file, grant, journal, progress, console.say, ca=ca).run()
    journal.forget()
    mib = 1024 * 1024
    console.say(
        f"  sent {done.sent / mib:.1f} MiB of {wishes.facts.size / mib:.1f} MiB in {done.requests} requests"
        + (f"; {done.skipped / mib:.1f} MiB were there" if done.skipped else "")
        + (f"; zeros over {done.zeroed / mib:.1f} MiB of old data" if done.zeroed else "")
    )
    return done
