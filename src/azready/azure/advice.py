"""What each of Azure's refusals means, and the next step that can be done: looked up in the table of `refusals/`."""

import re
from dataclasses import replace

from azready.azure.refusals.access import ACCESS
from azready.azure.refusals.images import IMAGES
from azready.azure.refusals.resources import RESOURCES
from azready.azure.refusals.row import AGAIN, Advice

ADVICE = (*ACCESS, *IMAGES, *RESOURCES)

UNKNOWN = Advice(
    (),
    "stop",
    "",
    "look for the code at https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-"
    "errors and https://learn.microsoft.com/troubleshoot/azure/virtual-machines; Microsoft's support asks for the ids "
    "above",
)


def advice_for(code: str, message: str, *, weak: bool = False) -> Advice | None:
    """The first row for an error, with what its message names put in; None when there is none of that strength."""
    for row in ADVICE:
        if code not in row.codes or row.weak != weak:
            continue
        match = re.search(row.text, message, re.DOTALL)
        if match:
            return replace(row, means=match.expand(row.means)) if match.groups() else row
    return None


def advice_for_status(status: int) -> Advice:
    """For an error that the table does not know."""
    if status == 404:
        return Advice((), "gone", "there is no such thing", UNKNOWN.hint)
    return Advice((), "stop", "a fault within Azure, or of a proxy before it", AGAIN) if status >= 500 else UNKNOWN
