"""What a token of any kind is good for, found out without using it.

For introspection (RFC 7662) and revocation (RFC 7009). Nothing here touches, rotates or
saves a session, and only ``end()`` ends one. The caller must make sure that whoever asks holds
the token, or may ask about everybody's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, load_backend
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import policy, tokens
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.user_check import user_from_row
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import TokenError
from django_sessions_plus.jwt import access, refresh_token
from django_sessions_plus.jwt.access import Claims
from django_sessions_plus.jwt.refresh import end_reused
from django_sessions_plus.jwt.refresh_token import Kept, RefreshToken, Verdict

Kind = Literal["session", "access", "refresh"]


@dataclass(frozen=True, slots=True)
class Found:
    """A token of this site, and its active session. Its repr shows neither token nor digest."""

    kind: Kind
    store: SessionStore
    row: AbstractSession
    issued_at: int
    """In seconds since 1970 (RFC 7519 section 2). For a session token, when its user
    authenticated, or when the session started if nobody has."""
    expires_at: int
    """When it expires unless it is used before, in seconds since 1970."""
    claims: Claims | None = None
    """The claims of an access token; None for other tokens."""
    reused: RefreshToken | None = field(default=None, repr=False)
    """The token itself, if it is a refresh token that has been rotated away and is no retry."""


@sensitive_variables()
def find(token: object) -> Found | None:
    """Return what ``token`` is; None if it is unknown, malformed or expired, or its session is over.

    At most one query, and none for a token that this site never issued, unless it has the form of
    a session token.

    Raises:
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    if tokens.is_well_formed(token):
        return _of_session_token(token)
    if (presented := refresh_token.parse(token)) is not None:
        return _of_refresh_token(presented)
    claims = _claims(token)
    return None if claims is None else _of_access_token(claims)


def active_user(found: Found) -> Any:
    """Return the user whom the token lets in now; None for nobody.

    Follows the rules of ``django.contrib.auth.get_user()`` without its side effects: that would end
    a session whose user has a new password, or rotate one signed with an earlier ``SECRET_KEY``.
    """
    if found.reused is not None:
        return None
    user = _user_of(found.store, found.row)
    return user if user is not None and user.pk == found.row.user_id else None


def end(found: Found) -> bool:
    """End the session as a sign-out, and return whether this call did.

    A refresh token that was used before ends it as reuse, as a refresh would: somebody has a copy.
    """
    user = None if found.reused is None else _user_of(found.store, found.row)
    if found.reused is not None and user is not None:
        return end_reused(found.store, user, found.reused, timezone.now())
    return found.store.end_as(policy.EndReason.SIGNED_OUT) is not None


@sensitive_variables()
def _of_session_token(token: str) -> Found | None:
    store = new_store(token)
    store.wants_user = True
    store.load_if_needed()
    row = store.row
    if row is None or row.user_id is None or row.limited_from is None:
        return None
    return Found("session", store, row, int(row.limited_from.timestamp()), _expiry(row))


def _of_refresh_token(presented: RefreshToken) -> Found | None:
    # From the primary, for a copy may not know of the last rotation.
    store, row = _opened(presented.session_id, from_primary=True)
    if row is None:
        return None
    kept = Kept(row.refresh_digest, row.refresh_started_at, row.refreshed_at)
    verdict = refresh_token.decide(presented, kept, now=timezone.now(), grace=config.REFRESH_GRACE)
    if verdict is Verdict.REPLACED:
        return None
    return Found(
        "refresh",
        store,
        row,
        _issue_of(presented),
        _expiry(row),
        reused=presented if verdict is Verdict.REUSED else None,
    )


def _of_access_token(claims: Claims) -> Found | None:
    store, row = _opened(claims.session_id, from_primary=False)
    if row is None or str(row.user_id) != claims.user_id:
        return None
    if access.is_superseded(claims, row, store.load_if_needed()):
        return None
    return Found("access", store, row, claims.all["iat"], claims.all["exp"], claims)


def _opened(session_id: Any, *, from_primary: bool) -> tuple[SessionStore, AbstractSession | None]:
    store = new_store()
    store.wants_user = True
    store.open_by_id(session_id, from_primary=from_primary)
    row = store.row
    return store, None if row is None or row.user_id is None else row


@sensitive_variables()
def _claims(token: object) -> Claims | None:
    try:
        return access.verify(token) if isinstance(token, str) else None
    except TokenError:
        return None


def _user_of(store: SessionStore, row: AbstractSession) -> Any:
    data = store.load_if_needed()
    user = user_from_row(store, data)
    if user is not None:
        return user
    path = str(data.get(BACKEND_SESSION_KEY))
    if path not in settings.AUTHENTICATION_BACKENDS or not store.is_row_user(data):
        return None
    user = load_backend(path).get_user(row.user_id)
    return user if user is not None and _is_password_unchanged(user, data) else None


def _is_password_unchanged(user: Any, data: dict[str, Any]) -> bool:
    if not hasattr(user, "get_session_auth_hash"):
        return True
    auth_hash = data.get(HASH_SESSION_KEY) or ""
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(auth_hash, each) for each in hashes)


def _expiry(row: AbstractSession) -> int:
    limit = policy.deadline(row.limited_from, config.ABSOLUTE_AGE)
    return int(policy.capped(row.expires_at, limit).timestamp())


def _issue_of(presented: RefreshToken) -> int:
    # Of a moment without a time zone they count as it is written.
    epoch = datetime(1970, 1, 1, tzinfo=UTC if settings.USE_TZ else None)
    return int((epoch + timedelta(microseconds=presented.issued_at)).timestamp())
