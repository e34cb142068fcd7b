"""A version in a gallery: which SecurityType its definition has to have, and how what is there gets into it.

What Azure takes (Microsoft's "Deploy a Trusted Launch VM", and the refusals that public reports quote):

    SecurityType of the definition   takes
    none                             a VM, a disk, a snapshot, a managed image: all without security type
    TrustedLaunch                    a Trusted Launch VM, its disk or a snapshot of it
    TrustedLaunchSupported           a managed image, a VHD blob, another version: never a VM or a disk

So a definition that says Supported is reached over a managed image, which is removed afterwards. Managed images are
x64 and generalized. A definition can never be changed.
"""

from dataclasses import dataclass, replace

from azready.azure import preflight_steps
from azready.azure.known import Known
from azready.azure.preflight import check_definition, features_of, shut_out
from azready.azure.removal import remove
from azready.azure.requests import images
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.model import COMPUTE, GALLERIES, Json, Place, Request, read
from azready.azure.steps import Ensure, Read, Step
from azready.errors import Failure


@dataclass(frozen=True)
class Target:
    """The version that is to be made. `place` is the run's, where the bridge lies; the gallery may lie elsewhere."""

    place: Place
    definition: Definition
    version: str
    """Empty: the next patch."""
    regions: tuple[TargetRegion, ...]
    bridge: str
    """Name of the managed image on the way to a definition that takes no VM and no disk."""
    security_type: str = "Standard"
    """Of the source, as far as it is known before the run."""

    @property
    def home(self) -> Place:
        return self.definition.home(self.place)

    def feature(self, known: Known) -> str:
        """The definition's SecurityType, as it is or will be made."""
        if known.feature is not None:
            return known.feature
        return choose_feature(known.security_type or self.security_type, self.definition, None)

    def complete(self, known: Known) -> Definition:
        """The definition with what was learned of the source."""
        wanted = self.definition
        able = known.controllers if "NVMe" in known.controllers else ""
        return replace(
            wanted,
            generation=wanted.generation or known.generation,
            architecture=known.architecture or wanted.architecture,
            security_type=self.feature(known),
            controllers=wanted.controllers or able,
            plan=wanted.plan or known.plan,
        )

    def bridged(self, known: Known) -> bool:
        return is_bridged(self.feature(known))

    def id(self, known: Known) -> str:
        return images.version_id(self.home, self.definition.gallery, self.definition.name, known.version)


def is_bridged(feature: str) -> bool:
    return feature.lower().endswith("supported")


def choose_feature(source: str, wanted: Definition, existing: str | None) -> str:
    """The SecurityType for a source that is Standard or TrustedLaunch; `existing`: of the definition that is there.

    Raises Failure when the definition that is there, or that is wanted, takes no such source.
    """
    if source == "TrustedLaunch":
        if existing in (None, "TrustedLaunch"):
            return "TrustedLaunch"
        raise Failure(
            f"the gallery definition {wanted.name} has {_said(existing)}, but what comes from a Trusted Launch VM "
            "needs SecurityType TrustedLaunch",
            "a definition cannot be changed: give another --gallery-image-definition, azready makes it as it has to be",
        )
    found = wanted.security_type if existing is None else existing
    if found in ("", "Standard"):
        return ""
    if not is_bridged(found):
        raise Failure(
            f"the gallery definition {wanted.name} has SecurityType {found}, and takes a {found} VM or its disk alone",
            "give another --gallery-image-definition, or capture with --security-type TrustedLaunch",
        )
    if wanted.specialized:
        raise Failure(
            f"SecurityType {found} takes generalized images only",
            "give another --gallery-image-definition, or leave out --security-type",
        )
    return found


def _said(existing: str | None) -> str:
    return f"SecurityType {existing}" if existing else "no SecurityType"


def look(target: Target) -> list[Step]:
    """Look at the definition that is there, and at its versions; learns `feature` and `version`."""

    def fits(body: Json, known: Known) -> Known:
        had = features_of(body).get("SecurityType", "")
        chosen = choose_feature(known.security_type or target.security_type, target.definition, had)
        learned = replace(known, feature=chosen)
        wanted = replace(target.complete(learned), controllers=target.definition.controllers)
        if target.definition.security_type and target.definition.security_type != "Standard":
            wanted = replace(wanted, security_type=target.definition.security_type)
        if (known.security_type or target.security_type) == "TrustedLaunch":
            wanted = replace(wanted, security_type="TrustedLaunch")
        check_definition(wanted.name, body, wanted)
        return _bridgeable(target, learned)

    def absent(_: Json, known: Known) -> Known:
        feature = choose_feature(known.security_type or target.security_type, target.definition, None)
        return _bridgeable(target, replace(known, feature=feature))

    where = images.definition_id(target.home, target.definition.gallery, target.definition.name)
    return [
        Read("definition-facts", "gallery definition", lambda _: read(where, GALLERIES), fits, missing=absent),
        preflight_steps.free_version(target.place, target.definition, target.version),
        replace(preflight_steps.free_name(target.place, target.bridge), when=target.bridged),
    ]


def _bridgeable(target: Target, known: Known) -> Known:
    architecture = target.complete(known).architecture
    if target.bridged(known) and architecture != "x64":
        raise Failure(
            f"a definition with SecurityType {known.feature} is reached over a managed image, which cannot be "
            f"{architecture}",
            "leave out --security-type, or give a --gallery-image-definition without SecurityType",
        )
    return known


def make_definition(target: Target) -> list[Step]:
    """The gallery and the definition; a definition that is there is looked at, also one that an earlier run made."""

    def fits(body: Json, known: Known) -> None:
        check_definition(target.definition.name, body, target.complete(known), able=known.controllers)

    return [
        Ensure(
            "gallery", "gallery", lambda _: images.create_gallery(target.home, target.definition.gallery), shared=True
        ),
        Ensure(
            "definition",
            "image definition",
            lambda known: images.create_definition(target.home, target.complete(known)),
            shared=True,
            accept=fits,
            tell=lambda known: shut_out(target.complete(known)),
        ),
    ]


def make_version(target: Target, *, vm: str = "", disk: str = "") -> list[Step]:
    """The version, of a generalized VM, a disk or a snapshot; over a managed image where the definition wants one."""
    bridge = images.image_id(target.place, target.bridge)

    def create(known: Known) -> Request:
        source = {"image": bridge} if target.bridged(known) else {"vm": vm} if vm else {"disk": disk}
        return images.create_version(target.home, target.complete(known), known.version, target.regions, **source)

    def watch(known: Known) -> Request:
        return images.replication(target.home, target.definition.gallery, target.definition.name, known.version)

    return [
        Ensure(
            "bridge",
            f"managed image {target.bridge}, of which the version is made",
            lambda known: images.create_image(
                target.place, target.bridge, target.complete(known).generation, vm=vm, disk=disk
            ),
            when=target.bridged,
        ),
        Ensure("image-version", "image version, replicated", create, progress=region_progress, watch=watch),
        replace(remove(bridge, COMPUTE), when=target.bridged),
    ]


def region_progress(body: Json) -> str:
    """`2 of 3 regions: westeurope 100 %, eastus 30 %, …`, from a version with its replication status."""
    rows = (body["properties"].get("replicationStatus") or {}).get("summary") or ()
    done = sum(str(row.get("state", "")) == "Completed" for row in rows)
    shown = ", ".join(f"{row.get('region')} {row.get('progress', 0)} %" for row in rows)
    return f"{done} of {len(rows)} regions: {shown}" if len(rows) > 3 else shown
