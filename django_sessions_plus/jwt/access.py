"""Access tokens: short-lived, signed, and of one session (RFC 9068, RFC 8725).

A token that verifies says who somebody was when it was issued. Whether the session has
ended since is the row's to say: it is named by ``session_id``.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.core.exceptions import ObjectDoesNotExist
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import policy
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.exceptions import (
    ConfigurationError,
    StaleSessionError,
    TokenError,
    TokenExpiredError,
)
from django_sessions_plus.jwt import claims, compact, keys

TYPE = "access"
"""The claim ``type``: a token of another kind is refused, whoever signed it."""

_JTI_BYTES = 16
_TEXTS = ("sub", "sid", "jti", "cred")
_MOMENTS = ("exp", "nbf", "iat")
_CREDENTIAL_DOMAIN = b"django_sessions_plus.credential.v1:"
_CREDENTIAL_BYTES = 12
# The last second of the calendar.
_LATEST = 253_402_300_799


@dataclass(frozen=True, slots=True)
class IssuedAccess:
    """A token that was issued. Its repr does not show it."""

    token: str = field(repr=False)
    expires_at: datetime
    expires_in: int
    """Seconds, from the moment of issue."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token that was verified says. Its repr shows ids only."""

    user_id: str
    session_id: UUID
    all: dict[str, Any] = field(repr=False)
    """Every claim, by its name."""

    @property
    def expires_at(self) -> datetime:
        """When the token expires."""
        return _moment(self.all["exp"])

    @property
    def auth_time(self) -> datetime | None:
        """When the person authenticated, as the session said at the time of issue; None if nobody had."""
        return _moment(self.all["auth_time"]) if "auth_time" in self.all else None


@sensitive_variables()
def issue(
    session: AbstractSession,
    *,
    user: Any = None,
    auth_hash: str | None = None,
    now: datetime | None = None,
) -> IssuedAccess:
    """Issue an access token of ``session``; its user is read from the database unless given.

    ``auth_hash`` is the one the session's data is about to have, if not what it has.

    It is valid for ``SESSIONS_PLUS_JWT_ACCESS_AGE`` less the jitter, and never beyond the
    absolute timeout of the session. The idle timeout does not shorten it: a refresh moves that.

    Raises:
        StaleSessionError: the session is not active, or its user is gone.
        ValueError: the session is nobody's, or not that user's.
        ConfigurationError: keys or claims cannot be used.
    """
    moment = now or timezone.now()
    if not session.is_active(moment):
        raise StaleSessionError
    user = _owner(session) if user is None else user
    if session.user_id is None or user is None or user.pk != session.user_id:
        raise ValueError("An access token is of a session and the user who is signed in to it.")
    issued_at = int(moment.timestamp())
    expires_at = _expiry(session, issued_at)
    payload = {
        "type": TYPE,
        "sub": str(user.pk),
        "sid": str(session.pk),
        "iss": config.JWT_ISSUER,
        "aud": config.JWT_AUDIENCE,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": expires_at,
        "jti": compact.encode(secrets.token_bytes(_JTI_BYTES)),
        "cred": _credential(auth_hash or session.get_decoded().get(HASH_SESSION_KEY)),
        **_auth_time(session),
        **claims.configured(user, session),
    }
    return IssuedAccess(_signed(payload), _moment(expires_at), expires_at - issued_at)


@sensitive_variables()
def verify(token: str, *, now: datetime | None = None) -> Claims:
    """Return what ``token`` says, if it is an access token of ours and valid; no query.

    Raises:
        TokenExpiredError: it is, but has expired. Nobody learns that of a token whose
            signature, issuer or audience is wrong.
        TokenError: it is not. Why is not told, and the error holds nothing of it.
        ConfigurationError: a key cannot be used.
    """
    outcome = _examine(token, (now or timezone.now()).timestamp())
    if isinstance(outcome, Claims):
        return outcome
    raise outcome


def is_superseded(claims: Claims, session: AbstractSession, data: Mapping[str, Any]) -> bool:
    """Tell whether the person has authenticated again since, or changed the password in the session.

    No earlier token profits from that (OWASP ASVS 5.0 7.2.4, 7.4.3); a refresh helps whoever
    was not told. ``data`` is the session's.
    """
    is_of_this_password = claims.all["cred"] == _credential(data.get(HASH_SESSION_KEY))
    return not is_of_this_password or is_before_authentication(claims, session)


