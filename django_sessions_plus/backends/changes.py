"""Which columns a write has: pure functions of the row, the session data, the store (``Use``) and the time.

They read settings, but no clock, no request and no database, and do not change their arguments.

Longer than other modules, because it contains every decision about what a write stores.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.utils import timezone

from django_sessions_plus import policy
from django_sessions_plus.backends import context, user_key
from django_sessions_plus.backends.context import NO_CONTEXT_CHANGE, PREVIOUS_CONTEXT
from django_sessions_plus.backends.use import Columns, Data, Use
from django_sessions_plus.conf import config, lifetimes
from django_sessions_plus.exceptions import StaleSessionError

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

EXPIRY_KEY = "_session_expiry"
"""The key of the session data under which Django stores the argument of ``set_expiry()``."""

NO_REFRESH_ATTEMPT: Columns = {
    "refresh_attempt": None,
    "refresh_replays_left": 0,
    "confirmed_refreshed_at": None,
}
"""The columns about retries of the last refresh, as they are in a session without one; only a refresh reads them."""

NO_REFRESH_TOKENS: Columns = {
    **dict.fromkeys(["refresh_digest", "refresh_started_at", "refreshed_at"]),
    **NO_REFRESH_ATTEMPT,
}
"""The columns of refresh tokens, as they are in a session that has none."""

DEFERRED = (*PREVIOUS_CONTEXT, *NO_REFRESH_ATTEMPT)
"""The columns that the engine does not load with a row."""


def new_columns(
    before: AbstractSession | None, data: Data, use: Use, now: datetime, *, user_id: Any
) -> Columns:
    """Return the columns of a new row, except its token and its data; ``user_id`` is that of the user in ``data``.

    ``before`` is the row that the new one replaces, or None.
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
    """Return the columns that a save of ``data`` has to write to ``row``: only those that change.

    ``text`` is the encoded data, ``extra`` the project's own columns. A save moves the expiry no more often than
    touches would.

    Raises:
        StaleSessionError: the session has the token of another package, and another user signs in to it.
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
        if _is_lifetime_changed(row, data, use):
            columns |= _slide_columns(row, data, use, now, is_due=True)
    columns |= _cookie_columns(row, data, use, columns)
    changed = {
        name: value
        for name, value in columns.items()
        # A deferred column cannot be compared: reading it would be a query.
        if name in DEFERRED or getattr(row, name) != value
    }
    if row.user_id is not None and _must_end_refresh_family(row, data, use, changed):
        # Even if the row has none: they may have been issued since it was read.
        changed |= NO_REFRESH_TOKENS
    if row.user_id is not None and "user_id" in changed:
        # The new user must not see from where the previous one used the session, nor its name.
        changed |= NO_CONTEXT_CHANGE | ({"name": ""} if row.name else {})
    if changed or not use.counts_as_activity:
        return changed
    # Without a statement, the save would not notice that the session has ended meanwhile.
    return {"last_seen_at": now}


def touched_columns(row: AbstractSession, data: Data, use: Use, now: datetime) -> Columns:
    """Return the columns that a touch has to write: usually none."""
    if not use.counts_as_activity:
        return _cookie_columns(row, data, use, {})
    interval, seen_at = config.LAST_SEEN_INTERVAL, row.last_seen_at
    is_seen_due = policy.is_last_seen_due(last_seen_at=seen_at, interval=interval, now=now)
    # A changed absolute timeout waits until the activity is due.
    is_early = not is_seen_due and policy.is_too_early_to_slide(
        moved_at=row.updated_at,
        expires_at=row.expires_at,
        idle_age=timedelta(seconds=use.get_session_cookie_age()),
        update_age=_update_age(),
        now=now,
    )
    columns = {} if is_early else _slide_columns(row, data, use, now)
    columns |= _cookie_columns(row, data, use, columns)
    columns |= context.reauthentication_columns(row, use.meta)
    if columns or is_seen_due or context.is_change_due(row, use.meta, interval, now):
        columns |= context.activity_columns(row, use, now)
    return columns


def next_expiry(
    row: AbstractSession | None, data: Data, use: Use, now: datetime, *, since: datetime | None
) -> datetime:
    """Return when the session expires if used now; the absolute timeout counts from ``since`` (None: nobody's)."""
    explicit = data.get(EXPIRY_KEY)
    return policy.next_expiry(
        explicit=None if explicit is None else _comparable(explicit, now),
        idle_age=_idle_age(use, since),
        limit=policy.deadline(since, lifetimes.absolute_age(started_by(row, use))),
        now=now,
    )


def started_by(row: AbstractSession | None, use: Use) -> str:
    """Return the transport whose lifetimes apply: the row's, or that of the present use while nobody is signed in."""
    return use.transport if row is None or row.user_id is None else row.transport


def has_fixed_token(row: AbstractSession) -> bool:
    """Return whether the client can get no other token: it has one of another package, which was imported."""
    return row.transport == lifetimes.FOREIGN


def may_lengthen(row: AbstractSession | None, use: Use) -> bool:
    """Return whether this use may move the expiry to a later time.

    With ``SESSIONS_PLUS_LIFETIMES``, JWTs may not do so for a session that started with another transport.
    """
    return (
        row is None
        or policy.may_lengthen(started_by=row.transport, used_by=use.transport)
        or not lifetimes.are_per_transport()
    )


def expires_at_browser_close(data: Data, use: Use) -> bool:
    """Return whether the cookie ends with the browser: after ``set_expiry(0)``, or if ``remember`` is False."""
    explicit = data.get(EXPIRY_KEY)
    if explicit is not None:
        return bool(explicit == 0)
    return not use.remember or settings.SESSION_EXPIRE_AT_BROWSER_CLOSE


def is_cookie_outdated(row: AbstractSession, data: Data, use: Use) -> bool:
    """Return whether the browser's cookie is known to expire at another time than the row."""
    is_outdated = row.cookie_expires_at not in (None, row.expires_at)
    return is_outdated and _has_lasting_cookie(data, use)


def is_first_use_after_slide(row: AbstractSession, columns: Columns) -> bool:
    """Return whether ``columns`` record the first use after the one that moved the expiry of ``row``.

    The cookie is sent again then, because the response that contained it may have been lost; not after a sign-in.
    """
    moved_at = row.updated_at
    is_first = "last_seen_at" in columns and row.last_seen_at == moved_at
    return is_first and moved_at not in (row.created_at, row.authenticated_at)


def _identity_columns(row: AbstractSession, data: Data, use: Use, now: datetime) -> Columns:
    if not use.is_authenticated_now and user_key.is_user_of(row, data):
        return {}
    user_id = user_key.named_in(data, type(row))
    if user_id is None:
        return {} if row.user_id is None else {"user_id": None, **_authenticated(None)}
    if has_fixed_token(row) and user_id != row.user_id:
        raise StaleSessionError
    columns = {"user_id": user_id, **_authenticated(now), **context.client_columns(use.meta)}
    return columns if row.user_id is not None else columns | {"transport": use.transport}


def _authenticated(moment: datetime | None) -> Columns:
    return {"authenticated_at": moment, "reauthentication_required": False}


def _slide_columns(
    row: AbstractSession, data: Data, use: Use, now: datetime, *, is_due: bool = False
) -> Columns:
    """Return the columns that slide the expiry; none if it is too early for that, unless ``is_due`` is set."""
    expires_at, later = row.expires_at, next_expiry(row, data, use, now, since=row.limited_from)
    if not is_due and not policy.is_slide_due(
        expires_at=expires_at, next_expiry=later, update_age=_update_age(), now=now
    ):
        return {}
    if later == expires_at or (later > expires_at and not may_lengthen(row, use)):
        return {}
    return {"updated_at": now, "expires_at": later}


def _update_age() -> timedelta:
    # SESSION_SAVE_EVERY_REQUEST asks for a write with every request.
    return timedelta(0) if settings.SESSION_SAVE_EVERY_REQUEST else config.UPDATE_AGE


def _cookie_columns(row: AbstractSession, data: Data, use: Use, columns: Columns) -> Columns:
    """Return ``cookie_expires_at`` if this response sets a cookie with another expiry than the browser's; else nothing.

    So the cookie also follows an expiry that a refresh, an app or a WebSocket has moved, which cannot set a cookie.
    """
    expires_at, given = columns.get("expires_at", row.expires_at), row.cookie_expires_at
    if given == expires_at or not use.can_set_cookie:
        return {}
    # If the cookie's expiry was never recorded, nothing shows that the cookie is outdated.
    is_known = given is not None or "expires_at" in columns or use.is_cookie_due
    return {"cookie_expires_at": expires_at} if is_known and _has_lasting_cookie(data, use) else {}


def _has_lasting_cookie(data: Data, use: Use) -> bool:
    """Return whether the response can set a cookie that expires with the row, and no parallel rotation sets it."""
    is_by_cookie = use.can_set_cookie and use.transport == "cookie"
    return is_by_cookie and not use.is_token_outdated and not expires_at_browser_close(data, use)


def _must_end_refresh_family(row: AbstractSession, data: Data, use: Use, changed: Columns) -> bool:
    """Return whether a save has to invalidate the refresh tokens.

    After another authentication, user or password, no copy of an earlier one may work (OWASP ASVS 5.0 7.2.4, 7.4.3).
    """
    if use.is_authenticated_now or "user_id" in changed:
        return True
    return "session_data" in changed and _is_password_changed(row, data, use)


def _is_password_changed(row: AbstractSession, data: Data, use: Use) -> bool:
    auth_hash, text = data.get(HASH_SESSION_KEY), row.session_data
    # Nearly all data has it in this form, and need not be decoded.
    if text.startswith("{") and f'"{HASH_SESSION_KEY}":"{auth_hash}"' in text:
        return False
    before = use.decode(text).get(HASH_SESSION_KEY)
    if before == auth_hash:
        return False
    # After a change of SECRET_KEY, both may be hashes of the same password.
    user = user_key.known_user(row, use)
    return (
        not hasattr(user, "get_session_auth_hash")
        or auth_hash != user.get_session_auth_hash()
        or not user_key.is_of_earlier_key(user, before)
    )


def _is_lifetime_changed(row: AbstractSession, data: Data, use: Use) -> bool:
    """Return whether code has changed how long the session lasts since its expiry was written."""
    explicit, text = data.get(EXPIRY_KEY), row.session_data
    # Nearly all data is not compressed and lacks that key, so that it need not be decoded.
    if explicit is None and text.startswith("{") and EXPIRY_KEY not in text:
        lasted = row.expires_at - row.updated_at
        return abs(_idle_age(use, row.limited_from) - lasted) > policy.CLOCK_SKEW
    return bool(use.decode(text).get(EXPIRY_KEY) != explicit)


def _comparable(explicit: policy.Expiry | str, now: datetime) -> policy.Expiry:
    """Return ``explicit``; a datetime with a time zone if ``now`` has one, else without. Django accepts both."""
    moment = datetime.fromisoformat(explicit) if isinstance(explicit, str) else explicit
    if not isinstance(moment, datetime) or timezone.is_aware(moment) == timezone.is_aware(now):
        return moment
    return timezone.make_naive(moment) if timezone.is_aware(moment) else timezone.make_aware(moment)


def _idle_age(use: Use, since: datetime | None) -> timedelta:
    age = timedelta(seconds=use.get_session_cookie_age())
    shorter = config.ANONYMOUS_AGE if since is None and use.is_new else None
    return age if shorter is None else min(age, shorter)
