"""IMDS by its documentation: what is served, per version, and what is refused."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.fabric.ledger import Exchange, Ledger
from azready.fabric.machine import DataDisk, Machine
from azready.fabric.protocol import imds, instance
from azready.fabric.protocol.findings import KINDS
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
NEWEST_THREE = '["{}","{}","{}"]'.format(*instance.VERSIONS[:-4:-1])
METADATA = (("Metadata", "true"),)


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
    address = "network/interface/0/ipv4/ipAddress/0"
    deep = Machine(
        imds=((f"{address}/publicIpAddress", "203.0.113.9"), ("network/interface/0/ipv4/subnet/0", "odd"), ("a/b", 1))
    )
    whole = json.loads(get(f"/metadata/instance?api-version={NEWEST}", machine=deep).response.body)
    ipv4 = whole["network"]["interface"][0]["ipv4"]
    assert ipv4["ipAddress"] == [{"privateIpAddress": "10.1.0.4", "publicIpAddress": "203.0.113.9"}]
    assert ipv4["subnet"] == ["odd"] and whole["a"] == {"b": 1}


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
        ("/metadata/instance", (("Metadata", "true"),), "GET", 400, "imds-discovery"),
        ("/metadata", (("Metadata", "true"),), "GET", 400, "imds-discovery"),
        ("/metadata/nix", (("Metadata", "true"),), "GET", 400, "imds-discovery"),
        ("/metadata/nix?api-version=2021-02-01", (("Metadata", "true"),), "GET", 404, "imds-unknown-path"),
        ("/metadata?api-version=2021-02-01", (("Metadata", "true"),), "GET", 404, "imds-unknown-path"),
        ("/metadata/identity?api-version=2021-02-01", (("Metadata", "true"),), "GET", 404, "imds-unknown-path"),
        ("/metadata/loadbalancer?api-version=2021-02-01", (("Metadata", "true"),), "GET", 404, "imds-absent"),
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
            "imds-absent",
        ),
        ("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x", (), "GET", 400, "imds-probe"),
        ("/nix", (("Metadata", "true"),), "GET", 404, "imds-unknown-path"),
        ("/metadata/instance?api-version=2021-02-01", (("Metadata", "true"),), "POST", 405, "imds-method"),
        ("/metadata/instance?api-version=2021-02-01", (("Metadata", "true"),), "HEAD", 405, "imds-method"),
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
    assert body["newest-versions"] == list(instance.VERSIONS[:-4:-1])


def test_each_field_that_came_with_a_version_is_in_the_newest_document() -> None:
    """And its version is one of those that are served."""
    document = instance.document(MACHINE, NEWEST, extended=True)
    for path, since in instance.SINCE.items():
        assert since in instance.VERSIONS, path
        value: Any = document
        for name in path.split("/"):
            assert name in value, path
            value = value[name]


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


def test_identity_has_a_limit_of_its_own() -> None:
    target = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x"
    tokens = Ledger()
    tokens.record(*(Exchange(0.0, "imds", "GET", target, 200) for _ in range(19)))
    machine = Machine(identity=("system",))
    assert get(target, ledger=tokens, machine=machine).response.status == 200
    assert get(f"/metadata/instance?api-version={NEWEST}", ledger=tokens).response.status == 200
    tokens.record(Exchange(0.0, "imds", "GET", target, 200))
    assert get(target, ledger=tokens, machine=machine).response.status == 429
    assert get(target, ledger=_asked(9), machine=machine).response.status == 200


def test_refused_requests_do_not_count_towards_the_rate() -> None:
    assert get(f"/metadata/instance?api-version={NEWEST}", ledger=_asked(9, status=429)).response.status == 200


def test_a_note_is_all_that_azures_own_sdks_get_for_their_probes() -> None:
    for code in ("imds-probe", "imds-discovery", "imds-absent", "imds-identity"):
        assert KINDS[code].severity == "note"


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        (
            "/metadata/instance?api-version=2021-02-01",
            (),
            '{ "error": "Bad request: . Required metadata header not specified" }',
        ),
        ("/metadata/instance/compute/name?api-version=2021-02-01", METADATA, '{ "error": "Bad request" }'),
        ("/metadata/instance/nix?api-version=2021-02-01", METADATA, '{ "error": "Not found" }'),
        ("/metadata/identity?api-version=2018-02-01", METADATA, '{"error":"Not Found"}'),
        ("/metadata/scheduledevents?api-version=2021-02-01", METADATA, '{ "error": "Not found" }'),
        (
            "/metadata/loadbalancer?api-version=2020-10-01",
            METADATA,
            f'{{ "error": "{imds.NO_LOAD_BALANCER}" }}',
        ),
        (
            "/metadata",
            METADATA,
            f'{{"error":"{imds.WRONG_VERSION}","newest-versions":{NEWEST_THREE}}}',
        ),
    ],
)
def test_errors_are_those_that_were_recorded_to_the_letter(
    target: str, headers: tuple[tuple[str, str], ...], body: str
) -> None:
    assert get(target, headers).response.body.decode() == body


def test_every_answer_says_that_it_is_of_imds() -> None:
    for target in ("/metadata/versions", "/metadata/instance?api-version=2021-02-01", "/nix"):
        assert str(dict(get(target).response.headers)["Server"]).startswith("IMDS/")


@pytest.mark.parametrize("field", ["isVmInStandbyPool", "systemFaultDomain", "interconnectGroupId"])
def test_fields_of_newer_documents_are_there_and_empty(field: str) -> None:
    assert document("2025-11-11")["compute"][field] == ""
    assert field not in document("2021-02-01")["compute"]


def test_a_data_disk_has_all_its_fields() -> None:
    machine = Machine(data_disks=(DataDisk(0, 64), DataDisk(3, 1024, "ReadOnly", "UltraSSD_LRS")))
    target = f"/metadata/instance/compute/storageProfile/dataDisks?api-version={NEWEST}"
    first, second = json.loads(get(target, machine=machine).response.body)
    assert {len(one) for one in (first, second)} == {17}
    assert [(one["lun"], one["diskSizeGB"], one["caching"]) for one in (first, second)] == [
        ("0", "64", "None"),
        ("3", "1024", "ReadOnly"),
    ]
    assert (first["diskCapacityBytes"], second["diskCapacityBytes"]) == ("", str(1 << 40))
    assert (second["isUltraDisk"], second["managedDisk"]["storageAccountType"]) == ("true", "UltraSSD_LRS")


def test_a_dual_stack_machine_has_its_second_address() -> None:
    path = "/metadata/instance/network/interface/0/ipv6/ipAddress/0/privateIpAddress"
    target = f"{path}?api-version=2025-04-07&format=text"
    assert get(target, machine=Machine(address6="fd00:a2::4")).response.body == b"fd00:a2::4"
    absent = get(target)
    assert (absent.response.status, codes(absent)) == (404, ["imds-absent"])


def test_interfaces_may_come_in_another_order_than_the_machine_has_them() -> None:
    machine = replace(MACHINE, nics_shuffled=True)
    listed = json.loads(get(f"/metadata/instance/network?api-version={NEWEST}", machine=machine).response.body)
    assert [one["macAddress"] for one in listed["interface"]] == ["000D3A6E0099", "000D3A6E0001"]


@pytest.mark.parametrize(
    ("kind", "secure", "named"), [("Standard", "false", ""), ("TrustedLaunch", "true", "TrustedLaunch")]
)
def test_the_security_profile_is_that_of_the_machines_type(kind: str, secure: str, named: str) -> None:
    target = f"/metadata/instance/compute/securityProfile?api-version={NEWEST}"
    profile = json.loads(get(target, machine=Machine(security_type=kind)).response.body)
    assert (profile["secureBootEnabled"], profile["virtualTpmEnabled"], profile["securityType"]) == (
        secure,
        secure,
        named,
    )


def test_the_temporary_disk_is_that_of_the_size() -> None:
    target = f"/metadata/instance/compute/storageProfile/resourceDisk/size?api-version={NEWEST}&format=text"
    told = {size: get(target, machine=Machine(size=size)).response.body for size in ("Standard_B2s", "Standard_D4s_v6")}
    assert told == {"Standard_B2s": b"8192", "Standard_D4s_v6": b"0"}


def test_the_attested_document_has_one_path() -> None:
    for path in ("/metadata/attested/document", "/metadata/attested/document/"):
        document = json.loads(get(f"{path}?api-version=2021-02-01&nonce=1234567890").response.body)
        assert document["encoding"] == "pkcs7" and base64.b64decode(document["signature"])
    for path in ("/metadata/attested", "/metadata/attested/documents", "/metadata/attested/document/x"):
        answer = get(f"{path}?api-version=2021-02-01")
        assert (answer.response.status, codes(answer)) == (404, ["imds-unknown-path"])


def test_reprovisiondata_is_the_medium_when_offered() -> None:
    answer = get("/metadata/reprovisiondata?api-version=2019-06-01", rules=Rules(reprovision=True))
    assert b"<HostName>web-1<" in answer.response.body


@given(st.text(max_size=60), st.sampled_from(["/metadata/instance/", "/metadata/", "/"]))
def test_no_path_breaks_it(rest: str, start: str) -> None:
    answer = get(start + rest)
    assert 200 <= answer.response.status < 500
