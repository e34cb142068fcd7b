"""publish against the fake and a strict page blob: from a file to an image, in one run or in several."""

import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from azready.azure import preflight, publish
from azready.azure.client import Client
from azready.azure.known import Known
from azready.azure.preflight import DiskFacts, next_version, parse_regions
from azready.azure.problems import AzureFailure
from azready.azure.publish import Published, Wishes
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.model import RUN_TAG, Place
from azready.azure.state import leftovers, open_run
from azready.azure.steps import NameTaken, Runner, requests_of
from azready.azure.upload import UploadFailed
from azready.console import Console
from azready.errors import Failure, UsageFailure
from tests import cuts
from tests.azure.blobs import Blob, FileStore, serving_blob
from tests.azure.fake_arm.model import SUBSCRIPTION, Arm
from tests.azure.fake_arm.server import Fault, Server
from tests.azure.samples import RG, kinds, put

Connect = Callable[..., Client]
MIB = 1024 * 1024
SIZE = 24 * MIB + 512
CHANGES = 90
"""Fewer than one publish makes: files, names, requests."""
DEFINITION = Definition("gal", "def", "me", "azready", "web", "V2", "x64", "TrustedLaunchSupported", "SCSI, NVMe")
PLAIN = replace(DEFINITION, security_type="")


@pytest.fixture
def wishes(tmp_path: Path) -> Wishes:
    file = tmp_path / "disk.vhd"
    with file.open("wb") as out:
        out.truncate(SIZE)
        out.seek(3 * MIB)
        out.write(os.urandom(2 * MIB))
        out.seek(24 * MIB)
        out.write(b"conectix" + bytes(504))
    return Wishes(Place(SUBSCRIPTION, "rg", "westeurope"), "web", file, DiskFacts(SIZE, True, "V2"))


@pytest.fixture
def blob(arm: Arm, tmp_path: Path) -> Iterator[Blob]:
    with serving_blob(FileStore(tmp_path / "blob", SIZE)) as blob:
        arm.on_disk = lambda identity, body: blob.grant()
        yield blob
    assert blob.refused == []


@pytest.fixture
def publishing(connect: Connect, blob: Blob, tmp_path: Path) -> Callable[..., Published]:
    def run(wishes: Wishes, said: io.StringIO | None = None) -> Published:
        console = Console(said or io.StringIO())
        state = open_run(tmp_path / "state.json", "publish", {"name": wishes.name}, restart=False)
        place = replace(wishes.place, tags=((RUN_TAG, state.run.id),))
        client = connect(console=console)
        done = publish.run(replace(wishes, place=place), Runner(client, state, console), client, console, pause=0.05)
        state.forget()
        return done

    return run


def test_a_disk_becomes_a_managed_image_and_the_disk_goes(
    arm: Arm, azure: Server, blob: Blob, wishes: Wishes, publishing: Callable[..., Published]
) -> None:
    done = publishing(wishes, said := io.StringIO())
    assert done.image.endswith("/images/web")
    assert blob.store.content() == wishes.file.read_bytes()
    assert kinds(arm) == ["images", "resourceGroups"]
    assert "sent 2.0 MiB of 24.0 MiB" in said.getvalue()
    assert "SECRET" not in said.getvalue()


@pytest.mark.long
def test_a_gallery_version_and_the_next_one(
    arm: Arm, azure: Server, wishes: Wishes, publishing: Callable[..., Published]
) -> None:
    regions = (TargetRegion("westeurope"), TargetRegion("eastus", 2))
    wanted = replace(wishes, definition=DEFINITION, regions=regions)
    assert publishing(wanted).image.endswith("/versions/1.0.0")
    assert publishing(wanted).image.endswith("/versions/1.0.1")
    assert kinds(arm).count("galleries/images/versions") == 2
    definition = next(item for item in arm.resources.values() if item["type"].endswith("galleries/images"))
    assert definition["properties"]["features"][1] == {"name": "DiskControllerTypes", "value": "SCSI, NVMe"}


@pytest.mark.long
def test_progress_is_told_region_by_region(
    arm: Arm, azure: Server, wishes: Wishes, publishing: Callable[..., Published]
) -> None:
    arm.takes = 1.0  # long enough for a look on a busy machine, whatever it sees then
    publishing(
        replace(wishes, definition=DEFINITION, regions=(TargetRegion("westeurope"), TargetRegion("eastus"))),
        said := io.StringIO(),
    )
    assert re.search(r"westeurope \d+ %, eastus \d+ %", said.getvalue())


