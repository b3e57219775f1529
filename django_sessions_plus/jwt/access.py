"""Access tokens: short-lived and signed, each for one session (RFC 9068, RFC 8725).

A verified token says who was signed in when it was issued. Whether the session has ended since
is in its row; ``Claims.session_id`` is the row's id.

Longer than other modules, because what is written into a token stands beside what reads it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
from django_sessions_plus.conf import PREFIX, callables, config
from django_sessions_plus.exceptions import (
    ConfigurationError,
    StaleSessionError,
    TokenError,
    TokenExpiredError,
)
from django_sessions_plus.jwt import claims, compact, keys
from django_sessions_plus.jwt.algorithms import Key

TYPE = "access"
"""The value of the claim ``type``: a signed token of another kind is refused."""

JITTER = 0.05
"""The part of its age by which a token is shortened at random, at most.

Users who signed in together would otherwise refresh together.
"""

_JTI_BYTES = 16
_TEXTS = ("sub", "sid", "jti", "cred")
_TIMES = ("exp", "nbf", "iat")
_CREDENTIAL_DOMAIN = b"django_sessions_plus.credential.v1:"
_CREDENTIAL_BYTES = 12
# The last second that a datetime can hold.
_LATEST = 253_402_300_799


@dataclass(frozen=True, slots=True)
class IssuedAccess:
    """An access token. Its repr does not show it."""

    token: str = field(repr=False)
    expires_at: datetime
    expires_in: int
    """Seconds, counted from the time of issue."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified token. Its repr shows ids only."""

    user_id: str
    session_id: UUID
    all: dict[str, Any] = field(repr=False)
    """Every claim, by its name."""

    @property
    def expires_at(self) -> datetime:
        """When the token expires."""
        return _datetime(self.all["exp"])

    @property
    def auth_time(self) -> datetime | None:
        """When the user authenticated, as of the time of issue; None if nobody had."""
        return _datetime(self.all["auth_time"]) if "auth_time" in self.all else None


@sensitive_variables()
def issue(
    session: AbstractSession,
    *,
    user: Any = None,
    auth_hash: str | None = None,
    idle_until: datetime | None = None,
    audience: str | None = None,
    age: timedelta | None = None,
    request: Any = None,
    now: datetime | None = None,
) -> IssuedAccess:
    """Issue an access token for ``session``; its user is read from the database unless given.

    ``auth_hash`` and ``idle_until`` are the hash and the expiry that the session will have, if it does
    not have them yet. ``audience`` replaces the configured one, and ``age`` limits the time the token
    is valid, if it is less than the setting. ``request`` is passed to the callables that settings name
    for issuer, audience and keys.

    It is valid for ``SESSIONS_PLUS_JWT_ACCESS_AGE`` less the jitter, and never beyond the timeouts
    of the session.

    Raises:
        StaleSessionError: the session is not active, or its user is gone.
        ValueError: nobody is signed in to the session, or another user is.
        ConfigurationError: a key or a claim cannot be used, or a callable gives something else than a setting takes.
    """
    moment = now or timezone.now()
    if not session.is_active(moment):
        raise StaleSessionError
    user = _owner(session) if user is None else user
    if session.user_id is None or user is None or user.pk != session.user_id:
        raise ValueError("An access token is of a session and the user who is signed in to it.")
    issued_at = int(moment.timestamp())
    longest = config.JWT_ACCESS_AGE if age is None else min(age, config.JWT_ACCESS_AGE)
    expires_at = _expiry(session, issued_at, idle_until or session.expires_at, longest)
    payload = {
        "type": TYPE,
        "sub": str(user.pk),
        "sid": str(session.pk),
        "iss": callables.jwt_issuer(request),
        "aud": callables.jwt_audience(request) if audience is None else audience,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": expires_at,
        "jti": compact.encode(secrets.token_bytes(_JTI_BYTES)),
        "cred": _credential(auth_hash or session.get_decoded().get(HASH_SESSION_KEY)),
        **_auth_time(session),
        **claims.configured(user, session),
    }
    token = _sign(payload, keys.signing_key(request))
    return IssuedAccess(token, _datetime(expires_at), expires_at - issued_at)


@sensitive_variables()
def verify(token: str, *, request: Any = None, now: datetime | None = None) -> Claims:
    """Return the claims of ``token``, if it is a valid access token of this site; no query.

    ``request`` is passed to the callables that settings name for issuer, audience and keys.

    Raises:
        TokenExpiredError: it was valid, but has expired. Never raised for a token whose signature,
            issuer or audience is wrong.
        TokenError: it is invalid. The error does not say why, and does not contain the token.
        ConfigurationError: a key cannot be used, or a callable gives something else than a setting takes.
    """
    outcome = _examine(token, (now or timezone.now()).timestamp(), request)
    if isinstance(outcome, Claims):
        return outcome
    raise outcome


