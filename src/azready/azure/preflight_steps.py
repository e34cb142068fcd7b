"""Steps that only look, before anything is made: what Azure would refuse much later is refused now.

A login with rights on a resource group alone may not read what is the subscription's (sizes, quotas, marketplace): that
is told, and the run goes on without the look.
"""

from dataclasses import replace

from azready.azure import preflight
from azready.azure.known import Known
from azready.azure.requests import groups, images
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.model import COMPUTE, DISKS, GALLERIES, NETWORK, Json, Place, Request, read
from azready.azure.steps import NameTaken, Read, Step
from azready.errors import Failure

UNSEEN = "what is wrong with it shows later, when Azure refuses"


def room(place: Place, size: str, instances: int) -> list[Step]:
    """The size exists, boots what we have, and the quotas have room. An empty `size` is the own VM's."""

    def fits(body: Json, known: Known) -> Known:
        found = preflight.find_size(body, size or known.vm_size, place.location)
        preflight.check_size(
            found,
            known.generation,
            known.architecture,
            controllers=known.controllers,
            security_type=known.security_type,
        )
        return replace(known, size=found, architecture=known.architecture or found.architecture)

    def has_room(body: Json, known: Known) -> Known:
        if known.size:
            preflight.check_quota(body, [known.size] * instances, place.location)
        return known

    return [
        Read("size", "VM size", lambda _: groups.list_sizes(place), fits, once=True, optional=UNSEEN),
        Read("quota", "quota", lambda _: groups.list_usages(place), has_room, once=True, optional=UNSEEN),
    ]


def regions(place: Place, targets: tuple[TargetRegion, ...]) -> list[Step]:
    """Ask for each region's quotas: a region that does not exist is refused before the work, not after."""
    names = [place.location, *(region.name for region in targets if region.name != place.location)]
    return [_region(replace(place, location=name)) for name in names]


def _region(place: Place) -> Read:
    title = f"region {place.location}"
    return Read(title, title, lambda _: groups.list_usages(place), once=True, optional=UNSEEN)


def encryption_sets(place: Place, own: str, targets: tuple[TargetRegion, ...]) -> list[Step]:
    """Each disk encryption set exists, and lies in the region and the subscription of what it encrypts."""
    wanted = {identity: region for region, identity in ((each.name, each.encryption_set) for each in targets)}
    wanted |= {own: place.location}
    return [_encryption_set(identity, region) for identity, region in wanted.items() if identity]


def _encryption_set(identity: str, region: str) -> Read:
    name = identity.rpartition("/")[2]

    def fits(body: Json, known: Known) -> Known:
        location = str(body.get("location", "")).replace(" ", "").lower()
        if location and location != region:
            raise Failure(
                f"the disk encryption set {name} is in {location}, and encrypts nothing in {region}",
                "give one of that region: az disk-encryption-set list --query [].[id,location] -o tsv",
            )
        return known

    def look(_: Known) -> Request:
        return read(identity, DISKS)

    return Read(f"encryption set {region}", f"disk encryption set {name}", look, fits, once=True, optional=UNSEEN)


def free_name(place: Place, name: str) -> Step:
    """There is no managed image of that name: it would not be overwritten, but found out too late."""

    def taken(body: Json, known: Known) -> Known:
        raise NameTaken(read(str(body["id"]), COMPUTE))

    return Read(
        f"name {name}",
        "name of the image",
        lambda _: read(images.image_id(place, name), COMPUTE),
        taken,
        missing=lambda _, known: known,
        once=True,
    )


def free_version(place: Place, definition: Definition, version: str) -> Step:
    """The next version, or the given one, which must not exist; learns `version`."""
    home = definition.home(place)

    def choose(body: Json, known: Known) -> Known:
        existing = {str(item["name"]): str(item["id"]) for item in body.get("value") or ()}
        if version in existing:
            raise NameTaken(read(existing[version], GALLERIES))
        return replace(known, version=version or preflight.next_version(existing))

    return Read(
        "version-facts",
        "versions so far",
        lambda _: images.list_versions(home, definition.gallery, definition.name),
        choose,
        missing=choose,
        once=True,
    )


def subnet(place: Place, identity: str) -> Step:
    """The subnet that is to be used exists, and lies in the region."""
    network, _, name = identity.rpartition("/subnets/")

    def fits(body: Json, known: Known) -> Known:
        location = str(body.get("location", "")).replace(" ", "").lower()
        if location and location != place.location:
            raise Failure(
                f"the network of the subnet is in {location}, not in {place.location}", "give a subnet of the region"
            )
        subnets = [str(item.get("name", "")) for item in body["properties"].get("subnets") or ()]
        if name.lower() not in [each.lower() for each in subnets]:
            raise Failure(f"the network has no subnet {name!r}", f"it has: {', '.join(subnets) or 'none'}")
        return known

    def look(_: Known) -> Request:
        return read(network, NETWORK)

    return Read("subnet", "the subnet", look, fits, once=True, optional=UNSEEN)