@pytest.mark.long
def test_the_printed_plan_is_what_is_sent(azure: Server, wishes: Wishes, publishing: Callable[..., Published]) -> None:
    wanted = replace(wishes, definition=DEFINITION, regions=(TargetRegion("westeurope"),), version="2.0.0")
    publishing(wanted)
    planned = [
        request for _, request in requests_of(publish.plan(wanted, lambda: None), Known(version="2.0.0")) if request
    ]
    assert azure.sent("PUT", "POST", "DELETE") == [(item.method, item.path) for item in planned if item.method != "GET"]


@pytest.mark.long
def test_an_upload_that_broke_goes_on_in_the_same_disk(
    arm: Arm, azure: Server, blob: Blob, wishes: Wishes, publishing: Callable[..., Published], tmp_path: Path
) -> None:
    blob.dead_after = 1
    with pytest.raises(UploadFailed, match="connection lost"):
        publishing(wishes)
    run = open_run(tmp_path / "state.json", "publish", {"name": "web"}, restart=False).run
    assert "disks/web-upload" in leftovers(run)
    blob.dead_after = 0
    done = publishing(wishes)
    assert done.uploaded and done.uploaded.skipped > 0
    assert blob.store.content() == wishes.file.read_bytes()
    assert [path for _, path in azure.sent("PUT")].count(
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/disks/web-upload"
    ) == 1


@pytest.mark.long
@pytest.mark.parametrize("place", sorted(Random(1).sample(range(1, CHANGES), 8)))
def test_a_run_that_was_killed_anywhere_goes_on(
    arm: Arm,
    azure: Server,
    blob: Blob,
    wishes: Wishes,
    publishing: Callable[..., Published],
    tmp_path: Path,
    place: int,
) -> None:
    """Before a request or a change of the state file, which is whole, ours alone, and holds no address to write to."""
    assert cuts.cut_before(place, lambda: publishing(wishes)) == 0
    for kept in tmp_path.glob("state.*"):
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and "sig=" not in kept.read_text()
    publishing(wishes)
    assert blob.store.content() == wishes.file.read_bytes()
    assert kinds(arm) == ["images", "resourceGroups"]
    assert not list(tmp_path.glob("state.*"))


def test_a_definition_that_does_not_fit_is_refused_before_the_upload(
    azure: Server, blob: Blob, wishes: Wishes, publishing: Callable[..., Published], tmp_path: Path
) -> None:
    publishing(replace(wishes, definition=DEFINITION, regions=(TargetRegion("westeurope"),)))
    blob.puts.clear()
    other = replace(DEFINITION, generation="V1", security_type="", controllers="")
    facts = replace(wishes.facts, generation="V1")
    with pytest.raises(Failure, match="hyperVGeneration is 'V2', not 'V1'"):
        publishing(replace(wishes, facts=facts, definition=other, regions=(TargetRegion("westeurope"),)))
    assert blob.puts == []


@pytest.mark.long
def test_a_taken_name_or_version_is_seen_before_the_upload(
    azure: Server, blob: Blob, wishes: Wishes, publishing: Callable[..., Published]
) -> None:
    publishing(wishes)
    publishing(replace(wishes, definition=DEFINITION, version="1.2.3", regions=(TargetRegion("westeurope"),)))
    blob.puts.clear()
    with pytest.raises(NameTaken, match="images/web exists already"):
        publishing(wishes)
    with pytest.raises(NameTaken, match=r"versions/1\.2\.3 exists already"):
        publishing(
            replace(wishes, name="web2", definition=DEFINITION, version="1.2.3", regions=(TargetRegion("westeurope"),))
        )
    assert blob.puts == []


def test_an_unknown_region_is_seen_before_the_upload(
    azure: Server, blob: Blob, wishes: Wishes, publishing: Callable[..., Published]
) -> None:
    with pytest.raises(AzureFailure, match="No registered resource provider found for location 'mars'"):
        publishing(replace(wishes, definition=DEFINITION, regions=(TargetRegion("westeurope"), TargetRegion("mars"))))
    assert kindless(azure) == []
    assert blob.puts == []


