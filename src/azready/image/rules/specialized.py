"""A specialized image: nothing provisions it, and its VMs are copies. What it is not asked, and what is only told."""

from dataclasses import replace

from azready.image.rules.model import Profile, Rule, Severity

OF_PROVISIONING = frozenset({"A05", "A07", "A08", "A10", "B05", "K08", "P01", "P02", "P04", "S03", "S06"})
"""Rules about who provisions, its DVD, and the user that it makes."""
SHARED = frozenset(
    {"A01", "A03", "A06", "A09", "S02"}
    | {"G03", "G07", "G14", "G19", "G20", "G21", "G23", "G24", "G25", "G26", "G27"}
    | {"P06", "P12", "P13", "P14", "P18"}
)
"""Rules about what one machine should keep for itself: every copy has it too, and that is what was asked for."""


def severity_of(rule: Rule, profiles: frozenset[Profile]) -> Severity | None:
    """How grave a finding of a rule is by the chosen profiles; None when the rule is not asked."""
    found = rule.severity(profiles | {Profile.AZURE})
    if found is None or Profile.SPECIALIZED not in profiles:
        return found
    if rule.id in OF_PROVISIONING:
        return None
    return Severity.INFO if rule.id in SHARED else found


def told(rule: Rule) -> Rule:
    """A rule whose findings are only told: sealing would take away what the copies are to have."""
    return replace(rule, repair=None, fix="take it out by hand where the copies should not share it")
