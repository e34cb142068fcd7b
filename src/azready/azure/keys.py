"""A pair of ssh keys for a run that was given none. RSA, because every marketplace image and Azure take it."""

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from azready.errors import UsageFailure

BITS = 3072
TYPES = ("ssh-rsa ", "ssh-ed25519 ")
"""The types of key that Azure takes for Linux VMs."""


def make(private: Path) -> str:
    """Write a new key pair to `private` and `private`.pub unless it is there; return the public key's line."""
    public = private.with_name(private.name + ".pub")
    if private.exists() and public.exists():
        return public.read_text(encoding="utf-8").strip()
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    text = line.decode() + " azready"
    public.write_text(text + "\n", encoding="utf-8")
    return text


def read_public(private: Path) -> str:
    """The public key beside a private one. Raises UsageFailure when it is missing or of a type Azure refuses."""
    public = private.with_name(private.name + ".pub")
    try:
        text = public.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFailure(f"{public} cannot be read: {error}", f"ssh-keygen -y -f {private} > {public}") from error
    if not text.startswith(TYPES) or "\n" in text:
        raise UsageFailure(
            f"{public} does not hold one key of a type that Azure takes",
            "use an RSA (2048 bits and more) or Ed25519 key",
        )
    return text


def forget(private: Path) -> None:
    """Remove a pair that `make` made."""
    private.unlink(missing_ok=True)
    private.with_name(private.name + ".pub").unlink(missing_ok=True)
