"""Which columns a write has to carry: pure functions of the row, the data, the use that is made of it, and now.

They read settings, but no clock, no request and no database, and change nothing that they are given.

Longer than other modules, because what a session keeps of a request is decided here and nowhere else.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.utils import timezone

from django_sessions_plus import policy
from django_sessions_plus.backends import context, user_key
from django_sessions_plus.backends.context import NO_CONTEXT_CHANGE, PREVIOUS_CONTEXT
from django_sessions_plus.backends.use import Columns, Data, Use
from django_sessions_plus.conf import config, lifetimes

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

EXPIRY_KEY = "_session_expiry"
"""Where Django keeps in the data what ``set_expiry()`` was given."""

NO_REFRESH_ATTEMPT: Columns = {
    "refresh_attempt": None,
    "refresh_replays_left": 0,
    "confirmed_refreshed_at": None,
}
"""The columns of the attempt of the last refresh, of a session that had none. Only a refresh reads them."""

NO_REFRESH_TOKENS: Columns = {
    **dict.fromkeys(["refresh_digest", "refresh_started_at", "refreshed_at"]),
    **NO_REFRESH_ATTEMPT,
}
"""The columns of refresh tokens, of a session that has none."""

DEFERRED = (*PREVIOUS_CONTEXT, *NO_REFRESH_ATTEMPT)
"""The columns that are not read with a row."""


def new_columns(
    before: AbstractSession | None, data: Data, use: Use, now: datetime, *, user_id: Any
) -> Columns:
    """Return what a new row says beside its token and its data.

    ``before`` is the row that the store has loaded, in whose place the new one comes; ``user_id`` is
    the key of the user the data names.
    """
    since = None if user_id is None else now
    expires_at = next_expiry(before, data, use, now, since=since)
    return {
        "user_id": user_id,
        "created_at": now,
        "authenticated_at": since if use.is_authenticated_at_start else None,
        "updated_at": now,
        "last_seen_at": now,
        "expires_at": expires_at,
        "cookie_expires_at": expires_at if _has_lasting_cookie(data, use) else None,
        "name": use.name,
        "remember": use.remember,
        "transport": use.transport,
        **context.client_columns(use.meta),
    }


def saved_columns(
    row: AbstractSession, data: Data, use: Use, now: datetime, *, text: str, extra: Columns
) -> Columns:
    """Return what a save of ``data`` has to write over ``row``, and nothing it has not.

    ``text`` is the data as it is stored, and ``extra`` a project's own columns for it. A save is a use
    like any other: the expiry, and with it the cookie and two indexes, moves no more often than by
    touches.
    """
    columns = {**_identity_columns(row, data, use, now), **extra}
    if use.pending_remember is not None:
        columns["remember"] = use.pending_remember
    if text != row.session_data:
        columns |= {"session_data": text, "version": row.version + 1}
    if "authenticated_at" in columns:
        expires_at = next_expiry(row, data, use, now, since=columns["authenticated_at"])
        columns |= {"updated_at": now, "last_seen_at": now, "expires_at": expires_at}
        columns |= context.changed_client_columns(row, use.meta)
    else:
        columns |= touched_columns(row, data, use, now)
        if _is_expiry_decided(row, data, use):
            columns |= _slide_columns(row, data, use, now, is_due=True)
    columns |= _cookie_columns(row, data, use, columns)
    changed = {
        name: value
        for name, value in columns.items()
        # What is not read with a row is no part of what it may have already.
        if name in DEFERRED or getattr(row, name) != value
    }
    if row.user_id is not None and _is_refresh_family_expired(row, data, use, changed):
        # Also if this row was read before there were any.
        changed |= NO_REFRESH_TOKENS
    if row.user_id is not None and "user_id" in changed:
        # Where one person was is nothing to tell of another.
        changed |= NO_CONTEXT_CHANGE | ({"name": ""} if row.name else {})
    if changed or not use.counts_as_activity:
        return changed
    # A save without a statement could not tell that the session has ended meanwhile.
    return {"last_seen_at": now}


def touched_columns(row: AbstractSession, data: Data, use: Use, now: datetime) -> Columns:
    """Return what use without a change has to write: nothing, most of the time."""
    if not use.counts_as_activity:
        return _cookie_columns(row, data, use, {})
    columns = _slide_columns(row, data, use, now)
    columns |= _cookie_columns(row, data, use, columns)
    reauthentication = context.reauthentication_columns(row, use.meta)
    if (
        columns
        or reauthentication
        or policy.is_last_seen_due(
            last_seen_at=row.last_seen_at, interval=config.LAST_SEEN_INTERVAL, now=now
        )
        or context.is_change_due(row, use.meta, now)
    ):
        columns |= {**context.activity_columns(row, use, now), **reauthentication}
    return columns


def next_expiry(
    row: AbstractSession | None,
    data: Data,
    use: Use,
    now: datetime,
    *,
    since: datetime | None,
) -> datetime:
    """Return when the session expires if it is used now; the absolute timeout counts from ``since``."""
    return policy.next_expiry(
        explicit=_comparable(data.get(EXPIRY_KEY), now),
        idle_age=_seconds_long(use.get_session_cookie_age()),
        limit=policy.deadline(since, lifetimes.absolute_age(started_by(row, use))),
        now=now,
    )


def started_by(row: AbstractSession | None, use: Use) -> str:
    """Return the transport whose lifetimes count. A visit starts as a session of whoever signs in on it."""
    return use.transport if row is None or row.user_id is None else row.transport


def may_lengthen(row: AbstractSession | None, use: Use) -> bool:
    """Return whether this use may move the expiry on. A pair may not, of a session that did not start with one.

    That is so where ``SESSIONS_PLUS_LIFETIMES`` is set; without, all transports are alike.
    """
    return (
        row is None
        or policy.may_lengthen(started_by=row.transport, used_by=use.transport)
        or not lifetimes.are_per_transport()
    )


def expires_at_browser_close(data: Data, use: Use) -> bool:
    """Return whether the cookie ends with the browser: asked for by ``set_expiry(0)``, or not to be remembered."""
    explicit = data.get(EXPIRY_KEY)
    if explicit is not None:
        return bool(explicit == 0)
    return not use.remember or settings.SESSION_EXPIRE_AT_BROWSER_CLOSE


def is_cookie_outdated(row: AbstractSession, data: Data, use: Use) -> bool:
    """Return whether the browser's cookie is known to expire at another moment than the row."""
    is_behind = row.cookie_expires_at not in (None, row.expires_at)
    return is_behind and _has_lasting_cookie(data, use)


