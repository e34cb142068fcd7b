"""The client against recordings of the real Azure: what became of each call there becomes of it here."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from azready.azure import image_facts, preflight, sources
from azready.azure.client import provisioning_state
from azready.azure.instances import from_view
from azready.azure.known import Known
from azready.azure.problems import AzureFailure
from azready.azure.requests import disks, groups, images, machines, network
from azready.azure.requests.images import Definition, TargetRegion
from azready.azure.requests.model import Place, Request, parse_urn
from azready.azure.steps import Read
from azready.console import Console
from azready.errors import Failure
from tests.azure import recordings
from tests.azure.recordings import ARM, HASTE, TAPES, Interaction, Player, as_request, body_of, outcome, player

__all__ = ["player"]
CHANGING = ("PUT", "POST", "DELETE")
NONE = pytest.param(recordings.FOLDER, marks=pytest.mark.skip(reason=recordings.MISSING))


@pytest.mark.parametrize("path", TAPES or [NONE], ids=lambda path: path.stem)
def test_every_recorded_change_ends_as_it_did(path: Any, player: Player) -> None:
    interactions = recordings.load(path)
    wrong, seen = [], 0
    for at, item in enumerate(interactions):
        if item["request"]["method"] not in CHANGING or not item["request"]["uri"].startswith(ARM):
            continue
        expected, detail = outcome(interactions, at)
        if expected == "unknown":
            continue
        seen += 1
        client, _ = player(interactions[at:])
        try:
            client.send(as_request(item))
            got = ("ok", "")
        except AzureFailure as failure:
            got = ("error", failure.problem.code)
        if got != (expected, detail):
            wrong.append(
                f"{item['request']['method']} {item['request']['uri']}: recorded {expected} {detail}, got {got}"
            )
    assert not wrong, "\n".join(wrong)
    if not seen:
        pytest.skip("elsewhere: in recordings that hold the end of a change")


@pytest.mark.parametrize("name", ["test_disk_controller_type", "test_vm_create_no_wait"])
def test_a_put_that_names_no_operation_is_read_until_it_is_done(name: str, player: Player) -> None:
    interactions = recordings.need(name)
    found = [at for at, item in enumerate(interactions) if _unfinished(item)]
    assert found
    for at in found:
        client, transport = player(interactions[at:], Console(said := io.StringIO()))
        answer = client.send(as_request(interactions[at]))
        assert provisioning_state(answer.body) == "succeeded"
        assert [method for method, _ in transport.asked][:2] == ["PUT", "GET"]
        assert "waiting" in said.getvalue()


def _unfinished(item: Interaction) -> bool:
    answer = body_of(item)
    names = any(recordings.header(item, name) for name in ("azure-asyncoperation", "location"))
    state = provisioning_state(answer) if isinstance(answer, dict) else ""
    return bool(
        item["request"]["method"] == "PUT"
        and item["response"]["status"]["code"] == 200
        and not names
        and state not in ("", "succeeded", "failed")
    )


def place_of(path: str) -> Place:
    parts = path.split("/")
    return Place(parts[2], parts[4], "westus")


def definition_of(parts: list[str]) -> Definition:
    return Definition(parts[8], parts[10], "p", "o", "s", "V1")


HERE = (TargetRegion("westus"),)
OWN: dict[str, tuple[str, str, Callable[[Place, list[str]], Request]]] = {
    "generalize": ("POST", r"/virtualMachines/[^/]+/generalize$", lambda place, at: machines.generalize(place, at[8])),
    "deallocate": ("POST", r"/virtualMachines/[^/]+/deallocate$", lambda place, at: machines.deallocate(place, at[8])),
    "image": (
        "PUT",
        r"/Microsoft\.Compute/images/[^/]+$",
        lambda place, at: images.create_image(place, at[8], "V1", vm="x"),
    ),
    "gallery": ("PUT", r"/galleries/[^/]+$", lambda place, at: images.create_gallery(place, at[8])),
    "definition": (
        "PUT",
        r"/galleries/[^/]+/images/[^/]+$",
        lambda place, at: images.create_definition(place, definition_of(at)),
    ),
    "version": (
        "PUT",
        r"/galleries/[^/]+/images/[^/]+/versions/[^/]+$",
        lambda place, at: images.create_version(place, definition_of(at), at[12], HERE, disk="x"),
    ),
    "disk": (
        "PUT",
        r"/disks/[^/]+$",
        lambda place, at: disks.create_upload_disk(place, at[8], 1, "V1", "x64", "Standard_LRS"),
    ),
    "snapshot": ("PUT", r"/snapshots/[^/]+$", lambda place, at: disks.create_snapshot(place, at[8], "x")),
    "grant": ("POST", r"/disks/[^/]+/beginGetAccess$", lambda place, at: disks.grant_access(place, at[8])),
    "revoke": ("POST", r"/disks/[^/]+/endGetAccess$", lambda place, at: disks.revoke_access(place, at[8])),
    "console": (
        "POST",
        r"/retrieveBootDiagnosticsData$",
        lambda place, at: machines.console_log(place, at[8]),
    ),
    "vm": ("GET", r"/Microsoft\.Compute/virtualMachines/[^/]+$", lambda place, at: machines.read_vm(place, at[8])),
    "view": ("GET", r"/virtualMachines/[^/]+/instanceView$", lambda place, at: machines.instance_view(place, at[8])),
    "scale set": (
        "PUT",
        r"/virtualMachineScaleSets/[^/]+$",
        lambda place, at: Request("PUT", place.compute("virtualMachineScaleSets", at[8]), "", {}),
    ),
    "interface": (
        "PUT",
        r"/networkInterfaces/[^/]+$",
        lambda place, at: network.create_interface(place, at[8], network.subnet_id(place, "n"), "g"),
    ),
    "group": ("PUT", r"^/subscriptions/[^/]+/resourcegroups/[^/]+$", lambda place, _: groups.create_group(place)),
}


@pytest.mark.long
@pytest.mark.parametrize("name", OWN)
def test_our_own_requests_are_those_that_were_recorded(name: str, player: Player) -> None:
    """Path and method are ours; the api-version is the recording's, so that its answer can be found."""
    method, pattern, build = OWN[name]
    seen = 0
    for path in TAPES:
        interactions = recordings.load(path)
        for at, item in enumerate(interactions):
            parts = urlsplit(item["request"]["uri"])
            if item["request"]["method"] != method or not re.search(pattern, parts.path, re.IGNORECASE):
                continue
            ours = build(place_of(parts.path), parts.path.split("/"))
            assert (ours.method, ours.path.lower()) == (method, parts.path.lower())
            expected, _ = outcome(interactions, at)
            if expected != "ok":
                continue
            query = dict(parse_qsl(parts.query))
            more = tuple((key, value) for key, value in query.items() if key != "api-version")
            client, _ = player(interactions[at:])
            answer = client.send(replace(ours, api_version=query["api-version"], query=more))
            seen += 1
            assert provisioning_state(answer.body) in ("", "succeeded", "creating", "updating")
            if name == "grant":
                assert answer.body["accessSAS"]
    if not TAPES:
        pytest.skip(recordings.MISSING)
    if not seen:
        pytest.skip("elsewhere: in recordings that have such a request")


