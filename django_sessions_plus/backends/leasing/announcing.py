"""How this package announces what it writes, where no trigger does: before the commit, and once more after it.

Before the commit, so that a row is in no memory when its change becomes visible, and is not read into one as it was
before. After it, so that it may be read again. A rollback announces nothing, but is noticed: the callback of the commit
is gone then (``commits.is_over``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from django.db import connections, router

from django_sessions_plus.backends import commits
from django_sessions_plus.backends.leasing import listening, wire
from django_sessions_plus.backends.leasing.holds import ALL
from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.backends.leasing.publishing import Publisher
from django_sessions_plus.conf import config
from django_sessions_plus.conf.engine import engine

MOST_NAMED = wire.MOST_NAMED
"""How many sessions one announcement names; for more, it concerns all."""


class Change:
    """A change of what ``announcements`` name, for the memories of this process, and over Redis for those of others."""

    def __init__(self, announcements: Collection[str], memories: Iterable[Memory] = ()) -> None:
        self.announcements = announcements if len(announcements) <= MOST_NAMED else (ALL,)
        self.token = wire.new_token()
        self.publisher = _publisher()
        of_process = [each.memory for each in listening.listeners()]
        self.memories = list({id(each): each for each in (*of_process, *memories)}.values())

    def begin(self, seconds: float = inf, is_over: Any = None) -> None:
        """Announce it before it is written; it is over after ``seconds``, or when ``is_over`` says so."""
        for memory in self.memories:
            memory.hold(self.token, self.announcements, seconds=seconds, is_over=is_over)
        if self.publisher is not None and self.announcements:
            self.publisher.begin(self.token, self.announcements, is_over)

    def end(self) -> None:
        """Announce that it is committed, or that nobody knows whether it is."""
        for memory in self.memories:
            memory.release(self.token, self.announcements)
        if self.publisher is not None and self.announcements:
            self.publisher.end(self.token, self.announcements)


def is_needed() -> bool:
    """Return whether writers have to announce what they change, because no trigger does."""
    return not listening.is_by_triggers()


@contextmanager
def announced(
    announcements: Collection[str], using: str, memories: Iterable[Memory] = ()
) -> Iterator[None]:
    """Announce what the block writes to the database ``using``: before it, and once it is committed.

    In a transaction that Django knows nothing of, nobody can tell when that is, and so for ``SESSIONS_PLUS_CACHE_AGE``
    nothing of it is kept.
    """
    if not is_needed():
        yield
        return
    change = Change(announcements, memories)
    if connections[using].in_atomic_block:
        end = change.end
        commits.first_on_commit(end, using)
        change.begin(is_over=commits.is_over(end, using))
        yield
    elif commits.is_in_unknown_transaction(using):
        change.begin(config.CACHE_AGE.total_seconds())
        yield
    else:
        change.begin()
        try:
            yield
        finally:
            # Also after an error: it may be the connection that was lost, after the commit.
            change.end()


def announce(announcements: Collection[str], using: str) -> None:
    """Announce what the running transaction on ``using`` has written: now, and once it is committed."""
    with announced(announcements, using):
        pass


def _publisher() -> Publisher | None:
    """Return what publishes for the sessions of ``SESSION_ENGINE``; others are served from no memory."""
    store: Any = engine()
    if not hasattr(store, "get_model_class"):
        return None
    model = store.get_model_class()
    return listening.channel_of(model, router.db_for_write(model)).publisher()
