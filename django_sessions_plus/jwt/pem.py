"""Asymmetric keys in PEM form, read by ``cryptography`` where that is installed."""

from typing import Any

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_pem_public_key,
    )
except ModuleNotFoundError:
    AVAILABLE = False
else:
    AVAILABLE = True


def is_private(data: bytes) -> bool:
    """Tell whether ``data`` claims to be a private key."""
    return b"PRIVATE KEY-----" in data


def load(data: bytes, password: str | None) -> Any:
    """Return the private or public key in ``data``; None if there is none, or ``password`` does not open it."""
    try:
        if is_private(data):
            return load_pem_private_key(data, None if password is None else password.encode())
        return load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
