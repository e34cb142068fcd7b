"""The man pages: of every verb, read by groff without a word of complaint, and with every option in them."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from release.about import Release
from release.man import pages, roff
from tests.cli.test_common import EVERY

PROGRAM = Path(__file__).parents[2] / "src/azready/guest/provision.py"
PAGES = pages(Release("1.2.3", 0))


def _shown(text: str) -> tuple[str, str]:
    words = ["groff", "-Kutf8", "-man", "-Tutf8", "-ww", "-P-c"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    return re.sub("\x1b\\[[0-9;]*m|.\x08", "", done.stdout), done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_groff_has_nothing_to_say_of_it(need: Callable[..., None], name: str) -> None:
    need("tool:groff")
    shown, complaints = _shown(PAGES[name])
    assert complaints == ""
    assert "NAME" in shown and "SYNOPSIS" in shown and "1.2.3" in shown


def test_every_verb_has_one_with_every_option() -> None:
    for name, command in EVERY:
        page = PAGES[f"azready-{name.replace(' ', '-')}.1"]
        for param in command.params:
            for option in param.opts:
                assert not option.startswith("--") or roff(option) in page, (name, option)


def test_every_setting_is_told() -> None:
    from azready.image.parts.guest_program import manifest

    for row in manifest()["setting"]:
        assert f".B {roff(row['key'])}\n" in PAGES["azure-provisioning.conf.5"]


def test_the_guest_programs_page_has_every_option_unit_and_exit_code() -> None:
    page = PAGES["azure-provisioning.8"]
    shown = subprocess.run([sys.executable, PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    for option in re.findall(r"--[a-z][a-z-]+", shown):
        assert roff(option) in page, option
    for unit in PROGRAM.parent.glob("units/systemd/azure-provisioning*.service"):
        assert f".B {roff(unit.name)}\n" in page, unit.name
    assert all(f".B {code}\n" in page for code in (0, 1, 2, 64, 77)) and "`" not in page and "](" not in page


def test_no_word_becomes_a_request() -> None:
    assert roff(".so /etc/shadow\n'x \\n") == "\\&.so /etc/shadow\n\\&\\(aqx \\en"
