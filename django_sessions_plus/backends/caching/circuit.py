"""A circuit breaker: what a process remembers of a cache that fails.

That is how long not to ask it, and what to invalidate in it before it is used again. The
state belongs to the process, and its threads share it; other processes learn of an
invalidation only through the cache. Nothing here asks the cache.
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
# Of how many rows digests are remembered; beyond that it is all rows.
MAX_DIGESTS = 10_000


def is_everything(digests: Collection[str]) -> bool:
    """Return whether these are so many that the copies of all rows are invalidated."""
    return len(digests) > MAX_DIGESTS


class Pending(NamedTuple):
    """What is to be invalidated before the cache is used again."""

    number: int
    digests: frozenset[str] | None
    """None says those of all rows."""


class Circuit:
    """Keeps a failing cache from being asked by every request. Safe to be shared by threads.

    After a failure nobody asks for ``FIRST_DELAY`` seconds, then one thread does; each
    further failure doubles the delay, up to ``LONGEST_DELAY``. As long as something could
    not be invalidated the cache counts as failing, and whoever asks next invalidates it first.
    The delay is ``FIRST_DELAY`` then, because other processes may be able to read what this
    one cannot invalidate.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.is_healthy = True
        """Whether nothing has failed since it last worked."""
        self._failures = 0
        self._failed_at = 0.0
        self._retry_at = 0.0
        self._digests: frozenset[str] | None = frozenset()
        self._number = 0

    def may_ask(self) -> bool:
        """Return whether the cache is to be asked now; of several threads one is sent ahead."""
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
        """Close the circuit, if nothing was added since ``done`` was returned by ``pending()``.

        None says that there was nothing to close.
        """
        if done is None:
            return
        with self._lock:
            self._failures = 0
            if self._number == done.number:
                self._digests = frozenset()
                self.is_healthy = True

    def add_pending(self, digests: Iterable[str]) -> None:
        """Remember what could not be invalidated; beyond ``MAX_DIGESTS``, that it is everything."""
        with self._lock:
            self.is_healthy = False
            self._number += 1
            if self._digests is not None:
                self._digests = self._digests.union(digests)
                if is_everything(self._digests):
                    self._digests = None
            self._retry_at = min(self._retry_at, self._failed_at + FIRST_DELAY)

    @property
    def has_pending(self) -> bool:
        """Whether there is something that could not be invalidated."""
        return self._digests is None or bool(self._digests)

    def pending(self) -> Pending | None:
        """Return what has to be invalidated before the cache is asked; None if the cache is healthy."""
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
    """Return the circuit of the cache with this alias, or of one use of it that may fail by itself."""
    try:
        return _circuits[alias, use]
    except KeyError:
        return _circuits.setdefault((alias, use), Circuit())


# Another cache under the same name has not failed.
on_setting_change(_circuits.clear, "CACHES")
