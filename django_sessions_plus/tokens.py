"""Session tokens: make one, check the form of one, compute the digest of one.

The only module that uses ``secrets`` and ``hashlib`` for session tokens. No I/O, no state. A
raw token is always called ``token``, and what may be stored is called ``digest``.
"""

import hmac
import re
import secrets
import time
import uuid
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeGuard

from django.utils.crypto import get_random_string

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
LENGTH = 32

# Without the prefix, a digest would equal the plain SHA-256 of a session key that other packages
# store, and one table could be searched with the values of the other.
_DOMAIN = b"django_sessions_plus.session-token.v1:"
_FOREIGN_DOMAIN = b"django_sessions_plus.foreign-token.v1:"
_WELL_FORMED = re.compile(rf"[a-z0-9]{{{LENGTH}}}", re.ASCII)


def make_token() -> str:
    """Return a new token: 32 characters of ``[a-z0-9]`` from the system's CSPRNG.

    That is 165 bits; OWASP ASVS 5.0 7.2.3 asks for at least 128.
    """
    return get_random_string(LENGTH, ALPHABET)


def is_well_formed(token: object) -> TypeGuard[str]:
    """Return whether ``token`` has the form of a session token; no query.

    Any value of another type, length or alphabet is none.
    """
    return isinstance(token, str) and _WELL_FORMED.fullmatch(token) is not None


def digest(token: str) -> str:
    """Return the digest that is stored in place of ``token``: 64 hexadecimal characters.

    No salt and no slow hash: the token has 165 random bits, so it cannot be guessed.
    """
    return sha256(_DOMAIN + token.encode()).hexdigest()


def foreign_digest(source: str, value: str) -> str:
    """Return the digest under which a token of another package is stored: 64 hexadecimal characters.

    ``source`` names the package and its model. No session token has this digest, and no token of another source.
    """
    return sha256(_FOREIGN_DOMAIN + f"{source}:{value}".encode()).hexdigest()


def derive_token(secret: bytes, text: str) -> str:
    """Return the token that stands for ``text``: always the same, and nobody without ``secret`` can compute it."""
    number = int.from_bytes(hmac.digest(secret, text.encode(), sha256), "big")
    characters = []
    for _ in range(LENGTH):
        number, position = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[position])
    return "".join(characters)


def make_id() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562): time-ordered, so that new rows land side by side in the index.

    An id is public. It identifies a session, but nobody can use the session with it.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def first_id(moment: datetime) -> uuid.UUID:
    """Return the smallest id that can be made in the millisecond of ``moment``; for ranges of the primary key."""
    milliseconds = max(round(moment.timestamp() * 1_000_000) // 1000, 0)
    # It needs the version 7: MariaDB sorts UUIDs of other versions differently.
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62)


def made_at(key: uuid.UUID) -> datetime:
    """Return when an id was made, by the clock of the host that made it: to the millisecond, always in UTC."""
    return datetime.fromtimestamp((key.int >> 80) / 1000, UTC)
