"""The image under test: what azldev puts in the place of {image-path}, or what you name yourself."""

from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--image-path", type=Path, required=True, help="A disk, or a root tree.")


@pytest.fixture
def image(pytestconfig):
    return pytestconfig.getoption("--image-path")
