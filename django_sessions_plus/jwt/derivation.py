"""Keys derived from ``SECRET_KEY``, each for one purpose (HKDF with SHA-256, RFC 5869).

``SECRET_KEY`` itself signs much else; a key of its own for each purpose keeps what is
signed here from meaning anything there, and a leaked one from giving the others away.
"""

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.encoding import force_bytes
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.exceptions import ConfigurationError

SALT = b"django_sessions_plus"


@sensitive_variables()
def derive(purpose: str, *, length: int = 32) -> list[bytes]:
    """Return a key of ``length`` bytes from ``SECRET_KEY``, then one from each of its fallbacks.

    The first is for making, all are for recognizing. Different purposes, and different
    lengths, give keys that have nothing in common. Kept until a setting changes.

    Raises:
        ConfigurationError: a secret is empty, so that its keys would be known to everybody.
    """
    return [
        _derived(force_bytes(secret), purpose, length)
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ]


@sensitive_variables()
def hkdf(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """Return ``length`` bytes, 8160 at most, derived from ``secret`` (RFC 5869, SHA-256)."""
    extracted = hmac.digest(salt, secret, sha256)
    block, derived = b"", b""
    for number in range(1, -(-length // sha256().digest_size) + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), sha256)
        derived += block
    return derived[:length]


@lru_cache(maxsize=128)
@sensitive_variables()
def _derived(secret: bytes, purpose: str, length: int) -> bytes:
    if not secret:
        raise ConfigurationError(
            "SECRET_KEY and SECRET_KEY_FALLBACKS must not hold an empty secret."
        )
    return hkdf(secret, salt=SALT, info=f"{purpose}/{length}".encode(), length=length)


def _forget_all(**kwargs: Any) -> None:
    _derived.cache_clear()


setting_changed.connect(_forget_all, dispatch_uid="django_sessions_plus.derivation")
