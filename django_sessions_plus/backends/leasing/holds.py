"""What is being changed just now, and so must not be read into the memory. No I/O.

Who changes a row announces that before the commit and after it. In between, a read may still find the row as it was
before; what it finds is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from math import inf
from typing import NamedTuple

MOST = 1000
"""How many changes are held apart from each other; of further ones, only that nothing may be kept meanwhile."""

ALL = "*"
"""The announcement that concerns all there is."""


class Hold(NamedTuple):
    """A change whose transaction may not be committed yet."""

    announcements: Collection[str]
    until: float
    """When it is taken for rolled back, on the clock of the memory."""
    is_over: Callable[[], bool] | None
    """Whether its transaction has ended, where that is known; None where only time tells."""


class Holds:
    """The changes that run. Not thread-safe: the memory has the lock."""

    def __init__(self) -> None:
        self._by_token: dict[str, Hold] = {}

    def __bool__(self) -> bool:
        return bool(self._by_token)

    def add(self, token: str, hold: Hold, latest: float = inf) -> None:
        """Begin a change that ``token`` names. Where it is not held apart from others, ``latest`` is its end."""
        known = self._by_token
        if token in known:
            # Nobody of ours begins twice, so it is somebody who wants an outdated row to be kept.
            hold = Hold((ALL,), max(hold.until, known[token].until), None)
        elif len(known) >= MOST:
            # Never forgotten, or an outdated row might be kept.
            until = min(hold.until, latest)
            token, hold = ALL, Hold((ALL,), max(until, _until(known.get(ALL))), None)
        known[token] = hold

    def end(self, token: str) -> None:
        """End the change that ``token`` names, if it is known."""
        self._by_token.pop(token, None)

    def ended(self, at: float) -> Iterator[str]:
        """End those that are over ``at`` this time, and yield what they had announced."""
        over = [
            token
            for token, hold in self._by_token.items()
            if at >= hold.until or (hold.is_over is not None and hold.is_over())
        ]
        for token in over:
            yield from self._by_token.pop(token).announcements

    def concern(self, announcements: Collection[str]) -> bool:
        """Return whether one of these announcements is of something that is being changed."""
        return any(
            each == ALL or each in announcements
            for hold in self._by_token.values()
            for each in hold.announcements
        )


def _until(hold: Hold | None) -> float:
    return 0.0 if hold is None else hold.until
