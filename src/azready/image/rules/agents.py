"""Provisioning agents and their leftovers, by the search of `azready.image.facts.leftovers`."""

from collections.abc import Iterator, Sequence

from azready import installed
from azready.image.actions import Action
from azready.image.facts import Facts
from azready.image.facts.leftovers import Leftover
from azready.image.rules.guards import there
from azready.image.rules.model import Copies, Finding, Severity, Skip, Stage, rule
from azready.image.rules.repairs import remove
from azready.image.targets.rehearsal import Rehearsal

STATE = frozenset({"state", "log", "network configuration", "sudo rule", "lines in", "firewall rules in", "line in"})
"""What sealing wipes even where the agent itself stays."""


_NETWORK = "network configuration"


def _state(facts: Facts) -> list[Leftover]:
    """What sealing wipes: not the network configuration that is all there is, where its agent is not there to make it
    again (an installer of Ubuntu names its file after cloud-init, too)."""
    found = [each for each in facts.leftovers if each.path and each.what in STATE]
    network = [each for each in found if each.what == _NETWORK]
    if network and facts.network.asking and not _cloud_init_makes_it(facts) and _is_needed(facts, network):
        return [each for each in found if each not in network]
    return found


def _cloud_init_makes_it(facts: Facts) -> bool:
    return bool(facts.cloud_init and facts.cloud_init.works and facts.cloud_init.configures_network)


def _is_needed(facts: Facts, network: Sequence[Leftover]) -> bool:
    without = Rehearsal(facts.files, facts.live)
    for each in network:
        without.remove(each.path)
    return not Facts(without, facts.live).network.asking


def _packaged(facts: Facts) -> list[Leftover]:
    return [each for each in facts.leftovers if not each.path]


@rule(
    "P04",
    "no provisioning agent is installed",
    fault="a provisioning agent is installed",
    why="Two provisioners race for the same VM: both make the user, both report, and waagent waits for a cloud-init "
    "that is gone.",
    fix="azready prepare removes agents completely",
    sources="NOAG DIS WALA",
    severity=Severity.ERROR,
    in_copies=Copies.UNASKED,
)
def no_agents(facts: Facts) -> Iterator[Finding]:
    if facts.files.glob(f"{installed.PROGRAM}/report.{{py,sh}}"):
        raise Skip("azready only reports for this image, and its agent brings the data")
    for each in _packaged(facts):
        yield Finding(f"{each.agent}: {each.what}")
    for each in facts.leftovers:
        if each.path and each.what not in STATE:
            grave = Severity.WARNING if each.what in ("configuration", "empty folder", "unit state") else None
            yield Finding(f"{each.agent}: {each.what}", each.path, severity=grave)


def _wipe(facts: Facts, findings: Sequence[Finding]) -> Iterator[Action]:
    paths = {finding.path for finding in findings}
    for each in facts.leftovers:
        if each.path in paths and each.what in STATE:
            yield from each.remedy


@rule(
    "G07",
    "no agent's state, log or generated configuration is left",
    fault="state, logs or generated configuration of an agent are left",
    why="An agent that finds its old state does not provision the clone; the copies of ovf-env.xml and goal states in "
    "it hold keys and certificates.",
    fix="azready generalize removes it",
    sources="WALA CI AI",
    severity=Severity.ERROR,
    repair=_wipe,
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def no_agent_state(facts: Facts) -> Iterator[Finding]:
    for each in _state(facts):
        yield Finding(f"{each.agent}: {each.what}", each.path)


@rule(
    "P18",
    "nothing of VM extensions is left",
    fault="something of VM extensions is left",
    why="Extensions keep protected settings and tokens beside their programs; a clone must not have them.",
    fix="azready generalize removes it",
    sources="WALA",
    severity=Severity.ERROR,
    repair=remove,
    stage=Stage.WIPE,
    in_copies=Copies.TOLD,
)
def no_extensions(facts: Facts) -> Iterator[Finding]:
    yield from there(facts, "etc/opt/omi", "var/opt/{microsoft,omi,azure}*", "opt/microsoft/omsagent", "var/log/azure")
