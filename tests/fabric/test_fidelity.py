"""docs/fidelity.md says what the fabric does: its questions are asked, its lists compared, and no answer is missing."""

import re
from pathlib import Path

import pytest

from azready.fabric.ledger import Ledger
from azready.fabric.machine import CHOICES, Machine
from azready.fabric.protocol import dhcp, events, goalstate, hostplugin, imds, instance, platform, wireserver
from azready.fabric.protocol.messages import Request, Rules

PAGE = (Path(__file__).parents[2] / "docs/fidelity.md").read_text()
HEADERS = {"imds": (("Metadata", "true"),), "wireserver": (("x-ms-version", "2012-11-30"),), "hostplugin": ()}


def tables() -> list[tuple[str, list[str]]]:
    """Each row of the page with the heading that it stands under."""
    heading, rows = "", []
    for line in PAGE.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith(("| answer |", "| service |")):
            rows.append((heading, [cell.strip() for cell in line.strip("|").split("|")]))
    return rows


LETTER = [cells for heading, cells in tables() if heading == "To the letter"]
ANSWERS = [cells for heading, cells in tables() if heading != "To the letter"]
GROUNDS = ("recorded", "documented", "decided here")


@pytest.mark.parametrize("cells", LETTER, ids=lambda cells: cells[1])
def test_each_question_is_answered_to_the_letter(cells: list[str]) -> None:
    service, request, status, wanted, ground = cells
    method, _, target = request.strip("`").partition(" ")
    asked = Request(method, target, HEADERS[service])
    response = platform.answer(service, asked, Machine(name="vm1"), Ledger(), Rules()).response  # type: ignore[arg-type]
    assert response.status == int(status)
    body = response.body.decode().removeprefix(goalstate.DECLARATION)
    if wanted == "as above":
        wanted = LETTER[LETTER.index(cells) - 1][3]
    if wanted != "anything":
        assert body == ("" if wanted == "nothing" else wanted.strip("`"))
    assert any(word in ground for word in GROUNDS)


@pytest.mark.parametrize("cells", ANSWERS, ids=lambda cells: cells[0][:60])
def test_each_answer_has_its_ground(cells: list[str]) -> None:
    """A row says recorded, documented or decided here, and where, unless it is ours."""
    _, ground, source = cells
    assert any(word in ground for word in GROUNDS)
    assert source or ground.startswith("decided here")


@pytest.mark.parametrize("path", [path for part in (wireserver, imds, hostplugin) for _, path, _ in part.ROUTES])
def test_no_route_is_missing(path: str) -> None:
    assert (WORDS.get(path) or re.split(r"[?\[]", path)[0]) in PAGE


WORDS = {
    "/machine/CONTAINER/INSTANCE?comp=config&type=…": "HostingEnvironmentConfig",
    "/machine/CONTAINER/INSTANCE?comp=certificates": "certificates",
    "/machine?comp=roleProperties": "role properties",
    "/machine?comp=telemetrydata": "telemetry",
    "/machine?comp=health": "health report",
    "/metadata/attested/document?api-version=…": "attested document",
    "/HealthService": "HealthService",
}
"""What the page calls a route, where it is not its path."""


def test_the_lists_of_the_page_are_those_of_the_code() -> None:
    offered = re.search(r"options ([\d ]+) in this order", PAGE)
    lease = dhcp._lease(Machine(), Machine().mac, dhcp.WIRESERVER)
    assert offered and [int(number) for number in offered[1].split()] == list(lease)
    assert f"preferred {goalstate.VERSIONS[0]}, the list down to `{goalstate.VERSIONS[-1]}`" in PAGE
    assert (
        f"scheduled events: {['', 'one', 'two', 'three', 'four', 'five', 'six', 'seven'][len(events.VERSIONS)]}" in PAGE
    )
    assert f"api-version {instance.VERSIONS[-1]}" in PAGE
    rules = Rules()
    assert f"{rules.imds_rate} requests a second, {rules.identity_rate} for identity" in PAGE
    assert imds.SERVER[1] in PAGE
    for form in CHOICES["medium_form"][1:]:
        assert f"`{form}`" in PAGE
    for form in CHOICES["provisiondata"][1:]:
        assert f'"{form}"' in PAGE
