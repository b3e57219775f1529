"""Rows with copies in a cache. Every write goes to the database first; a copy never decides a write."""

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
from django_sessions_plus.backends.commits import first_on_commit
from django_sessions_plus.backends.fastpath.users import find_user
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.backends.use import Columns, Condition

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

T = TypeVar("T")

# The digests that each connection has to invalidate at its commit. They stay here after a rollback,
# which does no harm: the next transaction invalidates them too.
_uncommitted: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()

# Columns that the database stores exactly as they were given: no rounding, no expression.
_EXACT_COLUMNS = {
    *("session_data", "version", "updated_at", "last_seen_at", "expires_at"),
    "cookie_expires_at",
}


class _Read(NamedTuple):
    """A row, its generations, and when it was read from the database (seconds since 1970)."""

    row: AbstractSession
    generations: Generations
    at: float


class CachedRows(Rows):
    """Finds and writes rows of one model, and keeps copies of them in a cache.

    A cache that is down, slow or empty only costs time. Each store needs its own instance, which
    remembers the row that it has read last.
    """

    def __init__(self, model: type[AbstractSession], cache: BaseCache) -> None:
        super().__init__(model)
        self.cache = cache
        self._last_read: _Read | None = None

    @cached_property
    def copies(self) -> Copies:
        """The copies of this model's rows in the cache."""
        return Copies(self.cache, self.model, self.alias)

    @property
    def read_alias(self) -> str:
        """The database for writes: a row from a replica that lags behind would be cached as if it were current."""
        return self.alias

    # Find

    def find(self, digest: str, *, with_user: bool = False) -> AbstractSession | None:
        """See Rows. A row from a copy has no user, see ``add_user()``."""
        found = self._find_copy(digest)
        if found is None:
            return super().find(digest, with_user=with_user)
        if found.is_valid:
            row = self._row_of(found)
            if row is not None or found.values is None:
                return row
        if self._is_in_any_transaction():
            # This transaction may read its own uncommitted changes, or data older than the generation.
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
        """See Rows; the cache is read first."""
        found = self._find_copy(digest)
        values = None if found is None else found.values
        is_active = values is not None and self.copies.row_of(values).ended_at is None
        return is_active or super().exists(digest)

    def add_user(self, row: AbstractSession) -> None:
        """Load the user of ``row`` by a separate query; a request that does not use the user needs none."""
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
        if is_written and not self._replace_copy(row, columns):
            # The new token too: after a rollback, there may be an entry that no row has it.
            self.invalidate({row.token_digest, columns.get("token_digest", row.token_digest)})
        return is_written

    def merge(
        self,
        row: AbstractSession,
        decide: Callable[[AbstractSession], tuple[Columns, T]],
    ) -> tuple[AbstractSession, Columns, T] | None:
        """See Rows."""
        merged = super().merge(row, decide)
        if merged is not None:
            # The cache may have lost an invalidation, and the row may have been read from that copy.
            self.invalidate([row.token_digest])
        return merged

    def end(self, row: AbstractSession, reason: str, actor: Any = None) -> AbstractSession | None:
        """See Rows. No copy of the row is used after this returns, or after the running transaction commits."""
        digests = {row.token_digest}
        try:
            ended = super().end(row, reason, actor)
            # A parallel request may have rotated the token; the copy under the new one has to go too.
            digests.update(self.query().filter(pk=row.pk).values_list("token_digest", flat=True))
        finally:
            self.invalidate(digests)
        return ended

    def invalidate(self, digests: Iterable[str], using: str | None = None) -> None:
        """Invalidate the copies of these rows, for all processes, when the transaction on ``using`` commits.

        For more than ``circuit.MAX_DIGESTS`` in one transaction, the copies of all rows are invalidated.
        """
        connection: Any = connections[using or self.alias]
        known = _uncommitted.setdefault(connection, set())
        known.update(islice(digests, max(0, circuit.MAX_DIGESTS + 1 - len(known))))
        first_on_commit(partial(self._invalidate_committed, connection), connection.alias)

    # Helpers

    def _find_copy(self, digest: str) -> Answer | None:
        """Return what the cache contains; None if it cannot be read, or if this transaction has changed the row."""
        return None if self._is_changed_in_transaction(digest) else self.copies.find(digest)

    def _row_of(self, found: Answer) -> AbstractSession | None:
        """Return the row from its copy; None if the database has to be read."""
        if found.values is None:
            return None
        row = self.copies.row_of(found.values)
        if row.ended_at is None and row.expires_at <= timezone.now():
            # The copy has expired, but another process may have moved the expiry of the row.
            return None
        self._last_read = _Read(row, found.generations, found.read_at)
        return row

    def _fill_later(self, digest: str) -> None:
        # Django does not know when a transaction ends that was started without atomic().
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

    def _replace_copy(self, row: AbstractSession, columns: Columns) -> bool:
        """Replace the copy after ``columns`` were written; return False if the row's new values are not certain."""
        read, self._last_read = self._last_read, None
        if read is None or read.row is not row or not columns.keys() <= _EXACT_COLUMNS:
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

    def _is_changed_in_transaction(self, digest: str) -> bool:
        """Return whether this transaction has changed the row, so that its copy differs from what it must read."""
        if not _uncommitted:
            return False
        connection: Any = connections[self.alias]
        digests = _uncommitted.get(connection)
        if digests and not self._is_in_any_transaction():
            # These are left over from a transaction that was rolled back.
            self._invalidate_committed(connection)
        return digests is not None and (digest in digests or circuit.is_too_many(digests))

    def _is_in_any_transaction(self) -> bool:
        """Return whether a transaction is running, even one that was started without atomic()."""
        return self.is_in_transaction or not connections[self.alias].get_autocommit()

    def _invalidate_committed(self, connection: Any) -> None:
        if digests := _uncommitted.pop(connection, None):
            self.copies.invalidate(digests)
