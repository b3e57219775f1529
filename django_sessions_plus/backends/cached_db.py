"""The cache-fronted session engine: ``SESSION_ENGINE = "django_sessions_plus.backends.cached_db"``.

The database engine, with copies of its rows in ``SESSION_CACHE_ALIAS``. The database stays
the authority: every write goes there first and is conditional as ever, and a copy is
only served as ``caching.copies`` tells. A cache that is down, slow or empty costs time, never
a session.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from django.conf import settings
from django.core.cache import caches
from django.utils.functional import cached_property

from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.backends.caching.entries import max_age
from django_sessions_plus.backends.caching.rows import CachedRows
from django_sessions_plus.backends.db import SessionStore as DBStore


class SessionStore(DBStore):
    """Keep sessions in the database, and copies of them in a cache."""

    def __init__(self, session_key: str | None = None) -> None:
        self._cache = caches[settings.SESSION_CACHE_ALIAS]
        super().__init__(session_key)

    @cached_property
    def rows(self) -> CachedRows:
        """The storage of this store's session."""
        return CachedRows(self.get_model_class(), self._cache)

    @classmethod
    def invalidate(cls, digests: Iterable[str], using: str) -> None:
        """Have no process serve its copies of these rows, from the commit of this transaction on.

        For whoever changes rows other than through a store; the querysets of the model do it.
        Of more than ``named_at_most()`` in one transaction, it is the copies of all rows.
        """
        cls().rows.invalidate(digests, using)

    @classmethod
    def invalidate_all(cls) -> None:
        """Have no process serve any copy. Raises what the cache raises."""
        cls().rows.copies.invalidate_all()

    @classmethod
    def named_at_most(cls) -> int:
        """Return up to how many rows have their copies invalidated one by one; beyond that, all copies are."""
        return circuit.MAX_DIGESTS

    @classmethod
    def invalidation_delay(cls) -> int | None:
        """See backends.db. As long as the cache could not be told of an end, that is how long one is served."""
        is_behind = circuit.circuit_of(settings.SESSION_CACHE_ALIAS).has_pending
        return ceil(max_age()) if is_behind else None
