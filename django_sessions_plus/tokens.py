"""Session tokens: make one, know one by its form, turn one into its digest.

The only module that touches ``secrets`` and ``hashlib`` for session tokens. It
does no I/O and keeps nothing; raw tokens go in and out by the name ``token``,
what may be stored by the name ``digest``.
"""

import re
import secrets
import time
import uuid
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeGuard

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
LENGTH = 32

# The prefix keeps our digests apart from the plain SHA-256 of a session key
# that other packages store: neither table can be searched with the other's value.
_DOMAIN = b"django_sessions_plus.session-token.v1:"
_WELL_FORMED = re.compile(rf"[a-z0-9]{{{LENGTH}}}", re.ASCII)


def make_token() -> str:
    """Return a new token: 32 characters of ``[a-z0-9]`` from the system's CSPRNG.

    That is 165 bits; OWASP ASVS 5.0 7.2.3 asks for at least 128.
    """
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def is_well_formed(token: object) -> TypeGuard[str]:
    """Tell whether ``token`` could be one of ours, without looking it up.

    Anything else (other types, lengths, alphabets) costs no query.
    """
    return isinstance(token, str) and _WELL_FORMED.fullmatch(token) is not None


def digest(token: str) -> str:
    """Return what is stored in place of ``token``: 64 hexadecimal characters.

    No salt and no slow hash: the input has 165 bits, so there is nothing to guess.
    """
    return sha256(_DOMAIN + token.encode()).hexdigest()


def make_id() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562): time-ordered, so that new rows land side by side in the index.

    An id is public. It names a session and never opens one.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def first_id(moment: datetime) -> uuid.UUID:
    """Return the least id that can be made at ``moment``, to the millisecond; for ranges of the primary key."""
    milliseconds = max(round(moment.timestamp() * 1_000_000) // 1000, 0)
    # Of version 7 as well: MariaDB puts UUIDs of other versions in another order.
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62)


def made_at(key: uuid.UUID) -> datetime:
    """Return when an id was made, by the clock of the host that made it."""
    return datetime.fromtimestamp((key.int >> 80) / 1000, UTC)