def kindless(azure: Server) -> list[tuple[str, str]]:
    return azure.sent("PUT")


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (DiskFacts(SIZE, False, "V2"), "it is not a fixed VHD"),
        (DiskFacts(SIZE + 512, True, "V2"), "is not a whole number of MiB"),
        (DiskFacts(10 * MIB + 512, True, "V2"), "Azure takes no less than"),
        (DiskFacts(SIZE, True, ""), "its generation is not to be seen"),
        (DiskFacts(SIZE, True, "V2", problems=("the backup GPT is missing",)), "the backup GPT is missing"),
        (DiskFacts(SIZE, True, "V2", "Arm64"), "a managed image cannot be Arm64"),
    ],
)
def test_a_disk_that_azure_would_refuse_is_refused_here(wishes: Wishes, facts: DiskFacts, text: str) -> None:
    with pytest.raises(UsageFailure, match=text):
        publish.check(replace(wishes, facts=facts))


def test_versions_are_counted_as_numbers() -> None:
    assert next_version([]) == "1.0.0"
    assert next_version(["1.0.9", "1.0.10", "0.9.99"]) == "1.0.11"


def test_regions_are_read_as_az_writes_them() -> None:
    assert parse_regions(["West Europe=3=standard_zrs", "eastus"], "westeurope") == (
        TargetRegion("westeurope", 3, "Standard_ZRS"),
        TargetRegion("eastus"),
    )
    assert [region.name for region in parse_regions(["eastus"], "westeurope")] == ["westeurope", "eastus"]
    for wrong in ("=1", "eastus=0", "eastus=1=floppy", "eastus=x"):
        with pytest.raises(UsageFailure, match="is not a target region"):
            parse_regions([wrong], "westeurope")


KEYS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/diskEncryptionSets/keys"
BOTH = (TargetRegion("westeurope"), TargetRegion("eastus"))


def test_every_region_has_its_own_key(
    arm: Arm, azure: Server, wishes: Wishes, publishing: Callable[..., Published]
) -> None:
    put(arm, RG, "Microsoft.Resources/resourceGroups")
    put(arm, KEYS, "Microsoft.Compute/diskEncryptionSets")
    regions = preflight.encrypted(BOTH, [f"East US={KEYS}2"], "westeurope", KEYS)
    locked = replace(wishes, definition=PLAIN, regions=regions, encryption_set=KEYS)
    with pytest.raises(Failure, match="keys2"):
        publishing(locked)
    there = put(arm, f"{KEYS}2", "Microsoft.Compute/diskEncryptionSets")
    with pytest.raises(Failure, match="keys2 is in westeurope, and encrypts nothing in eastus"):
        publishing(locked)
    assert azure.sent("PUT", "POST") == []
    there["location"] = "eastus"
    version = arm.resources[publishing(locked).image.lower()]
    sets = [
        region["encryption"]["osDiskImage"] for region in version["properties"]["publishingProfile"]["targetRegions"]
    ]
    assert sets == [{"diskEncryptionSetId": KEYS}, {"diskEncryptionSetId": f"{KEYS}2"}]


@pytest.mark.parametrize(
    ("texts", "own", "said"),
    [
        ([], KEYS, "eastus has none"),
        ([f"eastus={KEYS}"], "", "westeurope has none"),
        ([f"northeurope={KEYS}"], KEYS, "northeurope: no target region"),
        (["eastus=keys"], KEYS, "'keys' is not the id of a disk encryption set"),
        (["eastus"], KEYS, "eastus has none"),
    ],
)
def test_keys_of_regions_that_do_not_fit(texts: list[str], own: str, said: str) -> None:
    with pytest.raises(UsageFailure, match=said):
        preflight.encrypted(BOTH, texts, "westeurope", own)


def test_the_definition_is_made_before_the_upload(
    azure: Server, wishes: Wishes, publishing: Callable[..., Published]
) -> None:
    azure.faults.append(Fault("PUT", "/images/def$", 409, "Conflict", "The identifier is used by another.", times=9))
    with pytest.raises(Failure, match="identifier is used"):
        publishing(replace(wishes, definition=DEFINITION, regions=BOTH))
    assert not [path for _, path in azure.sent("PUT") if "/disks/" in path]
