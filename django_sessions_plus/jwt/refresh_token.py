"""The form of a refresh token, and how the next one is derived; ``verdicts`` decides about a presented one. No I/O.

A token contains the id of its session, its family, and a secret. A MAC over all of it, with a key
derived from ``SECRET_KEY``, separates the tokens that this site has issued from forged ones,
without a list of them. The MAC does not make a token valid: the secret does. It is random for the
first token of a family, and the row stores a digest of it. So neither a copy of the table nor
``SECRET_KEY`` alone is enough to make a valid token.

The successor's secret is derived from its predecessor's, with a key of this site. So parallel
requests compute the same successor, in any process, and it is stored nowhere.

A client may send an *attempt* with its token: random bits, new for each refresh, which it keeps
until the response has arrived. It proves that a late request is a retry by the same client, and
not by somebody with a copy of the token. The row stores only an HMAC of it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from struct import Struct
from uuid import UUID

from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.jwt.derivation import derive

PREFIX = "rt1."
"""A JWT has two dots and a session token none, so the one dot separates the three forms."""

_SECRET_LENGTH = 32
_BODY = Struct(f">16sqq{_SECRET_LENGTH}s")
_MAC_LENGTH = sha256().digest_size
# A multiple of 3 bytes: base64 needs no padding, and each token has only one valid text.
_PAYLOAD_LENGTH = _BODY.size + _MAC_LENGTH
LENGTH = len(PREFIX) + _PAYLOAD_LENGTH // 3 * 4
"""The number of characters of every token."""

_DOMAIN = b"django_sessions_plus.refresh-token.v1:"
_FOREIGN_DOMAIN = b"django_sessions_plus.foreign-refresh-token.v1:"
_MAC_KEY = "refresh-token-mac"
_CHAIN_KEY = "refresh-token-chain"

ATTEMPT_PATTERN = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""The form of an attempt: 128 random bits in hexadecimal, lower case."""

_ATTEMPT_DOMAIN = b"django_sessions_plus.refresh-attempt.v1:"


@dataclass(frozen=True, slots=True)
class AttemptDigests:
    """An attempt in the form that a row stores: HMACs with secrets that are stored nowhere. Its repr shows nothing."""

    of_rotation: str = field(repr=False)
    """With the successor's secret: stored if this attempt rotates the token."""
    of_previous: str = field(repr=False)
    """With the token's own secret: stored if this attempt has produced the token."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token of this site. Its repr does not show its secret."""

    session_id: UUID
    family: int
    """When the first token of its family was issued, in microseconds; it identifies the family."""
    issued_at: int
    """When it was issued, in microseconds."""
    secret: bytes = field(repr=False)
    key: int = field(default=0, repr=False, compare=False)
    """Which of the site's secrets its MAC was made with: 0 is SECRET_KEY, then its fallbacks."""
    attempt: AttemptDigests | None = field(default=None, repr=False, compare=False)
    """The attempt that was presented with it; None if there was none."""
    is_lasting: bool = field(default=False, compare=False)
    """Whether it yields its successor until that is used, however late: its client may not know that it is replaced."""

    @sensitive_variables()
    def text(self) -> str:
        """Return the raw token."""
        body = _BODY.pack(self.session_id.bytes, self.family, self.issued_at, self.secret)
        payload = body + _mac(derive(_MAC_KEY)[0], body)
        return PREFIX + urlsafe_b64encode(payload).decode("ascii")

    def digest(self) -> str:
        """Return the digest that is stored: 64 hexadecimal characters.

        It covers the secret and the session. The MAC covers the rest.
        """
        return sha256(_DOMAIN + self.session_id.bytes + self.secret).hexdigest()

    @sensitive_variables()
    def successor(self, refreshed_at: datetime) -> RefreshToken:
        """Return the token that replaces this one; the same for every caller.

        The key is derived from the site's secret that this token was made with: a host that does not have
        the newest ``SECRET_KEY`` yet must compute the same token.
        """
        moment, secret = microseconds(refreshed_at), self._successor_secret()
        return RefreshToken(self.session_id, self.family, moment, secret)

    @sensitive_variables()
    def with_attempt(self, attempt: str) -> RefreshToken:
        """Return the token with the digests of ``attempt``, which must have passed ``is_attempt()``."""
        text = attempt.encode("ascii")
        made = AttemptDigests(
            of_rotation=_attempt_digest(self._successor_secret(), text),
            of_previous=_attempt_digest(self.secret, text),
        )
        return replace(self, attempt=made)

    def age(self, now: datetime) -> timedelta:
        """Return how long ago it was issued."""
        return timedelta(microseconds=microseconds(now) - self.issued_at)

    @sensitive_variables()
    def _successor_secret(self) -> bytes:
        chain = derive(_CHAIN_KEY)[self.key]
        family = self.family.to_bytes(8, "big", signed=True)
        return hmac.digest(chain, _DOMAIN + self.session_id.bytes + family + self.secret, sha256)


def first(session_id: UUID, started_at: datetime) -> RefreshToken:
    """Return a new token, the first of a family."""
    family = microseconds(started_at)
    return RefreshToken(session_id, family, family, secrets.token_bytes(_SECRET_LENGTH))


@sensitive_variables()
def secret_for(token: str) -> bytes:
    """Return the secret of the token of this site that stands for ``token``, a refresh token of another package."""
    return sha256(_FOREIGN_DOMAIN + token.encode()).digest()


@sensitive_variables()
def parse(token: object) -> RefreshToken | None:
    """Parse ``token``; None if this site has not issued it.

    Whether the token is valid is decided by the row. Never raises, because a traceback would show it.
    """
    if not isinstance(token, str) or len(token) != LENGTH or not token.isascii():
        return None
    try:
        payload = urlsafe_b64decode(token[len(PREFIX) :])
    except ValueError:
        return None
    # The decoder ignores characters outside of its alphabet.
    if PREFIX + urlsafe_b64encode(payload).decode("ascii") != token:
        return None
    body, mac = payload[: _BODY.size], payload[_BODY.size :]
    for number, key in enumerate(derive(_MAC_KEY)):
        if hmac.compare_digest(mac, _mac(key, body)):
            session_id, family, issued_at, secret = _BODY.unpack(body)
            return RefreshToken(UUID(bytes=session_id), family, issued_at, secret, number)
    return None


def is_attempt(value: object) -> bool:
    """Return whether ``value`` has the form of an attempt."""
    return isinstance(value, str) and ATTEMPT_PATTERN.fullmatch(value) is not None


def microseconds(moment: datetime) -> int:
    """Return microseconds since 1970, which every database stores exactly; a naive datetime counts as UTC."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC if moment.tzinfo else None)
    return (moment - epoch) // timedelta(microseconds=1)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _DOMAIN + body, sha256)


@sensitive_variables()
def _attempt_digest(secret: bytes, attempt: bytes) -> str:
    return hmac.new(secret, _ATTEMPT_DOMAIN + attempt, sha256).hexdigest()
