"""How many rows a command would concern, for people who wait for the answer: bounded in number and in time."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from django_sessions_plus.bulk import purging
from django_sessions_plus.bulk.time_limit import TimeIsUpError, time_limit
from django_sessions_plus.management.progress import SECONDS_TO_COUNT

SECONDS = 3.0
"""How long a count up to ``purging.MAX_COUNT`` may take."""

FEW = 10_000
LAST_SECONDS = 0.3
"""How many rows are counted instead if that is too long, and how long that may take."""


class Counted(NamedTuple):
    """A number of rows."""

    number: int
    is_exact: bool
    """Whether there are no more than ``number``; otherwise there are or may be."""

    def __str__(self) -> str:
        """Return the number as text for operators."""
        if self.is_exact:
            return f"{self.number:,}"
        return f"{self.number:,} or more" if self.number else "an unknown number of"


def count_in_time(rows: Any) -> Counted:
    """Return how many ``rows`` there are, as far as can be counted in time; at most ``purging.MAX_COUNT``."""
    for limit, seconds in ((purging.MAX_COUNT, SECONDS), (FEW, LAST_SECONDS)):
        with suppress(TimeIsUpError), time_limit(rows.db, seconds):
            number = rows[:limit].count()
            return Counted(number, number < limit)
    return Counted(0, is_exact=False)


def total_in_time(rows: Any) -> int | None:
    """Return how many ``rows`` there are, for a progress bar; None, with which it shows no total, if that takes long.

    The count may take longer than the work itself.
    """
    with suppress(TimeIsUpError), time_limit(rows.db, SECONDS_TO_COUNT):
        number: int = rows[: purging.MAX_COUNT].count()
        return number if number < purging.MAX_COUNT else None
    return None
