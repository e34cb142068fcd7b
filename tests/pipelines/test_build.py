"""`azready build`: from a Debian disk to the VHD, for real; resumable, the input untouched, a manifest that is true."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import Failure, UsageFailure
from azready.pipelines import build as building
from azready.pipelines import sbom
from azready.pipelines.build import Options
from tests.boot import machines

NEEDS = ("root", "tool:mmdebstrap", "tool:sfdisk", "tool:mke2fs", "tool:mcopy", "tool:objcopy", "tool:qemu-img")


def _azready(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "azready", *(str(word) for word in words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_a_sbom_names_every_package_by_its_url() -> None:
    inventory = sbom.Inventory("image", "debian", "Debian 12", "12", "dpkg", {"bash": "5.2-2", "libc6": "2.36-9"})
    table = json.loads(sbom.cyclonedx(inventory))
    urls = {each["purl"] for each in table["components"] if "purl" in each}
    assert urls == {"pkg:deb/debian/bash@5.2-2?distro=debian-12", "pkg:deb/debian/libc6@2.36-9?distro=debian-12"}
    assert table["bomFormat"] == "CycloneDX" and table["metadata"]["component"]["name"] == "image"


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
    options = Options(skip=frozenset({"boot"}))

    def interrupted(*_: object) -> dict[str, object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(building, "_check", interrupted)
        with pytest.raises(KeyboardInterrupt):
            building.build(source, out, options)
    assert not out.exists()
    state = json.loads((tmp_path / "out.vhd.build/state.json").read_text())
    assert "generalize" in state and "check" not in state

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
    after = source.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size), "the input is only read"


@pytest.mark.slow
def test_other_choices_begin_anew(tmp_path: Path, need: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    need(*NEEDS)
    source, out = machines.debian_disk(2), tmp_path / "out.vhd"
    done: list[str] = []
    monkeypatch.setattr(building, "_prepare", lambda *_: done.append("prepare") or {})
    monkeypatch.setattr(building, "_generalize", lambda *_: done.append("generalize") or {})

    def broken(*_: object) -> dict[str, object]:
        raise Failure("no")

    monkeypatch.setattr(building, "_check", broken)
    for options in (Options(), Options(), Options(boots=2)):
        with pytest.raises(Failure):
            building.build(source, out, options)
    assert done == ["prepare", "generalize"] * 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_build_of_a_generation_2_disk(tmp_path: Path, need: Callable[..., None]) -> None:
    need(*NEEDS, "tool:qemu-system-x86_64")
    out = tmp_path / "out.vhd"
    done = _azready("build", machines.debian_disk(2), "-o", out, "--output", "json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert manifest["ready"] is True and manifest["image"]["hyperVGenerations"] == ["V2"]
    assert manifest["steps"]["boot"]["verdicts"][0]["verdict"].startswith("Provisioned")
    assert "boot" in done.stderr and "5/5 convert" in done.stderr
    again = _azready("build", machines.debian_disk(2), "-o", out)
    assert again.returncode == 2 and "--yes" in again.stderr
