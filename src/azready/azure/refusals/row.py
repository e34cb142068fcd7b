"""One row of the table of refusals, and the words that rows share.

Sources: Microsoft's "Common error codes" of Resource Manager and its error pages of Compute, and the texts that public
reports quote. Rows with a `text` are for messages that match it; `\\1` in a row is what the first group matched.
"""

from dataclasses import dataclass
from typing import Literal

Act = Literal["stop", "wait", "gone", "login"]
"""stop: only the user can put it right; wait: ask again later; gone: there is no such thing; login: get a new token."""


@dataclass(frozen=True)
class Advice:
    """One row: which errors it is for, and what to do. Without `codes` it is for every code."""

    codes: tuple[str, ...]
    act: Act
    means: str
    hint: str
    text: str = ""
    weak: bool = False
    """Says little: another error of the same answer is asked first."""


REFUSED = ("BadRequest", "InvalidParameter", "OperationNotAllowed", "Conflict", "InvalidRequestContent", "NotSupported")
"""Codes that stand for anything: only the text tells."""

ROLE = "`azready capture|publish|verify … --print-role` prints a custom role with just what is needed"
SIZES = "`az vm list-skus -l LOCATION --resource-type virtualMachines --output table` lists those that are"
DEFINITION = "a definition cannot be changed: give another --gallery-image-definition"
AGAIN = "run the same command again in a few minutes: it goes on where it stopped"
UPGRADE = "upgrade azready; until then use a region or cloud that has this version"
HOME = "read its console (below), fix the image, and try it at home first: `azready boot DISK`"
REGIONS = "`az account list-locations --query [].name --output tsv` lists the regions; give one with --location"
SECURITY = "https://learn.microsoft.com/azure/virtual-machines/trusted-launch-portal says which source fits which"