def is_first_use_after_slide(row: AbstractSession, columns: Columns) -> bool:
    """Return whether ``columns`` record the first use after the one that moved the expiry of ``row``.

    The answer to that one may have been lost, and with it the cookie: it is sent once more. A
    sign-in is none of these, for without its answer the browser has no cookie at all.
    """
    moved_at = row.updated_at
    is_first = "last_seen_at" in columns and row.last_seen_at == moved_at
    return is_first and moved_at not in (row.created_at, row.authenticated_at)


def known_user(row: AbstractSession, use: Use) -> Any:
    """Return the user of ``row`` with the password of now; None without a query for it, or without a hash."""
    user = use.user
    if getattr(user, "pk", None) != row.user_id:
        user = row._state.fields_cache.get("user")
    return user if hasattr(user, "get_session_auth_hash") else None


def _identity_columns(row: AbstractSession, data: Data, use: Use, now: datetime) -> Columns:
    if not use.is_authenticated_now and user_key.is_user_of(row, data):
        return {}
    user_id = user_key.named_in(data, type(row))
    if user_id is None:
        return {} if row.user_id is None else {"user_id": None, **_authenticated(None)}
    columns = {"user_id": user_id, **_authenticated(now), **context.client_columns(use.meta)}
    return columns if row.user_id is not None else columns | {"transport": use.transport}


def _authenticated(moment: datetime | None) -> Columns:
    return {"authenticated_at": moment, "reauthentication_required": False}


