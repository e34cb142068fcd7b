"""What importing costs: pytest loads the plugin in every project, and serving needs neither discs nor certificates."""

import subprocess
import sys
from pathlib import Path

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


MARKED = """
import urllib.request, urllib.error, pytest
from azready.fabric import Fabric

def ask(fabric):
    url = fabric.imds_url + "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
    request = urllib.request.Request(url, headers={"Metadata": "true"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code

@pytest.mark.azure_machine(name="web-7")
@pytest.mark.azure_fault(service="imds", attempts="1", status=503)
@pytest.mark.azure_fault(service="imds", attempts="2", status=429)
@pytest.mark.azure_fabric(seed=7, strict=False)
def test_good_all(azure_fabric):
    assert [ask(azure_fabric) for _ in range(3)] == [503, 429, "web-7"]
    assert azure_fabric.seed == 7

@pytest.mark.azure_scenario("imds-dead")
@pytest.mark.azure_machine(name="web-8")
def test_good_scenario(azure_fabric):
    assert azure_fabric.machine.name == "web-8" and azure_fabric.faults

@pytest.mark.azure_machine(nam="web-7")
def test_bad_field(azure_fabric): pass

@pytest.mark.azure_scenario("imds-ded")
def test_bad_scenario(azure_fabric): pass

@pytest.mark.azure_scenario(name="imds-dead")
def test_bad_words(azure_fabric): pass

@pytest.mark.azure_fault(servic="imds")
def test_bad_fault(azure_fabric): pass

@pytest.mark.azure_fabric(sed=1)
def test_bad_rule(azure_fabric): pass
"""


@pytest.mark.long
def test_markers_say_what_is_served_and_their_typos_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "test_marked.py").write_text(MARKED)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "--tb=short", "."]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed, 5 errors" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stdout and "TypeError" not in done.stdout
    for says in (
        "azure_machine has no field 'nam'; do you mean name?",
        "there is no scenario 'imds-ded'",
        "azure_scenario wants one name",
        "unknown key 'servic' of a fault",
        "azure_fabric has no field 'sed'; do you mean seed?",
    ):
        assert says in done.stdout, says
