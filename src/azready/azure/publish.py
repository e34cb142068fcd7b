"""A VHD on this machine becomes a managed image, or a gallery version in many regions.

The disk is uploaded straight into a managed disk (no storage account), which is the source of the image and is
removed afterwards. Everything that can be refused is looked at before the first byte is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from azready.azure import gallery, preflight, preflight_steps, rights
from azready.azure.client import Client
from azready.azure.known import Known, planned
from azready.azure.pages import Sas
from azready.azure.preflight import DiskFacts
from azready.azure.requests import disks, groups, images
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.model import DISKS, Place, Request, delete
from azready.azure.state import StateFile
from azready.azure.steps import Act, Ensure, Remove, Runner, Step, Work
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
    encryption_set: str = ""
    """Id of the disk encryption set whose key the uploaded disk is encrypted with; empty: Azure's own key."""

    @property
    def disk(self) -> str:
        return f"{self.name}-upload"

    @property
    def target(self) -> gallery.Target | None:
        """The version that is made; the managed image on the way to some definitions is called like the disk."""
        if self.definition is None:
            return None
        return gallery.Target(self.place, self.definition, self.version, self.regions, self.disk)

    def image(self, known: Known) -> str:
        """The id of what is made."""
        return self.target.id(known) if self.target else images.image_id(self.place, self.name)


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
    making = _making(wishes, upload)
    return [
        *preflight_steps.regions(wishes.place, wishes.regions),
        *preflight_steps.encryption_sets(wishes.place, wishes.encryption_set, wishes.regions),
        *(gallery.look(wishes.target) if wishes.target else [preflight_steps.free_name(wishes.place, wishes.name)]),
        *rights.look(wishes.place, making),
        *making,
    ]


def _making(wishes: Wishes, upload: Callable[[], None]) -> list[Step]:
    place = wishes.place

    def send(known: Known) -> Known:
        upload()
        return known

    steps: list[Step] = [
        Ensure("group", "resource group", lambda _: groups.create_group(place), shared=True),
        *(gallery.make_definition(wishes.target) if wishes.target else []),
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
    disk, target = disks.disk_id(place, wishes.disk), wishes.target
    if target is None:
        generation = wishes.facts.generation
        steps.append(
            Ensure(
                "image",
                f"image {wishes.name}",
                lambda _: images.create_image(place, wishes.name, generation, disk=disk),
            )
        )
    else:
        steps += gallery.make_version(target, disk=disk)
    if not wishes.keep_disk:
        steps.append(Remove("remove disk", f"remove disks/{wishes.disk}", lambda _: delete(disk, DISKS, disks.QUICK)))
    return steps


def rights_of(wishes: Wishes) -> frozenset[rights.Right]:
    """All that the verb asks for, the optional looks too."""
    return rights.of_steps(plan(wishes, lambda: None), planned(wishes.place))


def _disk(wishes: Wishes) -> Request:
    facts = wishes.facts
    return disks.create_upload_disk(
        wishes.place,
        wishes.disk,
        facts.size,
        facts.generation,
        facts.architecture,
        wishes.disk_sku,
        encryption_set=wishes.encryption_set,
    )


def run(
    wishes: Wishes, runner: Runner, client: Client, console: Console, *, ca: str | None = None, pause: float = 1.0
) -> Published:
    """Carry out the plan. Raises Failure; what arrived of an upload is not sent again by the next run.

    `pause`: seconds after which an upload first tries again; the wait doubles.
    """
    uploaded: list[Uploaded] = []

    def upload() -> None:
        uploaded.append(_upload(wishes, client, console, runner.state, ca, pause))

    known = runner.run(plan(wishes, upload), runner.state.run.known)
    return Published(wishes.image(known), uploaded[0] if uploaded else None)


def _upload(
    wishes: Wishes, client: Client, console: Console, state: StateFile, ca: str | None, pause: float
) -> Uploaded:
    def grant() -> Sas:
        return Sas(str(client.send(disks.grant_access(wishes.place, wishes.disk)).body["accessSAS"]))

    disk = disks.disk_id(wishes.place, wishes.disk)
    journal = journal_for(state.path.with_suffix(".pages"), f"{disk}#{state.run.id}", wishes.file)
    with console.transfer(f"upload {wishes.file.name}", wishes.facts.size) as progress:
        done = Upload(wishes.file, grant, journal, progress, console.say, ca=ca, pause=pause).run()
    journal.forget()
    mib = 1024 * 1024
    console.say(
        f"  sent {done.sent / mib:.1f} MiB of {wishes.facts.size / mib:.1f} MiB in {done.requests} requests"
        + (f"; {done.skipped / mib:.1f} MiB were there" if done.skipped else "")
        + (f"; zeros over {done.zeroed / mib:.1f} MiB of old data" if done.zeroed else "")
    )
    return done
