"""Speed, as ratios measured in one run: `make bench`, or `python -m bench [NAME …]`.

A module of this package with a function `rows(lab, rounds) -> list[Row]` is a part of the table: to add one, add a file
and name it in `PARTS` of `__main__`. Never compare figures of two runs: compare ratios, and trust CPU before wall time.
"""
