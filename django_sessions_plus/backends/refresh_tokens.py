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
    """Store ``digest`` as the first refresh token of a family; return False if the row has changed since it was read.

    An earlier refresh token of the session is replaced. The row must still have the session token with
    which it was read, because a rotation has to lock out everybody who knows the old one.
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
    """Replace the refresh token with which the row was read; return False if another request has replaced it.

    One statement. It also records the use (time, IP address, user agent) and writes the ``due`` columns
    from ``SessionStore.due_columns()``, such as a new expiry. The session token may have changed.
    False too if the expiry would move and another request has moved it, which must not be undone.

    ``attempt`` is the digest of the client's attempt, and ``replays`` how often a retry of it will be
    answered; see ``replay_refresh()``.
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
    is_written = store.write_if(row, columns, condition)
    if is_written:
        # Nothing is left for the touch after the response.
        store.is_touched = True
    return is_written


def replay_refresh(store: SessionStore, row: AbstractSession, now: datetime) -> bool:
    """Count down the retries of the last refresh; return False if the row has changed since it was read.

    The use is recorded, but the expiry does not move in this request.
    """
    replays_left = row.refresh_replays_left - 1
    columns = {**_use_columns(store, row, now), "refresh_replays_left": replays_left}
    store.counts_as_activity = False
    return store.write_if(row, columns, store.rows.replayable)


def record_refresh_from_other_context(
    store: SessionStore, row: AbstractSession, now: datetime
) -> bool:
    """Record a refresh within the grace from another network or browser; return False if the row has changed.

    The expiry does not move in this request.
    """
    columns = _use_columns(store, row, now)
    store.counts_as_activity = False
    return store.write_if(row, columns, store.rows.unrefreshed)


def _use_columns(store: SessionStore, row: AbstractSession, now: datetime) -> Columns:
    # Also for a refresh that does not count as activity: a new context must be recorded, and the
    # session must not stay fresh in it.
    columns = {
        **context.context_columns(row, store.meta, now),
        **context.reauthentication_columns(row, store.meta),
    }
    return columns | {"last_seen_at": now} if store.counts_as_activity else columns
