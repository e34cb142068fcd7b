"""What a log is after a power cut, and who may read it."""

import stat
from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.fabric import log
from azready.fabric.settings import Settings


def test_a_log_cut_in_its_last_line_is_read_without_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log.create(path, Settings()).close()
    for rest in ('{"kind": "Exch', "\0\0\0", '{"kind": "Exchange"'):
        path.write_text(path.read_text().splitlines()[0] + "\n" + rest)
        assert log.read(path).entries == ()
    path.write_text(path.read_text().splitlines()[0] + "\nbroken\n{}\n")
    with pytest.raises(UsageFailure, match="line 2"):
        log.read(path)


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("an older and much longer text than a log's head " * 100)
    path.chmod(0o644)
    log.create(path, Settings()).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert log.read(path).entries == ()
