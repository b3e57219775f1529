"""How a process publishes on Redis what it changes: by one client of redis-py, which its threads share.

A write never fails because of Redis, and is never repeated. If something could not be published, that is logged;
until it is certain that no process serves it any more, ``settled`` says so; and once Redis is back, all processes are
told to forget all they have.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from importlib import import_module
from math import ceil
from threading import Lock
from typing import Any, NamedTuple

from django_sessions_plus import events
from django_sessions_plus.backends.caching.circuit import Circuit
from django_sessions_plus.backends.leasing import wire
from django_sessions_plus.backends.leasing.holds import ALL
from django_sessions_plus.backends.leasing.memory import now
from django_sessions_plus.backends.leasing.redis_location import Location
from django_sessions_plus.conf import config
from django_sessions_plus.conf.changes import on_setting_change

TIMEOUT = 0.5
"""For how many seconds a write waits for Redis to answer, or to accept a connection. After that, no thread waits
for a second: see ``Circuit``."""

REPORTED_EVERY = 60.0
"""Seconds after which it is logged again that nothing can be published."""

MOST_RUNNING = 100
"""How many transactions' changes are watched for a rollback. To ask takes as long as there are callbacks to call at a
commit, of which a transaction that ends many sessions has many."""

MAX_CONNECTIONS = 1000
"""More than a process has threads: that none is free would count as an announcement that failed."""


class WrongServerError(Exception):
    """The server is no primary: those who listen are at another one."""


class _Running(NamedTuple):
    """A change of this process in a transaction that has not ended yet."""

    announcements: Collection[str]
    is_over: Callable[[], bool]
    begun_at: float


class Publisher:
    """Publishes the changes of one process on one channel. Thread-safe; for the process that made it."""

    def __init__(self, location: Location, channel: str) -> None:
        self.channel = channel
        redis = import_module("redis")
        self._pool = redis.ConnectionPool(
            connection_class=location.connection_class,
            max_connections=MAX_CONNECTIONS,
            **location.options_with(TIMEOUT),
        )
        self._client: Any = redis.Redis(connection_pool=self._pool)
        self._circuit = Circuit()
        self._running: dict[str, _Running] = {}
        self._lock = Lock()
        self._unheard_until = self._reported_at = self._ended_at = float("-inf")

    def begin(
        self,
        token: str,
        announcements: Collection[str],
        is_over: Callable[[], bool] | None,
    ) -> None:
        """Publish a change before it is written. ``is_over`` says whether it has been committed or rolled back."""
        rolled_back = self._ended()
        if is_over is not None and len(self._running) < MOST_RUNNING:
            self._running[token] = _Running(announcements, is_over, now())
        if not self._publish(*rolled_back, wire.before(token, announcements)):
            self._note_unpublished()

    def end(self, token: str, announcements: Collection[str]) -> None:
        """Publish that a change is over."""
        self._running.pop(token, None)
        if not self._publish(wire.after(token, announcements)):
            self._note_unpublished()

    def catch_up(self) -> None:
        """Publish what nobody waits for: that changes were rolled back, and what has failed before.

        The thread that listens calls it with each echo.
        """
        rolled_back = self._ended()
        if rolled_back or self._circuit.has_pending:
            self._publish(*rolled_back)

    def unheard_for(self) -> int | None:
        """Return after how many seconds no process serves what could not be published; None if all could."""
        left = self._unheard_until - now()
        return ceil(left) if left > 0 else None

    def close(self) -> None:
        """Close idle connections; a thread that still publishes uses a new one."""
        self._pool.disconnect(inuse_connections=False)

    def _ended(self) -> list[str]:
        """Return what to publish of changes that are over without a callback, once a second."""
        at = now()
        if at < self._ended_at + 1:
            return []
        self._ended_at = at
        messages = []
        for token, each in tuple(self._running.items()):
            if each.is_over():
                # After a commit, the callback publishes it as well; twice does no harm.
                messages.append(wire.after(token, each.announcements))
                self._running.pop(token, None)
            elif at - each.begun_at >= config.CACHE_AGE.total_seconds():
                self._running.pop(token, None)
        return messages

    def _publish(self, *messages: str) -> bool:
        """Publish these, and that all is to be forgotten if others have failed; return whether they were."""
        if not self._circuit.may_call():
            return False
        pending = self._circuit.pending()
        if self._circuit.has_pending:
            messages = *messages, wire.after(wire.new_token(), (ALL,))
        try:
            self._send(messages)
        except Exception as error:  # noqa: BLE001 - whatever redis-py or a server raises; the write goes on
            self._circuit.note_failure()
            self._report(error)
            return False
        with self._lock:
            self._circuit.note_success(pending)
            if pending is not None and not self._circuit.has_pending:
                heard_at = now() + config.LEASE.total_seconds()
                self._unheard_until = min(self._unheard_until, heard_at)
        return True

    def _send(self, messages: Collection[str]) -> None:
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.info("replication")
            for each in messages:
                pipeline.publish(self.channel, each)
            role, *_ = pipeline.execute()
        if role.get("role") != "master":
            # So that the name of the server is looked up again.
            self._pool.disconnect()
            raise WrongServerError(f"the server is a {role.get('role')}")

    def _note_unpublished(self) -> None:
        with self._lock:
            self._circuit.add_pending([ALL])
            self._unheard_until = now() + config.CACHE_AGE.total_seconds()

    def _report(self, error: Exception) -> None:
        at = now()
        if at - self._reported_at >= REPORTED_EVERY:
            self._reported_at = at
            events.LEASE_NOT_ANNOUNCED.log(error=f"{type(error).__name__}: {error}")


_publishers: dict[tuple[int, str, str], Publisher] = {}


def publisher_of(location: Location, channel: str) -> Publisher:
    """Return the publisher of this process for a channel. Connects to nothing."""
    pid = os.getpid()
    key = pid, location.shown, channel
    found = _publishers.get(key)
    if found is None:
        for each in tuple(_publishers):
            if each[0] != pid:
                # Of the process that this was forked from; redis-py closes the copies of its sockets.
                _publishers.pop(each, None)
        # If several threads do this at once, all use that of the first one.
        found = _publishers.setdefault(key, Publisher(location, channel))
    return found


def _close_all() -> None:
    while _publishers:
        _publishers.popitem()[1].close()


on_setting_change(_close_all, "CACHES", "SESSIONS_PLUS_LEASE_CHANNEL")
