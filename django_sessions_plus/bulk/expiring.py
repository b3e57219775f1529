"""Mark sign-ins as expired: wipe their data, record when and by which timeout they ended, and log it.

The row stays until its retention has passed. ``expires_at`` does not change, so that the purge
finds marked and unmarked rows by the same index.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from django_sessions_plus import events, policy
from django_sessions_plus.bulk.locking import (
    batched,
    locked_by_key,
    take_write_lock,
    without_index_on_mysql,
)
from django_sessions_plus.conf import lifetimes
from django_sessions_plus.querysets import SessionQuerySet

Rows = SessionQuerySet[Any]

_COLUMNS = (
    *("pk", "user_id", "transport"),
    *("expires_at", "authenticated_at", "imported_at", "created_at"),
)


def mark_expired(
    rows: Rows, condition: Q, now: datetime, limit: int | None = None
) -> tuple[int, float]:
    """Mark the ``rows`` that meet the condition, in one transaction; return how many, and the seconds it took.

    Whether a row has expired at ``now``, and was not ended or marked before, is checked when it is
    locked, and again by the UPDATE. Rows that another transaction has
    locked are skipped where the database can do that. With ``limit``, take at most that many.
    Copies in a cache are invalidated at the commit. No signal is sent, and no row is loaded.
    """
    with transaction.atomic(using=rows.db, savepoint=False):
        take_write_lock(rows)
        began = monotonic()
        due = rows.filter(condition)
        # With a limit, the caller's order decides which rows, and one statement is enough.
        due = due.order_by("pk") if limit is None else due[:limit]
        keys = list(due.values_list("pk", flat=True))
        still_due = without_index_on_mysql(Q(ended_at=None, expires_at__lte=now), rows.db)
        found = locked_by_key(rows, keys, *_COLUMNS, condition=still_due, skip_locked=True)
        marked = _mark(rows.model.objects.using(rows.db).filter(still_due), found)
        return marked, monotonic() - began


def _mark(rows: Rows, found: list[tuple[Any, ...]]) -> int:
    """Mark each row of ``found``, all of which are locked; return how many."""
    by_timeout = defaultdict(list)
    for key, user_id, transport, expires_at, authenticated_at, imported_at, created_at in found:
        since = policy.limited_from(
            user_id=user_id,
            authenticated_at=authenticated_at,
            started_at=imported_at or created_at,
        )
        timeout = policy.timeout(
            expires_at=expires_at, since=since, absolute_age=lifetimes.absolute_age(transport)
        )
        by_timeout[timeout].append(key)
        events.SESSION_ENDED.log_after_commit(
            using=rows.db, session_id=key, user_id=user_id, reason=timeout.value, actor_id=None
        )
    return sum(
        rows.filter(pk__in=part).update(
            ended_at=F("expires_at"), end_reason=timeout.value, session_data=""
        )
        for timeout, keys in by_timeout.items()
        for part in batched(keys)
    )
