"""Stand-ins for what only Microsoft can issue: the attested document and managed-identity tokens.

Both say what they are: the document is signed by a certificate of this fabric whose subject says so, and the
token is no JWT and opens nothing.
"""

import time
from typing import Any

from azready.fabric.machine import Machine

NOT_A_TOKEN = "azready-local-azure-issues-no-real-tokens"


def token(machine: Machine, resource: str) -> dict[str, Any]:
    """The token endpoint's answer, in its form (all values strings)."""
    now = int(time.time())
    return {
        "access_token": NOT_A_TOKEN,
        "client_id": machine.vm_id,
        "expires_in": "86399",
        "expires_on": str(now + 86399),
        "ext_expires_in": "86399",
        "not_before": str(now),
        "resource": resource,
        "token_type": "Bearer",
    }


def document(machine: Machine, version: str, nonce: str | None) -> dict[str, str]:
    raise NotImplementedError