def _slide_columns(
    row: AbstractSession, data: Data, use: Use, now: datetime, *, is_due: bool = False
) -> Columns:
    """Return what moves the expiry, if it has to be moved now or ``is_due`` says so."""
    expires_at, later = row.expires_at, next_expiry(row, data, use, now, since=row.limited_from)
    if later == expires_at or (later > expires_at and not may_lengthen(row, use)):
        return {}
    # Who asks Django to save with every request asks for exactly that.
    update_age = timedelta(0) if settings.SESSION_SAVE_EVERY_REQUEST else config.UPDATE_AGE
    if not is_due and not policy.is_slide_due(
        expires_at=expires_at, next_expiry=later, update_age=update_age, now=now
    ):
        return {}
    return {"updated_at": now, "expires_at": later}


def _cookie_columns(row: AbstractSession, data: Data, use: Use, columns: Columns) -> Columns:
    """Return the record of the expiry that this response gives to the cookie, if the cookie has another.

    So the cookie follows a row that something else has moved, which could set none: a refresh, an
    app, a socket. It is part of the statement that moves the expiry where this request does.
    """
    expires_at, given = columns.get("expires_at", row.expires_at), row.cookie_expires_at
    if given == expires_at or not use.can_set_cookie:
        return {}
    # What a cookie that we know nothing of says is not guessed.
    is_known = given is not None or "expires_at" in columns or use.is_cookie_due
    return {"cookie_expires_at": expires_at} if is_known and _has_lasting_cookie(data, use) else {}


def _has_lasting_cookie(data: Data, use: Use) -> bool:
    """Return whether the response brings a cookie that has an expiry in line with the row."""
    # A request whose token a parallel one has replaced leaves the cookie to that.
    is_by_cookie = use.can_set_cookie and use.transport == "cookie"
    return is_by_cookie and not use.is_token_outdated and not expires_at_browser_close(data, use)


def _is_refresh_family_expired(
    row: AbstractSession, data: Data, use: Use, changed: Columns
) -> bool:
    """Return whether the refresh tokens are now another person's, or of whoever had them before.

    Who authenticates again, or changes the password, must have rid the session of every
    copy of what it gave out so far (OWASP ASVS 5.0 7.2.4, 7.4.3).
    """
    if use.is_authenticated_now or "user_id" in changed:
        return True
    return "session_data" in changed and _is_password_changed(row, data, use)


def _is_password_changed(row: AbstractSession, data: Data, use: Use) -> bool:
    auth_hash, text = data.get(HASH_SESSION_KEY), row.session_data
    # As it stands in nearly all data, which needs no decoding.
    if text.startswith("{") and f'"{HASH_SESSION_KEY}":"{auth_hash}"' in text:
        return False
    before = use.decode(text).get(HASH_SESSION_KEY)
    if before == auth_hash:
        return False
    # Both may be of the password the user has, before and after a change of SECRET_KEY.
    user = known_user(row, use)
    return (
        user is None
        or auth_hash != user.get_session_auth_hash()
        or before not in user.get_session_auth_fallback_hash()
    )


def _is_expiry_decided(row: AbstractSession, data: Data, use: Use) -> bool:
    """Return whether somebody has decided how long the session is to last since its expiry was set."""
    explicit, text = data.get(EXPIRY_KEY), row.session_data
    # Nearly all data is plain and without that key, which needs no decoding.
    if explicit is None and text.startswith("{") and EXPIRY_KEY not in text:
        lasted = row.expires_at - row.updated_at
        return abs(_seconds_long(use.get_session_cookie_age()) - lasted) > policy.CLOCK_SKEW
    return bool(use.decode(text).get(EXPIRY_KEY) != explicit)


def _comparable(explicit: policy.Expiry, now: datetime) -> policy.Expiry:
    """Return a moment with or without a time zone as ``now`` has one; Django takes both."""
    moment = datetime.fromisoformat(explicit) if isinstance(explicit, str) else explicit
    if not isinstance(moment, datetime) or timezone.is_aware(moment) == timezone.is_aware(now):
        return moment
    return timezone.make_naive(moment) if timezone.is_aware(moment) else timezone.make_aware(moment)


@lru_cache(maxsize=64)
def _seconds_long(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)
