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
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.cache import caches
from django.db import connections, router, transaction
from django.utils.functional import cached_property

from django_sessions_plus import tokens
from django_sessions_plus.backends.copies import Copies, Values
from django_sessions_plus.backends.db import SessionStore as DBStore
from django_sessions_plus.backends.user_query import find_user

if TYPE_CHECKING:
    from django_sessions_plus.backends.columns import Columns
    from django_sessions_plus.base_session import AbstractSession

# What each connection is to withdraw at its commit. A rollback leaves it behind: to withdraw
# too much does no harm.
_uncommitted: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


class SessionStore(DBStore):
    """Keep sessions in the database, and copies of them in a cache."""

    def __init__(self, session_key: str | None = None) -> None:
        self._cache = caches[settings.SESSION_CACHE_ALIAS]
        super().__init__(session_key)

    @classmethod
    def withdraw(cls, digests: Iterable[str], using: str) -> None:
        """Have no process believe its copies of these rows, from the commit of this transaction on.

        For whoever changes rows other than through a store; the querysets of the model do it.
        """
        connection: Any = connections[using]
        _uncommitted.setdefault(connection, set()).update(digests)
        transaction.on_commit(partial(cls._withdraw_committed, connection), using=using)

    @classmethod
    def withdraw_all(cls) -> None:
        """Have no process believe any copy. Raises what the cache raises."""
        cls()._copies.withdraw_all()

    # Read

    def exists(self, session_key: str | None) -> bool:
        """Tell whether the token names a session that has not ended; the cache is asked first."""
        if tokens.is_well_formed(session_key):
            digest = tokens.digest(session_key)
            found = None if self._is_uncommitted_here(digest) else self._copies.find(digest)
            if found is not None and found.values is not None:
                row = self._copies.row_of(found.values, self._write_alias())
                if row.ended_at is None:
                    return True
        return super().exists(session_key)

    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        return await sync_to_async(self.exists, thread_sensitive=True)(session_key)

    def _read(self) -> AbstractSession | None:
        if not tokens.is_well_formed(self.session_key):
            return None
        digest = tokens.digest(self.session_key)
        if self._is_uncommitted_here(digest):
            return super()._read()
        read_at = time.time()
        found = self._copies.find(digest)
        if found is None:
            return super()._read()
        if found.is_believed:
            row = self._row_of(found.values)
            if row is not None or found.values is None:
                return row
        if connections[self._write_alias()].in_atomic_block:
            # What is read here may be this transaction's own, or from before the permit.
            fill = partial(self._fill, digest)
            transaction.on_commit(fill, using=self._write_alias(), robust=True)
            return super()._read()
        stamp = self._copies.take_stamp(digest, found.stamp)
        row = super()._read()
        if stamp is not None:
            self._copies.keep(digest, stamp, read_at, self._values_of(row))
        return row

    def _fill(self, digest: str) -> None:
        read_at = time.time()
        found = self._copies.find(digest)
        if found is None or found.is_believed:
            return
        stamp = self._copies.take_stamp(digest, found.stamp)
        if stamp is not None:
            row = self._first(self._rows().filter(token_digest=digest))
            self._copies.keep(digest, stamp, read_at, self._values_of(row))

    def _row_of(self, values: Values | None) -> AbstractSession | None:
        """Return the row from its copy; None where the database has to say more."""
        if values is None:
            return None
        row = self._copies.row_of(values, self._write_alias())
        if row.ended_at is None and not row.is_active():
            # Time has passed for the copy. Somebody may have moved the expiry of the row.
            return None
        if self.wants_user and row.user_id is not None and not find_user(row):
            return None
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
        if is_written:
            self.withdraw([digest], self._write_alias())
        return is_written

    def _settle(self, row: AbstractSession, data: dict[str, Any]) -> None:
        known = [each for each in (row, self._before_transaction) if each is not None]
        digests = {each.token_digest for each in known}
        super()._settle(row, data)
        self.withdraw(digests, self._write_alias())

    def _end(self, row: AbstractSession) -> None:
        digests = {row.token_digest}
        super()._end(row)
        # A parallel request may have rotated the token that is dead now.
        digests.update(self._rows().filter(pk=row.pk).values_list("token_digest", flat=True))
        self.withdraw(digests, self._write_alias())

    # The twins are bound to what they run in a thread, so each needs to be made again.
    _ainsert = sync_to_async(_insert, thread_sensitive=True)  # type: ignore[arg-type]
    _asettle = sync_to_async(_settle, thread_sensitive=True)  # type: ignore[arg-type]

    def _rows(self) -> Any:
        # Whatever this store writes it withdraws itself, and it knows the digests.
        return super()._rows().quietly()

    # The cache

    @cached_property
    def _copies(self) -> Copies:
        return Copies(self._cache, self.model)

    def _values_of(self, row: AbstractSession | None) -> Values | None:
        return None if row is None else self._copies.values_of(row)

    def _is_uncommitted_here(self, digest: str) -> bool:
        """Tell whether this transaction has changed the row, which the cache must not know yet."""
        connection: Any = connections[self._write_alias()]
        digests = _uncommitted.get(connection)
        if not digests:
            return False
        if not connection.in_atomic_block:
            # A transaction that was rolled back has left these.
            digests.clear()
        return digest in digests

    @classmethod
    def _withdraw_committed(cls, connection: Any) -> None:
        if digests := _uncommitted.pop(connection, None):
            cls()._copies.withdraw(digests)
