"""The purge: delete in small batches what is no longer needed.

Expired anonymous sessions go at once, ended and expired sign-ins after
``SESSIONS_PLUS_RETENTION``. A piece is a range of ``expires_at`` and one short
transaction. The next piece begins where the last one ended: searching for the oldest
rows anew each time would read again all index entries that are deleted and not yet
cleaned up.

Any number of processes may purge at once. Rows that another process is deleting are skipped
where the database can do that, and each row is counted by the process that deleted it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Literal

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.models import Q
from django.utils import timezone

from django_sessions_plus.conf import config
from django_sessions_plus.deleting import delete

if TYPE_CHECKING:
    from django_sessions_plus.querysets import SessionQuerySet

    Rows = SessionQuerySet[Any]

Kind = Literal["anonymous", "signed_in"]
KINDS: tuple[Kind, ...] = ("anonymous", "signed_in")

Progress = Callable[[int], None]
"""Called after each batch with the number of rows done so far."""

# How many rows a purge in passing deletes.
HANDFUL = 100

# What is counted is counted no further than this, for the count not to take longer than the work.
COUNTED = 1_000_000

# Seconds. A batch that takes longer is followed by one of half the rows, down to FEWEST; the
# first has no more than FIRST, for nobody knows yet how long they take. Where it waits for a
# disk one batch takes up to five times as long as the next, and half a second is too long.
LONG = 0.1
FIRST = 500
FEWEST = 100

# Seconds. SQLite has one writer at a time, and who waits for a turn looks for it only now and then.
LONGEST_PAUSE = 0.05


@dataclass
class Purged:
    """What a purge has done so far."""

    anonymous: int = 0
    signed_in: int = 0
    batches: int = 0
    longest: float = 0.0
    """Seconds that the longest statement took; on MariaDB and MySQL, those of one batch together."""
    elapsed: float = 0.0
    """Seconds since the beginning."""
    is_finished: bool = False
    """Whether it went on until nothing was left."""

    @property
    def deleted(self) -> int:
        """How many rows were deleted."""
        return self.anonymous + self.signed_in


def purge(
    rows: Rows,
    *,
    now: datetime | None = None,
    batch_size: int | None = None,
    budget: timedelta | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Purged:
    """Delete from ``rows`` what was purgeable at ``now`` (default: this moment) and return the figures.

    ``batch_size`` (default: ``SESSIONS_PLUS_PURGE_BATCH_SIZE``) is the most rows that one
    statement deletes. After each batch ``progress`` is called with the number of rows deleted so
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
    """See purge(). Other tasks have their turn between batches."""
    work = _Work(rows, now, batch_size, _stop(budget, progress, should_stop))
    while await sync_to_async(work.step, thread_sensitive=True)():
        pass
    return work.figures


def purge_handful(rows: Rows, kind: Kind) -> int:
    """Delete up to ``HANDFUL`` rows of one kind and return how many; waits for no row that is locked."""
    rows = rows.for_writing().quietly()
    some = rows.order_by(*_oldest_first(kind, rows.db))
    return delete(some, purgeable(timezone.now())[kind], limit=HANDFUL)[0]


def count_purgeable(rows: Rows, *, now: datetime | None = None) -> dict[Kind, int]:
    """Return how many rows of each kind a purge would delete, counted up to ``COUNTED``."""
    rows = rows.for_writing().order_by()
    conditions = purgeable(now or timezone.now())
    return {kind: rows.filter(each)[:COUNTED].count() for kind, each in conditions.items()}


def purgeable(now: datetime) -> dict[Kind, Q]:
    """Return the condition for each kind of what can be deleted at ``now``."""
    return {kind: whose & Q(expires_at__lte=until) for kind, whose, until in _kinds(now)}


def _kinds(now: datetime) -> Iterator[tuple[Kind, Q, datetime]]:
    """Return each kind with whose sessions those are, and until when they have expired."""
    yield "anonymous", Q(user__isnull=True), now
    yield "signed_in", Q(user__isnull=False), now - config.RETENTION


