"""A stand-in for what only Microsoft can issue: the attested document.

It says what it is: the certificate that signs it is this fabric's own, and its subject says that it is not
Microsoft's. Order of the keys and no blanks as recorded (documentation of the Ansible module sap.sap_operations).
"""

import base64
import json
import time
from typing import Any

from azready.fabric.machine import Machine

VALID_SECONDS = 6 * 3600


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
        .set_data(json.dumps(dict(sorted(content.items())), separators=(",", ":")).encode())
        .add_signer(certificate, key, hashes.SHA256())
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoAttributes])
    )
    return {"encoding": "pkcs7", "signature": base64.b64encode(signed).decode()}


def _stamp(at: float) -> str:
    return time.strftime("%m/%d/%y %H:%M:%S -0000", time.gmtime(at))
