"""The engine with a cache, under test: its drivers, a cache that counts and fails, forced interleavings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache

from django_sessions_plus.backends import cached_db
from django_sessions_plus.backends.caching import copies
from django_sessions_plus.backends.caching.cache_client import CacheClient, Replacement
from django_sessions_plus.backends.rows import Rows
from tests.backends.drivers import AsyncSession, SyncSession

ENGINE = "django_sessions_plus.backends.cached_db"


class CachedSync(SyncSession):
    engine = cached_db.SessionStore


class CachedAsync(AsyncSession):
    engine = cached_db.SessionStore


class TestedCache(LocMemCache):
    """The process's memory, which counts its round trips and can be down."""

    __test__ = False
    asked: list[str] = []
    is_down = False
    is_full = False

    def _ask(self, name: str) -> None:
        type(self).asked.append(name)
        if type(self).is_down:
            raise ConnectionError("the cache is down")
        if type(self).is_full and name in {"add", "set"}:
            raise MemoryError("the cache is full")

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self._ask("get")
        return super().get(*args, **kwargs)

    def get_many(self, keys: Any, version: Any = None) -> dict[str, Any]:
        self._ask("get_many")
        found = {key: LocMemCache.get(self, key, version=version) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def add(self, *args: Any, **kwargs: Any) -> bool:
        self._ask("add")
        return super().add(*args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._ask("set")
        super().set(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        self._ask("delete")
        return super().delete(*args, **kwargs)

    def delete_many(self, keys: Iterable[str], version: Any = None) -> None:
        self._ask("delete_many")
        for key in keys:
            LocMemCache.delete(self, key, version=version)


class ReplacingClient(CacheClient):
    """A client that can replace a generation and write an entry at once, as that of Redis can."""

    can_replace = True

    def replace(self, replacement: Replacement) -> bool:
        is_first = bool(self.cache.get(replacement.generation_key) == replacement.old)
        self.cache.set(replacement.generation_key, replacement.new, replacement.generation_age)
        if is_first:
            self.cache.set(replacement.entry_key, replacement.entry, replacement.entry_age)
        return is_first


class Interleaving:
    """What others do while one store reads: named moments, and what happens at each of them.

    The moments are before each step the store takes and, last, after all of them.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0
        self._happenings: dict[int, list[Callable[[], Any]]] = {}
        self._is_watching = False
        self._held: list[Callable[[], Any]] | None = None
        steps: list[tuple[Any, str]] = [
            (copies.Copies, "find"),
            (copies.Copies, "ensure_generations"),
            (copies.Copies, "start_generation"),
            (copies.Copies, "write"),
            (Rows, "find"),
            (Rows, "insert"),
            (Rows, "update"),
            (copies.Copies, "replace"),
        ]
        for owner, name in steps:
            monkeypatch.setattr(owner, name, self._watched(getattr(owner, name)))
        self._invalidate_or_postpone = copies.Copies._invalidate_or_postpone

        def apply(holder: copies.Copies, *args: Any) -> Any:
            if self._held is None:
                return self._invalidate_or_postpone(holder, *args)
            self._held.append(partial(self._invalidate_or_postpone, holder, *args))
            return None

        monkeypatch.setattr(copies.Copies, "_invalidate_or_postpone", apply)

    def at(self, moment: int, happening: Callable[[], Any]) -> None:
        self._happenings.setdefault(moment, []).append(happening)

    def run(self, work: Callable[[], Any]) -> Any:
        """Do ``work`` with everything that happens at its moments, and what has not yet, after."""
        self._is_watching = True
        try:
            return work()
        finally:
            self._is_watching = False
            for moment in sorted(self._happenings):
                self._happen(moment)

    def hold_invalidations(self, change: Callable[[], Any]) -> Callable[[], None]:
        """Return a change that is committed when called, but whose news stays with its process."""

        def commit() -> None:
            self._held = []
            change()
            self._pending = self._held
            self._held = None

        return commit

    def deliver(self) -> None:
        """Let the news out."""
        for telling in self._pending:
            telling()

    def _watched(self, step: Any) -> Any:
        def take(*args: Any, **kwargs: Any) -> Any:
            if self._is_watching:
                self._is_watching = False
                self._happen(self.passed)
                self.passed += 1
                self._is_watching = True
            return step(*args, **kwargs)

        return take

    def _happen(self, moment: int) -> None:
        for happening in self._happenings.pop(moment, []):
            happening()


@contextmanager
def in_use(settings: Any, location: str) -> Iterator[None]:
    """Have the engine with a cache keep its copies in a ``TestedCache``, empty at first, which may be made to fail."""
    settings.SESSION_ENGINE = ENGINE
    settings.CACHES = {
        "default": {"BACKEND": "tests.backends.cached.TestedCache", "LOCATION": location}
    }
    caches["default"].clear()
    try:
        yield
    finally:
        TestedCache.is_down = False
        caches["default"].clear()
