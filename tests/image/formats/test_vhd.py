"""The VHD footer: byte for byte what qemu-img writes, and every flaw that Azure would refuse named."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azready.image.disk.formats import vhd
from azready.image.disk.formats.identify import Stranger, identify
from azready.proc import run
from tests.image.formats.conftest import MIB, reader


def test_our_footer_is_qemu_imgs_byte_for_byte(blank: Callable[..., Path], need: Callable[..., None]) -> None:
    need("tool:qemu-img")
    for size in (20 * MIB, 1023 * MIB, 2040 * 1024 * MIB):
        raw = blank(size)
        out = raw.with_suffix(".vhd")
        run(["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size", raw, out])
        with out.open("rb") as file:
            file.seek(-512, 2)
            theirs = file.read()
        read = vhd.parse(theirs)
        assert read is not None
        assert vhd.problems(read, out.stat().st_size) == ()
        assert vhd.build(size, read.unique_id, read.created) == theirs


@given(size=st.integers(0, 2**63 // 512).map(lambda n: n * 512), created=st.integers(946_684_800, 2**31))
def test_a_footer_reads_back_as_it_was_built(size: int, created: int) -> None:
    name = uuid.uuid4()
    footer = vhd.parse(vhd.build(size, name, created))
    assert footer is not None
    assert (footer.current_size, footer.original_size, footer.created, footer.unique_id) == (size, size, created, name)
    assert footer.checksum_matches and footer.kind == "fixed"


@given(st.binary(max_size=1024))
def test_no_bytes_upset_the_reader(data: bytes) -> None:
    footer = vhd.parse(b"conectix" + data)
    if footer is not None:
        vhd.problems(footer, len(data))


@pytest.mark.parametrize(
    ("offset", "damage", "named"),
    [
        (30, b"\x01", "checksum"),
        (63, b"\x03", "dynamic"),
        (16, bytes(8), "data offset"),
        (13, b"\x02", "version"),
        (48, bytes(6) + b"\x02\x00", "whole number of MiB"),
        (48, bytes(5) + b"\x10\x00\x00", "Azure takes"),
    ],
)
def test_each_flaw_is_named(offset: int, damage: bytes, named: str) -> None:
    good = vhd.build(64 * MIB)
    footer = vhd.parse(good[:offset] + damage + good[offset + len(damage) :])
    assert footer is not None
    assert any(named in problem for problem in vhd.problems(footer, 64 * MIB + 512))


def test_a_truncated_file_is_named() -> None:
    footer = vhd.parse(vhd.build(64 * MIB))
    assert footer is not None
    assert any("file holds" in problem for problem in vhd.problems(footer, 63 * MIB))


def test_a_part_of_a_sector_is_refused() -> None:
    with pytest.raises(ValueError, match="whole sectors"):
        vhd.build(1000)


def test_sizes_are_rounded_up_to_whole_mib() -> None:
    assert [vhd.whole_mib(n) for n in (0, 1, MIB, MIB + 1)] == [0, MIB, MIB, 2 * MIB]


@pytest.mark.parametrize(
    ("qemu", "options", "expected"),
    [
        ("raw", "", "raw"),
        ("qcow2", "", "qcow2"),
        ("vpc", "subformat=fixed,force_size", "vhd"),
        ("vpc", "subformat=dynamic", "vhd-dynamic"),
        ("vhdx", "", "vhdx"),
        ("vmdk", "subformat=monolithicSparse", "vmdk"),
        ("vmdk", "subformat=streamOptimized", "vmdk"),
        ("vmdk", "subformat=monolithicFlat", "vmdk"),
        ("vdi", "", "vdi"),
    ],
)
def test_formats_are_told_by_their_bytes(
    blank: Callable[..., Path], need: Callable[..., None], qemu: str, options: str, expected: str
) -> None:
    need("tool:qemu-img")
    raw = blank(4 * MIB)
    out = raw.with_suffix(".img")
    run(["qemu-img", "convert", "-f", "raw", "-O", qemu, *(["-o", options] if options else []), raw, out])
    assert identify(reader(out), out.stat().st_size) == expected


@pytest.mark.parametrize("tool", ["gzip", "xz", "zstd", "bzip2"])
def test_wrappers_are_told_by_their_bytes(tmp_path: Path, need: Callable[..., None], tool: str) -> None:
    need(f"tool:{tool}")
    packed = tmp_path / "disk.raw"
    packed.write_bytes(bytes(4096))
    run([tool, "-k", packed])
    (out,) = set(tmp_path.iterdir()) - {packed}
    found = identify(reader(out), out.stat().st_size)
    assert isinstance(found, Stranger) and found.what == f"packed ({tool})"
