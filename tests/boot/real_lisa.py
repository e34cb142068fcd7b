"""Microsoft's LISA, from PyPI: some 250 MB."""

from pathlib import Path

from tests.installed import from_pypi

VERSION = "20260921.2"
PACKAGES = (f"mslisa[azure]=={VERSION}", "pytest-testinfra==10.2.2")


def install() -> Path:
    """The folder that holds `lisa`, and a `python` with pytest-testinfra."""
    return from_pypi("lisa", VERSION, *PACKAGES)
