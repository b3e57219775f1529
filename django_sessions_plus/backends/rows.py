"""The storage of sessions: find, insert, update, end and merge one row. No request, no session store.

Every write is one statement with a condition: the row must still be as it was read. So one of several
parallel writers succeeds, and the others get False.

Longer than other modules, because it contains every way to find or write one row.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import nullcontext
from copy import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import IntegrityError, connections, router, transaction
from django.db.models import Q
from django.utils import timezone

from django_sessions_plus import policy
from django_sessions_plus.backends.changes import DEFERRED
from django_sessions_plus.backends.context import PREVIOUS_CONTEXT
from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.backends.use import Columns, Condition
from django_sessions_plus.bulk.locking import take_write_lock, without_index_on_mysql
from django_sessions_plus.conf import config
from django_sessions_plus.querysets import SessionQuerySet, active_at, end_columns, one_or_none

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession

    Query = SessionQuerySet[AbstractSession]

T = TypeVar("T")

_DATA_COLUMNS = ("version", "expires_at")


class Rows:
    """Finds and writes single rows of one model in one database.

    It keeps nothing that it reads, so threads may share it. It also returns rows that have ended or
    expired: the caller has to check whether a row is active.
    """

    def __init__(self, model: type[AbstractSession]) -> None:
        self.model = model
        self.alias: str = router.db_for_write(model)
        """The database that writes go to."""

    # Find

    def find(self, digest: str, *, with_user: bool = False) -> AbstractSession | None:
        """Return the row with this token digest, active or not; None if there is none.

        One query. ``with_user`` loads the user too, if users are in the same database.
        """
        return self._find("token_digest", digest, self._by_digest, self.read_alias, with_user)

    def find_by_id(
        self, session_id: uuid.UUID, *, with_user: bool = False
    ) -> AbstractSession | None:
        """Return the row with this id, as ``find()`` does."""
        return self._find("pk", session_id, self._by_id, self.read_alias, with_user)

    def find_for_refresh(
        self, session_id: uuid.UUID, *, with_user: bool = False
    ) -> AbstractSession | None:
        """Return the row with this id from the database for writes, with the columns that only a refresh needs."""
        return self._find("pk", session_id, self._by_id_for_refresh, self.alias, with_user)

    def find_current(
        self, row: AbstractSession, *, with_user: bool = False
    ) -> AbstractSession | None:
        """Read ``row`` again by its id and return it; None if it is no longer active. Its token may have changed."""
        stored = self._find("pk", row.pk, self._by_id, self.alias, with_user)
        return stored if stored is not None and stored.is_active() else None

    def exists(self, digest: str) -> bool:
        """Return whether a row that has not ended has this token digest."""
        return self.query().filter(token_digest=digest, ended_at=None).exists()

    def find_not_ended(self, digest: str) -> AbstractSession | None:
        """Return the row with this token digest if it has not ended, never from a replica; else None."""
        return one_or_none(self.query().filter(token_digest=digest, ended_at=None))

    def add_user(self, row: AbstractSession) -> None:
        """Load the user of ``row`` if ``find()`` could not, though ``with_user`` was set. Does nothing here."""

    def lock(self, row: AbstractSession) -> AbstractSession | None:
        """Read ``row`` again without its user, locked until the transaction ends; None if it is no longer active.

        Needs a transaction.
        """
        take_write_lock(self.query())
        pk, using = self.model._meta.pk, self.alias
        stored = compiled.find(pk, row.pk, self._by_id, using, for_update=True)
        return stored if stored is not None and stored.is_active() else None

    # Write

    def insert(self, row: AbstractSession) -> bool:
        """Insert ``row``; return False if its token is taken."""
        using = router.db_for_write(self.model, instance=row)
        # In a transaction, a collision would break it without a savepoint.
        inside = connections[using].in_atomic_block
        try:
            with transaction.atomic(using=using) if inside else nullcontext():
                row.save(force_insert=True, using=using)
        except IntegrityError:
            if self.query().filter(token_digest=row.token_digest).exists():
                return False
            raise
        return True

    def update(
        self,
        row: AbstractSession,
        columns: Columns,
        condition: Condition | None = None,
        *,
        skip_locked: bool = False,
    ) -> bool:
        """Write ``columns`` to the row that ``condition`` finds; return False if it finds none.

        The default condition is ``data_unchanged`` if the data or the expiry, which may depend on the
        data, is written, else ``still_active``. The instance ``row`` itself is not changed.

        With ``skip_locked``, a row that another transaction has locked may count as not found.
        """
        now = timezone.now()
        if condition is None:
            is_of_data = not columns.keys().isdisjoint(_DATA_COLUMNS)
            condition = self.data_unchanged if is_of_data else self.still_active
        return compiled.write(row, columns, condition, self.alias, now, skip_locked=skip_locked)

    def merge(
        self,
        row: AbstractSession,
        decide: Callable[[AbstractSession], tuple[Columns, T]],
    ) -> tuple[AbstractSession, Columns, T] | None:
        """Read the row again, call ``decide`` with it, and write what that returns; None if it is no longer active.

        ``decide`` returns the columns to write, which may be none, and a result. The return value is the
        row that was read, without its user, these columns, and the result.

        The row is locked meanwhile. Where writers have met once they are likely to meet again, and then a lock costs
        less than repeated attempts without one.
        """
        with transaction.atomic(using=self.alias):
            stored = self.lock(row)
            if stored is None:
                return None
            columns, rest = decide(stored)
            is_written = not columns or self.update(stored, columns, self.data_unchanged)
            return (stored, columns, rest) if is_written else None

    def end(self, row: AbstractSession, reason: str, actor: Any = None) -> AbstractSession | None:
        """End the row and return a copy with the end in it; None if it had already ended, or nobody was signed in.

        The row of an anonymous session is deleted.
        """
        if row.user_id is None and self._with_its_token(row, Q(user=None)).delete()[0]:
            return None
        now = timezone.now()
        if not self._row_to_end(row, reason).end(reason=reason, actor=actor, now=now):
            return None
        ended = copy(row)
        for name, value in end_columns(reason, actor, now).items():
            setattr(ended, name, value)
        return ended

    # Conditions of update()

    def still_active(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is active and has the token with which it was read."""
        return self._with_its_token(row, active_at(now))

    def data_unchanged(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is still active and nobody has written its data since it was read."""
        return self._with_its_token(row, active_at(now) & Q(version=row.version))

    def untouched(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is still active and nobody has touched it, or moved its expiry, since it was read."""
        seen = Q(last_seen_at=row.last_seen_at, expires_at=row.expires_at)
        return self._with_its_token(row, active_at(now) & seen)

    def still_signed_in(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is still active and the same user is signed in to it."""
        return self._with_its_token(row, active_at(now) & Q(user=row.user_id))

    def unrefreshed(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is active and has the same user and the same refresh token as when it was read.

        Only for rows that had a refresh token then. The session token may have changed.
        """
        return self._by_key(row, active_at(now) & _is_refresh_token_as_read(row))

    def expiry_unmoved(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is ``unrefreshed`` and nobody has moved its expiry since it was read."""
        is_as_read = _is_refresh_token_as_read(row) & Q(expires_at=row.expires_at)
        return self._by_key(row, active_at(now) & is_as_read)

    def replayable(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is ``unrefreshed``, and neither a replay nor a use of the new token was recorded since."""
        is_as_read = _is_refresh_token_as_read(row) & Q(
            refresh_replays_left=row.refresh_replays_left,
            confirmed_refreshed_at=row.confirmed_refreshed_at,
        )
        return self._by_key(row, active_at(now) & is_as_read)

    def compilation_error(self) -> Exception | None:
        """Return the error for which the ORM runs the queries of this class, not the fast path; else None. No query."""
        pk, digest = self.model._meta.pk, self.model._meta.get_field("token_digest")
        conditions = [
            *(self.still_active, self.data_unchanged, self.still_signed_in),
            *(self.unrefreshed, self.expiry_unmoved, self.replayable),
        ]
        return compiled.compilation_error(
            self.model,
            self.alias,
            [(digest, self._by_digest), (pk, self._by_id), (pk, self._by_id_for_refresh)],
            [(self.untouched, True), *((each, False) for each in conditions)],
        )

    # Helpers

    @property
    def read_alias(self) -> str:
        """The database to read sessions from. A replica that lags behind may return sessions that have ended."""
        return router.db_for_read(self.model) if config.READ_FROM_REPLICA else self.alias

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is running on the database for writes."""
        return connections[self.alias].in_atomic_block

    def query(self) -> Query:
        """Return all rows, for a write. The caller has to invalidate cached copies."""
        rows: Query = self.model.objects.using(self.alias).quietly()
        return rows

    def _find(
        self, name: str, value: Any, lookup: Any, alias: str, with_user: bool
    ) -> AbstractSession | None:
        with_user = with_user and self.model.are_users_in(alias)
        meta = self.model._meta
        field = meta.pk if name == "pk" else meta.get_field(name)
        row: AbstractSession | None = compiled.find(field, value, lookup, alias, with_user)
        return row

    def _by_digest(self, digest: str, alias: str, with_user: bool) -> Query:
        return self._read_from(alias, with_user).filter(token_digest=digest)

    def _by_id(self, session_id: uuid.UUID, alias: str, with_user: bool) -> Query:
        return self._read_from(alias, with_user).filter(pk=session_id)

    def _by_id_for_refresh(self, session_id: uuid.UUID, alias: str, with_user: bool) -> Query:
        return self._by_id(session_id, alias, with_user).defer(None).defer(*PREVIOUS_CONTEXT)

    def _read_from(self, alias: str, with_user: bool) -> Query:
        rows = self.model.objects.using(alias).defer(*DEFERRED)
        return rows.select_related("user") if with_user else rows

    def _by_key(self, row: AbstractSession, condition: Q) -> Query:
        return self.query().filter(pk=row.pk).filter(without_index_on_mysql(condition, self.alias))

    def _with_its_token(self, row: AbstractSession, condition: Q) -> Query:
        return self._by_key(row, condition & Q(token_digest=row.token_digest))

    def _row_to_end(self, row: AbstractSession, reason: str) -> Query:
        """Return the row to end, unless it has changed so that this reason no longer applies to it."""
        if row.user_id is not None and reason == policy.EndReason.SIGNED_OUT:
            # A sign-out also ends a session whose token a parallel request has just rotated, but
            # not one that another user has signed in to.
            return self._by_key(row, Q(user=row.user_id))
        if row.user_id is not None and reason == policy.EndReason.REFRESH_REUSED:
            # A refresh family that has started since is not the one that was reused.
            family = Q(user=row.user_id, refresh_started_at=row.refresh_started_at)
            return self._by_key(row, family)
        # The request that changes the password may have stored the new auth hash since.
        is_of_data = reason == policy.EndReason.PASSWORD_CHANGED
        return self._with_its_token(row, Q(version=row.version) if is_of_data else Q())


def _is_refresh_token_as_read(row: AbstractSession) -> Q:
    return Q(user=row.user_id, refresh_digest=row.refresh_digest)
