"""Writes the refresh token of a row: each function is one update, on condition that the row is as it was read."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django_sessions_plus.backends import context
from django_sessions_plus.backends.changes import NO_REFRESH_ATTEMPT
from django_sessions_plus.backends.use import Columns

if TYPE_CHECKING:
    from django_sessions_plus.backends.session import SessionStore
    from django_sessions_plus.base_session import AbstractSession


def start_refresh(
    store: SessionStore, row: AbstractSession, digest: str, started_at: datetime
) -> bool:
    """Make ``digest`` the row's refresh token, the first of its family; False if the row is not as it was read.

    Whatever refresh tokens the session had before are replaced. The row must still bear the
    token it was read with: whoever rotates that means to be rid of who knew it.
    """
    columns: Columns = {
        "refresh_digest": digest,
        "refresh_started_at": started_at,
        "refreshed_at": None,
        **NO_REFRESH_ATTEMPT,
    }
    if not store.rows.update(row, columns, store.rows.still_signed_in):
        return False
    for name, value in columns.items():
        setattr(row, name, value)
    return True


def rotate_refresh(
    store: SessionStore,
    row: AbstractSession,
    digest: str,
    now: datetime,
    due: Columns,
    *,
    attempt: str | None = None,
    replays: int = 0,
) -> bool:
    """Put ``digest`` in the place of the refresh token the row was read with; False if that has changed.

    One statement, which also records the use: time, address, user agent, and what is ``due`` by
    ``SessionStore.due_columns()``, such as an expiry that slides. The session token has no part in it.
    False also if the expiry would slide and somebody else has moved it: what they meant must hold.

    ``attempt`` is the digest of the client's attempt, and ``replays`` how often that may be
    answered again; see ``replay_refresh()``.
    """
    kept: Columns = {"refresh_attempt": attempt, "refresh_replays_left": replays}
    columns: Columns = {
        **due,
        **_use_columns(store, row, now),
        **{name: value for name, value in kept.items() if getattr(row, name) != value},
        "refresh_digest": digest,
        "refreshed_at": now,
    }
    rows = store.rows
    condition = rows.expiry_unmoved if "expires_at" in columns else rows.unrefreshed
    return store.write_if(row, columns, condition)


def replay_refresh(store: SessionStore, row: AbstractSession, now: datetime) -> bool:
    """Count that the last refresh is answered once more; False if the row is not as it was read.

    The use is recorded, but never moves the expiry, neither now nor after the response.
    """
    replays_left = row.refresh_replays_left - 1
    columns = {**_use_columns(store, row, now), "refresh_replays_left": replays_left}
    store.counts_as_activity = False
    return store.write_if(row, columns, store.rows.replayable)


def record_refresh_from_other_context(
    store: SessionStore, row: AbstractSession, now: datetime
) -> bool:
    """Record that a refresh within the grace came from elsewhere; False if the row is not as it was read.

    It never moves the expiry, neither now nor after the response.
    """
    columns = _use_columns(store, row, now)
    store.counts_as_activity = False
    return store.write_if(row, columns, store.rows.unrefreshed)


def _use_columns(store: SessionStore, row: AbstractSession, now: datetime) -> Columns:
    # Also of a refresh that is no activity: where it comes from must not stay unseen, nor
    # become the usual place by that, from where the session would still be fresh.
    columns = {
        **context.context_columns(row, store.meta, now),
        **context.reauthentication_columns(row, store.meta),
    }
    return columns | {"last_seen_at": now} if store.counts_as_activity else columns
