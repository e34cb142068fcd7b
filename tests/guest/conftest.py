"""What the guest's tests share: the program as a module, as a subprocess, and small trees for it to act on."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from azready.fabric.machine import ASSET_TAG, Machine

PROGRAM = Path(__file__).parents[2] / "src/azready/guest/provision.py"
FAKES = Path(__file__).parent / "fakes"


@pytest.fixture(scope="session")
def guest() -> ModuleType:
    """provision.py as a module, for its parsers and decisions. Importing it does nothing."""
    spec = importlib.util.spec_from_file_location("provision", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    previous, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = previous
    return module


@dataclass
class Scratch:
    """A root tree without programs; account tools are strict fakes on PATH that edit its files and log their calls."""

    root: Path
    machine: Machine
    calls: Path
    python: list[str] = field(default_factory=lambda: [sys.executable])

    def run(self, *options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the program on the tree, with the fakes first on PATH."""
        return subprocess.run(
            [*self.python, "-I", "-S", "-B", str(PROGRAM), *options, f"--root={self.root}"],
            env={"PATH": f"{FAKES}:/usr/bin:/bin", "FAKE_CALLS": str(self.calls), **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def text(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def has(self, path: str) -> bool:
        return os.path.lexists(self.root / path.lstrip("/"))

    def mode(self, path: str) -> int:
        return (self.root / path.lstrip("/")).stat().st_mode & 0o7777

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


HOST_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nbody\n-----END OPENSSH PRIVATE KEY-----\n"
TREE = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "etc/group": "root:x:0:\nadm:x:4:\nsudo:x:27:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "etc/nsswitch.conf": "passwd: files\nhosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n",
    "etc/ssh/ssh_host_rsa_key": HOST_KEY,
    "etc/ssh/ssh_host_ecdsa_key": HOST_KEY,
    "etc/ssh/ssh_host_ed25519_key": HOST_KEY,
    "bin/bash": "",
    "usr/bin/sudo": "",
}
FOLDERS = ("home", "root", "run", "var/lib", "etc/sudoers.d", "etc/ssh/sshd_config.d", "sys/firmware/efi")


def plant(root: Path, machine: Machine) -> None:
    """Lay out a small image for `machine` to boot."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    for name, text in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    become(root, machine)
    link = root / "etc/systemd/system/multi-user.target.wants/azure-provisioning.service"
    link.parent.mkdir(parents=True)
    link.symlink_to("/usr/lib/systemd/system/azure-provisioning.service")


def become(root: Path, machine: Machine) -> None:
    """Give the tree the DMI of `machine`."""
    dmi = root / "sys/class/dmi/id"
    dmi.mkdir(parents=True, exist_ok=True)
    (dmi / "chassis_asset_tag").write_text(ASSET_TAG + "\n")
    (dmi / "product_uuid").write_text(machine.product_uuid + "\n")
    if machine.generation == 1:
        shutil.rmtree(root / "sys/firmware", ignore_errors=True)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMlZb0mFpOVY5rT0gIFbKxZ8Wcx3bqLJ9D2dJ0rCkq7Q someone@laptop"


@pytest.fixture
def machine() -> Machine:
    return Machine(name="vm1", public_keys=(KEY,))


@pytest.fixture
def scratch(tmp_path: Path) -> Callable[[Machine], Scratch]:
    def make(machine: Machine) -> Scratch:
        root = tmp_path / "root"
        root.mkdir()
        plant(root, machine)
        return Scratch(root, machine, tmp_path / "calls")

    return make


@dataclass
class Live:
    """A tree that the program takes for the running machine: the parts that act on no other are asked of it, one at a
    time, in this process. PATH holds the tools that a test makes, and nothing else."""

    tree: Any
    root: Path
    tools: Path
    calls: Path

    def plant(self, nodes: Mapping[str, str]) -> None:
        """Files by their paths and texts; "-> PLACE" is a symbolic link, a path that ends with / a folder.

        No link leads out: what the program writes through one would be written on this machine.
        """
        for path, text in nodes.items():
            place = self.root / path.lstrip("/")
            (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                assert not text.startswith("-> /"), path
                place.symlink_to(text[3:])
            elif not path.endswith("/"):
                place.write_text(text)

    def tool(self, name: str, script: str = "") -> None:
        """A program on PATH that notes how it was called, and what it was given."""
        noted = f'echo "{name} $*" >>{self.calls}\nwhile read -r line; do echo "  < $line" >>{self.calls}; done'
        (self.tools / name).write_text(f"#!/bin/sh\n{noted}\n{script}\n")
        (self.tools / name).chmod(0o755)

    def called(self) -> list[str]:
        return [line.rstrip() for line in self.calls.read_text().splitlines()] if self.calls.exists() else []


def _open_files() -> set[str]:
    """What this process has open, but the lock, which is kept until it ends."""
    numbers = Path("/proc/self/fd")
    places = {name: os.readlink(f"{numbers}/{name}") for name in os.listdir(numbers) if (numbers / name).exists()}  # noqa: PTH115, PTH208
    return {f"{name} {place}" for name, place in places.items() if not place.endswith(("/lock", "/fd"))}


@pytest.fixture
def live(guest: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    root, tools = tmp_path / "root", tmp_path / "tools"
    root.mkdir()
    tools.mkdir()
    tree = guest.Tree(str(root), False)
    tree.live = True
    monkeypatch.setitem(guest.posix.environ, b"PATH", str(tools).encode())
    before = _open_files()
    yield Live(tree, root, tools, tmp_path / "calls")
    assert _open_files() <= before, "the program left something open"
