"""`azready build`: from a Debian disk to the VHD, for real; resumable, the input untouched, a manifest that is true."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from azready.cli.build import _asked as asked
from azready.errors import Failure, UsageFailure
from azready.image import checking, preparation, sealing
from azready.image.facts import Facts, packages
from azready.image.parts.additions import parse
from azready.image.rules import RULES
from azready.image.rules.waivers import Waiver
from azready.image.targets.tree import Tree
from azready.pipelines import build as building
from azready.pipelines import sbom
from azready.pipelines.build import Options
from tests import cuts
from tests.boot import cloud, machines
from tests.cli.schemas import conforms
from tests.image.rules.cases import CASES
from tests.image.sample import good_image
from tests.untouched import watched

NEEDS = ("root", "tool:mmdebstrap", "tool:sfdisk", "tool:mke2fs", "tool:mcopy", "tool:objcopy", "tool:qemu-img")


def _azready(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "azready", *(str(word) for word in words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_a_sbom_names_every_package_by_its_url() -> None:
    inventory = sbom.Inventory("image", "debian", "Debian 12", "12", "apt", {"bash": "5.2-2", "libc6": "2.36-9"})
    table = json.loads(sbom.cyclonedx(inventory))
    urls = {each["purl"] for each in table["components"] if "purl" in each}
    assert urls == {"pkg:deb/debian/bash@5.2-2?distro=debian-12", "pkg:deb/debian/libc6@2.36-9?distro=debian-12"}
    assert table["bomFormat"] == "CycloneDX" and table["metadata"]["component"]["name"] == "image"
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(sbom.cyclonedx(inventory)) is None


def test_an_image_whose_names_are_no_utf_8_has_a_sbom() -> None:
    """Of bytes in Latin-1, as `NAME="Linux f\xfcr uns"` in os-release, half characters are left to us."""
    odd = b"f\xfcr uns".decode(errors="surrogateescape")
    for inventory in (
        sbom.Inventory("image", odd, odd, odd, "apt", {odd: odd, "bash": "5.2-2"}),
        sbom.Inventory("image", "debian", "\ud800", "", odd, {"a\nb": "\x1b[2J"}),
    ):
        assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(sbom.cyclonedx(inventory)) is None


def test_every_package_database_has_its_kind_of_url() -> None:
    for name in packages.MANAGERS:
        inventory = sbom.Inventory("image", "some", "Some 1", "1", name, {})
        assert sbom.purl(inventory, "bash", "1").type != "generic", name


@pytest.mark.long
def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match="not a disk file"):
        building.build(tmp_path, tmp_path / "out.vhd", Options())
    assert list(tmp_path.iterdir()) == []
    wrong = _azready("build", tmp_path / "absent", "-o", tmp_path / "out.vhd", "--skip", "everything")
    assert wrong.returncode == 2 and "use prepare, generalize or boot" in wrong.stderr


@pytest.mark.slow
def test_a_build_goes_on_where_it_was_interrupted(
    tmp_path: Path, need: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need(*NEEDS)
    source, out = machines.debian_disk(2), tmp_path / "out.vhd"
    before = source.stat()
    secret = tmp_path / "secret"
    secret.write_text("Zq7-Marked.Word")
    secret.chmod(0o600)
    put_in = preparation.Options(added=parse([("--run", "mkdir /srv/put"), ("--copy-in", f"{secret}:/srv/put/")]))
    options = Options(prepare=put_in, skip=frozenset({"boot"}))

    def interrupted(*_: object) -> dict[str, object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(building, "_check", interrupted)
        with pytest.raises(KeyboardInterrupt):
            building.build(source, out, options)
    assert not out.exists()
    state = json.loads((tmp_path / "out.vhd.build/state.json").read_text())
    assert "generalize" in state and "check" not in state
    assert (tmp_path / "out.vhd.build").stat().st_mode & 0o777 == 0o700, "nobody else reads a disk that is being made"

    def again(*_: object) -> dict[str, object]:
        raise AssertionError("this step was done before")

    monkeypatch.setattr(building, "_prepare", again)
    monkeypatch.setattr(building, "_generalize", again)
    built = building.build(source, out, options)
    assert not (tmp_path / "out.vhd.build").exists()
    manifest = json.loads(built.manifest_file.read_text())
    assert manifest["image"]["sha256"] == _sha256(out)
    assert manifest["sbom"]["sha256"] == _sha256(built.sbom_file)
    assert manifest["image"]["uploadSizeBytes"] == out.stat().st_size
    assert manifest["steps"]["boot"] == "left out" and manifest["ready"] is False
    names = {each["name"] for each in json.loads(built.sbom_file.read_text())["components"]}
    assert {"systemd", "openssh-server", "linux-image-cloud-amd64"} <= names
    assert '"purl": "pkg:deb/debian/openssh-server@' in built.sbom_file.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(built.sbom_file.read_text()) is None
    assert manifest["steps"]["check"]["findings"][0]["answer"] == "finding"
    actions = manifest["steps"]["prepare"]["actions"]
    assert actions.index("run in the image: sh -c 'mkdir /srv/put'") + 1 == next(
        index for index, action in enumerate(actions) if action.startswith("write /srv/put/secret")
    )
    assert secret.read_text() not in built.manifest_file.read_text() + built.sbom_file.read_text() + json.dumps(state)
    after = source.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size), "the input is only read"


@pytest.fixture
def small(tmp_path: Path, need: Callable[..., None]) -> Path:
    """A disk of which a build believes that it can boot."""
    need("tool:sfdisk", "tool:qemu-img")
    path = tmp_path / "my disk.raw"
    machines.make_table(path, 48 * machines.MIB, "label: gpt\nsize=16M, type=U\ntype=L\n")
    return path


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps as they run; they do nothing, but convert really converts, and the last fails."""
    ran: list[str] = []

    def instead(step: str) -> Callable[..., dict[str, object]]:
        def stand_in(work: building.Work, *_: object) -> dict[str, object]:
            ran.append(step)
            if step == "prepare":
                work.disk.write_bytes((work.folder.parent / "my disk.raw").read_bytes())
            if step == "check":
                (work.folder / "sbom.json").write_text("{}")
            return {}

        return stand_in

    for step in building.STEPS[:-1]:
        monkeypatch.setattr(building, f"_{step}", instead(step))
    return ran


