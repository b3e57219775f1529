"""The storage of sessions: find, insert, update, end and merge one row. No request, no session store.

Every write is one statement that is conditional on the row still being as it was read, so that of
parallel requests, processes and hosts one succeeds and the others learn that they did not.

Longer than other modules, because every way to find or write a row stands here, and none elsewhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import nullcontext
from copy import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, router, transaction
from django.db.models import F, Q
from django.utils import timezone

from django_sessions_plus import policy
from django_sessions_plus.backends.changes import DEFERRED
from django_sessions_plus.backends.context import PREVIOUS_CONTEXT
from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.backends.use import Columns
from django_sessions_plus.bulk.locking import beside_key
from django_sessions_plus.conf import config
from django_sessions_plus.querysets import SessionQuerySet, active_at, end_columns, one_or_none

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession

    Query = SessionQuerySet[AbstractSession]

T = TypeVar("T")
Condition = Callable[["AbstractSession", datetime], "Query"]
"""Returns the row for a write, if it still is what the condition asks at that moment. A method of ``Rows``."""

ATTEMPTS = 3
"""How often a merge is tried without a lock. One is nearly always enough: no view runs in between."""

_DATA_COLUMNS = ("version", "expires_at")


class Rows:
    """The rows of one model in one database, each found and written alone.

    Threads may share it; it keeps nothing of what it reads. A row that it returns is as the database
    had it then: whether it is active is the caller's to ask.
    """

    def __init__(self, model: type[AbstractSession], alias: str | None = None) -> None:
        self.model = model
        self.alias: str = alias or router.db_for_write(model)
        """The database that writes go to."""

    # Find

    def find(self, digest: str, *, with_user: bool = False) -> AbstractSession | None:
        """Return the row that bears a token of this digest, whatever its state; None if there is none.

        One query, which brings the user along ``with_user``, where users are in the same database.
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
        """Return the row with this id from the database that writes go to, with what only a refresh has to know."""
        return self._find("pk", session_id, self._by_id_for_refresh, self.alias, with_user)

    def find_current(
        self, row: AbstractSession, *, with_user: bool = False
    ) -> AbstractSession | None:
        """Return ``row`` as it is now, whatever token it bears; None if it is not active any more."""
        stored = self._find("pk", row.pk, self._by_id, self.alias, with_user)
        return stored if stored is not None and stored.is_active() else None

    def exists(self, digest: str) -> bool:
        """Return whether a row that has not ended bears a token of this digest."""
        return self.query().filter(token_digest=digest, ended_at=None).exists()

    def find_not_ended(self, digest: str) -> AbstractSession | None:
        """Return the row that bears a token of this digest unless it has ended, not from a replica."""
        return one_or_none(self.query().filter(token_digest=digest, ended_at=None))

    def add_user(self, row: AbstractSession) -> None:
        """Give ``row`` its user, where ``find()`` has brought none though it was asked to. Nothing here."""

    def lock(self, row: AbstractSession) -> AbstractSession | None:
        """Return ``row`` as it is now, locked until the transaction ends; None if it is not active any more.

        Needs a transaction.
        """
        alive = self._by_key(row, active_at(timezone.now()))
        if connections[self.alias].features.has_select_for_update:
            return one_or_none(alive.select_for_update())
        # SQLite: a transaction that begins with a write waits for its turn, one that begins
        # with a read is refused when it comes to write.
        return one_or_none(alive) if alive.update(version=F("version")) else None

    # Write

    def insert(self, row: AbstractSession) -> bool:
        """Insert ``row``; return False if its token is taken."""
        using = router.db_for_write(self.model, instance=row)
        # A savepoint only where a collision would otherwise break somebody's transaction.
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
        """Write ``columns`` over the row that ``condition`` finds; return False if it finds none.

        Without one, who changes the data must have seen the last of it, and who moves the expiry what it
        asks for: ``data_unchanged``, and else ``still_active``. ``row`` itself stays as it was read.

        With ``skip_locked`` a row that somebody else has locked may count as not found, where the
        database can tell.
        """
        now = timezone.now()
        if condition is None:
            condition = (
                self.still_active
                if columns.keys().isdisjoint(_DATA_COLUMNS)
                else self.data_unchanged
            )
        return compiled.write(row, columns, condition, self.alias, now, skip_locked=skip_locked)

    def merge(
        self,
        row: AbstractSession,
        decide: Callable[[AbstractSession], tuple[Columns, T]],
        *,
        with_user: bool = False,
    ) -> tuple[AbstractSession, Columns, T] | None:
        """Write over the row what ``decide`` makes of it as it is now; None if it is not active any more.

        ``decide`` takes the row as it is stored and returns what to write over it, perhaps nothing, and
        anything else. Returned are the row as it was stored, and these two. It is called again when somebody
        else has written meanwhile: at first without a lock, so that none is held while Python works, and
        then under one, where it succeeds or fails for good whatever the contention.
        """
        if not self.is_in_transaction:
            for _ in range(ATTEMPTS):
                stored = self.find_current(row, with_user=with_user)
                if stored is None:
                    return None
                columns, rest = decide(stored)
                if not columns or self.update(stored, columns, self.data_unchanged):
                    return stored, columns, rest
        with transaction.atomic(using=self.alias):
            stored = self.lock(row)
            if stored is None:
                return None
            columns, rest = decide(stored)
            is_written = not columns or self.update(stored, columns, self.data_unchanged)
            return (stored, columns, rest) if is_written else None

    def end(self, row: AbstractSession, reason: str, actor: Any = None) -> AbstractSession | None:
        """End the row, and return it as it is then; None if others were first, or nobody was signed in.

        The row of a visit, in which nobody is signed in, is deleted.
        """
        if row.user_id is None and self._with_its_token(row, Q(user=None)).delete()[0]:
            return None
        now = timezone.now()
        if not self._rows_to_end(row, reason).end(reason=reason, actor=actor, now=now):
            return None
        ended = copy(row)
        for name, value in end_columns(reason, actor, now).items():
            setattr(ended, name, value)
        return ended

    # Conditions of update()

    def still_active(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is active and bears the token it was read with."""
        return self._with_its_token(row, active_at(now))

    def data_unchanged(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is also of the version that was read: nobody has written its data or end since."""
        return self._with_its_token(row, active_at(now) & Q(version=row.version))

    def untouched(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is alive and nobody has recorded a use of it, or moved its expiry, since it was read."""
        seen = Q(last_seen_at=row.last_seen_at, expires_at=row.expires_at)
        return self._with_its_token(row, active_at(now) & seen)

    def still_signed_in(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is alive and the user who is signed in is the one it was read with."""
        return self._with_its_token(row, active_at(now) & Q(user=row.user_id))

    def unrefreshed(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is active, of the same user, and has the refresh token that it was read with.

        For rows that were read with one.
        """
        return self._by_key(row, active_at(now) & _is_refresh_token_as_read(row))

    def expiry_unmoved(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is unrefreshed and nobody has moved its expiry since it was read."""
        is_as_read = _is_refresh_token_as_read(row) & Q(expires_at=row.expires_at)
        return self._by_key(row, active_at(now) & is_as_read)

    def replayable(self, row: AbstractSession, now: datetime) -> Query:
        """Find the row if it is unrefreshed and neither a replay nor a use of the successor has come in between."""
        is_as_read = _is_refresh_token_as_read(row) & Q(
            refresh_replays_left=row.refresh_replays_left,
            confirmed_refreshed_at=row.confirmed_refreshed_at,
        )
        return self._by_key(row, active_at(now) & is_as_read)

    # What these are made of

    @property
    def read_alias(self) -> str:
        """The database that sessions are read from. A replica that lags serves sessions that have ended."""
        return router.db_for_read(self.model) if config.READ_FROM_REPLICA else self.alias

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is running on the database that writes go to."""
        return connections[self.alias].in_atomic_block

    def query(self) -> Query:
        """Return all rows, for a write; who writes by it has to invalidate the copies that there may be."""
        rows: Query = self.model.objects.using(self.alias).quietly()
        return rows

    def _find(
        self, name: str, value: Any, lookup: Any, alias: str, with_user: bool
    ) -> AbstractSession | None:
        with_user = with_user and _are_users_in(alias)
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
        return self.query().filter(pk=row.pk).filter(beside_key(condition, self.alias))

    def _with_its_token(self, row: AbstractSession, condition: Q) -> Query:
        return self._by_key(row, condition & Q(token_digest=row.token_digest))

    def _rows_to_end(self, row: AbstractSession, reason: str) -> Query:
        """Return the row for an end, if it is still what was meant by it."""
        if row.user_id is not None and reason == policy.EndReason.SIGNED_OUT:
            # Who signs out means the session, also if a parallel request has just rotated its
            # token; but not one that somebody else has signed in to.
            return self._by_key(row, Q(user=row.user_id))
        if row.user_id is not None and reason == policy.EndReason.REFRESH_REUSED:
            # A family that has begun since has nothing to do with it.
            family = Q(user=row.user_id, refresh_started_at=row.refresh_started_at)
            return self._by_key(row, family)
        # Whoever is just changing the password may have stored the new auth hash since.
        is_of_data = reason == policy.EndReason.PASSWORD_CHANGED
        return self._with_its_token(row, Q(version=row.version) if is_of_data else Q())


def _is_refresh_token_as_read(row: AbstractSession) -> Q:
    return Q(user=row.user_id, refresh_digest=row.refresh_digest)


def _are_users_in(alias: str) -> bool:
    """Return whether users live in the database ``alias``, where a join can reach them."""
    # Without routers there is but one place, and no need to look up the model.
    return not router.routers or router.db_for_read(get_user_model()) == alias
