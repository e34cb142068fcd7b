"""Stand-ins for what only Microsoft can issue: the attested document and managed-identity tokens.

Both say what they are: the document is signed by a certificate of this fabric whose subject says that it is not
Microsoft's, and the token is no JWT and opens nothing.
"""

import base64
import json
import time
from typing import Any

from azready.fabric.machine import Machine

NOT_A_TOKEN = "azready-local-azure-issues-no-real-tokens"
VALID_SECONDS = 6 * 3600


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
    """The attested document: PKCS#7, the fields that `version` has, and a nonce of the time when none is given."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.serialization import pkcs7

    from azready.fabric.protocol.certificates import fabric_identity

    now = time.time()
    content: dict[str, Any] = {
        "nonce": nonce or time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)),
        "plan": {"name": "", "product": "", "publisher": ""},
        "timeStamp": {"createdOn": _stamp(now), "expiresOn": _stamp(now + VALID_SECONDS)},
        "vmId": machine.vm_id,
    }
    for name, value, since in (
        ("subscriptionId", machine.subscription_id, "2019-04-30"),
        ("sku", "", "2019-11-01"),
        ("licenseType", "", "2020-09-01"),
    ):
        if version >= since:
            content[name] = value
    key, certificate = fabric_identity()
    signed = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(json.dumps(content).encode())
        .add_signer(certificate, key, hashes.SHA256())
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )
    return {"encoding": "pkcs7", "signature": base64.b64encode(signed).decode()}


def _stamp(at: float) -> str:
    return time.strftime("%m/%d/%y %H:%M:%S -0000", time.gmtime(at))
