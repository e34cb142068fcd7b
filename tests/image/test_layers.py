"""An image names other files: only those of its own folder are read, at every level, and nothing is connected to."""

import json
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.image import conversion
from azready.image.disk import diskfile
from azready.image.disk.layers import layers, node

SECRET = b"SECRET-OF-THE-HOST\n"
MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path, need: Callable[..., None]) -> Path:
    """Where images from elsewhere lie; the secret is one folder up."""
    need("tool:qemu-img")
    (tmp_path / "secret").write_bytes(SECRET.ljust(MIB, b"\0"))
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def qcow2(path: Path, below: str, kind: str = "raw") -> Path:
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", below, "-F", kind, path, "1M"]
    subprocess.run(words, check=True)
    return path


def with_data_file(path: Path, name: str) -> Path:
    """A qcow2 whose clusters lie in a file that its header names."""
    data = path.with_suffix(".data")
    made = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={data},data_file_raw=on", path, "1M"]
    subprocess.run(made, check=True)
    head = bytearray(path.read_bytes())
    at = struct.unpack_from(">I", head, 100)[0]
    while True:
        kind, length = struct.unpack_from(">II", head, at)
        if kind == 0x44415441:
            break
        at += 8 + (length + 7) // 8 * 8
    rest = bytes(head[at + 8 + (length + 7) // 8 * 8 : 4096])
    named = name.encode()
    said = struct.pack(">II", 0x44415441, len(named)) + named.ljust((len(named) + 7) // 8 * 8, b"\0") + rest
    head[at : at + len(said)] = said
    path.write_bytes(head)
    return path


def cut_short(path: Path, name: bytes) -> Path:
    """A version 3 header whose last fields are not in the file, with the backing file's name in its first ones."""
    head = bytearray(path.read_bytes()[:90])
    struct.pack_into(">QI", head, 8, 90 - len(name), len(name))
    head[90 - len(name) :] = name
    path.write_bytes(head)
    return path


def vmdk(path: Path, extent: str, parent: str = "") -> Path:
    hint = f'parentFileNameHint="{parent}"\n' if parent else ""
    path.write_text(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=" + ("aaaaaaaa" if parent else "ffffffff") + "\n"
        f'createType="monolithicFlat"\n{hint}\nRW 2048 {extent}\nddb.adapterType = "ide"\n'
    )
    return path


Make = Callable[[Path, Path], Path]
ESCAPED = {"driver": "raw", "file": {"driver": "file", "filename": "PATH"}}


def _json(secret: Path) -> str:
    return "json:" + json.dumps(ESCAPED).replace("PATH", str(secret).replace("/", "\\u002f"))


HOSTILE: dict[str, Make] = {
    "a path": lambda folder, secret: qcow2(folder / "top", str(secret)),
    "a path upwards": lambda folder, secret: qcow2(folder / "top", "../secret"),
    "a description": lambda folder, secret: qcow2(folder / "top", _json(secret)),
    "a chain": lambda folder, secret: qcow2(folder / "top", qcow2(folder / "mid", str(secret)).name, "qcow2"),
    "a chain of three": lambda folder, secret: qcow2(
        folder / "top", qcow2(folder / "mid", qcow2(folder / "low", _json(secret)).name, "qcow2").name, "qcow2"
    ),
    "a protocol": lambda folder, secret: qcow2(folder / "top", f"file:{secret}"),
    "a fat of a folder": lambda folder, secret: qcow2(folder / "top", f"fat:{secret.parent}"),
    "a path in a file that ends within its header": lambda folder, secret: cut_short(
        qcow2(folder / "top", "../secret"), b"../secret"
    ),
    "a link": lambda folder, secret: _linked(folder, secret, lambda name: qcow2(folder / "top", name)),
    "a data file": lambda folder, secret: with_data_file(folder / "top", str(secret)),
    "a described data file": lambda folder, secret: with_data_file(folder / "top", _json(secret)),
    "a data file below": lambda folder, secret: qcow2(
        folder / "top", with_data_file(folder / "mid", str(secret)).name, "qcow2"
    ),
    "an extent": lambda folder, secret: vmdk(folder / "top", f'FLAT "{secret}" 0'),
    "an extent upwards": lambda folder, secret: vmdk(folder / "top", 'FLAT "../secret" 0'),
    "an extent over lines": lambda folder, secret: vmdk(folder / "top", f'\nFLAT\n"{secret}" 0'),
    "an extent by a link": lambda folder, secret: _linked(
        folder, secret, lambda name: vmdk(folder / "top", f'FLAT "{name}" 0')
    ),
    "an extent's extent": lambda folder, secret: vmdk(
        folder / "top", f'SPARSE "{_embedded(folder / "mid", str(secret)).name}" 0'
    ),
    "a parent": lambda folder, secret: vmdk(folder / "top", 'FLAT "top-flat" 0', parent=str(secret)),
    "itself": lambda folder, secret: qcow2(folder / "top", "top", "qcow2"),
    "a pipe": lambda folder, secret: _pipe(folder),
}


def _linked(folder: Path, secret: Path, make: Callable[[str], Path]) -> Path:
    (folder / "link").symlink_to(secret)
    return make("link")


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return qcow2(folder / "top", "pipe")


def _embedded(path: Path, extent: str) -> Path:
    """A sparse extent without a size of its own, which is a description again."""
    head = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 0, 128, 1, 20).ljust(512, b"\0")
    text = f'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "{extent}" 0\n'
    path.write_bytes(head + text.encode().ljust(20 * 512, b"\0"))
    return path


@pytest.mark.parametrize("how", HOSTILE)
def test_no_name_in_an_image_leads_out_of_its_folder(how: str, folder: Path) -> None:
    (folder / "top-flat").write_bytes(bytes(MIB))
    image = HOSTILE[how](folder, folder.parent / "secret")
    with pytest.raises(UsageFailure) as refused:
        disk = diskfile.inspect(image)
        with diskfile.reading(disk) as read:
            assert SECRET not in read(0, 4096)
    assert "refers to" in refused.value.message or "builds on" in refused.value.message
    with pytest.raises(UsageFailure):
        conversion.plan(image)


@pytest.mark.parametrize("scheme", ["nbd:127.0.0.1:PORT", "nbd://127.0.0.1:PORT/x", "http://127.0.0.1:PORT/x", "ssh:"])
def test_nothing_is_connected_to(scheme: str, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        name = scheme.replace("PORT", str(server.getsockname()[1]))
        for image in (qcow2(folder / "top", name), with_data_file(folder / "data.qcow2", name)):
            with pytest.raises(UsageFailure, match="refers to"):
                diskfile.inspect(image)
        with pytest.raises(TimeoutError):
            server.accept()


def test_names_of_the_same_folder_are_followed_and_told_to_qemu(folder: Path) -> None:
    (folder / "base.raw").write_bytes(b"base".ljust(MIB, b"\0"))
    qcow2(folder / "mid.qcow2", "base.raw")
    top = qcow2(folder / "top,1.qcow2", "mid.qcow2", "qcow2")
    chain = layers(top, "qcow2")
    assert [(each.path.name, each.driver) for each in chain] == [
        ("top,1.qcow2", "qcow2"),
        ("mid.qcow2", "qcow2"),
        ("base.raw", "raw"),
    ]
    assert node(chain)["backing"]["backing"] == {
        "driver": "raw",
        "file": {"driver": "file", "filename": str(folder / "base.raw")},
        "read-only": True,
    }
    disk = diskfile.inspect(top)
    assert disk.others == ("mid.qcow2", "base.raw")
    with diskfile.reading(disk) as read:
        assert read(0, 4) == b"base"
    data = with_data_file(folder / "own.qcow2", "own.data")
    assert diskfile.inspect(data).others == ("own.data",)
    (folder / "flat").write_bytes(b"flat".ljust(MIB, b"\0"))
    with diskfile.reading(diskfile.inspect(vmdk(folder / "flat.vmdk", 'FLAT "flat" 0'))) as read:
        assert read(0, 4) == b"flat"


@pytest.mark.parametrize("method", [1, 2, 7])
def test_an_encrypted_disk_is_refused_before_qemu_reads_its_keys(method: int, folder: Path) -> None:
    """A header without the keys that it names ended qemu-img by SIGSEGV, and azready said nothing."""
    top = qcow2(folder / "top", qcow2(folder / "mid", "top.raw").name, "qcow2")
    (folder / "top.raw").write_bytes(bytes(MIB))
    for image in (folder / "mid", top):
        head = bytearray(image.read_bytes())
        struct.pack_into(">I", head, 32, method)
        image.write_bytes(head)
        with pytest.raises(UsageFailure, match=f"{image.name} is encrypted"):
            diskfile.inspect(top)
        struct.pack_into(">I", head, 32, 0)
        image.write_bytes(head)
    assert diskfile.inspect(top).others == ("mid", "top.raw")


def test_a_differencing_vhdx_is_told_from_one_that_was_cut(folder: Path) -> None:
    """Its metadata say that it has a parent, by whatever path a Windows knows it."""
    path = folder / "a.avhdx"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vhdx", path, "32M"], check=True)
    data = bytearray(path.read_bytes())
    item = data.find(bytes.fromhex("3767A1CA36FA434DB3B633F0AA44E76B"))  # the file's parameters, in the metadata table
    at = data.find(b"metadata") + struct.unpack_from("<I", data, item + 16)[0]
    data[at + 4] |= 2
    path.write_bytes(data)
    with pytest.raises(UsageFailure) as refused:
        diskfile.inspect(path)
    assert "Merge-VHD" in refused.value.hint
