"""Copies of rows in a cache, and the generations by which they are invalidated.

The cache has two keys for each row: an entry with its columns, and a generation, which is a random
number. An entry contains the generation that it was written with.

- To write an entry, a process first gets the generation, and then reads the database.
- To change or end a row, a process first commits, and then deletes the generation.
- To read, a process fetches both by one round trip, and uses the entry only if it contains that generation.

So an entry with data from before a change is never used after it, however late it was written. This
compares no clocks, and the cache may evict any key: without a generation, the database is read,
and the next generation is another number.

The entry is deleted together with its generation, so that no data of ended sessions stays in the cache.

Another generation is that of all rows; ``sessions_refresh_cache`` deletes it. No entry is used for
longer than ``entries.max_age()``, in case the cache loses or refuses an invalidation.

Longer than other modules, because reading, writing and invalidating copies follow one protocol.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.conf import settings
from django.core.cache import BaseCache

from django_sessions_plus import tokens
from django_sessions_plus.backends.caching import entries
from django_sessions_plus.backends.caching.cache_client import (
    CacheClient,
    NoFreeConnectionError,
    Replacement,
)
from django_sessions_plus.backends.caching.circuit import (
    Circuit,
    Pending,
    circuit_of,
    is_too_many,
)
from django_sessions_plus.backends.caching.entries import Generations, Layout, Values
from django_sessions_plus.backends.caching.redis_client import client_of

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

logger = logging.getLogger("django.contrib.sessions")

T = TypeVar("T")


class Answer(NamedTuple):
    """What the cache contains for a digest."""

    generations: Generations
    is_valid: bool
    """Whether ``values`` may be used."""
    values: Values | None
    """The row's columns; None if the answer is valid and says that there is no row, or if it is not valid."""
    read_at: float
    """When the values were read from the database, in seconds since 1970."""


