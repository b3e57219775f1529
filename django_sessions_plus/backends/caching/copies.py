"""Copies of rows in a cache, and the generations by which they are invalidated.

A row's entry bears the row's generation, a random number that is kept beside it. Who fills an
entry takes the generation first and reads the database after. Who changes or ends the row
commits first and deletes the generation after. A reader fetches both in one round trip and
serves the entry only if it bears the generation that is there. So an entry that was read
before a change is never served after it, however late it was written. No clocks are
compared for that, and nothing has to stay in the cache: if a generation was evicted, the
database is asked once more, and the next generation is another number.

The entry is deleted together with its generation, so that no data of ended sessions is kept.

One more generation is that of all rows; ``sessions_refresh_cache`` deletes it. Every entry
is served for ``entries.max_age()`` at the most, which bounds what a cache does that loses or
refuses an invalidation.

Longer than other modules, because reading, filling and invalidating a copy are one protocol.
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
    is_everything,
)
from django_sessions_plus.backends.caching.entries import Generations, Layout, Values
from django_sessions_plus.backends.caching.redis_client import client_of

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

logger = logging.getLogger("django.contrib.sessions")

T = TypeVar("T")


class Answer(NamedTuple):
    """What the cache has for a digest."""

    generations: Generations
    is_valid: bool
    """Whether the rest may be served."""
    values: Values | None
    """The row's columns; None, if valid, says that there is no row."""
    read_at: float
    """When they were read from the database, in seconds since the epoch."""


class Copies:
    """The copies of one model's rows in one cache. A cache that fails is logged, and never raises."""

    def __init__(self, cache: BaseCache, model: type[AbstractSession], alias: str) -> None:
        self.cache = cache
        self.model = model
        self.alias = alias
        self.circuit: Circuit = circuit_of(settings.SESSION_CACHE_ALIAS)
        self.writing_circuit: Circuit = circuit_of(settings.SESSION_CACHE_ALIAS, "writing")
        self.client: CacheClient = client_of(settings.SESSION_CACHE_ALIAS, cache)
        self.layout: Layout = entries.layout_of(model, alias)

    def find(self, digest: str) -> Answer | None:
        """Return what the cache has for ``digest``, in one round trip; None if it cannot be asked."""
        layout = self.layout
        keys = layout.entry_key(digest), layout.generation_key(digest), layout.all_rows_key
        found = self._ask("reading from", lambda: self.client.find(*keys))
        if found is None:
            return None
        entry, row, all_rows = found
        generations = Generations(all_rows, row)
        if entry is None or not entries.is_valid(entry, generations, digest):
            return Answer(generations, False, None, 0.0)
        return Answer(generations, True, entry[3], entry[1])

    def ensure_generations(self, digest: str, found: Generations) -> Generations | None:
        """Return the generations that a new entry is to bear; to be called before the database is read.

        ``found`` are those in the cache; what is missing is added. None if somebody else adds
        it at this moment, or the cache cannot be asked.
        """
        if None not in found:
            return found
        made = Generations(found.all_rows or _new_number(), found.row or _new_number())

        def add() -> bool:
            # Only what is missing: to replace a generation is to invalidate its entry.
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
        """Return the generations for a row that is about to be inserted, its own being new.

        So an entry that says that there is no row with ``digest`` is no longer valid. None if the
        cache did not take the generation, so that such an entry may be served for up to
        ``entries.UNKNOWN_AGE``, or if somebody else adds that of all rows at this moment. In both
        cases the first reader of the row makes its entry.
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
        """Write the entry of a row that was read at ``read_at``, after ``generations`` were taken."""
        age = entries.seconds_left(values, read_at)
        if age > 0:
            entry = entries.entry_of(generations, read_at, digest, values)
            key = self.layout.entry_key(digest)
            # A whole second at least: with zero a cache keeps nothing.
            self._write(lambda: self.client.set(key, entry, max(age, 1)))

    def replace(
        self, digest: str, generations: Generations, read_at: float, values: Values
    ) -> Generations | None:
        """Invalidate the entry, and write the changed row unless others may have changed it, too.

        ``values`` are those that were read at ``read_at`` under ``generations``, with the columns
        that have just been committed. If the row's generation is still the one they were read
        under, nobody has announced another change. Return what the new entry bears; None if
        there is none.
        """
        age = entries.seconds_left(values, read_at)
        if not self.client.can_replace or age <= 0 or generations.row is None:
            self.invalidate([digest])
            return None
        number = _new_number()
        made = Generations(generations.all_rows, number)
        # As old as what it was made of: if the cache has lost an invalidation, the entry must not
        # be served for longer than the one before it.
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
        written: list[bool] = []
        if not self._announce([digest], lambda: written.append(self.client.replace(replacement))):
            return None
        return made if written[0] else None

    def invalidate(self, digests: Iterable[str]) -> None:
        """Have nobody serve the entries of these rows any more; to be called once the change is committed.

        Of more than ``circuit.MAX_DIGESTS`` rows, it is the entries of all rows, by one command.
        What the cache does not hear of now, this process tells it before it next uses it.
        """
        digests = set(digests)
        self._announce(digests, lambda: self._invalidate(digests))

    def invalidate_all(self) -> None:
        """Have nobody serve any entry any more. Raises what the cache raises."""
        self.client.delete([self.layout.all_rows_key])

    def row_of(self, values: Values) -> AbstractSession:
        """Return the row whose columns these are."""
        row: AbstractSession = self.model.from_db(self.alias, self.layout.names, values)
        return row

    def _announce(self, digests: Iterable[str], operation: Callable[[], Any]) -> bool:
        """Do what invalidates ``digests``, or see to it that it is done later; return whether it was done."""
        if not self.circuit.is_healthy:
            # Whoever asks next invalidates what is pending. That may be this thread, right now.
            self.circuit.add_pending(digests)
            self._ask("invalidating in", lambda: True)
            return False
        is_done = False
        try:
            is_done = self._ask("invalidating in", lambda: (operation(),)) is not None
        finally:
            # Also if the worker is told to stop at this moment: the change has been committed.
            if not is_done:
                self.circuit.add_pending(digests)
        return is_done

    def _write(self, operation: Callable[[], T]) -> T | None:
        # With a circuit of its own: a cache that is full refuses every write, and still has to be
        # read and to hear of every end.
        if not self.circuit.is_healthy or not self.writing_circuit.may_ask():
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

    def _ask(self, doing: str, operation: Callable[[], T]) -> T | None:
        circuit = self.circuit
        if not circuit.may_ask():
            return None
        try:
            done = self._invalidate_pending()
            answer = operation()
        except NoFreeConnectionError:
            # The cache has not failed: others are not to stop asking it.
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
        if is_everything(digests):
            self.invalidate_all()
        else:
            # The entries as well, so that their data does not stay until it is too old. Generations
            # first: some caches delete one key after the other, and nobody is to be served an
            # entry meanwhile.
            key_makers = (self.layout.generation_key, self.layout.entry_key)
            self.client.delete([key(digest) for key in key_makers for digest in digests])

    def _add_generation_of_all(self) -> int | None:
        number = _new_number()
        return number if self.client.add(self.layout.all_rows_key, number, None) else None


def _new_number() -> int:
    return tokens.make_id().int
