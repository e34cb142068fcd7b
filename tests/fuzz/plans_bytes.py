"""What `prepare`, `generalize`, the bill of materials and every report make of an image with a spoilt file."""

import zlib
from collections.abc import Callable, Iterator

from azready.errors import Failure
from azready.image import preparation, render, sealing
from azready.image.checking import Choice, check
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.rules.model import Severity
from azready.pipelines import sbom
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader
from tests.fuzz._memory import Memory
from tests.fuzz.facts_bytes import NOT_SPOILT, image, looked_at

ERROR = Severity.ERROR


def _reports(facts: Facts) -> object:
    results = check(facts, RULES, Choice())
    made = (render.as_text(results, "x"), render.as_json(results, "x"), render.as_junit(results, "x", ERROR))
    more = (render.as_sarif(results, "x"), render.as_html(results, "x", ERROR), render.as_github(results, "x"))
    return [text.encode() for text in (*made, *more)]


def _prepared(facts: Facts) -> object:
    planned = preparation.plan(facts, preparation.Options())
    return [action.describe() for action in planned.actions]


def _sealed(facts: Facts) -> object:
    planned = sealing.plan(facts, sealing.Options(fix=True))
    return [action.describe() for action in planned.actions]


def _bill(facts: Facts) -> object:
    told, packages = facts.distro, facts.packages
    inventory = sbom.Inventory("x", told.id, told.name, told.version, packages.manager, packages.versions)
    return sbom.cyclonedx(inventory).encode()


def _spoiling(base: Memory, plan: Callable[[Facts], object]) -> Callable[[bytes], object]:
    """Which file it is that holds the bytes follows from them."""
    paths = sorted(path for path in base.files if not path.startswith(NOT_SPOILT))
    return lambda data: looked_at(base, paths[zlib.crc32(data) % len(paths)], plan)(data)


def readers() -> dict[str, Reader]:
    """Each by its verb. A plan refuses by a Failure, or says what cannot be read (OSError)."""
    base = image()
    every = tuple(data for path, data in sorted(base.files.items()) if not path.startswith(NOT_SPOILT) and data)
    names = tuple(base.files[path] for path in ("etc/os-release", "var/lib/dpkg/status", "lib/apk/db/installed"))
    refuses = (Failure, OSError)
    return {
        "reports": Reader(_spoiling(base, _reports), every),
        "prepare": Reader(_spoiling(base, _prepared), every, refuses),
        "generalize": Reader(_spoiling(base, _sealed), every, refuses),
        "sbom: os-release": Reader(looked_at(base, "etc/os-release", _bill), names, refuses),
        "sbom: packages": Reader(looked_at(base, "var/lib/dpkg/status", _bill), names, refuses),
    }


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
