"""Encrypt the session key of another engine, or what finds a token of another package, to delete it there later.

Nobody can guess a part of a key, and each is encrypted with bytes of its own, as many as it has characters. So
the encryption is an exclusive or (a one-time pad), and needs no library.
"""

from __future__ import annotations

from collections.abc import Callable

from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.jwt.derivation import derive, hkdf

LONGEST_KEY = 256
"""In characters: the column takes no longer one, encrypted."""

_PURPOSE = "imported session key"


@sensitive_variables()
def seal(token: str, digest: str) -> str:
    """Return ``token`` encrypted, as twice as many hexadecimal characters; ``digest`` is its digest."""
    return _pad(derive(_PURPOSE)[0], digest, token.encode()).hex()


@sensitive_variables()
def unseal(sealed: str, digest: str, digest_of: Callable[[str], str]) -> str | None:
    """Return the token whose ``digest_of()`` is ``digest``; None if that ``SECRET_KEY`` is no longer known."""
    for secret in derive(_PURPOSE):
        token = _pad(secret, digest, bytes.fromhex(sealed)).decode("latin-1")
        if digest_of(token) == digest:
            return token
    return None


@sensitive_variables()
def _pad(secret: bytes, digest: str, text: bytes) -> bytes:
    pad = hkdf(secret, salt=b"", info=digest.encode(), length=len(text))
    return bytes(one ^ other for one, other in zip(text, pad, strict=True))
