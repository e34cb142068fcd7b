"""Where our own program lies in an image: names and paths of the guest's install.toml, for all who look for them."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from azready import __version__

DOCUMENTATION = "https://github.com/azready/azready/blob/main/docs"
"""Where the pages lie that messages name as those of docs/, for who has no checkout."""
_PAGE = re.compile(r"(?<![\w/.-])docs/([\w-]+\.md)")
_GUEST = Path(__file__).parent / "guest"  # importlib.resources loads what reads archives, at every start


@lru_cache(maxsize=1)
def manifest() -> Mapping[str, Any]:
    """install.toml, as it is."""
    return tomllib.loads((_GUEST / "install.toml").read_text(encoding="utf-8"))


def digest() -> str:
    """The SHA-256, in hex, of all that azready brings into images: install.toml and the files that it names."""
    found = hashlib.sha256()
    for name in ("install.toml", *sorted({row["source"] for row in manifest()["file"]})):
        data = (_GUEST / name).read_bytes()
        found.update(f"{name} {len(data)}\n".encode() + data)
    return found.hexdigest()


def versions() -> str:
    """What `azready --version` prints."""
    return f"azready {__version__}\nguest program sha256 {digest()}"


def with_pages(text: str, checkout: Path = Path(__file__).parents[2]) -> str:
    """The text with the address of each page that it names, where azready is installed without them."""
    if "docs/" not in text or (checkout / "docs/guest.md").is_file():
        return text
    return _PAGE.sub(rf"{DOCUMENTATION}/\1", text)


def _inside(key: str) -> str:
    return str(manifest()[key]).strip("/")


PROGRAM = _inside("program")
"""The folder of the program, relative to the image's root, as are all paths here."""
STATE = _inside("state")
SETTINGS = _inside("settings")
HOOKS = _inside("hooks")
NAME = _inside("name")
"""What init scripts and the lines of the journal are called."""
UNIT = f"{NAME}.service"
HOST_KEYS_UNIT = f"{NAME}-hostkeys.service"
CLONE_UNIT = f"{NAME}-clone.service"
UNITS = (UNIT, HOST_KEYS_UNIT, CLONE_UNIT)
WANTED_LINK = f"etc/systemd/system/multi-user.target.wants/{UNIT}"
"""By which the unit is enabled; the program removes it when its report was accepted, and not before."""
SUDO_FILE = f"etc/sudoers.d/90-{NAME}"
SUDO_FILES = f"etc/sudoers.d/{{,zz*-}}90-{NAME}"
"""A pattern: the file has a name that sorts last where others would win over it."""
