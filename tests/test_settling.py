"""What a disk refuses while a file is still being written is told: the kernel tells it once."""

import errno
import os
import threading
from pathlib import Path

import pytest

from azready import durable


def test_a_refusal_of_the_disk_is_raised_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def refuse(_: int) -> None:
        asked.set()
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "fdatasync", refuse)
    (tmp_path / "part").touch()
    with pytest.raises(OSError, match="the disk is gone"), durable.settling(tmp_path / "part"):
        assert asked.wait(30)


def test_what_goes_wrong_meanwhile_comes_first(tmp_path: Path) -> None:
    (tmp_path / "part").touch()
    with pytest.raises(ValueError, match="meanwhile"), durable.settling(tmp_path / "part"):
        raise ValueError("meanwhile")
