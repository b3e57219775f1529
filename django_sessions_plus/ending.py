"""End any number of sessions in bounded statements, and report each.

The verbs decide which; this module is how. The rows are not listed beforehand: a batch is what
comes next by primary key, locked in that order and ended in a transaction of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.utils import timezone

from django_sessions_plus import events
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.locking import beside_key, lock_in_order
from django_sessions_plus.querysets import SessionQuerySet, active_at
from django_sessions_plus.signals import send_after_commit, session_ended

Rows = SessionQuerySet[AbstractSession]

BATCH_SIZE = 500


@dataclass(frozen=True)
class Batch:
    """Rows that were to be ended, and how many of them this process has ended."""

    named: Rows
    ids: frozenset[uuid.UUID]
    count: int
    ours: dict[str, Any]

    def has_ended(self, key: uuid.UUID) -> bool:
        """Tell whether the row with this key was ended, by this process, in this batch; one query."""
        # Several may be ending the same rows; those that bear our moment, or are gone, are ours.
        others = self.named.filter(pk=key).exclude(**self.ours)
        return key in self.ids and self.count > 0 and not others.exists()


def in_batches(sets: Iterable[Rows], *, reason: str, actor: Any) -> Iterator[Batch]:
    """End the active sessions of these sets, and delete the anonymous ones, ``BATCH_SIZE`` at a time.

    ``session_ended`` is sent for each session that this call ended. Without receivers no row is loaded.
    """
    for rows in sets:
        rest = rows.active().order_by("pk")
        while found := list(rest.values_list("pk", "user_id")[:BATCH_SIZE]):
            named = rows.model.objects.using(rows.db).filter(pk__in=[key for key, _ in found])
            yield _end_batch(named, dict(found), reason, actor)
            if len(found) < BATCH_SIZE:
                break
            rest = rest.filter(pk__gt=found[-1][0])


def _end_batch(named: Rows, users: dict[uuid.UUID, Any], reason: str, actor: Any) -> Batch:
    now, ended, deleted = timezone.now(), 0, 0
    living = named.filter(beside_key(active_at(now), named.db))
    with transaction.atomic(using=named.db, savepoint=False):
        if len(users) > 1:
            lock_in_order(living)
        if any(user is not None for user in users.values()):
            ended = living.filter(user__isnull=False).end(reason=reason, actor=actor, now=now)
        if None in users.values():
            # Nobody is signed in there: there is nothing to keep a record of.
            deleted = living.filter(user=None).delete()[1].get(named.model._meta.label, 0)
    ours = {"ended_at": now}
    if ended:
        _tell(named.filter(**ours), reason, actor)
    return Batch(named, frozenset(users), ended + deleted, ours)


def _tell(ended: Rows, reason: str, actor: Any) -> None:
    if events.SESSION_ENDED.is_enabled:
        for key, user_id in ended.values_list("pk", "user_id"):
            _log(ended.db, key, user_id, reason, actor)
    if not session_ended.has_listeners(ended.model):
        return
    for session in _with_users(ended):
        send_after_commit(
            session_ended,
            using=ended.db,
            sender=ended.model,
            session=session,
            user=session.user,
            reason=reason,
            actor=actor,
        )


def _log(using: str, key: uuid.UUID, user_id: Any, reason: str, actor: Any) -> None:
    events.SESSION_ENDED.log_after_commit(
        using=using,
        session_id=key,
        user_id=user_id,
        reason=reason,
        actor_id=getattr(actor, "pk", actor),
    )


def _with_users(rows: Rows) -> Rows:
    # Users may live in another database, where no join reaches.
    if router.db_for_read(get_user_model()) == rows.db:
        return rows.select_related("user")
    return rows.prefetch_related("user")
