"""Who is called when a session may have ended, because it holds a connection open for longer than a request.

A thread of its own calls the receivers: a slow one would keep the thread that listens from extending the lease. It runs
while somebody subscribes, and only then are announcements passed to it and echoes sent though no request asks.

A receiver is called too often rather than too seldom: also when a new connection may have missed something, and while
the lease is not valid. Announcements wait as a set of receivers to be called, so they take no more memory than the
subscriptions do, however many come while a receiver is slow.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING

from django.db import connections

from django_sessions_plus.backends.leasing.holds import ALL
from django_sessions_plus.backends.leasing.listening import listeners, memory_of
from django_sessions_plus.backends.leasing.memory import Memory, now
from django_sessions_plus.bookkeeping import log_failure

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

THREAD_NAME = "sessions-plus-subscribers"

LAPSE_INTERVAL = 1.0
"""Seconds between two calls of all receivers while the lease is not valid, and an end may go unheard."""

ANY_USER = "u"
"""Stands for the announcement of any user, where the text that announces a certain one is not known."""

# That of Signal.send_robust(), to which a project listens already.
logger = logging.getLogger("django.dispatch")

_subscribers: dict[type[AbstractSession], Subscribers] = {}
_lock = Lock()


def subscribers_of(model: type[AbstractSession]) -> Subscribers:
    """Return those of this process to the sessions of ``model``."""
    with _lock:
        found = _subscribers.get(model)
        # What a parent's receivers would end are connections of the parent, which calls them itself.
        if found is None or found.pid != os.getpid():
            found = _subscribers[model] = Subscribers(model)
        return found


@dataclass(frozen=True, eq=False)
class Subscription:
    """A receiver, and the announcements that concern it."""

    receiver: Callable[[], object]
    announcements: tuple[str, ...]


class Subscribers:
    """The subscriptions to sessions of ``model``, and the thread that calls their receivers. Thread-safe."""

    def __init__(self, model: type[AbstractSession]) -> None:
        self.model = model
        self.pid = os.getpid()
        self._condition = Condition(Lock())
        self._all: set[Subscription] = set()
        self._by_announcement: dict[str, set[Subscription]] = {}
        self._due: set[Subscription] = set()
        self._are_all_due = False
        self._all_called_at = -math.inf
        self._thread: Thread | None = None

    def add(self, receiver: Callable[[], object], announcements: Iterable[str]) -> Subscription:
        """Call ``receiver`` soon, because it has heard of nothing so far, and after each of ``announcements``."""
        added = Subscription(receiver, tuple(announcements))
        with self._condition:
            if self._thread is None:
                # It waits for the lock. First, because it fails where no further thread may begin.
                thread = Thread(target=self._run, name=THREAD_NAME, daemon=True)
                thread.start()
                self._thread = thread
            self._all.add(added)
            for each in added.announcements:
                self._by_announcement.setdefault(each, set()).add(added)
            self._due.add(added)
            self._condition.notify()
        return added

    def remove(self, subscription: Subscription) -> None:
        """Call its receiver no more; a call that runs goes on. Without effect in a process that was forked since."""
        if os.getpid() != self.pid:
            return
        with self._condition:
            self._all.discard(subscription)
            self._due.discard(subscription)
            for each in subscription.announcements:
                others = self._by_announcement.get(each, set())
                others.discard(subscription)
                if not others:
                    self._by_announcement.pop(each, None)
            self._condition.notify()

    def hear(self, announcement: str) -> None:
        """Have the receivers called that an announcement concerns. For the memory, which has its lock."""
        kind = announcement.partition(" ")[0]
        with self._condition:
            if kind in ("s", "u"):
                self._due |= self._by_announcement.get(announcement, set())
                self._due |= self._by_announcement.get(kind, set())
            else:
                # Also the digest of a token, which may have been rotated since somebody subscribed.
                self._are_all_due = True
            if self._due or self._are_all_due:
                self._condition.notify()

    def _run(self) -> None:
        while True:
            memory = self._attached_memory()
            with self._condition:
                if not self._all:
                    self._detach()
                    self._thread = None
                    return
                self._wait(memory)
                due = self._take_due(memory)
            self._call(due)

    def _attached_memory(self) -> Memory | None:
        """Return the memory that passes on what it hears; None if there is none for the moment."""
        try:
            memory = memory_of(self.model)
        except Exception as error:  # noqa: BLE001 - whatever a router or a setting raises; it is tried again
            log_failure("listen for sessions that end", error)
            return None
        if memory.on_heard != self.hear:
            memory.on_heard = self.hear
            # What it has heard before this was not passed on.
            self.hear(ALL)
        return memory

    def _detach(self) -> None:
        for each in listeners():
            if each.memory.on_heard == self.hear:
                each.memory.on_heard = None

    def _wait(self, memory: Memory | None) -> None:
        if self._due or self._are_all_due:
            return
        until = 0.0 if memory is None else memory.valid_until
        if until <= now():
            until = self._all_called_at + LAPSE_INTERVAL
        # The memory that hears all by itself has a lease without an end.
        self._condition.wait(None if until == math.inf else max(0.0, until - now()))

    def _take_due(self, memory: Memory | None) -> list[Subscription]:
        at = now()
        is_lapsed = memory is None or memory.valid_until <= at
        if is_lapsed and at >= self._all_called_at + LAPSE_INTERVAL:
            self._are_all_due = True
        due = self._due
        if self._are_all_due:
            due, self._all_called_at = self._all, at
        found = list(due)
        self._due, self._are_all_due = set(), False
        return found

    def _call(self, due: list[Subscription]) -> None:
        for each in due:
            if each not in self._all:
                continue
            try:
                each.receiver()
            except BaseException:
                # Also an exit, and a filter of the log that fails: without this thread nobody would be called.
                with suppress(Exception):
                    logger.exception("A receiver of leases.subscribe() failed.")
        if due:
            # Those that receivers have opened in this thread, which no request ends.
            with suppress(Exception):
                connections.close_all()


def _renew_lock() -> None:
    """After a fork, because a thread that there is no more may have the lock."""
    global _lock  # noqa: PLW0603 - the old one cannot be released
    _lock = Lock()


os.register_at_fork(after_in_child=_renew_lock)
