"""The certificates of a goal state, and the keys of this fabric.

The agent makes a transport key, shows its certificate in `x-ms-guest-agent-public-x509-cert`, and gets a
PKCS#12 store with an empty password, enveloped (CMS) to that key: WALinuxAgent common/utils/cryptutil.py and
common/protocol/goal_state.py, cloud-init sources/helpers/azure.py. For each RSA key of the machine the store
holds a certificate that carries it, signed by the fabric: so fingerprints of `ovf-env.xml` lead to keys.
"""

import base64
import datetime
import hashlib
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.goalstate import USUAL
from azready.fabric.protocol.messages import Answer, Request, text

HEADER = "x-ms-guest-agent-public-x509-cert"
ISSUER = "azready local Azure (not Microsoft)"


def answer(request: Request, machine: Machine) -> Answer:
    """The CertificateFile document, enveloped to the asker's certificate."""
    shown = request.header(HEADER) or ""
    try:
        asker = x509.load_der_x509_certificate(base64.b64decode(shown, validate=True))
        blob = (
            pkcs7.PKCS7EnvelopeBuilder()
            .set_data(store(machine))
            .add_recipient(asker)
            .encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        note = found(request.at, "certificates-header", fault=error if shown else "no header")
        body = "<Error><Code>InvalidTransportCertificate</Code></Error>"
        return Answer(text(400, body, "text/xml; charset=utf-8"), (note,))
    version = request.header("x-ms-version") or USUAL
    document = (
        f'<?xml version="1.0" encoding="utf-8"?>\n<CertificateFile><Version>{version}</Version>'
        f"<Incarnation>{machine.incarnation}</Incarnation><Format>Pkcs7BlobWithPfxContents</Format>"
        f"<Data>{base64.encodebytes(blob).decode()}</Data></CertificateFile>"
    )
    return Answer(text(200, document, "text/xml; charset=utf-8"))


def store(machine: Machine) -> bytes:
    """The PKCS#12 store of a machine: the fabric's own key and certificate, and one for each of the user's keys."""
    key, certificate = fabric_identity()
    others = list(_for_keys(machine.public_keys).values())
    return pkcs12.serialize_key_and_certificates(b"azready", key, certificate, others, serialization.NoEncryption())


def thumbprints(machine: Machine) -> dict[str, str]:
    """Public key → SHA-1 thumbprint of the certificate that carries it; RSA keys only."""
    return {
        key: certificate.fingerprint(hashes.SHA1()).hex().upper()
        for key, certificate in _for_keys(machine.public_keys).items()
    }


@lru_cache(maxsize=1)
def fabric_identity() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """The key that this process signs with, and its certificate, whose subject says what it is."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key, _builder(key.public_key(), ISSUER).sign(key, hashes.SHA256())


@lru_cache(maxsize=64)
def _for_keys(public_keys: tuple[str, ...]) -> dict[str, x509.Certificate]:
    """Certificates that carry RSA keys: the same in every process, so that a medium made before still fits.

    Hence an Ed25519 signature, which is deterministic, by a key that anybody can derive. Agents do not check it.
    """
    signing = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(ISSUER.encode()).digest())
    carried = {}
    for line in public_keys:
        try:
            public = serialization.load_ssh_public_key(line.encode())
        except (ValueError, UnsupportedAlgorithm):
            continue
        if isinstance(public, rsa.RSAPublicKey):
            carried[line] = _builder(public, "user").sign(signing, None)
    return carried


def _builder(public: rsa.RSAPublicKey, name: str) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ISSUER)]))
        .public_key(public)
        .serial_number(public.public_numbers().n % (1 << 128) + 1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2049, 12, 31, tzinfo=datetime.UTC))
    )
