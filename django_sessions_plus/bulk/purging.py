"""The purge: delete old rows in small batches, and wipe the data of sessions that have expired.

Expired anonymous sessions are deleted at once, ended and expired sign-ins after
``SESSIONS_PLUS_RETENTION``. Before that, a sign-in that has expired is marked as ended by its
timeout, and its data is wiped (``expiring``). A piece is a range of ``expires_at`` and one short
transaction. The next piece begins where the last one ended: to search for the oldest rows
again would read all index entries that are deleted and not yet cleaned up. ``oldest`` bounds the first search.

Any number of processes may purge at once. Rows that another process is deleting are skipped
where the database can do that, and each row is counted by the process that deleted or marked it.

Longer than other modules, because every kind of row is purged by the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any, Literal

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.models import Q
from django.utils import timezone

from django_sessions_plus.bulk.deleting import delete
from django_sessions_plus.bulk.expiring import mark_expired
from django_sessions_plus.bulk.locking import without_index
from django_sessions_plus.bulk.oldest import Memory, oldest_expiry, oldest_first
from django_sessions_plus.conf import config
from django_sessions_plus.querysets import SessionQuerySet

Rows = SessionQuerySet[Any]

Kind = Literal["expired", "anonymous", "signed_in"]
KINDS: tuple[Kind, ...] = ("expired", "anonymous", "signed_in")
"""Sign-ins that have expired, whose data is wiped; anonymous rows to delete; signed-in rows to delete."""

Progress = Callable[[int], None]
"""Called after each batch with the number of rows done so far."""

# How many rows a purge after a request takes.
HANDFUL = 100

# Seconds that it may look for the oldest of them: the thread has requests to serve.
HANDFUL_SECONDS = 0.1

# Counting stops here: otherwise the count could take longer than the purge.
MAX_COUNT = 1_000_000

BATCH_SIZE = 5000
"""The most rows that one transaction takes, unless the caller gives another number."""

# Seconds. After a batch that takes longer, the next one has half the rows, but at least
# MIN_BATCH_SIZE. The first has at most FIRST_BATCH_SIZE rows, because its time is not known yet. Not half
# a second: on a slow disk, one batch may take five times as long as the next.
SLOW = 0.1
FIRST_BATCH_SIZE = 500
MIN_BATCH_SIZE = 100

# Seconds. SQLite has one writer at a time, and a waiting writer only tries again in intervals.
MAX_PAUSE = 0.05


@dataclass
class Purged:
    """The figures of a purge so far."""

    expired: int = 0
    """How many expired sign-ins were marked and their data wiped; their rows may be deleted later."""
    anonymous: int = 0
    signed_in: int = 0
    batches: int = 0
    longest: float = 0.0
    """Seconds that the longest statement took; on MariaDB and MySQL, all statements of one batch together."""
    elapsed: float = 0.0
    """Seconds since the beginning."""
    is_finished: bool = False
    """Whether nothing is left to purge."""

    @property
    def deleted(self) -> int:
        """How many rows were deleted."""
        return self.anonymous + self.signed_in

    @property
    def done(self) -> int:
        """How many rows were deleted or marked; a row that was marked and then deleted counts twice."""
        return self.expired + self.deleted


def purge(
    rows: Rows,
    *,
    now: datetime | None = None,
    batch_size: int | None = None,
    budget: timedelta | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Purged:
    """Purge those of ``rows`` that are due at ``now`` (default: the current time) and return the figures.

    ``batch_size`` (default: ``BATCH_SIZE``) is the most rows that one
    transaction takes. After each batch ``progress`` is called with the number of rows done so
    far; the work stops once it has taken ``budget`` (None: no limit) or ``should_stop()`` is true.
    """
    work = _Work(rows, now, batch_size, _stop(budget, progress, should_stop))
    while work.step():
        pass
    return work.figures


async def apurge(
    rows: Rows,
    *,
    now: datetime | None = None,
    batch_size: int | None = None,
    budget: timedelta | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Purged:
    """See purge(). Other tasks can run between batches."""
    work = _Work(rows, now, batch_size, _stop(budget, progress, should_stop))
    while await sync_to_async(work.step, thread_sensitive=True)():
        pass
    return work.figures


def purge_handful(rows: Rows, kind: Kind, memory: Memory | None = None) -> int:
    """Purge up to ``HANDFUL`` rows of one kind and return how many; skips locked rows.

    ``memory`` is for calls with all rows of a model: they go on where the last one was.
    """
    rows = rows.for_writing().quietly()
    now, key = timezone.now(), (rows.model, rows.db, kind)
    (condition, until) = next((each, until) for name, each, until in _kinds(now) if name == kind)
    rows = rows.order_by(*oldest_first(kind, rows.db))
    since = None if memory is None else memory.since(key)
    oldest = oldest_expiry(rows.filter(condition), until, since=since, seconds=HANDFUL_SECONDS)
    if memory is not None:
        # Rows that were due and locked are found again: they are not older than what was found.
        memory.keep(key, oldest or until)
    if oldest is None:
        return 0
    due = condition & Q(expires_at__gte=oldest, expires_at__lte=until)
    return _take(kind, rows, due, now, limit=HANDFUL)[0]


def count_purgeable(rows: Rows, *, now: datetime | None = None) -> dict[Kind, int]:
    """Return how many rows of each kind a purge would take, at most ``MAX_COUNT``."""
    rows = rows.for_writing().order_by()
    conditions = purgeable(now or timezone.now())
    return {kind: rows.filter(each)[:MAX_COUNT].count() for kind, each in conditions.items()}


def purgeable(now: datetime) -> dict[Kind, Q]:
    """Return, for each kind, the condition of the rows that a purge takes at ``now``."""
    return {kind: condition & Q(expires_at__lte=until) for kind, condition, until in _kinds(now)}


def _kinds(now: datetime) -> Iterator[tuple[Kind, Q, datetime]]:
    """Yield each kind, the condition of its rows, and the time before which they must have expired."""
    # First, so that the end of a row is logged before the row is deleted. The empty reason makes
    # the index usable.
    yield "expired", Q(user__isnull=False, ended_at=None, end_reason=""), now
    yield "anonymous", Q(user__isnull=True), now
    yield "signed_in", Q(user__isnull=False), now - config.RETENTION


def _take(
    kind: Kind, rows: Rows, condition: Q, now: datetime, limit: int | None = None
) -> tuple[int, float]:
    """Mark or delete rows of this kind; return how many, and how many seconds it took."""
    if kind == "expired":
        return mark_expired(rows, condition, now, limit)
    return delete(rows, condition, limit)


class _Work:
    """A running purge."""

    def __init__(
        self,
        rows: Rows,
        now: datetime | None,
        batch_size: int | None,
        must_stop: Callable[[Purged], bool],
    ) -> None:
        # No copies to invalidate: marking an expired row has done that, and a copy of an expired
        # row is not used.
        self.rows = rows.for_writing().quietly()
        self.largest = batch_size or BATCH_SIZE
        self.size = min(self.largest, FIRST_BATCH_SIZE)
        self.figures = Purged()
        self._must_stop = must_stop
        self._began = monotonic()
        self._now = now or timezone.now()
        self._pieces = self._all_pieces(self._now)

    def step(self) -> bool:
        """Purge one piece, if there is one left, and return whether to go on."""
        found = next(self._pieces, None)
        if found is None:
            self.figures.is_finished = True
        else:
            self._take(*found)
        self.figures.elapsed = monotonic() - self._began
        return found is not None and not self._must_stop(self.figures)

    def _take(self, kind: Kind, piece: Q) -> None:
        figures = self.figures
        taken, seconds = _take(kind, self.rows, piece, self._now)
        setattr(figures, kind, getattr(figures, kind) + taken)
        figures.batches += taken > 0
        figures.longest = max(figures.longest, seconds)
        self._adapt(seconds)

    def _adapt(self, seconds: float) -> None:
        """Choose the size of the next batch, and pause so that other writers can go on."""
        if seconds > SLOW:
            self.size = max(self.size // 2, min(MIN_BATCH_SIZE, self.largest))
        elif seconds < SLOW / 2:
            self.size = min(self.size * 2, self.largest)
        if connections[self.rows.db].vendor == "sqlite":
            sleep(min(seconds, MAX_PAUSE))

    def _all_pieces(self, now: datetime) -> Iterator[tuple[Kind, Q]]:
        for kind, condition, until in _kinds(now):
            for piece in self._pieces_of(condition, until, oldest_first(kind, self.rows.db)):
                yield kind, piece

    def _pieces_of(self, condition: Q, until: datetime, order: tuple[str, ...]) -> Iterator[Q]:
        """Cut the expired rows into ranges of ``expires_at``, none with more rows than a batch."""
        end = Q(expires_at__lte=until)
        began = monotonic()
        oldest = oldest_expiry(self.rows.filter(condition).order_by(*order), until)
        self.figures.longest = max(self.figures.longest, monotonic() - began)
        if oldest is None:
            return
        # Exactly one lower and one upper bound. With two, SQLite may use the wrong one and read to
        # the end; without one, PostgreSQL expects many rows, and may read the whole table.
        rest = condition & Q(expires_at__gte=oldest)
        while len(border := self._batch_boundary(rest & end, *order)) == 2:
            last, following = border
            if last < following:
                yield rest & Q(expires_at__lte=last)
            else:
                # All rows of the batch expire at the same time, because one statement ended them all.
                yield rest & Q(expires_at__lt=last)
                yield from self._pieces_of_same_expiry(condition, last, order)
            rest = condition & Q(expires_at__gt=last)
        yield rest & end

    def _pieces_of_same_expiry(
        self, condition: Q, moment: datetime, order: tuple[str, ...]
    ) -> Iterator[Q]:
        """Cut the rows that expired at one time into pieces by primary key."""
        # A range, so that PostgreSQL uses the index on the expiry. With an equality, it may go by
        # primary key and read all active rows before it finds these at the end.
        same_expiry = condition & Q(expires_at__gte=moment, expires_at__lte=moment)
        while keys := self._read_column(same_expiry, order, slice(self.size), "pk"):
            before = self.figures.done
            # By primary keys: a marked row keeps its expiry, and would be found again each time.
            yield without_index(condition & Q(expires_at=moment)) & Q(pk__in=keys)
            if self.figures.done == before:
                # Other transactions have locked them, to purge them or to use them again.
                return

    def _batch_boundary(self, rest: Q, *order: str) -> list[Any]:
        """Return the last value of the next batch and the value after it; fewer if the rest fits into one batch.

        The values are those of the last column of the order.
        """
        return self._read_column(rest, order, slice(self.size - 1, self.size + 1), order[-1])

    def _read_column(
        self, condition: Q, order: tuple[str, ...], positions: slice, column: str
    ) -> list[Any]:
        rows = self.rows.filter(condition).order_by(*order).values_list(column, flat=True)
        began = monotonic()
        found = list(rows[positions])
        self.figures.longest = max(self.figures.longest, monotonic() - began)
        return found


def _stop(
    budget: timedelta | None, progress: Progress | None, should_stop: Callable[[], bool] | None
) -> Callable[[Purged], bool]:
    """Return a function that reports the progress after each batch and returns whether to stop."""

    def must_stop(figures: Purged) -> bool:
        if progress is not None:
            progress(figures.done)
        if budget is not None and figures.elapsed >= budget.total_seconds():
            return True
        return should_stop is not None and should_stop()

    return must_stop
