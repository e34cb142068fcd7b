"""The software bill of materials of an image, as CycloneDX JSON, from its own package database."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from azready import __version__
from azready.image.facts.packages.managers import MANAGERS

if TYPE_CHECKING:
    from packageurl import PackageURL


@dataclass(frozen=True)
class Inventory:
    """What an image holds: its distribution and its packages (name to version), as `manager` calls them."""

    name: str
    distribution: str
    distribution_name: str
    release: str
    manager: str
    packages: Mapping[str, str]


def purl(inventory: Inventory, name: str, version: str) -> "PackageURL":
    """The package URL; unknown managers get the type `generic`."""
    from packageurl import PackageURL

    manager = MANAGERS.get(inventory.manager)
    kind = manager.purl if manager else "generic"
    distro = f"{inventory.distribution}-{inventory.release}" if inventory.release else inventory.distribution
    return PackageURL(kind, inventory.distribution, name, version, {"distro": distro})


def _encodable(inventory: Inventory) -> Inventory:
    """With `?` for bytes of the image that are no UTF-8: its names are as it has them."""

    def plain(text: str) -> str:
        return text.encode(errors="replace").decode()

    texts = {name: plain(getattr(inventory, name)) for name in ("name", "distribution", "distribution_name", "release")}
    packages = {plain(name): plain(version) for name, version in inventory.packages.items()}
    return replace(inventory, packages=packages, **texts)


def cyclonedx(inventory: Inventory) -> str:
    """The document as text (CycloneDX 1.5, JSON)."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot5

    inventory = _encodable(inventory)
    bom = Bom()
    bom.metadata.component = Component(name=inventory.name, type=ComponentType.OPERATING_SYSTEM)
    bom.metadata.tools.components.add(Component(name="azready", version=__version__, type=ComponentType.APPLICATION))
    system = Component(
        name=inventory.distribution, version=inventory.release or None, type=ComponentType.OPERATING_SYSTEM
    )
    system.description = inventory.distribution_name
    bom.components.add(system)
    for name, version in sorted(inventory.packages.items()):
        where = purl(inventory, name, version)
        bom.components.add(
            Component(name=name, version=version, type=ComponentType.LIBRARY, purl=where, bom_ref=str(where))
        )
    bom.register_dependency(bom.metadata.component, [system])
    bom.register_dependency(system, [each for each in bom.components if each is not system])
    return JsonV1Dot5(bom).output_as_string(indent=2)
