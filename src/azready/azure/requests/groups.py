"""Resource groups, and what to ask before anything is created: sizes, quota, marketplace images.

Source: Microsoft's REST reference, Resource Management and Compute.
"""

from azready.azure.requests.model import COMPUTE, RESOURCES, SKUS, ImageUrn, Place, Request, Usual, delete, read


def create_group(place: Place) -> Request:
    body: dict[str, object] = {"location": place.location}
    if place.tags:
        body["tags"] = dict(place.tags)
    az = ("az", "group", "create", "-n", place.group, "-l", place.location, *place.az_tags())
    return Request("PUT", place.group_id, RESOURCES, body, az=(az,))


def delete_group(place: Place) -> Request:
    return delete(place.group_id, RESOURCES, Usual(90, 300))


def list_sizes(place: Place) -> Request:
    """The VM sizes of a region with their zones, capabilities and restrictions."""
    return read(f"{place.root}/providers/Microsoft.Compute/skus", SKUS, filter=f"location eq '{place.location}'")


def list_usages(place: Place) -> Request:
    """The compute quotas of a region: cores by family, with the current use."""
    return read(f"{place.root}/providers/Microsoft.Compute/locations/{place.location}/usages", COMPUTE)


def _urn_path(place: Place, urn: ImageUrn) -> str:
    return (
        f"{place.root}/providers/Microsoft.Compute/locations/{place.location}/publishers/{urn.publisher}"
        f"/artifacttypes/vmimage/offers/{urn.offer}/skus/{urn.sku}/versions"
    )


def newest_version(place: Place, urn: ImageUrn) -> Request:
    """The newest version of a marketplace image, for `latest`."""
    return read(_urn_path(place, urn), COMPUTE, top="1", orderby="name desc")


def marketplace_image(place: Place, urn: ImageUrn) -> Request:
    """One marketplace image: generation, architecture, purchase plan."""
    return read(f"{_urn_path(place, urn)}/{urn.version}", COMPUTE)
