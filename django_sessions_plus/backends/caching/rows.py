"""Rows with copies of them in a cache. The database stays the authority, and is what every write goes to first.

Private names of Django 5.2 to 6.1: ``run_on_commit``, ``atomic_blocks`` and ``_from_testcase``, because what
invalidates copies has to run before the callbacks of others, and Django has no word for an order of
them. tests/test_private_names.py notices if they go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from django.core.cache import BaseCache
from django.db import connections, transaction
from django.utils import timezone
from django.utils.functional import cached_property

from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.backends.caching.copies import Answer, Copies
from django_sessions_plus.backends.caching.entries import Generations, Values
from django_sessions_plus.backends.fastpath.users import find_user
from django_sessions_plus.backends.rows import Condition, Rows
from django_sessions_plus.backends.use import Columns

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

T = TypeVar("T")

# What each connection is to invalidate at its commit. A rollback leaves it behind: to invalidate
# too much does no harm.
_uncommitted: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()

# The columns of which a write leaves in the database just what it was given.
_EXACT = {
    *("session_data", "version", "updated_at", "last_seen_at", "expires_at"),
    "cookie_expires_at",
}


class _Read(NamedTuple):
    """A row, and under which generations and when the database was read for it."""

    row: AbstractSession
    generations: Generations
    at: float


class CachedRows(Rows):
    """The rows of one model, with copies of them in a cache.

    A cache that is down, slow or empty costs time, and never an answer. Of one store: it remembers
    what it has read last.
    """

    def __init__(
        self, model: type[AbstractSession], cache: BaseCache, alias: str | None = None
    ) -> None:
        super().__init__(model, alias)
        self.cache = cache
        self._last_read: _Read | None = None

    @cached_property
    def copies(self) -> Copies:
        """The copies in the cache."""
        return Copies(self.cache, self.model, self.alias)

    @property
    def read_alias(self) -> str:
        """The database that writes go to: what a replica that lags says would be served as if it were new."""
        return self.alias

    # Find

    def find(self, digest: str, *, with_user: bool = False) -> AbstractSession | None:
        """See Rows. From a copy the row comes without its user, see ``add_user()``."""
        found = self._find_copy(digest)
        if found is None:
            return super().find(digest, with_user=with_user)
        if found.is_valid:
            row = self._row_of(found)
            if row is not None or found.values is None:
                return row
        if self._is_in_any_transaction():
            # What is read here may be this transaction's own, or from before the generation was taken.
            self._fill_later(digest)
            return super().find(digest, with_user=with_user)
        generations = self.copies.ensure_generations(digest, found.generations)
        read_at = time.time()
        row = super().find(digest, with_user=with_user)
        if generations is not None:
            self.copies.write(digest, generations, read_at, self._values_of(row))
            self._last_read = None if row is None else _Read(row, generations, read_at)
        return row

    def exists(self, digest: str) -> bool:
        """See Rows; the cache is asked first."""
        found = self._find_copy(digest)
        values = None if found is None else found.values
        is_active = values is not None and self.copies.row_of(values).ended_at is None
        return is_active or super().exists(digest)

    def add_user(self, row: AbstractSession) -> None:
        """Give ``row`` its user by a query of its own, which who only uses the data of a copy does not need."""
        find_user(row)

    # Write

    def insert(self, row: AbstractSession) -> bool:
        """See Rows."""
        digest, started_at = row.token_digest, time.time()
        generations, layout = self.copies.start_generation(digest), self.copies.layout
        is_inserted = super().insert(row)
        if is_inserted and generations is not None and layout.is_known_before_insert:
            values = layout.values_of(row)
            write = partial(self.copies.write, digest, generations, started_at, values)
            transaction.on_commit(write, using=self.alias)
        return is_inserted

    def update(
        self,
        row: AbstractSession,
        columns: Columns,
        condition: Condition | None = None,
        *,
        skip_locked: bool = False,
    ) -> bool:
        """See Rows."""
        is_written = super().update(row, columns, condition, skip_locked=skip_locked)
        if is_written and not self._renew(row, columns):
            # Its next token as well: after a rollback it may have been looked for already.
            self.invalidate({row.token_digest, columns.get("token_digest", row.token_digest)})
        return is_written

    def merge(
        self,
        row: AbstractSession,
        decide: Callable[[AbstractSession], tuple[Columns, T]],
        *,
        with_user: bool = False,
    ) -> tuple[AbstractSession, Columns, T] | None:
        """See Rows."""
        merged = super().merge(row, decide, with_user=with_user)
        if merged is not None:
            # The row may have been read from a copy that should have been invalidated and was not.
            self.invalidate([row.token_digest])
        return merged

    def end(self, row: AbstractSession, reason: str, actor: Any = None) -> AbstractSession | None:
        """See Rows. No copy is served from when this returns, or from the commit of the running transaction."""
        digests = {row.token_digest}
        try:
            ended = super().end(row, reason, actor)
            # A parallel request may have rotated the token that is dead now.
            digests.update(self.query().filter(pk=row.pk).values_list("token_digest", flat=True))
        finally:
            self.invalidate(digests)
        return ended

    def invalidate(self, digests: Iterable[str], using: str | None = None) -> None:
        """Have no process serve its copies of these rows, from the commit of the transaction on ``using`` on.

        Of more than ``circuit.MAX_DIGESTS`` in one transaction, it is the copies of all rows.
        """
        connection: Any = connections[using or self.alias]
        known = _uncommitted.setdefault(connection, set())
        known.update(islice(digests, max(0, circuit.MAX_DIGESTS + 1 - len(known))))
        committed = partial(self._invalidate_committed, connection)
        transaction.on_commit(committed, using=connection.alias)
        if connection.in_atomic_block and not connection.atomic_blocks[0]._from_testcase:
            # Before all others: one that raises would leave out those after it. Django's tests
            # count them by their places, and commit nothing.
            connection.run_on_commit.insert(0, connection.run_on_commit.pop())

    # What these are made of

    def _find_copy(self, digest: str) -> Answer | None:
        """Return what the cache has; None if it cannot be asked, or must not know what this transaction has done."""
        return None if self._is_changed_here(digest) else self.copies.find(digest)

    def _row_of(self, found: Answer) -> AbstractSession | None:
        """Return the row from its copy; None where the database has to say more."""
        if found.values is None:
            return None
        row = self.copies.row_of(found.values)
        if row.ended_at is None and row.expires_at <= timezone.now():
            # Time has passed for the copy. Somebody may have moved the expiry of the row.
            return None
        self._last_read = _Read(row, found.generations, found.read_at)
        return row

    def _fill_later(self, digest: str) -> None:
        # In a transaction Django does not manage there is no telling when it is over.
        if self.is_in_transaction:
            transaction.on_commit(partial(self._fill, digest), using=self.alias, robust=True)

    def _fill(self, digest: str) -> None:
        read_at = time.time()
        found = self.copies.find(digest)
        if found is None or found.is_valid:
            return
        generations = self.copies.ensure_generations(digest, found.generations)
        if generations is not None:
            row = super().find(digest)
            self.copies.write(digest, generations, read_at, self._values_of(row))

    def _renew(self, row: AbstractSession, columns: Columns) -> bool:
        """Keep the row as it has just been written; False if that is not known for sure."""
        read, self._last_read = self._last_read, None
        if read is None or read.row is not row or not columns.keys() <= _EXACT:
            return False
        copies = self.copies
        if not copies.layout.is_known_before_insert or self._is_in_any_transaction():
            return False
        values = copies.layout.values_of(row, columns)
        generations = copies.replace(row.token_digest, read.generations, read.at, values)
        if generations is not None:
            self._last_read = _Read(row, generations, read.at)
        return True

    def _values_of(self, row: AbstractSession | None) -> Values | None:
        return None if row is None else self.copies.layout.values_of(row)

    def _is_changed_here(self, digest: str) -> bool:
        """Return whether this transaction has changed the row, which the cache must not know yet."""
        if not _uncommitted:
            return False
        connection: Any = connections[self.alias]
        digests = _uncommitted.get(connection)
        if digests and not self._is_in_any_transaction():
            # A transaction that was rolled back has left these.
            self._invalidate_committed(connection)
        return digests is not None and (digest in digests or circuit.is_everything(digests))

    def _is_in_any_transaction(self) -> bool:
        """Return whether one is running, be it one that Django does not manage."""
        return self.is_in_transaction or not connections[self.alias].get_autocommit()

    def _invalidate_committed(self, connection: Any) -> None:
        if digests := _uncommitted.pop(connection, None):
            self.copies.invalidate(digests)
