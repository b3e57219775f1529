"""What a process remembers of a cache that fails: how long to leave it alone, and what to tell it.

Nothing here knows what is in the cache. The state is the process's and shared by its
threads; what other processes learn they learn from the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from threading import Lock
from time import monotonic
from typing import NamedTuple

from django.core.signals import setting_changed

FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
LARGEST_DEBT = 10_000


def is_everything(digests: Collection[str]) -> bool:
    """Tell whether these are so many that to withdraw them is to withdraw all there are."""
    return len(digests) > LARGEST_DEBT


class Debt(NamedTuple):
    """What is to be withdrawn before anything is believed."""

    number: int
    digests: frozenset[str] | None
    """None says all there are."""


class Circuit:
    """Keeps a failing cache from being asked by every request.

    After a failure nobody asks for ``FIRST_DELAY`` seconds, then one thread does; each
    further failure doubles the delay, up to ``LONGEST_DELAY``. As long as something could
    not be withdrawn the cache counts as failing, and who asks next withdraws it first; the
    delay is ``FIRST_DELAY`` then, because other processes may be able to read what this one
    cannot withdraw.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.is_sound = True
        """Whether nothing has failed since it last worked."""
        self._failures = 0
        self._failed_at = 0.0
        self._retry_at = 0.0
        self._owed: frozenset[str] | None = frozenset()
        self._number = 0

    def may_ask(self) -> bool:
        """Tell whether the cache is to be asked now; of several threads one is sent ahead."""
        if self.is_sound:
            return True
        with self._lock:
            if self.is_sound:
                return True
            if monotonic() < self._retry_at:
                return False
            self._retry_at = monotonic() + self._delay()
            return True

    def note_failure(self) -> None:
        """Open the circuit, or keep it open for longer."""
        with self._lock:
            self.is_sound = False
            self._failures += 1
            self._failed_at = monotonic()
            self._retry_at = self._failed_at + self._delay()

    def note_success(self, repaid: Debt | None) -> None:
        """Close the circuit, if nothing has become due since ``repaid`` was asked for."""
        if repaid is None:
            return
        with self._lock:
            self._failures = 0
            if self._number == repaid.number:
                self._owed = frozenset()
                self.is_sound = True

    def owe(self, digests: Iterable[str]) -> None:
        """Remember what could not be withdrawn; beyond ``LARGEST_DEBT``, that it is everything."""
        with self._lock:
            self.is_sound = False
            self._number += 1
            if self._owed is not None:
                self._owed = self._owed.union(digests)
                if is_everything(self._owed):
                    self._owed = None
            self._retry_at = min(self._retry_at, self._failed_at + FIRST_DELAY)

    @property
    def has_debt(self) -> bool:
        """Whether there is something that could not be withdrawn."""
        return self._owed is None or bool(self._owed)

    def debt(self) -> Debt | None:
        """Return what whoever asks next has to withdraw first; None as long as all is well."""
        if self.is_sound:
            return None
        with self._lock:
            return Debt(self._number, self._owed)

    def _delay(self) -> float:
        if self.has_debt:
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


def _forget_all(setting: str, **kwargs: object) -> None:
    # Another cache under the same name has not failed.
    if setting == "CACHES":
        _circuits.clear()


setting_changed.connect(_forget_all, dispatch_uid="django_sessions_plus.circuit")
