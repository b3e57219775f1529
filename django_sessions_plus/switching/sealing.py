"""Encrypt the session key of another engine, so that its session can be deleted there later.

A key is 32 characters of which nobody can guess any, and each is encrypted with 32 bytes of its own. So
the encryption is an exclusive or (a one-time pad), and needs no library.
"""

from __future__ import annotations

from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import tokens
from django_sessions_plus.jwt.derivation import derive, hkdf

_PURPOSE = "imported session key"


@sensitive_variables()
def seal(token: str, digest: str) -> str:
    """Return ``token`` encrypted, as 64 hexadecimal characters; ``digest`` is its digest."""
    return _pad(derive(_PURPOSE)[0], digest, token.encode()).hex()


@sensitive_variables()
def unseal(sealed: str, digest: str) -> str | None:
    """Return the token; None if it was encrypted with a ``SECRET_KEY`` that is no longer known."""
    for secret in derive(_PURPOSE):
        token = _pad(secret, digest, bytes.fromhex(sealed)).decode("latin-1")
        if tokens.is_well_formed(token) and tokens.digest(token) == digest:
            return token
    return None


@sensitive_variables()
def _pad(secret: bytes, digest: str, text: bytes) -> bytes:
    pad = hkdf(secret, salt=b"", info=digest.encode(), length=len(text))
    return bytes(one ^ other for one, other in zip(text, pad, strict=True))