@pytest.mark.long
def test_our_readers_read_every_recorded_answer() -> None:
    """VMs, images, definitions, sizes, usages and instance views: each is read, or refused in a sentence."""
    if not TAPES:
        pytest.skip(recordings.MISSING)
    seen: set[str] = set()
    for path in TAPES:
        for item in recordings.load(path):
            if item["request"]["method"] == "GET" and item["response"]["status"]["code"] == 200:
                seen |= _read(urlsplit(item["request"]["uri"]).path, body_of(item))
    assert {"vm", "marketplace", "view"} <= seen


def _read(path: str, body: Any) -> set[str]:
    place = Place("s", "g", str(body.get("location", "")) if isinstance(body, dict) else "")
    if re.search(r"/virtualMachines/[^/]+$", path, re.IGNORECASE) and "storageProfile" in body.get("properties", {}):
        steps = sources.own_vm_facts(place, "x", "me", managed_image=False, copy=True)
        try:
            known = _learn(steps[0], body)
        except Failure as failure:
            assert "unmanaged disk" in failure.message
            return {"vm"}
        assert known.os_disk and known.vm_size
        view = body["properties"].get("instanceView")
        if view:
            instance = from_view("x", view)
            state = body["properties"]["provisioningState"]
            assert instance.ready == (state == "Succeeded"), json.dumps(view)
            return {"vm", "view"}
        return {"vm"}
    if "/artifacttypes/vmimage/" in path and re.search(r"/versions/[^/]+$", path):
        facts = sources.marketplace_facts(place, parse_urn("a:b:c:latest"), "Standard")[1]
        assert _learn(facts, body).generation in ("V1", "V2")
        return {"marketplace"}
    if re.search(r"/galleries/[^/]+/images/[^/]+$", path) and "identifier" in body.get("properties", {}):
        step = image_facts.facts_of_image(body["id"], place, "", None)[0]
        assert _learn(step, body).generation in ("V1", "V2")
        return {"definition"}
    if path.endswith("/usages") and "/Microsoft.Compute/" in path:
        size = preflight.Size("x", "standardDSv3Family", 2, ("V2",), "x64", ())
        preflight.check_quota(body, [size], "westus")
        return {"usages"}
    return set()


def _learn(step: Any, body: Any) -> Known:
    assert isinstance(step, Read)
    return step.learn(body, Known())


def test_a_resource_that_never_settles_is_given_up_in_a_sentence(player: Player) -> None:
    def answer(status: int, state: str) -> dict[str, Any]:
        text = json.dumps({"name": "vm1", "properties": {"provisioningState": state}})
        kind = {"Content-Type": ["application/json"]}
        return {"status": {"code": status, "message": ""}, "headers": kind, "body": {"string": text}}

    request = machines.create_vm(Place("s", "g", "westus"), _vm())
    uri = ARM.rstrip("/") + request.target
    put = {"request": {"method": "PUT", "uri": uri, "body": ""}, "response": answer(200, "Updating")}
    looks = [{"request": {"method": "GET", "uri": uri, "body": ""}, "response": answer(200, "Updating")}] * 50
    client, _ = player([put, *looks], patience=replace(HASTE, poll=0.01, settle=0.05))
    with pytest.raises(Exception, match=r"still updating after 0 s"):
        client.send(request)
    failed = {"request": {"method": "GET", "uri": uri, "body": ""}, "response": answer(200, "Failed")}
    client, _ = player([put, looks[0], failed])
    with pytest.raises(AzureFailure, match="cannot create virtualMachines/vm1: Failed"):
        client.send(request)


def _vm() -> machines.VmWishes:
    return machines.VmWishes("vm1", "Standard_D2s_v5", "/x", "nic", "me", "ssh-rsa A", agent=False)