@sensitive_variables()
def is_ours(token: str, *, request: Any = None) -> bool:
    """Return whether ``token`` claims to be an access token of this site, by its type, key and issuer; no query.

    Nothing is verified. Use it after ``verify()`` has refused a token, to see whether another issuer
    has made it.

    Raises:
        ConfigurationError: a key cannot be used, or a callable gives something else than a setting takes.
    """
    header_segment, _, rest = token.partition(".")
    if not token.isascii() or len(token) > compact.LONGEST_TOKEN:
        return False
    if keys.key_by_header(header_segment, request) is None:
        return False
    payload = compact.read(rest.partition(".")[0])
    return payload is not None and payload.get("iss") == callables.jwt_issuer(request)


def is_superseded(claims: Claims, session: AbstractSession, data: Mapping[str, Any]) -> bool:
    """Return whether the user has authenticated again since the token was issued, or changed the password.

    Then it must be refused (OWASP ASVS 5.0 7.2.4, 7.4.3); a refresh returns a new one. ``data`` is the
    session's.
    """
    is_of_this_password = claims.all["cred"] == _credential(data.get(HASH_SESSION_KEY))
    return not is_of_this_password or is_before_authentication(claims, session)


def is_before_authentication(claims: Claims, session: AbstractSession) -> bool:
    """Return whether the user has authenticated again since the token was issued."""
    authenticated_at = session.authenticated_at
    return authenticated_at is not None and claims.all.get("auth_time", -1) < int(
        authenticated_at.timestamp()
    )


def _auth_time(session: AbstractSession) -> dict[str, int]:
    # RFC 9068 section 2.2.1: the claim is left out if nobody has authenticated.
    moment = session.authenticated_at
    return {} if moment is None else {"auth_time": int(moment.timestamp())}


def _credential(auth_hash: Any) -> str:
    """Return a digest that changes with the password, and from which nobody can compute the auth hash."""
    text = auth_hash if isinstance(auth_hash, str) else ""
    return compact.encode(sha256(_CREDENTIAL_DOMAIN + text.encode()).digest()[:_CREDENTIAL_BYTES])


def _owner(session: AbstractSession) -> Any:
    try:
        return session.user
    except ObjectDoesNotExist:
        # The user may have been deleted: the column has no constraint in the database.
        raise StaleSessionError from None


def _expiry(
    session: AbstractSession, issued_at: int, idle_until: datetime, longest: timedelta
) -> int:
    # The jitter only shortens: no token may be valid longer than the setting says.
    age = longest.total_seconds()
    age -= age * JITTER * secrets.randbits(32) / 2**32
    expires_at = issued_at + max(1, int(age))
    latest = int(policy.capped(idle_until, session.limited_until).timestamp())
    return max(issued_at, min(expires_at, latest))


@sensitive_variables()
def _sign(payload: dict[str, Any], key: Key) -> str:
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


# Errors are returned and not raised: an exception would show the frames that parse the token, and
# be chained to one whose message contains it.
def _examine(token: str, now: float, request: Any) -> Claims | type[TokenError]:
    if not isinstance(token, str) or len(token) > compact.LONGEST_TOKEN or not token.isascii():
        return TokenError
    message, _, signature_segment = token.rpartition(".")
    header_segment, _, payload_segment = message.partition(".")
    key = keys.key_by_header(header_segment, request)
    signature = compact.decode(signature_segment)
    if key is None or not signature or not key.verify(message.encode("ascii"), signature):
        return TokenError
    payload = compact.read(payload_segment)
    if payload is None or not _has_valid_claims(payload) or not _is_for_us(payload, request):
        return TokenError
    session_id = _session_id(payload["sid"])
    leeway = config.JWT_LEEWAY.total_seconds()
    if session_id is None or max(payload["nbf"], payload["iat"]) > now + leeway:
        return TokenError
    if payload["exp"] <= now - leeway:
        return TokenExpiredError
    return Claims(payload["sub"], session_id, payload)


def _has_valid_claims(payload: dict[str, Any]) -> bool:
    """Return whether every claim of the package is present and has its type; ``True`` does not count as a number."""
    for name in _TEXTS:
        if not isinstance(payload.get(name), str) or not payload[name]:
            return False
    moments = (*_TIMES, "auth_time") if "auth_time" in payload else _TIMES
    for name in moments:
        value = payload.get(name)
        if type(value) is not int or not 0 <= value <= _LATEST:
            return False
    return True


def _is_for_us(payload: dict[str, Any], request: Any) -> bool:
    """Return whether the token is an access token, and has the issuer and audience of this site."""
    if payload.get("type") != TYPE or payload.get("iss") != callables.jwt_issuer(request):
        return False
    named, own = payload.get("aud"), callables.jwt_audience(request)
    named = [named] if isinstance(named, str) else named
    own = [own] if isinstance(own, str) else own
    return isinstance(named, list) and any(audience in named for audience in own)


def _session_id(text: str) -> UUID | None:
    try:
        session_id = UUID(text)
    except ValueError:
        return None
    # UUID() also accepts braces and other forms.
    return session_id if str(session_id) == text else None


def _datetime(seconds: int) -> datetime:
    """Return a datetime that is aware or naive as ``USE_TZ`` says."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return (
        moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())
    )
