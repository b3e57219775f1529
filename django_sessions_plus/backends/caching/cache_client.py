"""The cache operations that copies need, by the API of every Django cache backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.core.cache import BaseCache


class NoFreeConnectionError(Exception):
    """All connections of this process were in use for too long. The cache itself may be working."""


class Replacement(NamedTuple):
    """A new generation of a row, the old one, and the entry of the new one. Ages are in seconds."""

    generation_key: str
    old: int
    new: int
    generation_age: float
    entry_key: str
    entry: Any
    entry_age: float


class CacheClient:
    """Reads and writes any Django cache. Raises what the cache raises. Ages are in seconds; None means no expiry."""

    can_replace = False
    """Whether ``replace()`` can also write the new entry."""

    def __init__(self, cache: BaseCache) -> None:
        self.cache = cache

    def find(self, *keys: str) -> list[Any]:
        """Return the values of these keys, by one round trip; None for each missing key."""
        found = self.cache.get_many(keys)
        return [found.get(key) for key in keys]

    def add(self, key: str, value: Any, age: float | None) -> bool:
        """Write ``value`` if the key is missing; return whether it was written."""
        return self.cache.add(key, value, age)

    def set(self, key: str, value: Any, age: float | None) -> None:
        """Write ``value``."""
        self.cache.set(key, value, age)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete these keys."""
        self.cache.delete_many(list(keys))

    def replace(self, replacement: Replacement) -> bool:
        """Replace the generation, and write the entry if the cache still has the old generation; atomic.

        Return whether the entry was written. The old generation is replaced or deleted in any case.
        """
        self.delete([replacement.generation_key])
        return False
