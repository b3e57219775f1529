"""Record, log and signal that a refresh token is presented which a rotation has already replaced."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import router

from django_sessions_plus import events, policy
from django_sessions_plus.backends import refresh_tokens
from django_sessions_plus.backends.context import context_changes
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.jwt.refresh_token import RefreshToken
from django_sessions_plus.jwt.verdicts import Verdict
from django_sessions_plus.signals import refresh_token_reused, send_after_commit


def record_replay(
    store: SessionStore,
    row: AbstractSession,
    now: datetime,
    verdict: Verdict,
    changes: dict[str, tuple[Any, Any]],
) -> bool:
    """Record and log that a refresh is answered again; return False if the row has changed meanwhile."""
    is_retried = verdict is Verdict.RETRIED
    record = (
        refresh_tokens.replay_refresh
        if is_retried
        else refresh_tokens.record_refresh_from_other_context
    )
    if not record(store, row, now):
        return False
    since_rotation = _since_rotation(row, now)
    events.REFRESH_REPLAYED.log_after_commit(
        using=router.db_for_write(type(row)),
        session_id=row.pk,
        user_id=row.user_id,
        since_rotation=_seconds(since_rotation),
        replays_left=row.refresh_replays_left,
        changed=changes,
    )
    return True


def end_reused(store: SessionStore, user: Any, presented: RefreshToken, now: datetime) -> bool:
    """End the session of a reused token, log it and send a signal; return whether this call ended it.

    ``store`` must have loaded the row that the verdict on the token used. False if another process
    has ended the session first, or has started another family.
    """
    row, age = store.row, presented.age(now)
    changes = {} if row is None else context_changes(row, store.meta)
    ended = store.end_as(policy.EndReason.REFRESH_REUSED)
    if row is None or ended is None:
        return False
    since_rotation = _since_rotation(row, now)
    using = router.db_for_write(type(row))
    events.REFRESH_TOKEN_REUSED.log_after_commit(
        using=using,
        session_id=row.pk,
        user_id=row.user_id,
        age=age.total_seconds(),
        since_rotation=_seconds(since_rotation),
        context_changed=bool(changes),
        changed=changes,
    )
    send_after_commit(
        refresh_token_reused,
        using=using,
        sender=type(row),
        session=ended,
        user=user,
        age=age,
        since_rotation=since_rotation,
        context_changed=bool(changes),
        changes=changes,
    )
    return True


def _since_rotation(row: AbstractSession, now: datetime) -> timedelta | None:
    return None if row.refreshed_at is None else now - row.refreshed_at


def _seconds(elapsed: timedelta | None) -> float | None:
    return None if elapsed is None else elapsed.total_seconds()
