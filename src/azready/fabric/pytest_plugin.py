"""The pytest fixture `azure_fabric`, for people who test their own agent. Loaded by pytest's entry point.

    def test_my_agent_reports_ready(azure_fabric):
        subprocess.run(["my-agent", "--wireserver", azure_fabric.wireserver_url], check=True)
        assert azure_fabric.verdict(deadline=10).provisioned

Another machine than the default: `@pytest.mark.azure_machine(name="web-1", public_keys=("ssh-ed25519 …",))`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from azready.fabric import Fabric


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "azure_machine(**fields): the machine that azure_fabric serves")


@pytest.fixture
def azure_fabric(request: pytest.FixtureRequest) -> Iterator["Fabric"]:
    """A local Azure on loopback ports, for one test: `.imds_url`, `.wireserver_url`, `.verdict(deadline)`."""
    from azready.fabric import Fabric, Machine

    marker = request.node.get_closest_marker("azure_machine")
    with Fabric(Machine(**marker.kwargs) if marker else None) as fabric:
        yield fabric
