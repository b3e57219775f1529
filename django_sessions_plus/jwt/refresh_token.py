"""What a refresh token is, and what to make of one that is presented. No I/O.

A token names its session and the line it belongs to, and carries a secret. A MAC over all
of it, with a key derived from ``SECRET_KEY``, tells every token this site ever issued from
those somebody made up, without a list of them. It does not make a token good: that is the
secret, random when the line begins, of which the row keeps a digest. So neither a copy of
the table nor ``SECRET_KEY`` alone makes a token.

The successor's secret follows from its predecessor's, for whoever has the keys. Therefore
requests that run in parallel, in whatever process, arrive at the same successor without
its being stored anywhere.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import sha256
from struct import Struct
from uuid import UUID

from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.jwt.derivation import derive

PREFIX = "rt1."
"""With one dot it is no JWT, and with any no session token."""

_SECRET_LENGTH = 32
_BODY = Struct(f">16sqq{_SECRET_LENGTH}s")
_MAC_LENGTH = sha256().digest_size
# Bytes that make whole groups of base64: no padding, and one spelling for each token.
_PAYLOAD_LENGTH = _BODY.size + _MAC_LENGTH
LENGTH = len(PREFIX) + _PAYLOAD_LENGTH // 3 * 4
"""The characters of every token."""

_DOMAIN = b"django_sessions_plus.refresh-token.v1:"
_MAC_KEY = "refresh-token-mac"
_CHAIN_KEY = "refresh-token-chain"

# By how much the clocks of two hosts may differ before a rotation from the future is no recent one.
CLOCK_SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token of this site. Its repr does not show its secret."""

    session_id: UUID
    family: int
    """When the first token of its line was issued, in microseconds; the line's name."""
    issued_at: int
    """When it was issued, in microseconds."""
    secret: bytes = field(repr=False)
    key: int = field(default=0, repr=False, compare=False)
    """Which of the site's secrets vouches for it: 0 is SECRET_KEY, then its fallbacks."""

    @sensitive_variables()
    def text(self) -> str:
        """Return the token as its holder gets it."""
        body = self._body()
        payload = body + _mac(derive(_MAC_KEY)[0], body)
        return PREFIX + urlsafe_b64encode(payload).decode("ascii")

    def digest(self) -> str:
        """Return what is stored of it: 64 hexadecimal characters.

        Of the secret and its session. The rest is for the MAC to vouch for.
        """
        return sha256(_DOMAIN + self.session_id.bytes + self.secret).hexdigest()

    @sensitive_variables()
    def successor(self, refreshed_at: datetime) -> RefreshToken:
        """Return the token that takes its place: the same for every caller.

        The key is of the secret that vouches for this token, so that a host that knows no
        newer ``SECRET_KEY`` yet arrives there as well.
        """
        chain = derive(_CHAIN_KEY)[self.key]
        secret = hmac.digest(chain, _DOMAIN + _line(self) + self.secret, sha256)
        return RefreshToken(self.session_id, self.family, microseconds(refreshed_at), secret)

    def age(self, now: datetime) -> timedelta:
        """Return how long ago it was issued."""
        return timedelta(microseconds=microseconds(now) - self.issued_at)

    def _body(self) -> bytes:
        return _BODY.pack(self.session_id.bytes, self.family, self.issued_at, self.secret)


class Verdict(Enum):
    """What a token of this site is to its session."""

    CURRENT = "current"
    """The one that is good: rotate it."""
    PRECEDING = "preceding"
    """The one before, rotated a moment ago: answer with the same successor."""
    REUSED = "reused"
    """An earlier one of this line: somebody has a copy."""
    REPLACED = "replaced"
    """Of a line that another one has taken the place of."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a session's row keeps of its refresh tokens."""

    digest: str | None
    started_at: datetime | None
    refreshed_at: datetime | None


def first(session_id: UUID, started_at: datetime) -> RefreshToken:
    """Return a new token, the first of a line."""
    family = microseconds(started_at)
    return RefreshToken(session_id, family, family, secrets.token_bytes(_SECRET_LENGTH))


@sensitive_variables()
def parse(token: object) -> RefreshToken | None:
    """Return the token that ``token`` spells; None for what this site never issued.

    Whether the token is good the row says. Nothing is raised: a traceback would show it.
    """
    if not isinstance(token, str) or len(token) != LENGTH or not token.isascii():
        return None
    try:
        payload = urlsafe_b64decode(token[len(PREFIX) :])
    except ValueError:
        return None
    # The decoder passes over what is not of its alphabet.
    if PREFIX + urlsafe_b64encode(payload).decode("ascii") != token:
        return None
    body, mac = payload[: _BODY.size], payload[_BODY.size :]
    for number, key in enumerate(derive(_MAC_KEY)):
        if hmac.compare_digest(mac, _mac(key, body)):
            session_id, family, issued_at, secret = _BODY.unpack(body)
            return RefreshToken(UUID(bytes=session_id), family, issued_at, secret, number)
    return None


def decide(presented: RefreshToken, kept: Kept, *, now: datetime, grace: timedelta) -> Verdict:
    """Return what ``presented`` is to the session whose row says ``kept``."""
    if kept.digest is None or kept.started_at is None:
        return Verdict.REPLACED
    if hmac.compare_digest(presented.digest(), kept.digest):
        return Verdict.CURRENT
    if (
        kept.refreshed_at is not None
        and is_within(grace, now - kept.refreshed_at)
        and hmac.compare_digest(presented.successor(kept.refreshed_at).digest(), kept.digest)
    ):
        return Verdict.PRECEDING
    is_of_this_line = presented.family == microseconds(kept.started_at)
    return Verdict.REUSED if is_of_this_line else Verdict.REPLACED


def is_within(grace: timedelta, elapsed: timedelta) -> bool:
    """Tell whether a rotation that was ``elapsed`` ago is as recent as ``grace`` allows; zero allows none.

    A rotation from the future, by the clock of another host, has only just been.
    """
    return bool(grace) and -max(grace, CLOCK_SKEW) <= elapsed <= grace


def microseconds(moment: datetime) -> int:
    """Return a moment as a number that survives every database; without a time zone, as it is written."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC if moment.tzinfo else None)
    return (moment - epoch) // timedelta(microseconds=1)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _DOMAIN + body, sha256)


def _line(token: RefreshToken) -> bytes:
    return token.session_id.bytes + token.family.to_bytes(8, "big", signed=True)
