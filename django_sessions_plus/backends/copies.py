"""Copies of rows in a cache, and the permits without which no copy is believed.

A row's entry names the permit it was made under, a number nobody can guess. Who fills
an entry takes the permit first and reads the database after; who has changed the row,
or ended it, commits first and withdraws the permit after. A reader fetches both together
and believes an entry only under the very permit that is there. So, however late a
filler writes, what it read before the change bears a permit that is gone. No clocks are
compared for that, and no marker has to survive: a permit that was evicted or emptied
away is a row read from the database once more, and the next permit is another number.

One more permit, the epoch, covers all entries; ``sessions_refresh_cache`` withdraws it.
Entries are believed for ``SESSIONS_PLUS_CACHE_AGE`` after the database was read, at the
most: that bounds what a cache does that loses or refuses a withdrawal.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterable
from functools import cache as remember_result
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.conf import settings
from django.core.cache import BaseCache
from django.db.models import NOT_PROVIDED

from django_sessions_plus import tokens
from django_sessions_plus.backends.circuit import Circuit, Debt, circuit_of
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

FORM = 1
PREFIX = "django_sessions_plus"
# How long a token is believed to open nothing.
UNKNOWN_AGE = 5.0
# By how much the clocks of two hosts may differ before an entry from the future is refused.
CLOCK_SKEW = 5.0

logger = logging.getLogger("django.contrib.sessions")

T = TypeVar("T")
Values = tuple[Any, ...]


class Stamp(NamedTuple):
    """What an entry has to bear to be believed."""

    epoch: int | None
    permit: int | None


class Found(NamedTuple):
    """What the cache has for a digest."""

    stamp: Stamp
    is_believed: bool
    values: Values | None
    """The row's columns; None, if believed, says that there is no row."""


