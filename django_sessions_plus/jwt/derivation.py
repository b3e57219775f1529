"""Keys derived from ``SECRET_KEY``, each for one purpose (HKDF with SHA-256, RFC 5869).

``SECRET_KEY`` signs other things too. With a key for each purpose, a signature for one purpose
is invalid for all others, and a leaked key does not reveal them.
"""

import hmac
from functools import lru_cache
from hashlib import sha256

from django.conf import settings
from django.utils.encoding import force_bytes
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.exceptions import ConfigurationError

SALT = b"django_sessions_plus"


@sensitive_variables()
def derive(purpose: str, *, length: int = 32) -> list[bytes]:
    """Return a key of ``length`` bytes from ``SECRET_KEY``, then one from each of its fallbacks.

    Sign with the first, verify with all. Different purposes, and different lengths, give unrelated
    keys. Cached until a setting changes.

    Raises:
        ConfigurationError: a secret is empty, so that everybody could derive its keys.
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


on_setting_change(_derived.cache_clear)
