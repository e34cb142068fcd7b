"""Long campaigns of random inputs. Tests beside the targets run a small sample of the same."""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator

import tests.fuzz

Campaign = Callable[[int, int], Iterator[str]]
ENOUGH = 8
"""After so many faults a target stops: they are mostly one."""


def targets() -> dict[str, Campaign]:
    """Every module of this folder that has a campaign."""
    names = [module.name for module in pkgutil.iter_modules(tests.fuzz.__path__) if not module.name.startswith("_")]
    modules = {name: importlib.import_module(f"tests.fuzz.{name}") for name in names}
    return {name: module.campaign for name, module in modules.items() if hasattr(module, "campaign")}


def main() -> int:
    known = targets()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"targets: {', '.join(known)} (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1000, help="inputs for each target")
    given = parser.parse_args()
    if strange := set(given.names) - set(known):
        parser.error(f"no target {min(strange)}; there are {', '.join(known)}")
    faults = 0
    for name in given.names or known:
        found = 0
        for fault in known[name](given.seed, given.runs):
            found += 1
            print(f"{name}: {fault}\n", flush=True)
            if found >= ENOUGH:
                break
        print(f"{name}: seed {given.seed}, {given.runs} runs, {found} faults{' and no further' * (found >= ENOUGH)}")
        faults += found
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
