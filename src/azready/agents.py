"""Who provisions VMs on Azure, theirs and ours: agents.toml, for all who look at images and at boots."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Agent:
    """A row of agents.toml: see its head for what the fields mean."""

    name: str
    called: str
    program: str
    starts: tuple[str, ...]
    speaks: tuple[str, ...]
    packages: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    inits: tuple[str, ...] = ()
    if_empty: tuple[str, ...] = ()
    paths: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What a thing is, and the patterns of its paths."""

    @property
    def words(self) -> str:
        """A regular expression for the agent's lines and requests."""
        return "|".join(self.speaks)

    @property
    def services(self) -> tuple[str, ...]:
        """Its units of systemd, of those that `starts` names."""
        return tuple(name for name in self.starts if name.endswith(".service"))


def _load() -> Mapping[str, Agent]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    agents = {}
    for name, row in table.items():
        paths = tuple((what, tuple(patterns)) for what, patterns in row.pop("paths", {}).items())
        lists = {key.replace("-", "_"): tuple(value) for key, value in row.items() if isinstance(value, list)}
        agents[name] = Agent(name, row["called"], row["program"], paths=paths, **lists)
    return agents


AGENTS = _load()

OURS = AGENTS["azready"]
WAAGENT = AGENTS["waagent"]
CLOUD_INIT = AGENTS["cloud-init"]

ANY = "|".join(agent.words for agent in AGENTS.values())
"""A regular expression for the words of any of them."""
