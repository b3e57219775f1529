"""Where a purge begins: the expiry of the oldest row that is due.

Behind that lie the index entries of rows that were deleted before. Until they are vacuumed,
PostgreSQL steps over each of them, and MariaDB until its own purge has come: hundreds of thousands
after a large purge, for days, or beside a long transaction. So the look from the beginning
is bounded by time, and so is each look of what is done in its place.

A command starts anew each time and may share no cache with anybody, so it keeps nothing. A server process
asks again and again, so it keeps what it found, for ``Memory.AGE`` seconds. Not for longer: a row
can become due behind that, because it was imported or its user was deleted, by a clock that is
slow, or by a transaction that took long.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import connections

from django_sessions_plus.bulk.time_limit import TimeIsUpError, time_limit
from django_sessions_plus.querysets import SessionQuerySet

Rows = SessionQuerySet[Any]

SECONDS = 0.5
"""How long one look of a purge may take."""

# Spans of time before the newest row that may be due: an hour, two, four, up to seven years.
_FIRST_SPAN = timedelta(hours=1)
_DOUBLINGS = 16
# How many more looks there are between the last span that could be searched and one that could not.
_HALVINGS = 3


def oldest_expiry(
    due: Rows, until: datetime, *, since: datetime | None = None, seconds: float | None = None
) -> datetime | None:
    """Return the expiry of the first of ``due``, in their order, that expired by ``until``; None if there is none.

    Rows that expired before ``since`` are not looked for. If deleted rows are in the way for longer
    than ``seconds`` (default: ``SECONDS``), the answer is the oldest that was found from the other
    end, and rows before that are left to a later purge.
    """
    due, seconds = due.filter(expires_at__lte=until), SECONDS if seconds is None else seconds
    with suppress(TimeIsUpError):
        return _first(due, since, seconds)
    return _from_the_end(due, until, seconds)


def oldest_first(kind: str, alias: str) -> tuple[str, ...]:
    """Return the order in which an index lists the rows of a kind, ``purging.Kind``; the expiry is its last column."""
    # With this order PostgreSQL uses the index on user and expiry. Otherwise it reads every retained
    # sign-in to find the anonymous rows among them. MariaDB would sort the rows, so not there.
    if kind == "anonymous" and connections[alias].vendor == "postgresql":
        return ("user_id", "expires_at")
    return ("expires_at",)


def _from_the_end(due: Rows, until: datetime, seconds: float) -> datetime | None:
    """Return the oldest expiry within the longest span that can be searched in time."""
    found, searched, span = None, timedelta(0), _FIRST_SPAN
    for _ in range(_DOUBLINGS):
        try:
            found = _first(due, until - span, seconds) or found
        except TimeIsUpError:
            break
        searched, span = span, 2 * span
    else:
        return found
    too_long = span
    for _ in range(_HALVINGS):
        span = (searched + too_long) / 2
        try:
            found, searched = _first(due, until - span, seconds) or found, span
        except TimeIsUpError:
            too_long = span
    return found


def _first(due: Rows, since: datetime | None, seconds: float) -> datetime | None:
    if since is not None:
        due = due.filter(expires_at__gte=since)
    with time_limit(due.db, seconds):
        # Not first(), which asks for an order by primary key where there is none.
        found = list(due.values_list("expires_at", flat=True)[:1])
    return found[0] if found else None


class Memory:
    """What a process has found, by model, database and kind of row. Threads may share it."""

    AGE = 3600
    """Seconds after which a look goes from the beginning again."""

    def __init__(self) -> None:
        self._found: dict[Any, tuple[datetime, float]] = {}

    def since(self, key: Any) -> datetime | None:
        """Return where to begin to look; None for the beginning."""
        found, until = self._found.get(key, (None, 0.0))
        return found if monotonic() < until else None

    def keep(self, key: Any, expiry: datetime) -> None:
        """Keep that nothing older is due. The age counts from the last look that went from the beginning."""
        until = self._found[key][1] if self.since(key) else monotonic() + self.AGE
        self._found[key] = (expiry, until)

    def forget(self) -> None:
        """Forget everything."""
        self._found.clear()
