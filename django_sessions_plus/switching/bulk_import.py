"""Import all sessions of another engine, in batches, beside live traffic that imports the same sessions.

A batch is the next rows of the source by primary key. What is imported is written as one request would
write it: the keys together with the new rows, in one short transaction, and only then the rows are deleted in
the source. So it can be stopped at any time, and simply be run again. Signals and e-mails are not sent.

Longer than other modules, because what a batch does has to be read in its order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, sleep
from typing import Any

from django.db import DatabaseError, DataError, connections, transaction
from django.db.models import Count
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import events, sessions
from django_sessions_plus.backends.session import SessionStore
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.bulk.inserting import insert_many
from django_sessions_plus.bulk.locking import KEYS_PER_STATEMENT
from django_sessions_plus.conf import callables, config
from django_sessions_plus.querysets import SessionQuerySet, copying_store
from django_sessions_plus.switching import importing, mirroring
from django_sessions_plus.switching.barriers import barriers_of_many, forbids
from django_sessions_plus.switching.candidates import Batch, Candidate, Judge
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sealing import seal
from django_sessions_plus.switching.sources.rows import RowSource

BATCH_SIZE = KEYS_PER_STATEMENT
"""The most rows that are read at once and written by one transaction."""

# Seconds. After a transaction that takes longer, the next batch has half the rows, but at least
# MIN_BATCH_SIZE; after a much shorter one, it has twice as many again.
SLOW = 0.5
MIN_BATCH_SIZE = 20

# Seconds. SQLite has one writer at a time, and a waiting writer only tries again in intervals.
MAX_PAUSE = 0.05

NOT_STORABLE = "the database cannot store its row"


@dataclass
class Figures:
    """What an import has done so far; after a dry run, what it would do."""

    imported: int = 0
    already_imported: int = 0
    """How many were still in the source, although they were imported before."""
    expired: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """How many were not imported because of their user, by the reason."""
    unreadable: Counter[str] = field(default_factory=Counter)
    """How many could not be read or stored, by the reason."""
    ended: int = 0
    """How many ended at once: beyond ``SESSIONS_PLUS_MAX_PER_USER``, or because all of their user have just ended."""
    undeleted: int = 0
    """How many could not be deleted in the source; the next run tries it again."""
    batches: int = 0
    longest: float = 0.0
    """Seconds that the longest transaction took."""
    elapsed: float = 0.0
    """Seconds since the beginning."""
    is_finished: bool = False
    """Whether all rows of the source were read."""
    last_imported_at: datetime | None = None
    done: int = 0
    """How many rows of the source were read; it has more, which have expired and are only counted."""


@dataclass
class Options:
    """How to import."""

    keep_source: bool = False
    """Whether the sessions stay in the source; see ``SESSIONS_PLUS_IMPORT_KEEP_SOURCE``."""
    batch_size: int = BATCH_SIZE
    is_dry_run: bool = False
    """Whether to write nothing, and only count."""


def import_all(
    source: RowSource,
    store_class: type[SessionStore],
    options: Options,
    *,
    must_stop: Callable[[Figures], bool] = lambda figures: False,
) -> Figures:
    """Import the sessions of ``source`` into the rows of ``store_class`` and return the figures.

    ``must_stop`` is called after each batch with the figures so far, and returns whether to stop. Sessions
    that cannot be imported stay in the source. Any number of processes may do this at once.

    Raises:
        DatabaseError: a statement fails. What was imported stays imported, and the next run goes on.
        ConfigurationError: a setting cannot be used.
    """
    work = _Import(source, store_class, options)
    if options.keep_source and not options.is_dry_run:
        work.delete_ended(must_stop)
    while work.step() and not must_stop(work.figures):
        pass
    work.figures.expired += source.expired_rows().count()
    return work.figures


class _Import:
    """A running import."""

    def __init__(
        self, source: RowSource, store_class: type[SessionStore], options: Options
    ) -> None:
        self.source = source
        self.options = options
        self.stored = store_class().rows
        self.using = self.stored.alias
        self.judge = Judge(source, store_class, self.using)
        self.figures = Figures()
        self.size = options.batch_size
        self._began = monotonic()
        self._last: Any = None

    @property
    def rows(self) -> SessionQuerySet[Any]:
        """All rows of this engine."""
        return self.stored.model.objects.using(self.using)

    def delete_ended(self, must_stop: Callable[[Figures], bool]) -> None:
        """Delete in the source what has ended here; in parts, because there may be any number."""
        while mirroring.delete_ended(using=self.using, limit=self.options.batch_size):
            self._measure()
            if must_stop(self.figures):
                break

    def step(self) -> bool:
        """Import the next batch, and return whether there may be another one."""
        # The next batch begins where the last one ended: from the beginning, the database would
        # read all the index entries again whose rows were deleted.
        rest = self.source.rows().order_by("pk")
        if self._last is not None:
            rest = rest.filter(pk__gt=self._last)
        rows = list(rest[: self.size])
        self.figures.is_finished = len(rows) < self.size
        if rows:
            self._last = rows[-1].pk
            self._take(rows)
        self._measure()
        return not self.figures.is_finished

    def _take(self, rows: list[Any]) -> None:
        batch, figures = self.judge.decide(rows), self.figures
        figures.batches += 1
        figures.done += len(rows)
        figures.expired += batch.expired
        figures.refused += batch.refused
        figures.unreadable += batch.unreadable
        figures.already_imported += len(batch.imported)
        if self.options.is_dry_run:
            figures.imported += len(batch.candidates)
            return
        began = monotonic()
        written = self._write(batch.candidates)
        seconds = monotonic() - began
        figures.imported += len(written)
        self._finish(written, batch)
        self._adapt(seconds)

    def _adapt(self, seconds: float) -> None:
        """Choose the size of the next batch, and pause so that other writers can go on."""
        if seconds > SLOW:
            self.size = max(self.size // 2, min(MIN_BATCH_SIZE, self.size))
        elif seconds < SLOW / 4:
            self.size = min(self.size * 2, self.options.batch_size)
        if connections[self.using].vendor == "sqlite":
            sleep(min(seconds, MAX_PAUSE))

    # Write

    def _write(self, candidates: list[Candidate]) -> list[Candidate]:
        """Insert the rows and write down their keys; return those that this process has imported."""
        if not candidates:
            return []
        try:
            with self._timed(), transaction.atomic(using=self.using):
                keys = [self._imported_key(each) for each in candidates]
                insert_many(keys, using=self.using)
                insert_many([each.row for each in candidates], using=self.using)
                self._invalidate_copies(candidates)
        except (DatabaseError, ValueError):
            # A request has imported one of them, or the database cannot store one of them.
            return [each for each in candidates if self._write_one(each)]
        self.figures.last_imported_at = timezone.now()
        return candidates

    def _write_one(self, candidate: Candidate) -> bool:
        row, figures = candidate.row, self.figures
        row._state.adding = True
        try:
            with self._timed():
                is_ours = importing.write(self.stored, row, self._imported_key(candidate))
        except (DataError, ValueError):
            figures.unreadable[NOT_STORABLE] += 1
            return False
        if is_ours:
            figures.last_imported_at = timezone.now()
        elif ImportedKey.objects.using(self.using).filter(digest=row.token_digest).exists():
            figures.already_imported += 1
        else:
            figures.unreadable[NOT_STORABLE] += 1
        return is_ours

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = monotonic()
        try:
            yield
        finally:
            self.figures.longest = max(self.figures.longest, monotonic() - began)

    @sensitive_variables()
    def _imported_key(self, candidate: Candidate) -> ImportedKey:
        row, digest = candidate.row, candidate.row.token_digest
        key = ImportedKey(digest=digest, source=self.source.name)
        key.imported_at = row.imported_at or key.imported_at
        if self.options.keep_source:
            key.sealed_key = seal(candidate.session_key, digest)
        return key

    def _invalidate_copies(self, candidates: list[Candidate]) -> None:
        store = copying_store(self.stored.model)
        if store is not None:
            # A cache may say that no row has this token.
            store.invalidate([each.row.token_digest for each in candidates], self.using)

    # After the commit

    def _finish(self, written: list[Candidate], batch: Batch) -> None:
        """End what may not stay, and delete in the source what was imported."""
        self._end_forbidden(written)
        for each in written if events.SESSION_IMPORTED.is_enabled else ():
            events.SESSION_IMPORTED.log(
                session_id=each.row.pk, user_id=each.row.user_id, source=self.source.name
            )
        # Those imported before too: the process may have been stopped before it came to this. So
        # before they are deleted, after which no run would find them.
        self._enforce_limits(written, list(batch.imported))
        keys = batch.to_delete
        if not self.options.keep_source:
            keys = [*keys, *(each.session_key for each in written)]
        self._delete_in_source(keys)

    def _end_forbidden(self, written: list[Candidate]) -> None:
        """End those whose user has ended all sessions between the first look at the barriers and the commit."""
        signed_in = [each for each in written if each.user is not None]
        if not signed_in:
            return
        barriers = barriers_of_many((each.user for each in signed_in), using=self.using)
        forbidden = [
            each.row.pk for each in signed_in if forbids(barriers, each.user, each.old.created_at)
        ]
        self.figures.ended += sessions.revoke_many(forbidden)

    @sensitive_variables()
    def _delete_in_source(self, keys: list[str]) -> None:
        if not keys:
            return
        self.figures.undeleted += len(keys)
        with self._timed(), best_effort(f"delete imported sessions of {self.source.name}"):
            self.source.delete_many(keys)
            self.figures.undeleted -= len(keys)

    def _enforce_limits(self, written: list[Candidate], digests: list[str]) -> None:
        """End what these users have beyond ``SESSIONS_PLUS_MAX_PER_USER``: the sessions least recently seen."""
        if config.MAX_PER_USER is None:
            return
        active = self.rows.active().order_by()
        ids = {each.row.user_id for each in written}
        ids |= set(active.filter(token_digest__in=digests).values_list("user", flat=True))
        counts = active.filter(user__in=ids - {None}).values_list("user").annotate(Count("pk"))
        several = {user_id: count for user_id, count in counts if count > 1}
        users: Any = self.stored.model._meta.get_field("user").related_model
        for user in users._base_manager.in_bulk(several).values() if several else ():
            limit = callables.max_per_user(user)
            if limit is not None and several[user.pk] > limit:
                newest = active.for_user(user).newest_activity_first().first()
                if newest is not None:
                    self.figures.ended += sessions.enforce_limit(user, keep=newest)

    def _measure(self) -> None:
        self.figures.elapsed = monotonic() - self._began
