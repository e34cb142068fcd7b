"""What importing costs: pytest loads the plugin in every project, and serving needs neither discs nor certificates."""

import subprocess
import sys

import pytest

HEAVY = ("h11", "cryptography", "pycdlib", "typer", "rich")


@pytest.mark.parametrize(
    ("imports", "heavy"),
    [
        ("azready.fabric.pytest_plugin", HEAVY),
        ("azready.fabric", HEAVY),
        ("azready.fabric.serve.live", ("cryptography", "pycdlib", "typer", "rich")),
        ("azready.cli.fabric", ("h11", "cryptography", "pycdlib", "asyncio")),
    ],
)
def test_importing_loads_nothing_that_is_not_needed(imports: str, heavy: tuple[str, ...]) -> None:
    code = f"import {imports}, sys; print(*(name for name in {heavy!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    import azready.fabric

    with pytest.raises(AttributeError):
        _ = azready.fabric.Nothing  # type: ignore[attr-defined]
    assert all(getattr(azready.fabric, name) for name in azready.fabric.__all__)
