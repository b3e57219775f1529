"""The database engine with a cache: ``SESSION_ENGINE = "django_sessions_plus.backends.cached_db"``.

Copies of the rows are in the cache ``SESSION_CACHE_ALIAS``. Every write goes to the database first,
with the same conditions as in ``backends.db``; ``caching.copies`` says when a copy may be used. A
cache that is down, slow or empty costs time, but never loses a session.
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
    """Store sessions in the database, and copies of them in a cache."""

    def __init__(self, session_key: str | None = None) -> None:
        self._cache = caches[settings.SESSION_CACHE_ALIAS]
        super().__init__(session_key)

    @cached_property
    def rows(self) -> CachedRows:
        """The object that finds and writes the rows of this store."""
        return CachedRows(self.get_model_class(), self._cache)

    @classmethod
    def needs_invalidation(cls) -> bool:
        """Return whether code that writes rows without a store has to call ``invalidate()``."""
        return True

    @classmethod
    def invalidate(cls, digests: Iterable[str], using: str) -> None:
        """Invalidate the copies of these rows, for all processes, at the commit of the running transaction.

        For code that writes rows without a store; the querysets of the model call it. For more than
        ``named_at_most()`` digests in one transaction, the copies of all rows are invalidated.
        """
        cls().rows.invalidate(digests, using)

    @classmethod
    def invalidate_all(cls) -> None:
        """Invalidate all copies, for all processes. Raises what the cache raises."""
        cls().rows.copies.invalidate_all()

    @classmethod
    def named_at_most(cls) -> int:
        """Return how many digests ``invalidate()`` takes before it invalidates the copies of all rows instead."""
        return circuit.MAX_DIGESTS

    @classmethod
    def invalidation_delay(cls) -> int | None:
        """See backends.db. While the cache cannot be invalidated, it is the longest time that a copy is used."""
        is_behind = circuit.circuit_of(settings.SESSION_CACHE_ALIAS).has_pending
        return ceil(max_age()) if is_behind else None
