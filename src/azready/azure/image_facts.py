"""What an image says of itself: generation, architecture, security type, disk controllers, terms, and its regions."""

from dataclasses import replace

from azready.azure import preflight
from azready.azure.known import Known
from azready.azure.requests.model import COMPUTE, GALLERIES, Json, Place, PurchasePlan, read
from azready.azure.steps import Read, Step
from azready.errors import Failure, UsageFailure


def parse_image(identity: str) -> tuple[str, str]:
    """The kind (`images` or `galleries`) of an image id, and the id to read its facts from.

    Raises UsageFailure when it is not the id of an image.
    """
    parts = identity.strip("/").split("/")
    lower = [part.lower() for part in parts]
    if len(parts) in (8, 10, 12) and lower[0] == "subscriptions" and lower[5] == "microsoft.compute":
        if lower[6] == "images" and len(parts) == 8:
            return "images", "/" + "/".join(parts)
        if lower[6] == "galleries" and len(parts) >= 10 and lower[8] == "images":
            return "galleries", "/" + "/".join(parts[:10])
    raise UsageFailure(
        f"{identity!r} is not the id of an image",
        "give the whole id, as `az image show -g GROUP -n NAME --query id -o tsv` or "
        "`az sig image-version show … --query id -o tsv` print it (azready publish and capture print it too)",
    )


def facts_of_image(identity: str, place: Place, security_type: str, plan: PurchasePlan | None) -> list[Step]:
    """Read the image, and refuse what cannot be used in this region. Learns what its VMs need."""
    kind, source = parse_image(identity)
    if kind == "images":

        def learn_image(body: Json, known: Known) -> Known:
            _check_region_of_image(body, place)
            return _learned(body, known, security_type or "Standard", plan)

        return [Read("image-facts", "the image", lambda _: read(source, COMPUTE), learn_image)]

    def learn_definition(body: Json, known: Known) -> Known:
        return _learned(body, known, security_type, plan)

    def learn_regions(body: Json, known: Known) -> Known:
        _check_regions_of_versions(body, identity, place)
        return known

    versions = identity if _names_version(identity) else f"{source}/versions"
    return [
        Read("image-facts", "the image definition", lambda _: read(source, GALLERIES), learn_definition),
        Read("image-regions", "regions of the version", lambda _: read(versions, GALLERIES), learn_regions),
    ]


def _names_version(identity: str) -> bool:
    return "/versions/" in identity.lower() and not identity.lower().rstrip("/").endswith("/latest")


def _learned(body: Json, known: Known, security_type: str, plan: PurchasePlan | None) -> Known:
    properties = body["properties"]
    features = preflight.features_of(body)
    if features.get("SecurityType", "").lower() == "confidentialvm":
        raise Failure(
            "the image makes Confidential VMs only, which azready does not try",
            "az vm create … --security-type ConfidentialVM --os-disk-security-encryption-type VMGuestStateOnly "
            "--enable-agent false",
        )
    terms = properties.get("purchasePlan") or {}
    trusted = "trustedlaunch" in features.get("SecurityType", "").lower()
    return replace(
        known,
        generation=str(properties.get("hyperVGeneration") or "V1"),
        architecture=str(properties.get("architecture") or "x64"),
        security_type=security_type or ("TrustedLaunch" if trusted else "Standard"),
        controllers=features.get("DiskControllerTypes", "") or "SCSI",
        specialized=properties.get("osState") == "Specialized",
        plan=preflight.plan_of(terms) or plan,
    )


def _check_region_of_image(body: Json, place: Place) -> None:
    location = str(body.get("location") or "").replace(" ", "").lower()
    if location and location != place.location:
        raise Failure(
            f"the managed image is in {location}, and can be used there only, not in {place.location}",
            f"use --location {location}, or publish to a gallery with --target-regions {place.location}",
        )


def _check_regions_of_versions(body: Json, identity: str, place: Place) -> None:
    """`body` is one version, or the list of a definition's versions, of which Azure takes the newest that is here."""
    versions = body.get("value", [body])
    if not versions:
        raise Failure("the image definition has no version", "azready publish or azready capture makes one")
    found = [(item, (item.get("properties") or {}).get("publishingProfile") or {}) for item in versions]
    here = [item for item, profile in found if _is_in(profile, place.location)]
    if not here:
        names = ", ".join(sorted({name for _, profile in found for name in _regions(profile)}))
        version = str(versions[-1].get("name", ""))
        raise Failure(
            f"the image is not replicated to {place.location}; it is in {names}",
            f"use one of these with --location, or copy it there: az sig image-version update --ids {identity} "
            f"--add publishingProfile.targetRegions name={place.location} (version {version})",
        )
    if "value" in body and all(profile.get("excludeFromLatest") for item, profile in found if item in here):
        raise Failure(
            f"every version in {place.location} is excluded from latest",
            "give one by its whole id: az sig image-version list -g GROUP -r GALLERY -i DEFINITION --query [].id",
        )


def _regions(profile: Json) -> list[str]:
    return [str(item.get("name", "")).replace(" ", "").lower() for item in profile.get("targetRegions") or ()]


def _is_in(profile: Json, location: str) -> bool:
    """A version that does not say where it is counts as being everywhere."""
    names = _regions(profile)
    return not names or location in names
