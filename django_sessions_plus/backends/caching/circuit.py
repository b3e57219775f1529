"""A circuit breaker for a cache that fails. No I/O.

It remembers how long not to call the cache, and what to invalidate before the cache is used again. All
threads of a process share its state; other processes only learn of an invalidation through the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from threading import Lock
from time import monotonic
from typing import NamedTuple

from django_sessions_plus.conf.changes import on_setting_change

# In seconds.
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
# How many digests are remembered; for more, the copies of all rows are invalidated.
MAX_DIGESTS = 10_000


def is_too_many(digests: Collection[str]) -> bool:
    """Return whether there are so many digests that the copies of all rows are invalidated instead."""
    return len(digests) > MAX_DIGESTS


class Pending(NamedTuple):
    """What to invalidate before the cache is used again."""

    number: int
    digests: frozenset[str] | None
    """The digests of the rows; None means all rows."""


class Circuit:
    """Keeps requests from calling a failing cache. Thread-safe.

    After a failure, no thread calls the cache for ``FIRST_DELAY`` seconds, then one thread tries; each
    further failure doubles the delay, up to ``LONGEST_DELAY``. While an invalidation is pending, the
    cache counts as failing, and the next call has to invalidate first. The delay then stays
    ``FIRST_DELAY``, because other processes may still read what this one could not invalidate.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.is_healthy = True
        """Whether the last call succeeded and no invalidation is pending."""
        self._failures = 0
        self._failed_at = 0.0
        self._retry_at = 0.0
        self._digests: frozenset[str] | None = frozenset()
        self._number = 0

    def may_call(self) -> bool:
        """Return whether this thread may call the cache; after a failure, only one thread may try per delay."""
        if self.is_healthy:
            return True
        with self._lock:
            if self.is_healthy:
                return True
            if monotonic() < self._retry_at:
                return False
            self._retry_at = monotonic() + self._delay()
            return True

    def note_failure(self) -> None:
        """Open the circuit, or keep it open for longer."""
        with self._lock:
            self.is_healthy = False
            self._failures += 1
            self._failed_at = monotonic()
            self._retry_at = self._failed_at + self._delay()

    def note_success(self, done: Pending | None) -> None:
        """Close the circuit, unless something was added since ``pending()`` returned ``done``.

        Does nothing if ``done`` is None, because the circuit was closed.
        """
        if done is None:
            return
        with self._lock:
            self._failures = 0
            if self._number == done.number:
                self._digests = frozenset()
                self.is_healthy = True

    def add_pending(self, digests: Iterable[str]) -> None:
        """Remember digests that could not be invalidated; with more than ``MAX_DIGESTS``, that all rows have to be."""
        with self._lock:
            self.is_healthy = False
            self._number += 1
            if self._digests is not None:
                self._digests = self._digests.union(digests)
                if is_too_many(self._digests):
                    self._digests = None
            self._retry_at = min(self._retry_at, self._failed_at + FIRST_DELAY)

    @property
    def has_pending(self) -> bool:
        """Whether an invalidation is pending."""
        return self._digests is None or bool(self._digests)

    def pending(self) -> Pending | None:
        """Return what to invalidate before the next call of the cache; None if the circuit is closed."""
        if self.is_healthy:
            return None
        with self._lock:
            return Pending(self._number, self._digests)

    def _delay(self) -> float:
        if self.has_pending:
            return FIRST_DELAY
        # The exponent is bounded for an outage of weeks.
        delay: float = FIRST_DELAY * 2 ** min(max(self._failures - 1, 0), 16)
        return min(delay, LONGEST_DELAY)


_circuits: dict[tuple[str, str], Circuit] = {}


def circuit_of(alias: str, use: str = "") -> Circuit:
    """Return the circuit of the cache with this alias; with ``use``, one for a kind of call that may fail alone."""
    try:
        return _circuits[alias, use]
    except KeyError:
        return _circuits.setdefault((alias, use), Circuit())


# With other settings, an alias may stand for another cache, which has not failed.
on_setting_change(_circuits.clear, "CACHES")
