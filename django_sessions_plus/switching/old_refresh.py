"""A refresh token of another package, and the one of this package that stands for it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from django_sessions_plus import tokens
from django_sessions_plus.jwt.refresh_token import RefreshToken, microseconds

# The bits of a UUIDv7 that are not random.
_FIXED = 0xF << 76 | 0x3 << 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OldRefresh:
    """A refresh token that another package has issued and verified; it may be revoked. Its repr shows no secret."""

    source: str
    """The entry in ``SESSIONS_PLUS_IMPORT_FROM``."""
    key: str = field(repr=False)
    """What tells it from all others, and is enough for its package to revoke it, but not to use it."""
    digest: str = field(repr=False)
    """The digest of the key: 64 hexadecimal characters, which are stored."""
    secret: bytes = field(repr=False)
    """32 bytes that only who holds the token can compute; they are stored nowhere."""
    claims: Any = field(repr=False)
    """What the module for its package has to know besides."""
    issued_at: datetime | None
    expires_at: datetime
    is_lasting: bool
    """Whether its package lets a client use it again until it expires, so that the client may not replace it."""
    attempt: str | None = field(default=None, repr=False)
    """The attempt that was presented with it."""

    @property
    def session_id(self) -> UUID:
        """The id of the session that it is exchanged for: the same in every process, and as old as the token."""
        start = tokens.first_id(self.issued_at or _EPOCH).int
        return UUID(int=start | int(self.digest[:20], 16) & ~_FIXED)

    def first(self, started_at: datetime) -> RefreshToken:
        """Return the token that stands for it: the first one of the family that ``started_at`` then.

        Nobody is given it. Parallel requests compute the same one, and so the same successor.
        """
        family = microseconds(started_at)
        token = RefreshToken(
            session_id=self.session_id,
            family=family,
            issued_at=microseconds(self.issued_at) if self.issued_at else family,
            secret=self.secret,
            # The oldest: hosts to which a new SECRET_KEY has not come yet have it too.
            key=len(settings.SECRET_KEY_FALLBACKS),
            is_lasting=self.is_lasting,
        )
        return token if self.attempt is None else token.with_attempt(self.attempt)

    def with_attempt(self, attempt: str | None) -> OldRefresh:
        """Return the token with the attempt that was presented with it."""
        return replace(self, attempt=attempt)
