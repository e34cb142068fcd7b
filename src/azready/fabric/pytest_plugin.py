"""The pytest fixture `azure_fabric`, for people who test their own agent. Loaded by pytest's entry point.

    def test_my_agent_reports_ready(azure_fabric):
        subprocess.run(["my-agent", "--wireserver", azure_fabric.wireserver_url], check=True)
        assert azure_fabric.verdict(deadline=10).provisioned

What it serves is said by markers, whose mistakes fail the test with the names that are right:

    @pytest.mark.azure_machine(name="web-1", public_keys=("ssh-ed25519 …",))
    @pytest.mark.azure_scenario("goalstate-503")        # a scenario of azready's, or a file
    @pytest.mark.azure_fault(service="imds", attempts="1-3", status=503)    # repeatable
    @pytest.mark.azure_fabric(seed=7, strict=False)
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from azready.fabric import Fabric

_MARKERS = {
    "azure_machine": "azure_machine(**fields): the machine that azure_fabric serves",
    "azure_scenario": "azure_scenario(name): the plan of faults, one of `azready fabric scenarios` or a file",
    "azure_fault": "azure_fault(**fields): one fault more; repeatable",
    "azure_fabric": "azure_fabric(seed=, strict=): what faults draw by chance; whether to refuse what Azure may refuse",
}


def pytest_configure(config: pytest.Config) -> None:
    for line in _MARKERS.values():
        config.addinivalue_line("markers", line)


@pytest.fixture
def azure_fabric(request: pytest.FixtureRequest) -> Iterator["Fabric"]:
    """A local Azure on loopback ports, for one test: `.imds_url`, `.wireserver_url`, `.verdict(deadline)`."""
    from azready.errors import Failure
    from azready.fabric import Fabric

    try:
        words = _words(request.node)
    except Failure as error:
        pytest.fail(f"{error.message}; {error.hint}" if error.hint else error.message, pytrace=False)
    with Fabric(**words) as fabric:
        yield fabric


def _words(node: Any) -> dict[str, Any]:
    """What the markers say, as the words of `Fabric`. Raises Failure for what they may not say."""
    from azready.fabric import Fault, Machine
    from azready.fabric.faults import from_table
    from azready.fabric.scenario import load

    words: dict[str, Any] = {}
    machine: Machine = Machine()
    faults: list[Fault] = []
    if marker := node.get_closest_marker("azure_scenario"):
        scenario = load(*_positional(marker))
        machine, faults = scenario.applied_to(machine), [*scenario.faults]
    if marker := node.get_closest_marker("azure_machine"):
        _known("azure_machine", marker.kwargs, (field.name for field in fields(Machine)))
        machine = replace(machine, **marker.kwargs)
    faults += [from_table(dict(each.kwargs), "azure_fault") for each in reversed([*node.iter_markers("azure_fault")])]
    if marker := node.get_closest_marker("azure_fabric"):
        _known("azure_fabric", marker.kwargs, ("seed", "strict"))
        words |= marker.kwargs
    return {"machine": machine, "faults": tuple(faults), **words}


def _positional(marker: pytest.Mark) -> tuple[str]:
    if len(marker.args) != 1 or marker.kwargs or not isinstance(marker.args[0], str):
        pytest.fail(f"azure_scenario wants one name: @pytest.mark.{_MARKERS['azure_scenario']}", pytrace=False)
    return (marker.args[0],)


def _known(marker: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    from azready.errors import nearest

    names = sorted(allowed)
    for name in given:
        if name not in names:
            pytest.fail(f"{marker} has no field {name!r}; {nearest(name, names)}", pytrace=False)
