"""Find out what a token of any kind gives access to, without using it.

For introspection (RFC 7662) and revocation (RFC 7009). Must not touch, rotate or save a session;
only ``end()`` ends one. The caller must make sure that the client holds the token, or has the
permission to ask about other users' tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, load_backend
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import policy, tokens
from django_sessions_plus.backends import user_key
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.user_check import user_from_row
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.exceptions import TokenError
from django_sessions_plus.jwt import access, refresh_token, verdicts
from django_sessions_plus.jwt.access import Claims
from django_sessions_plus.jwt.refresh_token import RefreshToken
from django_sessions_plus.jwt.replays import end_reused
from django_sessions_plus.jwt.verdicts import Verdict

Kind = Literal["session", "access", "refresh"]


@dataclass(frozen=True, slots=True)
class InspectedToken:
    """A token of this site, and its active session. Its repr shows neither token nor digest."""

    kind: Kind
    store: SessionStore
    row: AbstractSession
    issued_at: int
    """When it was issued, in seconds since 1970 (RFC 7519 section 2). For a session token, when its
    user authenticated, or when the session started if nobody has."""
    expires_at: int
    """When it expires, in seconds since 1970; using the session may move this."""
    claims: Claims | None = None
    """The claims of an access token; None for other tokens."""
    reused: RefreshToken | None = field(default=None, repr=False)
    """The token itself, if it is a refresh token that has been rotated, and this is no retry."""


@sensitive_variables()
def find(token: object, *, request: HttpRequest | None = None) -> InspectedToken | None:
    """Return what ``token`` is; None if it is unknown, malformed or expired, or its session has ended or expired.

    At most one query; none for a token that this site never issued, unless it has the form of a
    session token.

    Raises:
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    if tokens.is_well_formed(token):
        return _of_session_token(token)
    if (presented := refresh_token.parse(token)) is not None:
        return _of_refresh_token(presented)
    claims = _claims(token, request)
    return None if claims is None else _of_access_token(claims)


def find_refresh(token: object) -> InspectedToken | None:
    """Return what a refresh token is; None for any other token, and where ``find()`` returns None.

    Raises:
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    presented = refresh_token.parse(token)
    # If the database fails, error reports show the variables of every frame. Django's decorator
    # sensitive_variables() would itself hold the token in one.
    del token
    return None if presented is None else _of_refresh_token(presented)


def active_user(found: InspectedToken) -> Any:
    """Return the user whom the token authenticates now; None for nobody.

    Follows the rules of ``django.contrib.auth.get_user()`` without its side effects: that would end
    a session whose user has a new password, or rotate one of an earlier ``SECRET_KEY``.
    """
    if found.reused is not None:
        return None
    user = _user_of(found.store, found.row)
    return user if user is not None and user.pk == found.row.user_id else None


def end(found: InspectedToken) -> bool:
    """End the session as a sign-out does, and return whether this call ended it.

    If the token is a refresh token that was used before, the end reason is reuse, as after a refresh.
    """
    user = None if found.reused is None else _user_of(found.store, found.row)
    if found.reused is not None and user is not None:
        return end_reused(found.store, user, found.reused, timezone.now())
    return found.store.end_as(policy.EndReason.SIGNED_OUT) is not None


@sensitive_variables()
def _of_session_token(token: str) -> InspectedToken | None:
    store = new_store(token)
    store.wants_user = True
    store.load_if_needed()
    row = store.row
    if row is None or row.user_id is None or row.limited_from is None:
        return None
    return InspectedToken("session", store, row, int(row.limited_from.timestamp()), _expiry(row))


def _of_refresh_token(presented: RefreshToken) -> InspectedToken | None:
    # From the primary database: a replica or a cached copy may not have the last rotation.
    store, row = _open(presented.session_id, from_primary=True)
    if row is None:
        return None
    verdict = verdicts.judge(presented, row, timezone.now())
    if verdict in (Verdict.REPLACED, Verdict.EXPIRED):
        return None
    return InspectedToken(
        "refresh",
        store,
        row,
        _issued_at(presented),
        int(row.refresh_expires_at.timestamp()),
        reused=presented if verdict is Verdict.REUSED else None,
    )


def _of_access_token(claims: Claims) -> InspectedToken | None:
    store, row = _open(claims.session_id, from_primary=False)
    if row is None or str(row.user_id) != claims.user_id:
        return None
    if access.is_superseded(claims, row, store.load_if_needed()):
        return None
    return InspectedToken("access", store, row, claims.all["iat"], claims.all["exp"], claims)


def _open(session_id: Any, *, from_primary: bool) -> tuple[SessionStore, AbstractSession | None]:
    store = new_store()
    store.wants_user = True
    store.open_by_id(session_id, from_primary=from_primary)
    row = store.row
    return store, None if row is None or row.user_id is None else row


@sensitive_variables()
def _claims(token: object, request: HttpRequest | None) -> Claims | None:
    try:
        return access.verify(token, request=request) if isinstance(token, str) else None
    except TokenError:
        return None


def _user_of(store: SessionStore, row: AbstractSession) -> Any:
    data = store.load_if_needed()
    user = user_from_row(store, data)
    if user is not None:
        return user
    path = str(data.get(BACKEND_SESSION_KEY))
    if path not in settings.AUTHENTICATION_BACKENDS or not user_key.is_user_of(row, data):
        return None
    user = load_backend(path).get_user(row.user_id)
    return user if user is not None and _is_password_unchanged(user, data) else None


def _is_password_unchanged(user: Any, data: dict[str, Any]) -> bool:
    if not hasattr(user, "get_session_auth_hash"):
        return True
    auth_hash = data.get(HASH_SESSION_KEY) or ""
    is_present = constant_time_compare(auth_hash, user.get_session_auth_hash())
    return is_present or user_key.is_of_earlier_key(user, auth_hash)


def _expiry(row: AbstractSession) -> int:
    return int(policy.capped(row.expires_at, row.limited_until).timestamp())


def _issued_at(presented: RefreshToken) -> int:
    # refresh_token.microseconds() counts a naive datetime from a naive epoch.
    epoch = datetime(1970, 1, 1, tzinfo=UTC if settings.USE_TZ else None)
    return int((epoch + timedelta(microseconds=presented.issued_at)).timestamp())
