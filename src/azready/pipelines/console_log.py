"""What `verify` and `capture` say of a guest that failed: the cause that `azready diagnose` finds in its console."""

import json

from azready.azure.console_log import Diagnosis
from azready.boot import console_log


def diagnose(raw: bytes) -> Diagnosis:
    """The cause that a serial console log shows, or that it shows none. Never raises, whatever the bytes are."""
    found = console_log.diagnose(raw)
    return Diagnosis(found.lines(), json.loads(found.as_json()))
