"""`azready check` and `azready generalize` as commands: output, exit codes, wrong input."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.checking import Found, ask
from azready.image.facts import Facts
from azready.image.facts.disk import gather_disk
from azready.image.rules import RULES
from azready.image.targets.tree import Tree
from tests.cli.schemas import conforms
from tests.image.conftest import Azready
from tests.image.sample import Sample, good_image


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return good_image(tmp_path / "tree")


@pytest.mark.long
def test_a_good_tree_is_exit_code_0(sample: Sample, azready: Azready) -> None:
    done = azready("check", sample.root)
    assert done.returncode == 0, done.stdout
    assert done.stderr == "" and " passed" in done.stdout


@pytest.mark.long
def test_findings_are_exit_code_1_and_what_cannot_be_seen_is_3(sample: Sample, azready: Azready) -> None:
    sample.write("var/lib/rpm/rpmdb.sqlite", b"broken").remove("var/lib/dpkg/status")
    assert azready("check", sample.root).returncode == 3
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    assert azready("check", sample.root).returncode == 1
    assert azready("check", sample.root, "--fail-on", "fatal").returncode == 0
    assert azready("check", sample.root, "--before-generalize", "--skip", "P04", "--skip", "P17").returncode == 0


@pytest.mark.long
def test_formats_for_programs_are_alone_on_stdout(sample: Sample, azready: Azready) -> None:
    assert json.loads(azready("check", sample.root, "--format", "json").stdout)["results"]
    assert azready("check", sample.root, "-o", "junit").stdout.startswith("<?xml")


@pytest.mark.long
def test_several_forms_in_one_run(sample: Sample, azready: Azready, tmp_path: Path) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    data, scan = tmp_path / "a.json", tmp_path / "b.sarif"
    scan.write_text("of the last run")
    done = azready("check", sample.root, "-o", f"json={data}", "-o", f"sarif={scan}")
    assert done.returncode == 1 and "S02" in done.stdout, "the text is printed beside"
    rows = {row["id"]: row for row in json.loads(data.read_text())["results"]}
    assert rows["S02"]["answer"] == "finding"
    results = json.loads(scan.read_text())["runs"][0]["results"]
    assert [each["ruleId"] for each in results] == ["S02"]
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == ["a.json", "b.sarif"]
    only = azready("check", sample.root, "-o", "sarif", "-o", f"text={tmp_path / 'a.txt'}")
    assert json.loads(only.stdout)["version"] == "2.1.0" and "S02" in (tmp_path / "a.txt").read_text()


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "wants a target"),
        (("/no/such/place",), "no such file"),
        (("TREE", "--only", "K99"), "there is no rule K99"),
        (("TREE", "--waivers", "/no/such/file"), "No such file"),
        (("TREE", "--format", "yaml"), "text, json, junit, sarif"),
        (("TREE", "-o", "json", "-o", "sarif"), "cannot both be printed"),
        (("TREE", "-o", "json=a", "-o", "json"), "given twice"),
        (("TREE", "-o", "json="), "without a name"),
        (("TREE", "-o", "json=/no/such/folder/a.json"), "cannot write"),
        (("TREE", "-o", "json=/"), "cannot write"),
        (("TREE", "--profile", "gold"), "gold"),
        (("--explain", "X1"), "there is no rule X1"),
        (("--explain", "S"), "there is no rule S"),
    ],
)
def test_wrong_input_is_exit_code_2_and_says_what_is_right(
    words: tuple[str, ...], says: str, sample: Sample, azready: Azready
) -> None:
    done = azready("check", *(str(sample.root) if word == "TREE" else word for word in words))
    assert done.returncode == 2, done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr


@pytest.mark.long
def test_a_waiver_file_is_heeded(sample: Sample, azready: Azready, tmp_path: Path) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    (tmp_path / "waivers.toml").write_text('[waivers]\nS02 = "thrown away after the test"\n')
    done = azready("check", sample.root, "--waivers", tmp_path / "waivers.toml")
    assert done.returncode == 0 and "thrown away after the test" in done.stdout


@pytest.mark.long
def test_explain_and_list_need_no_target(azready: Azready) -> None:
    assert "hv_vmbus" in azready("check", "--explain", "k01").stdout
    listed = azready("check", "--list").stdout
    assert all(f"  {rule.id}  " in listed for rule in RULES)


@pytest.mark.long
def test_checking_changes_nothing(sample: Sample, azready: Azready) -> None:
    before = {path: path.lstat().st_mtime_ns for path in sample.root.rglob("*")}
    azready("check", sample.root)
    assert {path: path.lstat().st_mtime_ns for path in sample.root.rglob("*")} == before


@pytest.mark.long
def test_generalize_shows_acts_and_is_done(sample: Sample, azready: Azready) -> None:
    sample.write("etc/ssh/ssh_host_rsa_key", "x")
    shown = azready("generalize", sample.root, "--dry-run")
    assert shown.returncode == 0 and "remove /etc/ssh/ssh_host_rsa_key" in shown.stdout
    assert (sample.root / "etc/ssh/ssh_host_rsa_key").exists()
    done = azready("generalize", sample.root)
    assert done.returncode == 0 and "nothing is found any more" in done.stdout, done.stderr
    assert conforms("generalize", azready("generalize", sample.root, "--output", "json").stdout)["changed"] == 0
    assert "it is sealed" in azready("generalize", sample.root, "--dry-run").stdout


@pytest.mark.long
def test_generalize_of_a_running_system_wants_yes(azready: Azready) -> None:
    """Asked of `/` without --yes it refuses, whoever runs it: nothing of this machine is touched."""
    done = azready("generalize", "/", "--skip", "P01", "--skip", "S02", "--skip", "S03")
    status, fix = (2, "say --yes") if os.geteuid() == 0 else (3, "run it with sudo")
    assert done.returncode == status and fix in done.stderr, done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "says"),
    [(("--skip", "Z1"), "no rule Z1"), (("--skip", "S"), "no rule S"), (("--output", "xml"), "text, json")],
)
def test_generalize_refuses_wrong_options(words: tuple[str, ...], says: str, sample: Sample, azready: Azready) -> None:
    done = azready("generalize", sample.root, *words)
    assert done.returncode == 2 and says in done.stderr


@pytest.mark.long
def test_the_running_machine_can_be_checked(azready: Azready) -> None:
    done = azready("check", "/", "--only", "K15", "--only", "P15")
    assert done.returncode in (0, 1), done.stderr
    assert any(line.startswith("/: ") for line in done.stdout.splitlines())


def test_a_disk_file_is_looked_at_too(tmp_path: Path, need: Callable[..., None]) -> None:
    """A real partition table and real file systems; the files come from the sample tree."""
    need("tool:sfdisk", "tool:mkfs.ext4", "tool:mkswap")
    import subprocess

    mib = 1 << 20
    disk = tmp_path / "disk.vhd"
    disk.write_bytes(b"")
    os.truncate(disk, 40 * mib + 512)
    script = "label: gpt\nstart=1MiB,size=20MiB,type=linux\nstart=21MiB,size=4MiB,type=swap\n"
    subprocess.run(["sfdisk", "-q", disk], input=script, text=True, check=True, capture_output=True)
    subprocess.run(["mkfs.ext4", "-q", "-E", f"offset={mib}", disk, "20M"], check=True, capture_output=True)
    good_image(tmp_path / "tree")
    facts = Facts(Tree(tmp_path / "tree"), disk=gather_disk(disk))
    found = {rule.id for rule in RULES if rule.id[0] in "BD" and isinstance(ask(rule, facts), Found)}
    assert found == {"B07", "B14", "B15", "D01", "D02", "D07", "D09"}
