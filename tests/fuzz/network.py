"""azready's reading of network files beside the programs that they are for."""

from collections.abc import Iterator

from tests.image.network.configurations import MAKERS, jobs
from tests.image.network.real import disagreements

_AT_ONCE = 20


def campaign(seed: int, runs: int) -> Iterator[str]:
    """Every disagreement of model and program, on `runs` configurations of each program. Needs root."""
    for program in MAKERS:
        for first in range(0, runs, _AT_ONCE):
            yield from disagreements(jobs(program, seed, min(runs, first + _AT_ONCE))[first:])
