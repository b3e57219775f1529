"""The purge in passing: a fraction of requests deletes a handful of rows, so that a forgotten cron job does no harm.

It runs at Django's ``request_finished``: the response is sent, the view's transaction is
committed, and whatever goes wrong here is logged and affects no request. While
``SESSIONS_PLUS_PURGE_CHANCE`` is 0 nothing is connected, and a request costs nothing.
"""

from __future__ import annotations

import logging
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.signals import request_finished, setting_changed
from django.db import connections

from django_sessions_plus import purging
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import ConfigurationError

# Milliseconds to wait for SQLite, which has no locks to pass over: the thread has requests to serve.
SQLITE_PATIENCE = 100

_UID = "django_sessions_plus.purge_in_passing"

logger = logging.getLogger(__name__)


def connect(**kwargs: Any) -> None:
    """Connect to ``request_finished``, or disconnect, as the setting says."""
    if _chance():
        request_finished.connect(purge_in_passing, dispatch_uid=_UID)
    else:
        request_finished.disconnect(dispatch_uid=_UID)


def purge_in_passing(**kwargs: Any) -> None:
    """Delete up to ``purging.HANDFUL`` rows, if chance picks this request. Never raises."""
    if random.random() >= _chance():  # noqa: S311 - nobody gains anything by guessing it
        return
    try:
        store = import_module(settings.SESSION_ENGINE).SessionStore
        if issubclass(store, SessionStore):
            purge_some(store, random.choice(purging.KINDS))  # noqa: S311
    except Exception as error:
        if _is_busy(error):
            logger.debug("The database was busy; nothing was purged.")
        else:
            logger.exception("The purge after a request has failed.")


def purge_some(store: type[SessionStore], kind: purging.Kind) -> int:
    """Delete up to ``purging.HANDFUL`` rows of one kind and return how many.

    Waits for no row that is locked, keeps out of transactions, and leaves the
    connection as it was. Raises what the database raises.
    """
    rows = store.get_model_class().objects.for_writing()
    connection = connections[rows.db]
    if connection.in_atomic_block:
        # There is none after a request, but around a test. It is not ours to prolong or to fail.
        return 0
    was_open = connection.connection is not None
    try:
        with _impatience(connection):
            return purging.purge_handful(rows, kind)
    finally:
        # Django has closed what was to be closed before this was called.
        if was_open:
            connection.close_if_unusable_or_obsolete()
        else:
            connection.close()


def _chance() -> float:
    try:
        return config.PURGE_CHANCE
    except ConfigurationError:
        # manage.py check tells of it.
        return 0


@contextmanager
def _impatience(connection: Any) -> Iterator[None]:
    """Wait for SQLite no longer than ``SQLITE_PATIENCE``."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {min(patience, SQLITE_PATIENCE)}")
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


setting_changed.connect(connect, dispatch_uid=f"{_UID}.setting")
