"""How guests are run on this machine: by KVM or emulated, and why so. A value; `trial` finds it out."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Acceleration:
    """How guests are run here, and why so."""

    kind: Literal["kvm", "tcg"]
    why: str = ""
    slowness: float = 1.0
    """How much longer than an idle machine of today this one takes now to emulate; at least 1."""