class Copies:
    """The copies of one model's rows in one cache. Failures of the cache are logged, not raised."""

    def __init__(self, cache: BaseCache, model: type[AbstractSession], alias: str) -> None:
        self.cache = cache
        self.model = model
        self.alias = alias
        self.circuit: Circuit = circuit_of(settings.SESSION_CACHE_ALIAS)
        self.writing_circuit: Circuit = circuit_of(settings.SESSION_CACHE_ALIAS, "writing")
        self.client: CacheClient = client_of(settings.SESSION_CACHE_ALIAS, cache)
        self.layout: Layout = entries.layout_of(model, alias)

    def find(self, digest: str) -> Answer | None:
        """Return what the cache contains for ``digest``, by one round trip; None if the cache cannot be read."""
        layout = self.layout
        keys = layout.entry_key(digest), layout.generation_key(digest), layout.all_rows_key
        found = self._call("reading from", lambda: self.client.find(*keys))
        if found is None:
            return None
        entry, row, all_rows = found
        generations = Generations(all_rows, row)
        if entry is None or not entries.is_valid(entry, generations, digest):
            return Answer(generations, False, None, 0.0)
        return Answer(generations, True, entry[3], entry[1])

    def ensure_generations(self, digest: str, found: Generations) -> Generations | None:
        """Return the generations for a new entry; call this before the database is read.

        ``found`` are the generations in the cache; missing ones are added. None if another process adds
        them at the same time, or if the cache cannot be written.
        """
        if None not in found:
            return found
        made = Generations(found.all_rows or _new_number(), found.row or _new_number())

        def add() -> bool:
            # Only what is missing: replacing a generation would invalidate its entry.
            return (
                found.all_rows is not None
                or self.client.add(self.layout.all_rows_key, made.all_rows, None)
            ) and (
                found.row is not None
                or self.client.add(
                    self.layout.generation_key(digest), made.row, entries.generation_age()
                )
            )

        return made if self._write(add) else None

    def start_generation(self, digest: str) -> Generations | None:
        """Write a new generation for a row that is about to be inserted, and return its generations.

        This invalidates an entry that says there is no row with ``digest``. None if the cache did not
        accept the generation, so that such an entry may be used for up to ``entries.UNKNOWN_AGE``, or if
        another process adds the generation of all rows at the same time. In both cases the first
        reader of the row writes its entry.
        """
        row = _new_number()

        def start() -> Any:
            self.client.set(self.layout.generation_key(digest), row, entries.generation_age())
            (all_rows,) = self.client.find(self.layout.all_rows_key)
            return all_rows or (self._add_generation_of_all() or 0)

        all_rows = self._write(start)
        return Generations(all_rows, row) if all_rows else None

    def write(
        self, digest: str, generations: Generations, read_at: float, values: Values | None
    ) -> None:
        """Write the entry of a row that was read at ``read_at``, after its ``generations`` were read."""
        age = entries.seconds_left(values, read_at)
        if age > 0:
            entry = entries.entry_of(generations, read_at, digest, values)
            key = self.layout.entry_key(digest)
            # At least a second: with a timeout of zero, a cache stores nothing.
            self._write(lambda: self.client.set(key, entry, max(age, 1)))

    def replace(
        self, digest: str, generations: Generations, read_at: float, values: Values
    ) -> Generations | None:
        """Invalidate the entry, and write a new one unless another process may have changed the row too.

        ``values`` are those that were read at ``read_at`` with ``generations``, updated with the columns
        that were just committed. If the cache still has that generation of the row, nobody else has
        invalidated it. Return the generations of the new entry; None if none was written.
        """
        age = entries.seconds_left(values, read_at)
        if not self.client.can_replace or age <= 0 or generations.row is None:
            self.invalidate([digest])
            return None
        number = _new_number()
        made = Generations(generations.all_rows, number)
        # Not the current time: if the cache has lost an invalidation, the new entry must not be used
        # for longer than the one before it.
        entry = entries.entry_of(made, read_at, digest, values)
        replacement = Replacement(
            generation_key=self.layout.generation_key(digest),
            old=generations.row,
            new=number,
            generation_age=entries.generation_age(),
            entry_key=self.layout.entry_key(digest),
            entry=entry,
            entry_age=max(age, 1),
        )
        is_written = self._invalidate_or_postpone(
            [digest], lambda: self.client.replace(replacement)
        )
        return made if is_written else None

    def invalidate(self, digests: Iterable[str]) -> None:
        """Invalidate the entries of these rows, for all processes; call this after the commit.

        For more than ``circuit.MAX_DIGESTS`` rows, the entries of all rows are invalidated, by one command.
        If the cache fails, this process invalidates them before it next uses the cache.
        """
        digests = set(digests)
        self._invalidate_or_postpone(digests, lambda: self._invalidate(digests))

    def invalidate_all(self) -> None:
        """Invalidate all entries, for all processes. Raises what the cache raises."""
        self.client.delete([self.layout.all_rows_key])

    def row_of(self, values: Values) -> AbstractSession:
        """Return a row with these column values."""
        row: AbstractSession = self.model.from_db(self.alias, self.layout.names, values)
        return row

    def _invalidate_or_postpone(
        self, digests: Iterable[str], operation: Callable[[], T]
    ) -> T | None:
        """Run ``operation``, which invalidates ``digests``, and return its result.

        If it fails, remember the digests for the next call of the cache, and return None.
        """
        if not self.circuit.is_healthy:
            # The next call of the cache invalidates what is pending. That may be the one below.
            self.circuit.add_pending(digests)
            self._call("invalidating in", lambda: True)
            return None
        done: tuple[T] | None = None
        try:
            done = self._call("invalidating in", lambda: (operation(),))
        finally:
            # Also if the worker is stopped here by an exception: the change is already committed.
            if done is None:
                self.circuit.add_pending(digests)
        return None if done is None else done[0]

    def _write(self, operation: Callable[[], T]) -> T | None:
        # A separate circuit: a cache that is full refuses all writes, but still has to be read and
        # invalidated.
        if not self.circuit.is_healthy or not self.writing_circuit.may_call():
            return None
        before = self.writing_circuit.pending()
        try:
            answer = operation()
        except NoFreeConnectionError:
            return None
        except Exception:
            self.writing_circuit.note_failure()
            logger.exception("Error saving to cache (%s)", self.cache)
            return None
        self.writing_circuit.note_success(before)
        return answer

    def _call(self, doing: str, operation: Callable[[], T]) -> T | None:
        circuit = self.circuit
        if not circuit.may_call():
            return None
        try:
            done = self._invalidate_pending()
            answer = operation()
        except NoFreeConnectionError:
            # The cache has not failed, so the circuit stays closed.
            logger.warning("No connection was free for %s cache (%s)", doing, self.cache)
            return None
        except Exception:
            circuit.note_failure()
            logger.exception("Error %s cache (%s)", doing, self.cache)
            return None
        circuit.note_success(done)
        return answer

    def _invalidate_pending(self) -> Pending | None:
        pending = self.circuit.pending()
        if pending is not None and pending.digests is None:
            self.invalidate_all()
        elif pending is not None and pending.digests:
            self._invalidate(pending.digests)
        return pending

    def _invalidate(self, digests: Collection[str]) -> None:
        if is_too_many(digests):
            self.invalidate_all()
        else:
            # The entries too, so that their data does not stay in the cache. Generations first: some
            # caches delete one key after the other, and until then an entry would be valid.
            key_makers = (self.layout.generation_key, self.layout.entry_key)
            self.client.delete([key(digest) for key in key_makers for digest in digests])

    def _add_generation_of_all(self) -> int | None:
        number = _new_number()
        return number if self.client.add(self.layout.all_rows_key, number, None) else None


def _new_number() -> int:
    return tokens.make_id().int
