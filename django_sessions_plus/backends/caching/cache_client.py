"""What copies ask of a cache, asked through the API that every Django cache has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.core.cache import BaseCache


class NoFreeConnectionError(Exception):
    """Every connection of this process was in use for too long, which does not say that the cache has failed."""


class Replacement(NamedTuple):
    """A generation that takes the place of another, and the entry that belongs to the new one; ages are seconds."""

    generation_key: str
    old: int
    new: int
    generation_age: float
    entry_key: str
    entry: Any
    entry_age: float


class CacheClient:
    """Asks any Django cache. Raises what the cache raises; ages are seconds, None for ever."""

    can_replace = False
    """Whether ``replace()`` can do more than delete."""

    def __init__(self, cache: BaseCache) -> None:
        self.cache = cache

    def find(self, *keys: str) -> list[Any]:
        """Return the values of these keys in one round trip, None for each that is not there."""
        found = self.cache.get_many(keys)
        return [found.get(key) for key in keys]

    def add(self, key: str, value: Any, age: float | None) -> bool:
        """Write ``value`` if the key has none, and tell whether it was written."""
        return self.cache.add(key, value, age)

    def set(self, key: str, value: Any, age: float | None) -> None:
        """Write ``value``."""
        self.cache.set(key, value, age)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete these keys."""
        self.cache.delete_many(list(keys))

    def replace(self, replacement: Replacement) -> bool:
        """Replace the generation, and write the entry if the old generation was still there, in one step.

        Return whether the entry was written. The old generation is gone in any case.
        """
        self.delete([replacement.generation_key])
        return False
