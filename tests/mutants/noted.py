"""A pytest plugin that notes, for each test, its seconds and the lines that programs ran which it started.

Coverage sees what runs in pytest's own process. A part whose program the tests start is changed, for one run, so that
it notes its own lines (`noting`).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NOTING = """
import posix, sys
def note(frame, event, arg, seen=set(), to=posix.open({folder!r} + "/%d" % posix.getpid(), 0o2101, 0o666)):
    if not frame.f_code.co_filename.endswith({name!r}):
        return None
    if frame.f_lineno not in seen:
        seen.add(frame.f_lineno)
        posix.write(to, b"%d\\n" % frame.f_lineno)
    return note
if name == "__main__":
    sys.settrace(note)
"""


def noting(text: str, name: str, folder: Path) -> str:
    """A program's text, which writes into `folder` the lines it runs; its lines have the numbers they had."""
    code = _NOTING.format(folder=str(folder), name=name)
    return text.replace("\nimport ", f"\nexec({code!r}, {{'name': __name__}}); import ", 1)


class _Notes:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.of: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        done = yield
        lines: set[int] = set()
        for path in self.folder.iterdir():
            lines.update(int(line) for line in path.read_text().split())
            path.unlink()
        self.of.setdefault(item.nodeid, {})["lines"] = sorted(lines)
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        note = self.of.setdefault(report.nodeid, {})
        if report.when == "call":
            note["seconds"] = report.duration
        if report.failed:
            note["failed"] = True

    def pytest_sessionfinish(self) -> None:
        self.folder.with_suffix(".json").write_text(json.dumps(self.of))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Notes(Path(os.environ["MUTANTS_NOTES"])))
