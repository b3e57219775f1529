"""The cache-fronted session engine: ``SESSION_ENGINE = "django_sessions_plus.backends.cached_db"``.

The database engine, with copies of its rows in ``SESSION_CACHE_ALIAS``. The database stays
the authority: every write goes there first and is conditional as ever, and a copy is
only believed as ``copies`` tells. A cache that is down, slow or empty costs time, never
a session.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.cache import caches
from django.db import connections, router, transaction
from django.utils import timezone
from django.utils.functional import cached_property

from django_sessions_plus import tokens
from django_sessions_plus.backends import circuit
from django_sessions_plus.backends.copies import Copies, Found, Stamp, Values
from django_sessions_plus.backends.db import SessionStore as DBStore
from django_sessions_plus.backends.settling import required
from django_sessions_plus.backends.user_query import find_user

if TYPE_CHECKING:
    from django_sessions_plus.backends.context import Columns
    from django_sessions_plus.base_session import AbstractSession

# What each connection is to withdraw at its commit. A rollback leaves it behind: to withdraw
# too much does no harm.
_uncommitted: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()

# The columns of which a write leaves in the database just what it was given.
_EXACT = {"session_data", "version", "updated_at", "last_seen_at", "expires_at"}


class _Read(NamedTuple):
    """A row, and under which stamp and when the database was read for it."""

    row: AbstractSession
    stamp: Stamp
    at: float


class SessionStore(DBStore):
    """Keep sessions in the database, and copies of them in a cache."""

    _last_read: _Read | None = None

    def __init__(self, session_key: str | None = None) -> None:
        self._cache = caches[settings.SESSION_CACHE_ALIAS]
        super().__init__(session_key)

    @classmethod
    def withdraw(cls, digests: Iterable[str], using: str) -> None:
        """Have no process believe its copies of these rows, from the commit of this transaction on.

        For whoever changes rows other than through a store; the querysets of the model do it.
        Of more than ``named_at_most()`` in one transaction, it is the copies of all rows.
        """
        connection: Any = connections[using]
        known = _uncommitted.setdefault(connection, set())
        known.update(islice(digests, cls.named_at_most() + 1 - len(known)))
        transaction.on_commit(partial(cls._withdraw_committed, connection), using=using)
        if connection.in_atomic_block and not connection.atomic_blocks[0]._from_testcase:
            # Before all others: one that raises would leave out those after it. Django's tests
            # count them by their places, and commit nothing.
            connection.run_on_commit.insert(0, connection.run_on_commit.pop())

    @classmethod
    def withdraw_all(cls) -> None:
        """Have no process believe any copy. Raises what the cache raises."""
        cls()._copies.withdraw_all()

    @classmethod
    def named_at_most(cls) -> int:
        """Return up to how many rows have their copies withdrawn one by one; beyond that, all copies are."""
        return circuit.LARGEST_DEBT

    @classmethod
    def is_cache_behind(cls) -> bool:
        """Tell whether this process has changed rows whose copies it could not withdraw yet."""
        return circuit.circuit_of(settings.SESSION_CACHE_ALIAS).has_debt

    # Read

    def load_if_needed(self) -> dict[str, Any]:
        """Return the data, from storage the first time; and bring the user along, if wanted.

        Who only uses the data of a copy needs no user, and that is a query less.
        """
        data = super().load_if_needed()
        if self._is_user_missing():
            find_user(required(self._row))
        return data

    async def aload_if_needed(self) -> dict[str, Any]:
        """See load_if_needed()."""
        is_loaded = hasattr(self, "_session_cache")
        if self._is_user_missing() or not (is_loaded or self.session_key is None):
            # One change of threads for both. Django's caches would need one for each call.
            return await sync_to_async(self.load_if_needed, thread_sensitive=True)()
        return await super().aload_if_needed()

    def _is_user_missing(self) -> bool:
        row = self._row
        if row is None or not self.wants_user or row.user_id is None:
            return False
        return "user" not in row._state.fields_cache

    def exists(self, session_key: str | None) -> bool:
        """Tell whether the token names a session that has not ended; the cache is asked first."""
        if tokens.is_well_formed(session_key):
            digest = tokens.digest(session_key)
            found = None if self._is_uncommitted_here(digest) else self._copies.find(digest)
            if found is not None and found.values is not None:
                row = self._copies.row_of(found.values)
                if row.ended_at is None:
                    return True
        return super().exists(session_key)

    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        return await sync_to_async(self.exists, thread_sensitive=True)(session_key)

    def _read(self) -> AbstractSession | None:
        if not tokens.is_well_formed(self.session_key):
            # No row can bear that; but a store that knows an id reads by it, past the copies.
            return super()._read()
        digest = tokens.digest(self.session_key)
        found = None if self._is_uncommitted_here(digest) else self._copies.find(digest)
        if found is None:
            return super()._read()
        if found.is_believed:
            row = self._row_of(found)
            if row is not None or found.values is None:
                return row
        return self._read_and_keep(digest, found.stamp)

    def _read_and_keep(self, digest: str, stamp: Stamp) -> AbstractSession | None:
        if self._is_in_transaction():
            # What is read here may be this transaction's own, or from before the permit.
            self._fill_later(digest)
            return super()._read()
        taken = self._copies.take_stamp(digest, stamp)
        read_at = time.time()
        row = super()._read()
        if taken is not None:
            self._copies.keep(digest, taken, read_at, self._values_of(row))
            self._last_read = None if row is None else _Read(row, taken, read_at)
        return row

    def _fill_later(self, digest: str) -> None:
        connection = connections[self._write_alias()]
        # In a transaction Django does not manage there is no telling when it is over.
        if connection.in_atomic_block:
            transaction.on_commit(partial(self._fill, digest), using=connection.alias, robust=True)

    def _fill(self, digest: str) -> None:
        read_at = time.time()
        found = self._copies.find(digest)
        if found is None or found.is_believed:
            return
        stamp = self._copies.take_stamp(digest, found.stamp)
        if stamp is not None:
            row = self._first(self._rows().filter(token_digest=digest))
            self._copies.keep(digest, stamp, read_at, self._values_of(row))

    def _row_of(self, found: Found) -> AbstractSession | None:
        """Return the row from its copy; None where the database has to say more."""
        if found.values is None:
            return None
        row = self._copies.row_of(found.values)
        if row.ended_at is None and row.expires_at <= timezone.now():
            # Time has passed for the copy. Somebody may have moved the expiry of the row.
            return None
        self._last_read = _Read(row, found.stamp, found.read_at)
        return row

    def _read_alias(self) -> str:
        # What a replica that lags says would be believed under a permit newer than it.
        return router.db_for_write(self.model)

    # Write

    def _insert(self, row: AbstractSession) -> None:
        digest, started_at = row.token_digest, time.time()
        stamp = self._copies.start(digest)
        super()._insert(row)
        if stamp is not None and self._copies.form.is_known_before_insert:
            keep = partial(
                self._copies.keep, digest, stamp, started_at, self._copies.values_of(row)
            )
            transaction.on_commit(keep, using=self._write_alias())

    def _run(self, row: AbstractSession, columns: Columns, *args: Any, **kwargs: Any) -> bool:
        digest = row.token_digest
        is_written = super()._run(row, columns, *args, **kwargs)
        if is_written and not self._renew(row, columns):
            self.withdraw([digest], self._write_alias())
        return is_written

    def _renew(self, row: AbstractSession, columns: Columns) -> bool:
        """Keep the row as it has just been written; False if that is not known for sure."""
        read, self._last_read = self._last_read, None
        if read is None or read.row is not row or not columns.keys() <= _EXACT:
            return False
        copies = self._copies
        if not copies.form.is_known_before_insert or self._is_in_transaction():
            return False
        values = copies.values_of(row, columns)
        stamp = copies.renew(row.token_digest, read.stamp, read.at, values)
        if stamp is not None:
            self._last_read = _Read(row, stamp, read.at)
        return True

    def _settle(self, row: AbstractSession, data: dict[str, Any]) -> None:
        known = [each for each in (row, self._before_transaction) if each is not None]
        digests = {each.token_digest for each in known}
        super()._settle(row, data)
        self.withdraw(digests, self._write_alias())

    def _write_end(self, row: AbstractSession, actor: Any) -> AbstractSession | None:
        # Withdrawn before listeners hear of the end: they may take long, and no copy is to be
        # served meanwhile, nor until it is too old if the worker is stopped there.
        digests = {row.token_digest}
        try:
            ended = super()._write_end(row, actor)
            # A parallel request may have rotated the token that is dead now.
            digests.update(self._rows().filter(pk=row.pk).values_list("token_digest", flat=True))
        finally:
            self.withdraw(digests, self._write_alias())
        return ended

    # The twins are bound to what they run in a thread, so each needs to be made again.
    _ainsert = sync_to_async(_insert, thread_sensitive=True)  # type: ignore[arg-type]
    _asettle = sync_to_async(_settle, thread_sensitive=True)  # type: ignore[arg-type]

    def _rows(self) -> Any:
        # Whatever this store writes it withdraws itself, and it knows the digests.
        return super()._rows().quietly()

    # The cache

    @cached_property
    def _copies(self) -> Copies:
        return Copies(self._cache, self.model, self._write_alias())

    def _values_of(self, row: AbstractSession | None) -> Values | None:
        return None if row is None else self._copies.values_of(row)

    def _is_uncommitted_here(self, digest: str) -> bool:
        """Tell whether this transaction has changed the row, which the cache must not know yet."""
        if not _uncommitted:
            return False
        connection: Any = connections[self._write_alias()]
        digests = _uncommitted.get(connection)
        if digests and not self._is_in_transaction():
            # A transaction that was rolled back has left these.
            self._withdraw_committed(connection)
        return digests is not None and (digest in digests or circuit.is_everything(digests))

    def _is_in_transaction(self) -> bool:
        connection = connections[self._write_alias()]
        return connection.in_atomic_block or not connection.get_autocommit()

    @classmethod
    def _withdraw_committed(cls, connection: Any) -> None:
        if digests := _uncommitted.pop(connection, None):
            cls()._copies.withdraw(digests)