class Copies:
    """The copies of one model's rows in one cache. A cache that fails is never anybody's error."""

    def __init__(self, cache: BaseCache, model: type[AbstractSession]) -> None:
        self.cache = cache
        self.model = model
        self.circuit: Circuit = circuit_of(settings.SESSION_CACHE_ALIAS)
        self.form = _form(model, settings.USE_TZ)

    def find(self, digest: str) -> Found | None:
        """Return what the cache has for ``digest``, in one round trip; None if it cannot be asked."""
        entry_key, permit_key = self._entry_key(digest), self._permit_key(digest)
        keys = [entry_key, permit_key, self._epoch_key]
        found = self._ask("reading from", lambda: self.cache.get_many(keys))
        if found is None:
            return None
        stamp = Stamp(found.get(self._epoch_key), found.get(permit_key))
        entry = found.get(entry_key)
        if entry is None or not _is_believed(entry, stamp):
            return Found(stamp, False, None)
        return Found(stamp, True, entry[2])

    def take_stamp(self, digest: str, stamp: Stamp) -> Stamp | None:
        """Return what an entry for ``digest`` may bear, to be taken before the database is read.

        None if somebody else is taking it just now, or the cache cannot be asked.
        """
        if stamp.epoch is not None and stamp.permit is not None:
            return stamp
        made = Stamp(stamp.epoch or _number(), stamp.permit or _number())

        def add() -> bool:
            # Only what was missing: to replace a permit is to withdraw it from its entry.
            return (
                stamp.epoch is not None or self.cache.add(self._epoch_key, made.epoch, None)
            ) and (
                stamp.permit is not None
                or self.cache.add(self._permit_key(digest), made.permit, _permit_age())
            )

        return made if self._ask("saving to", add) else None

    def start(self, digest: str) -> Stamp | None:
        """Return the stamp for a row about to be inserted; whatever was said of ``digest`` is void."""
        permit = _number()

        def replace() -> Any:
            self.cache.set(self._permit_key(digest), permit, _permit_age())
            epoch = self.cache.get(self._epoch_key)
            return epoch or (self._add_epoch() or 0)

        epoch = self._ask("saving to", replace)
        return Stamp(epoch, permit) if epoch else None

    def keep(self, digest: str, stamp: Stamp, read_at: float, values: Values | None) -> None:
        """Write the entry of a row that was read at ``read_at``, after ``stamp`` was taken."""
        age = _longest_age(values) - (time.time() - read_at)
        if age > 0:
            entry = (tuple(stamp), read_at, values)
            key = self._entry_key(digest)
            # A whole second at least: with zero a cache keeps nothing.
            self._ask("saving to", lambda: self.cache.set(key, entry, max(age, 1)))

    def withdraw(self, digests: Iterable[str]) -> None:
        """Have nobody believe the entries of these rows any more; to be called once that is committed."""
        digests = set(digests)
        keys = [self._permit_key(digest) for digest in digests]

        def delete() -> bool:
            self.cache.delete_many(keys)
            return True

        if not self._ask("saving to", delete):
            self.circuit.owe(digests)

    def withdraw_all(self) -> None:
        """Have nobody believe any entry any more. Raises what the cache raises."""
        self.cache.delete(self._epoch_key)

    def values_of(self, row: AbstractSession) -> Values:
        """Return what is kept of a row: its own columns, and nothing of its user."""
        return tuple([getattr(row, name) for name in self.form.names])

    def row_of(self, values: Values, alias: str) -> AbstractSession:
        """Return the row whose columns these are."""
        return self.model.from_db(alias, self.form.names, values)

    def _ask(self, doing: str, operation: Callable[[], T]) -> T | None:
        circuit = self.circuit
        if not circuit.may_ask():
            return None
        try:
            repaid = self._repay()
            answer = operation()
        except Exception:
            circuit.note_failure()
            logger.exception("Error %s cache (%s)", doing, self.cache)
            return None
        circuit.note_success(repaid)
        return answer

    def _repay(self) -> Debt | None:
        debt = self.circuit.debt()
        if debt is not None and debt.digests is None:
            self.withdraw_all()
        elif debt is not None and debt.digests:
            self.cache.delete_many([self._permit_key(digest) for digest in debt.digests])
        return debt

    def _add_epoch(self) -> int | None:
        epoch = _number()
        return epoch if self.cache.add(self._epoch_key, epoch, None) else None

    def _entry_key(self, digest: str) -> str:
        return f"{self.form.entries}{digest}"

    def _permit_key(self, digest: str) -> str:
        return f"{self.form.permits}{digest}"

    @property
    def _epoch_key(self) -> str:
        return self.form.epoch


class _Form(NamedTuple):
    names: tuple[str, ...]
    entries: str
    permits: str
    epoch: str
    is_known_before_insert: bool


@remember_result
def _form(model: type[AbstractSession], use_tz: bool) -> _Form:
    fields = model._meta.concrete_fields
    names = tuple(field.attname for field in fields)
    # While one version of a project takes the place of another both are running: they share
    # permits, but neither may read the other's entries.
    form = zlib.crc32(repr((FORM, use_tz, names)).encode())
    prefix = f"{PREFIX}:{model._meta.label_lower}"
    return _Form(
        names=names,
        entries=f"{prefix}:entry:{form}:",
        permits=f"{prefix}:permit:",
        epoch=f"{prefix}:epoch",
        is_known_before_insert=not any(map(_is_the_databases, fields)),
    )


def _is_the_databases(field: Any) -> bool:
    """Tell whether the database decides what is in the field."""
    return field.generated or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def _is_believed(entry: Any, stamp: Stamp) -> bool:
    if not isinstance(entry, tuple) or len(entry) != 3:
        return False
    if None in stamp or entry[0] != stamp:
        return False
    age: float = time.time() - entry[1]
    return -CLOCK_SKEW <= age < _longest_age(entry[2])


def _longest_age(values: Values | None) -> float:
    longest = config.CACHE_AGE.total_seconds()
    return min(longest, UNKNOWN_AGE) if values is None else longest


def _permit_age() -> float:
    # Outlives an entry, for the next one not to need another; not more, for every token that
    # somebody makes up gets one.
    return max(2 * config.CACHE_AGE.total_seconds(), 1)


def _number() -> int:
    return tokens.make_id().int
