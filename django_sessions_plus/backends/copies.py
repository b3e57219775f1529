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
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.conf import settings
from django.core.cache import BaseCache

from django_sessions_plus import tokens
from django_sessions_plus.backends.circuit import Circuit, Debt, circuit_of, is_everything
from django_sessions_plus.backends.forms import Form, form_of
from django_sessions_plus.backends.wire import Change, Wire, wire_of
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

# How long a token is believed to open nothing.
UNKNOWN_AGE = 5.0
# By how much the clocks of two hosts may differ before an entry from the future is refused.
CLOCK_SKEW = 5.0

logger = logging.getLogger("django.contrib.sessions")

_NO_CHANGE: Mapping[str, Any] = {}

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
    read_at: float
    """When the database was read for it."""


class Copies:
    """The copies of one model's rows in one cache. A cache that fails is never anybody's error."""

    def __init__(self, cache: BaseCache, model: type[AbstractSession], alias: str) -> None:
        self.cache = cache
        self.model = model
        self.alias = alias
        self.circuit: Circuit = circuit_of(settings.SESSION_CACHE_ALIAS)
        self.saving: Circuit = circuit_of(settings.SESSION_CACHE_ALIAS, "saving")
        self.wire: Wire = wire_of(settings.SESSION_CACHE_ALIAS, cache)
        self.form: Form = form_of(model, alias)

    def find(self, digest: str) -> Found | None:
        """Return what the cache has for ``digest``, in one round trip; None if it cannot be asked."""
        keys = self._entry_key(digest), self._permit_key(digest), self._epoch_key
        found = self._ask("reading from", lambda: self.wire.find(*keys))
        if found is None:
            return None
        entry, permit, epoch = found
        stamp = Stamp(epoch, permit)
        if entry is None or not _is_believed(entry, stamp, digest):
            return Found(stamp, False, None, 0.0)
        return Found(stamp, True, entry[3], entry[1])

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
                stamp.epoch is not None or self.wire.add(self._epoch_key, made.epoch, None)
            ) and (
                stamp.permit is not None
                or self.wire.add(self._permit_key(digest), made.permit, _permit_age())
            )

        return made if self._save(add) else None

    def start(self, digest: str) -> Stamp | None:
        """Return the stamp for a row about to be inserted, under a permit that is new.

        So an entry that says that ``digest`` opens nothing is not believed any more. None if the
        cache did not take the permit, where such an entry is believed for up to ``UNKNOWN_AGE``,
        or if somebody else was making the epoch just now: the row's first reader makes its entry.
        """
        permit = _number()

        def replace() -> Any:
            self.wire.set(self._permit_key(digest), permit, _permit_age())
            (epoch,) = self.wire.find(self._epoch_key)
            return epoch or (self._add_epoch() or 0)

        epoch = self._save(replace)
        return Stamp(epoch, permit) if epoch else None

    def keep(self, digest: str, stamp: Stamp, read_at: float, values: Values | None) -> None:
        """Write the entry of a row that was read at ``read_at``, after ``stamp`` was taken."""
        age = _longest_age(values) - (time.time() - read_at)
        if age > 0:
            entry = (tuple(stamp), read_at, digest, values)
            key = self._entry_key(digest)
            # A whole second at least: with zero a cache keeps nothing.
            self._save(lambda: self.wire.set(key, entry, max(age, 1)))

    def renew(self, digest: str, stamp: Stamp, read_at: float, values: Values) -> Stamp | None:
        """Withdraw, and keep what the row was changed to, unless others may have changed it too.

        ``values`` are those that were read at ``read_at`` under ``stamp``, and over them what
        has been committed now. As long as the very permit is there that they were read under,
        nobody has told of another change. Returns what the new entry bears; None if there is none.
        """
        age = _longest_age(values) - (time.time() - read_at)
        if not self.wire.can_replace or age <= 0 or stamp.permit is None:
            self.withdraw([digest])
            return None
        number = _number()
        made = Stamp(stamp.epoch, number)
        # Not younger than what it was made of: a cache that has lost a withdrawal must not be
        # believed for longer.
        entry = (tuple(made), read_at, digest, values)
        change = Change(
            *(self._permit_key(digest), stamp.permit, number, _permit_age()),
            *(self._entry_key(digest), entry, max(age, 1)),
        )
        written: list[bool] = []
        if not self._tell([digest], lambda: written.append(self.wire.replace(change))):
            return None
        return made if written[0] else None

    def withdraw(self, digests: Iterable[str]) -> None:
        """Have nobody believe the entries of these rows any more; to be called once that is committed.

        Of more than ``circuit.LARGEST_DEBT``, it is the entries of all: that is told at once.
        """
        digests = set(digests)
        self._tell(digests, lambda: self._withdraw(digests))

    def withdraw_all(self) -> None:
        """Have nobody believe any entry any more. Raises what the cache raises."""
        self.cache.delete(self._epoch_key)

    def values_of(self, row: AbstractSession, columns: Mapping[str, Any] = _NO_CHANGE) -> Values:
        """Return what is kept of a row with ``columns`` changed: its own columns, and nothing of its user."""
        return tuple([columns.get(name, getattr(row, name)) for name in self.form.names])

    def row_of(self, values: Values) -> AbstractSession:
        """Return the row whose columns these are."""
        row: AbstractSession = self.form.maker.make(self.alias, values)
        return row

    def _tell(self, digests: Iterable[str], operation: Callable[[], Any]) -> bool:
        """Do what withdraws ``digests``, or see to it that it is done later; return whether it was done."""
        if not self.circuit.is_sound:
            # Whoever asks next withdraws what is owed. That may be this thread, right now.
            self.circuit.owe(digests)
            self._ask("withdrawing from", lambda: True)
            return False
        is_done = False
        try:
            is_done = self._ask("withdrawing from", lambda: (operation(),)) is not None
        finally:
            # Also when a worker is told to stop just now: the change has been committed.
            if not is_done:
                self.circuit.owe(digests)
        return is_done

    def _save(self, operation: Callable[[], T]) -> T | None:
        # A cache that is full refuses to keep anything, and still has to hear of every end.
        if not self.circuit.is_sound or not self.saving.may_ask():
            return None
        before = self.saving.debt()
        try:
            answer = operation()
        except Exception:
            self.saving.note_failure()
            logger.exception("Error saving to cache (%s)", self.cache)
            return None
        self.saving.note_success(before)
        return answer

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
            self._withdraw(debt.digests)
        return debt

    def _withdraw(self, digests: Collection[str]) -> None:
        if is_everything(digests):
            self.withdraw_all()
        else:
            self.wire.delete([self._permit_key(digest) for digest in digests])

    def _add_epoch(self) -> int | None:
        epoch = _number()
        return epoch if self.wire.add(self._epoch_key, epoch, None) else None

    def _entry_key(self, digest: str) -> str:
        return f"{self.form.entries}{digest}"

    def _permit_key(self, digest: str) -> str:
        return f"{self.form.permits}{digest}"

    @property
    def _epoch_key(self) -> str:
        return self.form.epoch


def _is_believed(entry: Any, stamp: Stamp, digest: str) -> bool:
    if not isinstance(entry, tuple) or len(entry) != 4:
        return False
    # The digest, too: a connection that mixes up its answers must not mix up people.
    if None in stamp or entry[0] != stamp or entry[2] != digest:
        return False
    age: float = time.time() - entry[1]
    return -CLOCK_SKEW <= age < _longest_age(entry[3])


def _longest_age(values: Values | None) -> float:
    longest = config.CACHE_AGE.total_seconds()
    return min(longest, UNKNOWN_AGE) if values is None else longest


def _permit_age() -> float:
    # Outlives an entry, for the next one not to need another; not more, for every token that
    # somebody makes up gets one.
    return max(2 * config.CACHE_AGE.total_seconds(), 1)


def _number() -> int:
    return tokens.make_id().int
