"""Random inputs by a seed: `python -m tests.fuzz NAME --seed 1 --runs 1000`, `make fuzz FUZZ=…`.

Every module here that has a function `campaign(seed, runs)` is a target by its name. It yields one text for each
fault that it found, with the input; what a run did depends on its seed and number alone.
"""
