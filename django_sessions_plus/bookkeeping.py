"""Writes that no caller asked for: if they fail, the response stays the same.

Examples are a touch, an e-mail, the purge after a request: each runs in ``best_effort()``. What a
caller asked for (a save, an end, a rotation, a sign-in) does not belong here: it must raise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic

from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import InterfaceError, InternalError, OperationalError, connections, transaction

from django_sessions_plus import events
from django_sessions_plus.events import logger

LOG_INTERVAL = 60.0
"""Seconds. A process logs a failure of one kind at most once in this time, because an outage fails every request."""

_DATABASE_ERRORS = (OperationalError, InterfaceError, InternalError)

_logged_at: dict[str, float] = {}


@contextmanager
def best_effort(what: str, *, using: str | None = None) -> Iterator[None]:
    """Run the block. If it fails, log that ``what`` could not be done, and continue after the block.

    With ``using``, a transaction that runs on that database stays usable.

    Raises:
        SessionInterrupted: a parallel request has ended the session, which is no failure.
    """
    try:
        with savepoint_if_needed(using):
            yield
    except SessionInterrupted:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a driver, a pool or a receiver raises
        log_failure(what, error)


def savepoint_if_needed(using: str | None) -> AbstractContextManager[object]:
    """Return a savepoint if a transaction runs on ``using``, so that a failed statement does not abort it."""
    if using is None:
        return nullcontext()
    # Without a savepoint, a failed write would abort the transaction: PostgreSQL does it itself,
    # elsewhere Django's mark_for_rollback_on_error() does.
    is_in_transaction = connections[using].in_atomic_block
    return transaction.atomic(using=using) if is_in_transaction else nullcontext()


def log_failure(what: str, error: Exception) -> None:
    """Log that ``what`` could not be done, once in ``LOG_INTERVAL``; the traceback only at level DEBUG."""
    now = monotonic()
    if now - _logged_at.get(what, -LOG_INTERVAL) < LOG_INTERVAL:
        return
    _logged_at[what] = now
    name = type(error).__name__
    # A driver's message about an outage contains no values. One about a constraint does.
    said = str(error).partition("\n")[0] if isinstance(error, _DATABASE_ERRORS) else ""
    logger.debug("Could not %s.", what, exc_info=error)
    events.BOOKKEEPING_FAILED.log(what=what, error=f"{name}: {said}" if said else name)
