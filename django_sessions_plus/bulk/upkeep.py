"""The purge after a request: a fraction of requests purges a few rows, in case nobody set up the cron job.

It runs at Django's ``request_finished``: the response is sent, the view's transaction is
committed, and an error here is logged and affects no request. While
``SESSIONS_PLUS_PURGE_CHANCE`` is 0 no receiver is connected, and a request costs nothing.
"""

from __future__ import annotations

import logging
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.signals import request_finished
from django.db import connections

from django_sessions_plus.bookkeeping import log_failure
from django_sessions_plus.bulk import purging
from django_sessions_plus.bulk.oldest import Memory
from django_sessions_plus.conf import config
from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.conf.engine import engine
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.querysets import SessionQuerySet

# Milliseconds to wait for the lock of SQLite. It cannot skip locked rows, and the thread must not
# wait long because it has requests to serve.
SQLITE_TIMEOUT = 100

# Of this process, so that not each purge steps over what those before it have deleted.
_memory = Memory()

_UID = "django_sessions_plus.purge_after_request"

logger = logging.getLogger(__name__)


def connect() -> None:
    """Connect the receiver of ``request_finished``, or disconnect it, as the setting says."""
    _memory.forget()
    if _chance():
        request_finished.connect(purge_after_request, dispatch_uid=_UID)
    else:
        request_finished.disconnect(dispatch_uid=_UID)


def purge_after_request(**kwargs: Any) -> None:
    """Purge up to ``purging.HANDFUL`` rows, with the probability that the setting gives. Never raises."""
    if random.random() >= _chance():  # noqa: S311 - nobody gains anything by guessing it
        return
    try:
        store = engine()
        rows = store.get_model_class().objects.all() if hasattr(store, "get_model_class") else None
        # With another engine there are no rows to purge.
        if isinstance(rows, SessionQuerySet):
            purge_some(rows, random.choice(purging.KINDS))  # noqa: S311
    except Exception as error:  # noqa: BLE001 - nobody has asked for it
        if _is_busy(error):
            logger.debug("The database was busy; nothing was purged.")
        else:
            log_failure("purge after a request", error)


def purge_some(sessions: SessionQuerySet[Any], kind: purging.Kind) -> int:
    """Purge up to ``purging.HANDFUL`` rows of one kind and return how many.

    Skips locked rows, does nothing in a transaction, and closes the connection if it was closed
    before. Raises what the database raises.
    """
    rows = sessions.for_writing()
    connection = connections[rows.db]
    if connection.in_atomic_block:
        # Never after a real request, but in a test: its transaction must not be prolonged or broken.
        return 0
    was_open = connection.connection is not None
    try:
        with _short_timeout(connection):
            return purging.purge_handful(rows, kind, _memory)
    finally:
        # Django has already closed the connections that it closes after a request.
        if was_open:
            connection.close_if_unusable_or_obsolete()
        else:
            connection.close()


def _chance() -> float:
    try:
        return config.PURGE_CHANCE
    except ConfigurationError:
        # A system check reports it.
        return 0


@contextmanager
def _short_timeout(connection: Any) -> Iterator[None]:
    """Wait for SQLite no longer than ``SQLITE_TIMEOUT``."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {min(patience, SQLITE_TIMEOUT)}")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {patience}")


def _is_busy(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }


on_setting_change(connect)
