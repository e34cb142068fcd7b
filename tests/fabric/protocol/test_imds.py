"""IMDS by its documentation: what is served, per version, and what is refused."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.fabric.ledger import Exchange, Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol import imds, instance
from azready.fabric.protocol.messages import Answer, Request, Rules

MACHINE = Machine(
    name="vm1",
    computer_name="web-1",
    public_keys=("ssh-ed25519 AAAA a", "ssh-rsa BBBB b"),
    custom_data="secret",
    user_data="hällo",
    tags=(("owner", "me"), ("cost", "1;2")),
    secondary_nics=(("00:0d:3a:6e:00:99", "10.1.0.9"),),
)
NEWEST = instance.VERSIONS[-1]


def get(
    target: str,
    headers: tuple[tuple[str, str], ...] = (("Metadata", "true"),),
    method: str = "GET",
    rules: Rules = Rules(),
    ledger: Ledger | None = None,
    machine: Machine = MACHINE,
) -> Answer:
    return imds.answer(Request(method, target, headers), machine, ledger or Ledger(), rules)


def document(version: str = NEWEST, extra: str = "") -> Any:
    answer = get(f"/metadata/instance?api-version={version}{extra}")
    assert answer.response.status == 200
    assert answer.notes == ()
    return json.loads(answer.response.body)


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if children is None:
        return {path: node}
    return {key: value for name, child in children for key, value in leaves(child, f"{path}/{name}").items()}


def codes(answer: Answer) -> list[str]:
    return [note.code for note in answer.notes if hasattr(note, "code")]


def test_every_leaf_is_a_string_and_can_be_asked_for_as_text() -> None:
    for path, value in leaves(document()).items():
        assert isinstance(value, str), path
        answer = get(f"/metadata/instance{path}?api-version={NEWEST}&format=text")
        assert answer.response.body.decode() == value
        assert get(f"/metadata/instance{path}?api-version={NEWEST}").response.status == 400


def test_every_sub_tree_can_be_asked_for() -> None:
    def check(node: Any, path: str) -> None:
        if not isinstance(node, dict | list):
            return
        answer = get(f"/metadata/instance{path}?api-version={NEWEST}")
        assert json.loads(answer.response.body) == node
        for name, child in node.items() if isinstance(node, dict) else enumerate(node):
            check(child, f"{path}/{name}")

    check(document(), "")


def test_a_tree_as_text_lists_its_keys() -> None:
    answer = get(f"/metadata/instance?api-version={NEWEST}&format=text")
    assert answer.response.body.decode().split() == ["compute/", "network/"]
    profile = get(f"/metadata/instance/compute/osProfile?api-version={NEWEST}&format=text")
    assert profile.response.body.decode().split() == ["adminUsername", "computerName", "disablePasswordAuthentication"]


@pytest.mark.parametrize(
    ("field", "before", "since"),
    [
        ("osProfile", "2020-06-01", "2020-07-15"),
        ("publicKeys", "2018-02-01", "2018-04-02"),
        ("userData", "2020-12-01", "2021-01-01"),
        ("tagsList", "2019-06-01", "2019-06-04"),
        ("storageProfile", "2019-04-30", "2019-06-01"),
        ("resourceId", "2019-02-01", "2019-03-11"),
        ("zone", "2017-10-01", "2017-12-01"),
        ("subscriptionId", "2017-04-02", "2017-08-01"),
        ("physicalZone", "2023-07-01", "2023-11-15"),
    ],
)
def test_a_field_is_there_from_its_version_on(field: str, before: str, since: str) -> None:
    assert field not in document(before)["compute"]
    assert field in document(since)["compute"]


def test_the_password_flag_came_after_the_profile() -> None:
    assert set(document("2020-07-15")["compute"]["osProfile"]) == {"adminUsername", "computerName"}
    assert document("2020-10-01")["compute"]["osProfile"]["disablePasswordAuthentication"] == "true"


def test_values_are_those_of_the_machine() -> None:
    compute = document()["compute"]
    assert compute["name"] == "vm1"
    assert compute["osProfile"]["computerName"] == "web-1"
    assert [key["keyData"] for key in compute["publicKeys"]] == list(MACHINE.public_keys)
    assert base64.b64decode(compute["userData"]).decode() == "hällo"
    assert compute["customData"] == ""
    assert compute["tags"] == "owner:me;cost:1;2"
    assert compute["vmId"] == MACHINE.vm_id


def test_interfaces_have_their_mac_without_colons() -> None:
    interfaces = document()["network"]["interface"]
    assert [one["macAddress"] for one in interfaces] == ["000D3A6E0001", "000D3A6E0099"]
    assert interfaces[0]["ipv4"]["subnet"] == [{"address": "10.1.0.0", "prefix": "24"}]


def test_extended_is_only_on_request_and_only_where_it_is_known() -> None:
    assert "extended" not in document()
    assert document(extra="&extended=true")["extended"]["compute"] == {"hasCustomData": True, "ppsType": "None"}
    assert "extended" not in document("2019-06-01", "&extended=true")


def test_a_test_may_put_any_value_anywhere() -> None:
    odd = Machine(imds=(("compute.osProfile.disablePasswordAuthentication", ""), ("compute.publicKeys", [])))
    compute = json.loads(get(f"/metadata/instance/compute?api-version={NEWEST}", machine=odd).response.body)
    assert compute["osProfile"]["disablePasswordAuthentication"] == ""
    assert compute["publicKeys"] == []


@pytest.mark.parametrize(
    ("target", "headers", "method", "status", "code"),
    [
        ("/metadata/instance?api-version=2021-02-01", (), "GET", 400, "imds-no-header"),
        ("/metadata/instance?api-version=2021-02-01", (("Metadata", "false"),), "GET", 400, "imds-no-header"),
        (
            "/metadata/instance?api-version=2021-02-01",
            (("Metadata", "true"), ("X-Forwarded-For", "10.0.0.1")),
            "GET",
            400,
            "imds-forwarded",
        ),
        ("/metadata/instance", (("Metadata", "true"),), "GET", 400, "imds-version"),
        ("/metadata/instance?api-version=2021-02-02", (("Metadata", "true"),), "GET", 400, "imds-version"),
        ("/metadata/instance?api-version=2017-03-01", (("Metadata", "true"),), "GET", 400, "imds-version"),
        (
            "/metadata/instance?api-version=2021-02-01&api-version=2021-02-01",
            (("Metadata", "true"),),
            "GET",
            400,
            "imds-duplicate",
        ),
        ("/metadata/instance/nix?api-version=2021-02-01", (("Metadata", "true"),), "GET", 404, "imds-unknown-path"),
        (
            "/metadata/instance/network/interface/7?api-version=2021-02-01",
            (("Metadata", "true"),),
            "GET",
            404,
            "imds-unknown-path",
        ),
        ("/nix", (("Metadata", "true"),), "GET", 404, "imds-unknown-path"),
        ("/metadata/instance?api-version=2021-02-01", (("Metadata", "true"),), "POST", 405, "imds-method"),
        (
            "/metadata/instance/compute?api-version=2021-02-01&format=xml",
            (("Metadata", "true"),),
            "GET",
            400,
            "imds-format",
        ),
        ("/metadata/reprovisiondata?api-version=2019-06-01", (("Metadata", "true"),), "GET", 404, "imds-reprovision"),
        (
            "/metadata/identity/oauth2/token?api-version=2018-02-01",
            (("Metadata", "true"),),
            "GET",
            400,
            "imds-parameter",
        ),
    ],
)
def test_what_the_documentation_forbids_is_refused_and_noted(
    target: str, headers: tuple[tuple[str, str], ...], method: str, status: int, code: str
) -> None:
    answer = get(target, headers, method)
    assert answer.response.status == status
    assert codes(answer) == [code]
    assert "error" in json.loads(answer.response.body)


def test_the_header_may_be_written_in_any_case() -> None:
    assert get("/metadata/versions", (("metadata", "True"),)).response.status == 200


def test_without_a_version_the_newest_are_named() -> None:
    body = json.loads(get("/metadata/instance").response.body)
    assert body["newest-versions"] == ["2025-04-07", "2024-07-17", "2024-03-15"]


def test_versions_need_no_version() -> None:
    assert json.loads(get("/metadata/versions").response.body)["apiVersions"] == list(instance.VERSIONS)


def _asked(times: int, status: int = 200, at: float = 0.0) -> Ledger:
    ledger = Ledger()
    ledger.record(*(Exchange(at, "imds", "GET", "/", status) for _ in range(times)))
    return ledger


def test_the_sixth_request_of_a_second_is_refused_when_strict_and_noted_when_not() -> None:
    target = f"/metadata/instance?api-version={NEWEST}"
    assert get(target, ledger=_asked(4)).response.status == 200
    refused = get(target, ledger=_asked(5))
    assert (refused.response.status, codes(refused)) == (429, ["imds-rate"])
    assert get(target, ledger=_asked(9), rules=Rules(strict=False)).response.status == 200
    assert get(target, ledger=_asked(9, at=-1.0)).response.status == 200


def test_refused_requests_do_not_count_towards_the_rate() -> None:
    assert get(f"/metadata/instance?api-version={NEWEST}", ledger=_asked(9, status=429)).response.status == 200


def test_the_token_says_that_it_is_none() -> None:
    answer = get("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net")
    token = json.loads(answer.response.body)
    assert token["resource"] == "https://vault.azure.net"
    assert "no-real" in token["access_token"]


def test_reprovisiondata_is_the_medium_when_offered() -> None:
    answer = get("/metadata/reprovisiondata?api-version=2019-06-01", rules=Rules(reprovision=True))
    assert b"<wa:HostName>web-1<" in answer.response.body


@given(st.text(max_size=60), st.sampled_from(["/metadata/instance/", "/metadata/", "/"]))
def test_no_path_breaks_it(rest: str, start: str) -> None:
    answer = get(start + rest)
    assert 200 <= answer.response.status < 500