@pytest.mark.long
def test_what_the_choices_of_a_step_decide_is_done_again(
    small: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("ids")
    out = small.with_name("out.vhd")

    def ran(options: Options) -> list[str]:
        steps.clear()
        with monkeypatch.context() as patched, pytest.raises(Failure, match="no room"):
            patched.setattr(building, "_publish", _no_room)
            building.build(small, out, options)
        return list(steps)

    assert ran(Options()) == ["prepare", "generalize", "check", "boot"]
    assert ran(Options()) == []
    assert ran(Options(waivers=(Waiver("S01", "known"),))) == ["check"], "a waived finding asks only for the check"
    assert ran(Options(waivers=(Waiver("S01", "known"),), boots=2)) == ["boot"]
    assert ran(Options(generalize=sealing.Options(users=("builder",)))) == ["prepare", "generalize", "check", "boot"]
    assert ran(Options(skip=frozenset({"prepare", "boot"}))) == ["generalize", "check"]
    (site := tmp_path / "site").mkdir()
    put_in = Options(prepare=preparation.Options(added=parse([("--copy-in", f"{site}:/srv/")])))
    assert ran(put_in) == ["prepare", "generalize", "check", "boot"]
    (site / "index.html").write_text("another")
    assert ran(put_in) == ["prepare", "generalize", "check", "boot"], "another file is to be put in"
    os.utime(small, (1, 1))
    assert ran(Options()) == ["prepare", "generalize", "check", "boot"], "another input begins anew"
    assert not out.exists()


def _no_room(*_: object) -> None:
    raise Failure("no room")


@pytest.mark.long
def test_an_end_that_was_cut_off_is_made_again(small: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = small.with_name("out.vhd")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(building.shutil, "copyfile", lambda *_: (out.with_name("moved"), _interrupt()))
        building.build(small, out, Options())
    assert not out.exists() and not out.with_name("out.vhd.manifest.json").exists()
    (out.with_name("out.vhd.build") / "image.vhd").unlink()  # as a power cut after the first rename leaves it
    built = building.build(small, out, Options())
    assert steps == ["prepare", "generalize", "check", "boot"]
    assert built.manifest["image"]["sha256"] == _sha256(out)
    assert built.manifest["input"]["sha256"] == _sha256(small) and built.manifest["input"]["format"] == "raw"
    assert json.loads(built.manifest_file.read_text()) == built.manifest


@pytest.mark.long
def test_a_build_that_was_killed_anywhere_goes_on(small: Path, steps: list[str]) -> None:
    out = small.with_name("out.vhd")

    def again() -> building.Built:
        return building.build(small, out, Options(overwrite=True))

    for place in cuts.points(again, 6):
        for path in small.parent.glob("out.vhd*"):
            path.unlink()
        assert cuts.cut_before(place, again) == 0
        if out.with_name("out.vhd.manifest.json").exists():  # it vouches for the image
            assert json.loads(out.with_name("out.vhd.manifest.json").read_text())["image"]["sha256"] == _sha256(out)
        built = again()
        assert built.manifest["image"]["sha256"] == _sha256(out)
        assert json.loads(built.manifest_file.read_text()) == built.manifest
        assert not list(small.parent.glob("*.build"))


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_folder_of_somebody_else_is_left_alone(small: Path, steps: list[str]) -> None:
    theirs = small.with_name("out.vhd.build")
    theirs.mkdir()
    (theirs / "precious").touch()
    with pytest.raises(UsageFailure, match="not of a build"):
        building.build(small, small.with_name("out.vhd"), Options())
    assert [path.name for path in theirs.iterdir()] == ["precious"] and steps == []


@pytest.mark.long
def test_what_can_never_be_an_image_is_refused_by_its_own_name(
    small: Path, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("ids")
    out = tmp_path / "out.vhd"
    (tmp_path / "noise.raw").write_bytes(os.urandom(machines.MIB))
    (tmp_path / "packed.xz").write_bytes(bytes.fromhex("fd377a585a00") + bytes(600))
    (tmp_path / "cut.raw").write_bytes(small.read_bytes()[: 20 * machines.MIB])
    for name, why in (
        ("noise.raw", "boot code"),
        ("packed.xz", "xz -d"),
        ("cut.raw", "cut off"),
        ("absent", "no such"),
    ):
        done = _azready("build", tmp_path / name, "-o", out, "--skip", "boot")
        assert done.returncode == 2 and str(tmp_path / name) in done.stderr and why in done.stderr, done.stderr
    done = _azready("build", small, "-o", tmp_path / "nowhere/out.vhd")
    assert done.returncode == 2 and f"there is no folder {tmp_path}/nowhere" in done.stderr
    assert not list(tmp_path.glob("*.build")), "nothing stays"


def test_a_step_that_fails_first_leaves_no_folder(small: Path, need: Callable[..., None]) -> None:
    need("ids")
    with pytest.raises(Failure, match="no root file system"):
        building.build(small, small.with_name("out.vhd"), Options())
    assert [path.name for path in small.parent.iterdir()] == [small.name]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stock_cloud_disk_becomes_an_image_by_one_command(tmp_path: Path, need: Callable[..., None]) -> None:
    """shim and GRUB, cloud-init, waagent, netplan and chrony, as Debian ships them: the README's main command."""
    need(*NEEDS, "tool:fatlabel", "tool:qemu-system-x86_64")
    source, out = cloud.disk(), tmp_path / "out.vhd"
    planned = _azready("build", source, "-o", out, "--dry-run")
    assert planned.returncode == 0 and "nothing is known that would stop" in planned.stdout, planned.stderr
    words = ("build", source, out, "--output", "json", "--web")
    done, changes = watched(sys.executable, "-m", "azready", *words, timeout=880)
    assert done.returncode == 0, done.stderr
    assert changes == [], "nothing of the machine is changed"
    manifest = conforms("build", done.stdout)
    assert manifest["ready"] is True and manifest["image"]["hyperVGenerations"] == ["V2"]
    assert manifest["steps"]["boot"]["verdicts"][0]["verdict"].startswith("Provisioned")
    assert done.stderr.startswith("live view") and "boot" in done.stderr and "5/5 convert" in done.stderr
    beside = {path.name.removeprefix("out.vhd.") for path in tmp_path.glob("out.vhd.*")}
    assert beside == {"manifest.json", "cdx.json", "boot.html", "boot.junit.xml", "boots.json"}
    assert ">✔ out.vhd provisions</h1>" in (tmp_path / "out.vhd.boot.html").read_text()
    again = _azready("build", source, "-o", out)
    assert again.returncode == 2 and "--yes" in again.stderr


@pytest.mark.parametrize(("id", "fixable"), [("B01", True), ("K01", False)])
def test_the_plan_names_the_rule_that_will_stop_the_build(tmp_path: Path, id: str, fixable: bool) -> None:
    sample = good_image(tmp_path)
    CASES[id].bad[0](sample)
    results = checking.check(Facts(Tree(tmp_path)), RULES, checking.Choice(only=frozenset({id})))
    said = "\n".join(building._foreseen(results, Options()))
    assert "says no" in said and id in said and ("--fix" in said) == fixable
    fixing = "\n".join(building._foreseen(results, Options(generalize=sealing.Options(fix=True))))
    assert (id in fixing) == (not fixable)


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--ssh-inject", "root:KEY"], "takes every key away"),
        (["--run", "true", "--skip", "prepare"], "put in by prepare"),
        (["--install", "--force"], "no package's name"),
        (["--web", "--skip", "boot"], "--web shows the boot"),
    ],
)
def test_what_a_build_cannot_put_in_is_refused(small: Path, words: list[str], why: str) -> None:
    key = small.with_name("key.pub")
    key.write_text("ssh-ed25519 AAAA me\n")
    done = _azready("build", small, small.with_name("out.vhd"), *(word.replace("KEY", str(key)) for word in words))
    assert done.returncode == 2 and why in done.stderr


@pytest.mark.parametrize(
    ("out", "option", "words", "forms"),
    [
        (Path("a.vhd"), None, [], {"text": None}),
        (None, Path("a.vhd"), ["json"], {"json": None}),
        (None, None, ["a.vhd"], {"text": None}),
        (None, None, ["a.vhd", "json"], {"json": None}),
    ],
)
def test_the_vhd_is_named_in_each_way_and_o_is_a_form_as_everywhere(
    out: Path | None, option: Path | None, words: list[str], forms: dict[str, None]
) -> None:
    assert asked(Path("in"), out, option, words) == (Path("a.vhd"), forms)
    with pytest.raises(UsageFailure, match="one VHD"):
        asked(Path("in"), Path("b.vhd"), option or Path("c.vhd"), words)
