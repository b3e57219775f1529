"""How long the answers to the last echoes took: what a lease has to be longer than. No I/O."""

from __future__ import annotations

from collections import deque
from math import ceil
from threading import Lock

REMEMBERED = 256
"""How many lags are remembered: about the last 16 seconds of a lease of 250 ms that is asked for."""


class Lags:
    """The lags of the last echoes, in seconds from the sending to the answer. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._latest: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, seconds: float) -> None:
        """Remember one; the oldest is forgotten if there are too many."""
        with self._lock:
            self._latest.append(seconds)

    def percentile(self, percent: float) -> float | None:
        """Return the lag that ``percent`` of the remembered ones do not exceed; None before the first."""
        # A copy under the lock: a deque must not grow while it is read.
        with self._lock:
            latest = list(self._latest)
        if not latest:
            return None
        return sorted(latest)[ceil(percent / 100 * len(latest)) - 1]