def is_before_authentication(claims: Claims, session: AbstractSession) -> bool:
    """Tell whether the person has authenticated again since the token was issued."""
    authenticated_at = session.authenticated_at
    return authenticated_at is not None and claims.all.get("auth_time", -1) < int(
        authenticated_at.timestamp()
    )


def _auth_time(session: AbstractSession) -> dict[str, int]:
    # RFC 9068 section 2.2.1 leaves it out where there is nothing to say.
    moment = session.authenticated_at
    return {} if moment is None else {"auth_time": int(moment.timestamp())}


def _credential(auth_hash: Any) -> str:
    """Return what stands for a password in a token: other than for any other password, and leading nowhere."""
    text = auth_hash if isinstance(auth_hash, str) else ""
    return compact.encode(sha256(_CREDENTIAL_DOMAIN + text.encode()).digest()[:_CREDENTIAL_BYTES])


def _owner(session: AbstractSession) -> Any:
    try:
        return session.user
    except ObjectDoesNotExist:
        # No constraint ties the row to its user.
        raise StaleSessionError from None


def _expiry(session: AbstractSession, issued_at: int) -> int:
    # Shortened only, so that nobody gets a longer life than was set.
    age = config.JWT_ACCESS_AGE.total_seconds()
    age -= age * config.JWT_JITTER * secrets.randbits(32) / 2**32
    expires_at = issued_at + max(1, int(age))
    limit = policy.deadline(session.limited_from, config.ABSOLUTE_AGE)
    return expires_at if limit is None else min(expires_at, int(limit.timestamp()))


@sensitive_variables()
def _signed(payload: dict[str, Any]) -> str:
    key = keys.signing_key()
    try:
        message = f"{key.header}.{compact.write(payload)}"
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(f"{PREFIX}JWT_CLAIMS: {exc}") from exc
    token = f"{message}.{compact.encode(key.sign(message.encode('ascii')))}"
    if len(token) > compact.LONGEST_TOKEN:
        raise ConfigurationError(
            f"{PREFIX}JWT_CLAIMS makes a token of {len(token)} characters; {compact.LONGEST_TOKEN} are read."
        )
    return token


# What is found is returned and not raised: an exception from further down would show the
# frames in which the token was taken apart, and be chained to one that quotes it.
def _examine(token: str, now: float) -> Claims | type[TokenError]:
    if not isinstance(token, str) or len(token) > compact.LONGEST_TOKEN or not token.isascii():
        return TokenError
    message, _, signature_segment = token.rpartition(".")
    header_segment, _, payload_segment = message.partition(".")
    key = keys.key_by_header(header_segment)
    signature = compact.decode(signature_segment)
    if key is None or not signature or not key.verify(message.encode("ascii"), signature):
        return TokenError
    payload = compact.read(payload_segment)
    if payload is None or not _is_whole(payload) or not _is_for_us(payload):
        return TokenError
    session_id = _session_id(payload["sid"])
    leeway = config.JWT_LEEWAY.total_seconds()
    if session_id is None or max(payload["nbf"], payload["iat"]) > now + leeway:
        return TokenError
    if payload["exp"] <= now - leeway:
        return TokenExpiredError
    return Claims(payload["sub"], session_id, payload)


def _is_whole(payload: dict[str, Any]) -> bool:
    """Tell whether every claim of the package is there and of its type; true is no number."""
    for name in _TEXTS:
        if not isinstance(payload.get(name), str) or not payload[name]:
            return False
    moments = (*_MOMENTS, "auth_time") if "auth_time" in payload else _MOMENTS
    for name in moments:
        value = payload.get(name)
        if type(value) is not int or not 0 <= value <= _LATEST:
            return False
    return True


def _is_for_us(payload: dict[str, Any]) -> bool:
    """Tell whether the token is an access token, of our issuer and for us."""
    if payload.get("type") != TYPE or payload.get("iss") != config.JWT_ISSUER:
        return False
    named, own = payload.get("aud"), config.JWT_AUDIENCE
    named = [named] if isinstance(named, str) else named
    own = [own] if isinstance(own, str) else own
    return isinstance(named, list) and any(audience in named for audience in own)


def _session_id(text: str) -> UUID | None:
    try:
        session_id = UUID(text)
    except ValueError:
        return None
    # UUID() takes braces and more.
    return session_id if str(session_id) == text else None


def _moment(seconds: int) -> datetime:
    """Return a moment as the project's models have it."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return (
        moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())
    )
