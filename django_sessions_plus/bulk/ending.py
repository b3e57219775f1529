"""End any number of sessions in batches, and send a signal for each.

The rows are not read beforehand: each batch is the next rows by primary key, locked in that order
and ended in a transaction of its own. Which sessions end is decided in ``sessions``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction
from django.db.models import Q
from django.utils import timezone

from django_sessions_plus import events
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.bulk.deleting import delete_by_keys
from django_sessions_plus.bulk.locking import (
    KEYS_PER_STATEMENT,
    batched,
    locked_by_key,
    locked_values,
    without_index_on_mysql,
)
from django_sessions_plus.querysets import SessionQuerySet, active_at, end_columns
from django_sessions_plus.signals import send_after_commit, session_ended

Rows = SessionQuerySet[AbstractSession]


@dataclass(frozen=True)
class Batch:
    """The rows that a batch was to end, and how many of them this process has ended."""

    rows: Rows
    ids: frozenset[uuid.UUID]
    count: int
    our_end: dict[str, Any]

    def has_ended(self, key: uuid.UUID) -> bool:
        """Return whether this process has ended the row with this primary key in this batch; at most one query."""
        if key not in self.ids or not self.count:
            return False
        # Several processes may end the same rows. Ours have our time of the end, or were deleted.
        return not self.rows.filter(pk=key).exclude(**self.our_end).exists()


def has_more_than(limit: int, rows: Rows) -> bool:
    """Return whether more than ``limit`` of one user's rows are active; reads no more rows than that, without a lock.

    Without a lock this is safe: of parallel sign-ins, the last one to commit sees the rows of all others.
    """
    return rows.active()[: limit + 1].count() > limit


def least_recently_seen(rows: Rows, *, keep: uuid.UUID, limit: int) -> list[tuple[uuid.UUID, Any]]:
    """Return which of one user's active sessions have to end so that ``limit`` are left; never ``keep``.

    Each as its id and its user's, in the order of ids. Needs a transaction. All are locked: otherwise two
    parallel sign-ins could end each other's session.
    """
    active = locked_values(rows, active_at(timezone.now()), "last_seen_at", "pk", "user_id")
    active.sort(key=lambda values: (values[1] == keep, values[:2]))
    return sorted(values[1:] for values in active[: max(0, len(active) - limit)])


def in_batches(sets: Iterable[Rows], *, reason: str, actor: Any) -> Iterator[Batch]:
    """End the active sessions of these querysets, and delete the anonymous ones, ``KEYS_PER_STATEMENT`` at a time.

    ``session_ended`` is sent for each session that this call ended. Without receivers no row is loaded.
    """
    for rows in sets:
        rest = rows.active().order_by("pk")
        # One more than the batch has, so that the last batch is known as such without another query.
        while found := list(rest.values_list("pk", "user_id")[: KEYS_PER_STATEMENT + 1]):
            users = dict(found[:KEYS_PER_STATEMENT])
            yield _end_batch(_named(rows, users), users, reason, actor)
            if len(found) <= KEYS_PER_STATEMENT:
                break
            rest = rest.filter(pk__gt=found[KEYS_PER_STATEMENT - 1][0])


def locked_in_batches(
    rows: Rows, found: list[tuple[uuid.UUID, Any]], *, reason: str, actor: Any
) -> Iterator[Batch]:
    """End sessions as ``in_batches()`` does, which the running transaction has locked: ``(id, id of its user)``."""
    for part in batched(found):
        users = dict(part)
        yield _end_batch(_named(rows, users), users, reason, actor, is_locked=True)


def _named(rows: Rows, keys: Iterable[uuid.UUID]) -> Rows:
    named: Rows = rows.model.objects.using(rows.db).filter(pk__in=list(keys))
    return named


def _end_batch(
    batch: Rows, users: dict[uuid.UUID, Any], reason: str, actor: Any, *, is_locked: bool = False
) -> Batch:
    """End the rows of ``batch``; ``users`` are their ids with those of their users, as they were read or locked."""
    now, ended, deleted = timezone.now(), 0, 0
    ids = frozenset(users)

    def active(extra: Q) -> Rows:
        return _named(batch, users).filter(without_index_on_mysql(active_at(now) & extra, batch.db))

    with transaction.atomic(using=batch.db, savepoint=False):
        if not is_locked and len(users) > 1 and _has_locks(batch):
            # The UPDATE itself would lock in another order than other processes do.
            condition = without_index_on_mysql(active_at(now), batch.db)
            users = dict(locked_by_key(batch, [*users], "pk", "user_id", condition=condition))
            is_locked = True
        signed_in = {key: user_id for key, user_id in users.items() if user_id is not None}
        if signed_in:
            ended = active(Q(user__isnull=False)).update(**end_columns(reason, actor, now))
        if len(signed_in) < len(users):
            # Ended rows are kept as a record of a sign-in, and here nobody was signed in.
            deleted = delete_by_keys(active(Q(user=None)))
    our_end = {"ended_at": now}
    if ended and (events.SESSION_ENDED.is_enabled or session_ended.has_listeners(batch.model)):
        # The sessions have ended, even if sending the signals fails.
        with best_effort("send the signals of ended sessions", using=batch.db):
            known = signed_in if is_locked and ended == len(signed_in) else None
            _log(batch.filter(**our_end), known, reason, actor)
            _send(batch.filter(**our_end), ended, reason, actor)
    return Batch(batch, ids, ended + deleted, our_end)


def _has_locks(rows: Rows) -> bool:
    return connections[rows.db].features.has_select_for_update


def _log(ended: Rows, users: dict[uuid.UUID, Any] | None, reason: str, actor: Any) -> None:
    """Log the end of each row; ``users`` are their ids with those of their users, None if a query has to tell."""
    if not events.SESSION_ENDED.is_enabled:
        return
    for key, user_id in ended.values_list("pk", "user_id") if users is None else users.items():
        events.SESSION_ENDED.log_after_commit(
            using=ended.db,
            session_id=key,
            user_id=user_id,
            reason=reason,
            actor_id=getattr(actor, "pk", actor),
        )


def _send(ended: Rows, count: int, reason: str, actor: Any) -> None:
    """Send the signal for each row. Receivers get all columns: one that was left out would be a query for each row."""
    if not session_ended.has_listeners(ended.model):
        return
    for session in _with_users(ended, count):
        send_after_commit(
            session_ended,
            using=ended.db,
            sender=ended.model,
            session=session,
            user=session.user,
            reason=reason,
            actor=actor,
        )


def _with_users(rows: Rows, count: int) -> Rows:
    # Users may be in another database, so that no join is possible. Many rows are mostly of one user, who
    # is loaded once, by a query more, instead of with every row.
    if count == 1 and rows.model.are_users_in(rows.db):
        return rows.select_related("user")
    return rows.prefetch_related("user")