class _Work:
    """A purge under way."""

    def __init__(
        self,
        rows: Rows,
        now: datetime | None,
        batch_size: int | None,
        must_stop: Callable[[Purged], bool],
    ) -> None:
        # No copies to withdraw: what time has stopped long ago no copy brings back.
        self.rows = rows.for_writing().quietly()
        self.largest = batch_size or config.PURGE_BATCH_SIZE
        self.size = min(self.largest, FIRST)
        self.figures = Purged()
        self._must_stop = must_stop
        self._began = monotonic()
        self._pieces = self._all_pieces(now or timezone.now())

    def step(self) -> bool:
        """Delete one piece, if there is one left, and return whether to go on."""
        found = next(self._pieces, None)
        if found is None:
            self.figures.is_finished = True
        else:
            self._take(*found)
        self.figures.elapsed = monotonic() - self._began
        return found is not None and not self._must_stop(self.figures)

    def _take(self, kind: Kind, piece: Q) -> None:
        figures = self.figures
        deleted, seconds = delete(self.rows, piece)
        setattr(figures, kind, getattr(figures, kind) + deleted)
        figures.batches += deleted > 0
        figures.longest = max(figures.longest, seconds)
        self._adapt(seconds)

    def _adapt(self, seconds: float) -> None:
        """Have the next batch be as large as will do, and leave others their turn."""
        if seconds > LONG:
            self.size = max(self.size // 2, min(FEWEST, self.largest))
        elif seconds < LONG / 2:
            self.size = min(self.size * 2, self.largest)
        if connections[self.rows.db].vendor == "sqlite":
            sleep(min(seconds, LONGEST_PAUSE))

    def _all_pieces(self, now: datetime) -> Iterator[tuple[Kind, Q]]:
        for kind, whose, until in _kinds(now):
            for piece in self._pieces_of(whose, until, _oldest_first(kind, self.rows.db)):
                yield kind, piece

    def _pieces_of(self, whose: Q, until: datetime, order: tuple[str, ...]) -> Iterator[Q]:
        """Cut what has expired into ranges of the expiry, none with more rows than a batch."""
        end = Q(expires_at__lte=until)
        oldest = self._look(whose & end, order, slice(1), order[-1])
        if not oldest:
            return
        # One bound on either side. Of two, SQLite may go by the wrong one and read on to the end;
        # of none, PostgreSQL takes all that has expired for it, and may read the whole table.
        rest = whose & Q(expires_at__gte=oldest[0])
        while len(border := self._border(rest & end, *order)) == 2:
            last, following = border
            if last < following:
                yield rest & Q(expires_at__lte=last)
            else:
                # Whole crowds expire at one moment when somebody ends all their sessions at once.
                yield rest & Q(expires_at__lt=last)
                yield from self._crowd(whose, last, order)
            rest = whose & Q(expires_at__gt=last)
        yield rest & end

    def _crowd(self, whose: Q, moment: datetime, order: tuple[str, ...]) -> Iterator[Q]:
        """Cut what has expired at one moment into pieces by name."""
        # By a range, whose order only the index has. In the order of the keys, or in none,
        # PostgreSQL reads all that lives on the way to rows that lie together at the end.
        crowd = whose & Q(expires_at__gte=moment, expires_at__lte=moment)
        while keys := self._look(crowd, order, slice(self.size), "pk"):
            before = self.figures.deleted
            yield whose & Q(expires_at=moment, pk__in=keys)
            if self.figures.deleted == before:
                # Others hold them, who are deleting them or using them again.
                return

    def _border(self, rest: Q, *order: str) -> list[Any]:
        """Return the last value of the next batch and the one that follows; fewer if the rest fits into one.

        The values are those of the last column of the order.
        """
        return self._look(rest, order, slice(self.size - 1, self.size + 1), order[-1])

    def _look(self, some: Q, order: tuple[str, ...], which: slice, column: str) -> list[Any]:
        rows = self.rows.filter(some).order_by(*order).values_list(column, flat=True)
        began = monotonic()
        found = list(rows[which])
        self.figures.longest = max(self.figures.longest, monotonic() - began)
        return found


def _oldest_first(kind: Kind, alias: str) -> tuple[str, ...]:
    # PostgreSQL goes by the index on user and expiry only if the order says so: otherwise it reads
    # every sign-in that is retained to find the anonymous rows among them. MariaDB would sort.
    if kind == "anonymous" and connections[alias].vendor == "postgresql":
        return ("user_id", "expires_at")
    return ("expires_at",)


def _stop(
    budget: timedelta | None, progress: Progress | None, should_stop: Callable[[], bool] | None
) -> Callable[[Purged], bool]:
    """Return what reports between batches, and tells whether that has to do."""

    def must_stop(figures: Purged) -> bool:
        if progress is not None:
            progress(figures.deleted)
        if budget is not None and figures.elapsed >= budget.total_seconds():
            return True
        return should_stop is not None and should_stop()

    return must_stop
