"""Asking: which rules are asked, what counts, what cannot be seen; and the reports."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from sarif_pydantic import Sarif

from azready.errors import Exit, UsageFailure
from azready.image import render
from azready.image.checking import (
    Choice,
    Found,
    Passed,
    Result,
    Skipped,
    Unseen,
    check,
    exit_code,
)
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.rules.model import Profile, Severity
from azready.image.rules.waivers import Waiver, parse_waivers
from azready.image.targets.tree import Tree
from tests.image.sample import KERNEL, Sample, good_image


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return good_image(tmp_path)


def _ask(sample: Sample, **choice: object) -> dict[str, Result]:
    results = check(Facts(Tree(sample.root)), RULES, Choice(**choice))  # type: ignore[arg-type]
    return {result.rule.id: result for result in results}


def test_profiles_add_rules_and_make_others_graver(sample: Sample) -> None:
    plain = _ask(sample)
    nvme = _ask(sample, profiles=frozenset({Profile.NVME}))
    assert "K10" not in plain and isinstance(nvme["K10"].answer, Passed)
    assert (plain["K09"].severity, nvme["K09"].severity) == (Severity.WARNING, Severity.FATAL)


def test_only_and_skip_take_ids_and_areas(sample: Sample) -> None:
    assert set(_ask(sample, only=frozenset({"K01", "N"}))) >= {"K01", "N01", "N02"}
    assert not any(id.startswith("S") for id in _ask(sample, only=frozenset({"K01", "N"})))
    assert isinstance(_ask(sample, skip=frozenset({"K01"}))["K01"].answer, Skipped)
    with pytest.raises(UsageFailure, match="no rule K99"):
        _ask(sample, skip=frozenset({"K99"}))


def test_before_generalize_leaves_out_what_sealing_fixes(sample: Sample) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    assert isinstance(_ask(sample)["S02"].answer, Found)
    assert "S02" not in _ask(sample, sealing=False)


def test_what_cannot_be_read_is_never_a_pass(sample: Sample) -> None:
    sample.write(f"boot/initrd.img-{KERNEL}", b"#!garbage")
    sample.write("var/lib/rpm/rpmdb.sqlite", b"broken").remove("var/lib/dpkg/status")
    results = _ask(sample)
    assert isinstance(results["K01"].answer, Unseen) and "unknown compression" in results["K01"].answer.reason
    assert isinstance(results["P04"].answer, Unseen) and "rpmdb.sqlite" in results["P04"].answer.reason
    assert exit_code(results.values(), Severity.ERROR) == Exit.UNABLE
    assert exit_code([results["S02"]], Severity.ERROR) == Exit.OK


def test_a_file_that_may_not_be_read_is_no_pass(sample: Sample, need: Callable[..., None]) -> None:
    need("user")
    (sample.root / "etc/shadow").chmod(0)
    answer = _ask(sample)["A01"].answer
    assert isinstance(answer, Unseen) and "etc/shadow" in answer.reason


@pytest.mark.parametrize(
    ("fail_on", "code"), [(Severity.FATAL, Exit.OK), (Severity.ERROR, Exit.NEGATIVE), (Severity.INFO, Exit.NEGATIVE)]
)
def test_exit_codes_follow_the_threshold(fail_on: Severity, code: Exit, sample: Sample) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    assert exit_code(_ask(sample).values(), fail_on) == code


def test_a_waived_finding_is_shown_and_counts_for_nothing(sample: Sample) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    results = _ask(sample, waivers=(Waiver("S02", "test image, thrown away at once"),))
    assert exit_code(results.values(), Severity.INFO) == Exit.OK
    text = render.as_text(list(results.values()), "x")
    assert "WAIVED" in text and "thrown away at once" in text and "1 waived" in text


@pytest.mark.parametrize("id", ["S", "Z01", ""])
def test_a_waiver_is_of_one_rule(sample: Sample, id: str) -> None:
    """The letter of an area would waive nothing, and nobody would be told."""
    with pytest.raises(UsageFailure, match=f"there is no rule {id}"):
        _ask(sample, waivers=(Waiver(id, "looked at"),))


def test_rules_are_named_in_small_letters_too(sample: Sample) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    assert _ask(sample, waivers=(Waiver("s02", "looked at"),))["S02"].waiver
    assert set(_ask(sample, only=frozenset({"s02"}))) == {"S02"}


def test_waiver_files_want_reasons() -> None:
    assert parse_waivers('[waivers]\nS01 = " serial only "\n', "w") == (Waiver("S01", "serial only"),)
    for text in ("S01", '[waivers]\nS01 = ""\n', "[waivers]\nS01 = true\n", '[other]\nS01 = "x"\n', ""):
        with pytest.raises(UsageFailure):
            parse_waivers(text, "w")


def test_the_text_is_grouped_worst_first_and_says_how_to_fix(sample: Sample) -> None:
    sample.not_in_initramfs("hv_vmbus").write("etc/hostname", "builder\n")
    text = render.as_text(list(_ask(sample).values()), "the tree")
    assert text.index("FATAL") < text.index("K01") < text.index("WARNING") < text.index("P14")
    assert "/etc/initramfs-tools/modules" in text and "update-initramfs -u -k all" in text
    assert text.splitlines()[-2].startswith("the tree: 1 fatal, 1 warning, ")
    assert text.splitlines()[-1] == "`azready generalize` fixes P14"


def test_what_is_done_by_hand_is_not_said_to_be_fixed_by_a_command(sample: Sample) -> None:
    sample.arguments(f"systemd.machine_id={'a' * 32}")
    assert "fixes P12" not in render.as_text(list(_ask(sample).values()), "x")
    sample.write("etc/machine-id", "b" * 32)
    assert "fixes P12 in part" in render.as_text(list(_ask(sample).values()), "x")


def test_a_hostile_name_cannot_move_the_cursor(sample: Sample) -> None:
    sample.write("root/.ssh/id_\x1b[2J", "x")
    results = list(_ask(sample).values())
    assert "\x1b" not in render.as_text(results, "x")
    assert "\x1b" not in render.as_junit(results, "x", Severity.ERROR)
    assert "\x1b" not in render.as_json(results, "x")
    assert "\x1b" not in render.as_sarif(results, "x")


def test_json_holds_every_rule_and_how_to_fix(sample: Sample) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    document = json.loads(render.as_json(list(_ask(sample).values()), "t"))
    rows = {row["id"]: row for row in document["results"]}
    assert rows["S02"]["answer"] == "finding" and rows["S02"]["severity"] == "error"
    assert rows["S02"]["findings"][0]["where"] == "/etc/ssh/ssh_host_rsa_key"
    assert rows["D01"] == {
        "id": "D01",
        "title": rows["D01"]["title"],
        "severity": "fatal",
        "answer": "skipped",
        "reason": "not a disk file",
    }


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_documents_keep_to_their_schema(sample: Sample, form: str) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x").write(f"boot/initrd.img-{KERNEL}", b"garbage")
    results = list(_ask(sample, waivers=(Waiver("P14", "known"),)).values())
    if form == "sarif":
        assert Sarif.model_validate_json(render.as_sarif(results, "a tree")).runs[0].results
        return
    schema = json.loads(resources.files(render).joinpath("check.schema.json").read_text())
    document = json.loads(render.as_json(results, "t"))
    jsonschema.validate(document, schema)
    assert sum(document["counts"].values()) == len(results)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "results": [{**document["results"][0], "findings": []}]}, schema)


def test_a_finding_has_its_place_in_sarif_and_keeps_its_fingerprint(sample: Sample) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x").write("etc/hostname", "db-7\n")
    run = json.loads(render.as_sarif(list(_ask(sample).values()), "my image"))["runs"][0]
    found = {each["ruleId"]: each for each in run["results"]}
    place = found["S02"]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "etc/ssh/ssh_host_rsa_key", "uriBaseId": "IMAGE"}}
    assert found["S02"]["level"] == "error"
    assert run["tool"]["driver"]["rules"][found["S02"]["ruleIndex"]]["id"] == "S02"
    again = json.loads(render.as_sarif(list(_ask(sample, only=frozenset({"S02"})).values()), "other"))["runs"][0]
    assert again["results"][0]["partialFingerprints"] == found["S02"]["partialFingerprints"]


def test_junit_counts_failures_errors_and_skips(sample: Sample) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x").write(f"boot/initrd.img-{KERNEL}", b"garbage")
    sample.write("etc/hostname", "builder\n")
    suite = ElementTree.fromstring(render.as_junit(list(_ask(sample).values()), 'a "tree" <1>', Severity.ERROR))
    cases = {case.attrib["name"][:3]: case for case in suite}
    assert suite.attrib["failures"] == "1" and cases["S02"].find("failure") is not None
    assert cases["K01"].find("error") is not None and cases["D01"].find("skipped") is not None
    assert cases["P14"].find("failure") is None and cases["P14"].find("system-out") is not None


def test_secrets_of_proxies_are_not_shown(sample: Sample) -> None:
    sample.write("etc/environment", "http_proxy=http://user:hunter2@proxy:3128\n")
    sample.write("etc/apt/apt.conf.d/p", 'Acquire::http::Proxy "http://user:hunter2@proxy";\n')
    assert "hunter2" not in render.as_json(list(_ask(sample).values()), "t")


def test_a_specialized_image_needs_no_provisioner_and_is_told_what_its_copies_share(sample: Sample) -> None:
    """A machine as it ran: with its name, keys, id and user, and with no agent nor guest program."""
    sample.write("etc/ssh/ssh_host_rsa_key", "x").write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    sample.write("etc/hostname", "db-7\n").write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA me\n")
    sample.write("root/.ssh/known_hosts", "h ssh-ed25519 AAAA\n").remove(
        "usr/lib/systemd/system/azure-provisioning.service"
    )
    plain = _ask(sample)
    copies = _ask(sample, profiles=frozenset({Profile.SPECIALIZED}))
    assert exit_code(plain.values(), Severity.ERROR) == Exit.NEGATIVE
    assert exit_code(copies.values(), Severity.ERROR) == Exit.OK, render.as_text(tuple(copies.values()), "tree")
    assert "P01" in plain and "P01" not in copies
    shared = {name for name, each in copies.items() if each.worst is Severity.INFO}
    assert {"S02", "A03", "P12", "P14"} <= shared


def test_what_keeps_a_copy_from_booting_stays_fatal(sample: Sample) -> None:
    sample.remove("etc/systemd/network/10-eth0.network")
    sample.write("etc/systemd/network/10-x.network", "[Match]\nMACAddress=00:0d:3a:11:22:33\n[Network]\nDHCP=yes\n")
    copies = _ask(sample, profiles=frozenset({Profile.SPECIALIZED}), only=frozenset({"N"}))
    assert exit_code(copies.values(), Severity.FATAL) == Exit.NEGATIVE


def test_nobody_is_told_to_seal_a_specialized_image(sample: Sample) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    told = _ask(sample, profiles=frozenset({Profile.SPECIALIZED}))
    text = render.as_text(tuple(told.values()), "tree", verbose=True)
    assert "S02" in text and "`azready generalize" not in text
