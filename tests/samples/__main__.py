"""`python -m tests.samples`: play every sample against every scenario, and print the table of the docs page."""

import tempfile
from pathlib import Path

from tests.samples.outcomes import SAMPLES, SCENARIOS, play, row

for sample in SAMPLES:
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            print(row(sample, scenario, play(sample, scenario, Path(folder))), flush=True)
