"""Reads the pages that users read: their fenced blocks, and the mark in the HTML comment above each.

A mark is one line, invisible to readers:

    <!-- run -->                      run by test_blocks.py, in a folder that the page has for itself; a console must
                                      show what is printed below the command, but for times and lines with an …
    <!-- run, exit code 2 -->         the same, where another end is what the page shows
    <!-- file report.sh -->           written into that folder, for the blocks below
    <!-- shown by tests/x.py::test_y tests/z.py -->    run by these tests
    <!-- not run: REASON -->
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>[\w-]*)\n(?P<body>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, its language, the mark above it, and its lines."""

    page: Path
    line: int
    language: str
    mark: str
    body: str

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def commands(self) -> str:
        """What a reader types: the lines after `$ ` and those that they go on in; all of a script."""
        if self.language != "console":
            return self.body
        typed, goes_on = [], False
        for line in self.body.splitlines():
            if goes_on or line.startswith("$ "):
                typed.append(line.removeprefix("$ "))
                goes_on = line.endswith("\\")
        return "\n".join(typed)

    @property
    def shown(self) -> list[str]:
        """The lines of output that a console shows in whole."""
        typed = self.commands.splitlines()
        lines = [line for line in self.body.splitlines() if line.removeprefix("$ ") not in typed]
        return [line for line in lines if line and "…" not in line] if self.language == "console" else []


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page, text[: found.start("language")].count("\n") + 1, found["language"], found["mark"] or "", found["body"]
        )
        for found in _BLOCK.finditer(text)
    ]


def azready_commands(page: Path) -> Iterator[list[str]]:
    """The words after `azready` of every command on a page, in blocks and in `code` within sentences."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(page) for line in _lines(block)]
    inline = re.findall(r"`([^`\n(]+)`", _BLOCK.sub("", text))
    for line in (*lines, *inline):
        for command in re.findall(r"(?:^|[|&;(] *|sudo )azready +([a-z][^|;&(\n]*)", line):
            yield _words(command)


def _lines(block: Block) -> list[str]:
    """Commands in a file of other words stand between quotes."""
    text = block.commands.replace("\\\n", " ")
    return text.replace('"', "\n").splitlines() if block.language in ("hcl", "yaml") else text.splitlines()


def _words(command: str) -> list[str]:
    """As a shell splits them; the comment behind a command is left out, and what `--` hands to another program."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # a quotation that goes on elsewhere
        words = command.split()
    return words[: words.index("--")] if "--" in words else words
