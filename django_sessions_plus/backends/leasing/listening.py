"""The thread of a process that hears what has ended, and extends the lease of its memory.

It has a connection of its own, over which its channel sends what is announced. Over that very connection it asks a
question, the echo, four times per lease; the answer comes after all that was announced before. The lease is then
extended to one length after the question was *sent*. So whatever holds up the answer, be it the network, the server, or
this thread, lets the lease end, and the database is asked.

The thread begins with the first session that a process looks for, and begins anew after a fork. While nobody asks for
sessions, or subscribes to them, it sends no echo, but goes on reading what is announced.

Longer than other modules, because the steps that begin, extend and end a lease have to be read in one piece.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
from typing import TYPE_CHECKING, Any

from django.db import router

from django_sessions_plus import events
from django_sessions_plus.backends.leasing.channels import Channel, Connection
from django_sessions_plus.backends.leasing.database_channel import DatabaseChannel
from django_sessions_plus.backends.leasing.lags import Lags
from django_sessions_plus.backends.leasing.memory import Memory, now
from django_sessions_plus.backends.leasing.process_channel import ProcessChannel
from django_sessions_plus.backends.leasing.redis_channel import RedisChannel
from django_sessions_plus.conf import config
from django_sessions_plus.conf.changes import on_setting_change

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

ECHOES = 4
"""How many echoes are sent per lease."""
FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0
"""Seconds until the next attempt, after a connection was lost or refused."""
REPORTED_AFTER = 5.0
"""Seconds without a lease after which that is logged."""

THREAD_NAME = "sessions-plus-lease"

DATABASE = "database"
"""The channel whose announcements are made by triggers; "database:alias" listens over another alias of DATABASES."""
PROCESS = "process"
"""The channel of a site that one process serves. Any other name is a URL of Redis, or a cache on it."""

_listeners: dict[Any, Listener] = {}
_lock = threading.Lock()


def memory_of(model: type[AbstractSession]) -> Memory:
    """Return the memory of this process for the rows of ``model``, and have a thread listen for it.

    Without a database that can announce anything, it is one that serves nothing.
    """
    alias = router.db_for_write(model)
    listener = _listeners.get((model, alias))
    if listener is None or listener.memory.is_inherited:
        with _lock:
            listener = _listeners.get((model, alias))
            if listener is None or listener.memory.is_inherited:
                if listener is not None:
                    # A fork in C, as that of uWSGI, may not have called _close_inherited().
                    _note_fork(listener)
                listener = _listeners[model, alias] = Listener(model, alias)
                listener.start()
    if listener.memory.valid_until <= now():
        listener.wake()
        # The thread itself cannot, while it waits for a server that does not answer.
        listener.report_if_long()
    return listener.memory


class Listener:
    """Hears for one memory. Begun by ``memory_of()``."""

    def __init__(self, model: type[AbstractSession], alias: str) -> None:
        self.channel = channel_of(model, alias)
        self.length = config.LEASE.total_seconds()
        self.memory = Memory(config.LEASE_SESSIONS, config.CACHE_AGE.total_seconds())
        self.memory.has_users = self.channel.has_users()
        self.error: str | None = None
        """Why there is no connection; None if there is one."""
        self.heard_at = now()
        """When the last echo was sent that was answered; before the first, when this began."""
        self.lags = Lags()
        self._connection: Connection | None = None
        self._woken_at = self.heard_at
        self._is_over = self._is_asleep = self._is_reported = False
        self._reading_end, self._writing_end = os.pipe()
        os.set_blocking(self._writing_end, False)
        os.set_blocking(self._reading_end, False)

    def start(self) -> None:
        """Begin to listen, in a thread that does not keep the process from ending."""
        self.error = self.channel.why_impossible()
        if self.error is not None:
            # A system check says so.
            self._is_reported = True
            return
        if not self.channel.has_connection:
            self.memory.extend(math.inf)
            return
        threading.Thread(target=self._run, name=THREAD_NAME, daemon=True).start()

    def stop(self) -> None:
        """End the thread; the memory serves nothing any more."""
        self._is_over = True
        self.memory.stop()
        self._is_asleep = True
        self.wake()

    def wake(self) -> None:
        """Have a thread that sleeps send an echo now."""
        if self._is_asleep:
            self._is_asleep = False
            self._woken_at = now()
            # A full pipe wakes it as well.
            with contextlib.suppress(OSError):
                os.write(self._writing_end, b"w")

    def why_invalid(self) -> str | None:
        """Return why the lease is not valid now, for operators; None if it is."""
        if self.memory.valid_until > now():
            return None
        if self.error is None and self._is_asleep:
            return "nobody has asked for sessions for a while, so no echo is sent"
        return self.error or "the server has not answered"

    def _run(self) -> None:
        delay = FIRST_DELAY
        while not self._is_over:
            began = now()
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - whatever a driver or a server raises; it is tried again
                self.error = f"{type(error).__name__}: {error}"
            finally:
                self.memory.stop()
                self._connection = None
            delay = FIRST_DELAY if self.heard_at > began else min(2 * delay, LONGEST_DELAY)
            if not self._is_over:
                self.report_if_long()
                _wait_until_readable([self._reading_end], delay)
        os.close(self._reading_end)
        os.close(self._writing_end)

    def report_if_long(self) -> None:
        """Log once that nothing is heard, although somebody has been asking for sessions for a while."""
        since = max(self.heard_at, self._woken_at)
        if now() - since >= REPORTED_AFTER and not self._is_reported:
            self._is_reported = True
            events.LEASE_LAPSED.log(error=self.error or "the server does not answer")

    def _listen(self) -> None:
        with contextlib.closing(self.channel.connect(self.memory)) as connection:
            self._connection = connection
            self.memory.start()
            idle_since: float | None = None
            while not self._is_over:
                sent_at = now()
                connection.echo()
                self.memory.extend(sent_at + self.length)
                self.heard_at, self.error, self._is_reported = sent_at, None, False
                self.lags.add(now() - sent_at)
                if self.memory.is_wanted or self.memory.on_heard is not None:
                    self.memory.is_wanted, idle_since = False, sent_at
                is_idle = idle_since is None or sent_at - idle_since > self.length
                self._wait(connection, is_idle=is_idle)

    def _wait(self, connection: Connection, *, is_idle: bool) -> None:
        """Wait until the next echo is due: soon, or while nobody asks for a session, once nothing else reads."""
        descriptors = [connection.fileno(), self._reading_end]
        self._is_asleep = is_idle
        due_at = now() + self.length / ECHOES
        is_read = True
        while is_read:
            # Somebody may have asked since, and have found that nobody had to be woken.
            is_due = not is_idle or self.memory.is_wanted
            _wait_until_readable(descriptors, max(0.0, due_at - now()) if is_due else None)
            is_read = connection.read() and not (is_due and now() >= due_at)
        self._is_asleep = False
        with contextlib.suppress(BlockingIOError):
            os.read(self._reading_end, 1024)


def _wait_until_readable(descriptors: list[int], seconds: float | None) -> None:
    if not hasattr(select, "poll"):
        select.select(descriptors, [], [], seconds)
        return
    # select() refuses numbers above 1023, which a process with as many WebSockets has.
    poll = select.poll()
    for each in descriptors:
        poll.register(each, select.POLLIN)
    poll.poll(None if seconds is None else seconds * 1000)


def channel_of(model: type[AbstractSession], alias: str) -> Channel:
    """Return the channel that the settings name, for these sessions."""
    if is_by_triggers():
        return DatabaseChannel(model, alias)
    return (ProcessChannel if config.LEASE_CHANNEL == PROCESS else RedisChannel)(model, alias)


def is_by_triggers() -> bool:
    """Return whether the database announces what is written, so that nobody else has to."""
    return bool(config.LEASE_CHANNEL.partition(":")[0] == DATABASE)


def listeners() -> list[Listener]:
    """Return those of this process."""
    # A copy, because another thread may begin one meanwhile.
    return [each for each in list(_listeners.values()) if not each.memory.is_inherited]


def stop_all() -> None:
    """Stop to listen; the next session that is looked for begins anew."""
    with _lock:
        for each in listeners():
            each.stop()
        _listeners.clear()


def _forget_all() -> None:
    # A snapshot holds what is true under the settings of its time, such as SECRET_KEY.
    for each in listeners():
        each.memory.hear("*")


def _note_fork(inherited: Listener) -> None:
    if not inherited.channel.has_connection and inherited.error is None:
        ProcessChannel.was_forked = True


def _close_inherited() -> None:
    """After a fork: close the connection of the parent, or the server would keep it when the parent ends.

    And make a new lock, because a thread that there is no more may have the old one.
    """
    global _lock  # noqa: PLW0603 - the old one cannot be released
    _lock = threading.Lock()
    for each in _listeners.values():
        _note_fork(each)
        # A descendant may get the number of the process that has ended.
        each.memory.pid = -1
        # A greenlet of gevent lives on in the child, unlike a thread, and would connect once more.
        each._is_over = True
        with contextlib.suppress(Exception):
            for inherited in each._connection.descriptors():  # type: ignore[union-attr]
                # Not close(), because the number may be given to another file before the driver closes it.
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, inherited)
                os.close(null)


os.register_at_fork(after_in_child=_close_inherited)
on_setting_change(
    stop_all,
    *(
        "CACHES",
        "DATABASES",
        "SESSION_ENGINE",
        "SESSIONS_PLUS_LEASE",
        "SESSIONS_PLUS_LEASE_CHANNEL",
        "SESSIONS_PLUS_LEASE_DATA",
        "SESSIONS_PLUS_LEASE_SESSIONS",
        "SESSIONS_PLUS_LEASE_USERS",
        "SESSIONS_PLUS_CACHE_AGE",
    ),
)
on_setting_change(_forget_all)
