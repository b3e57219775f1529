"""Wait until no process accepts a session that has ended: ``settled=True`` of the verbs, and of the API.

With ``db`` every process reads the row, so there is nothing to wait for. With ``leased_db`` a process may serve it
from memory for one lease after the commit, so that long is waited: without a lock, and after the commit, because
nobody hears of an end before. With ``cached_db`` it is over once the cache was told; if the cache could not be, nobody
knows when it will be, and that is raised.

Private names of Django 5.2 to 6.1: ``atomic_blocks`` and ``_from_testcase``, because the transaction of a
``TestCase`` never commits, and tests of projects have to be able to call what they test. tests/test_private_names.py
fails if they disappear.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from math import ceil
from typing import Any, ParamSpec, TypeVar

from django.db import connections, router
from django.db.transaction import TransactionManagementError

from django_sessions_plus.backends.commits import is_in_unknown_transaction
from django_sessions_plus.backends.configured import invalidation_delay, own_engine
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.twins import async_twin, in_thread
from django_sessions_plus.exceptions import UnsettledError

P = ParamSpec("P")
T = TypeVar("T")


def settles(verb: Callable[P, T]) -> Callable[P, T]:
    """Have ``verb`` return, when it is called with ``settled=True``, only once no process accepts what it has ended.

    What was ended by somebody else a moment ago counts as well, so that also a verb that finds nothing waits.
    """

    @wraps(verb)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> T:
        if not kwargs.get("settled"):
            return verb(*args, **kwargs)
        _refuse_transaction()
        ended = verb(*args, **kwargs)
        _sleep(longest_lease())
        _expect_told(ended)
        return ended

    return waiting


def verb_twin(verb: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the coroutine function of a verb; with ``settled=True`` it waits in the event loop, not in a thread."""
    twin: Any = async_twin(verb)
    # That of settles() would sleep in the thread, which in a consumer is the thread of all.
    unsettled: Callable[P, T] = getattr(verb, "__wrapped__", verb)

    @wraps(twin)
    async def waiting(*args: P.args, **kwargs: P.kwargs) -> T:
        if not kwargs.get("settled"):
            return await in_thread(unsettled, *args, **kwargs)
        await in_thread(_refuse_transaction)
        ended = await in_thread(unsettled, *args, **kwargs)
        await _asleep(longest_lease())
        _expect_told(ended)
        return ended

    waiting.__wrapped__ = verb  # So that inspect shows its signature.
    return waiting


def settle() -> int | None:
    """Wait until no process accepts what was committed before, and return None.

    If the cache could not be told of it, or a transaction is running, do not wait, and return the seconds until then,
    counted from the commit.
    """
    if is_in_transaction():
        return max(ceil(longest_lease()), invalidation_delay() or 0)
    _sleep(longest_lease())
    return invalidation_delay()


def longest_lease() -> float:
    """Return for how many seconds after the commit of an end another process may serve the session from memory."""
    store = own_engine()
    return 0.0 if store is None else store.longest_lease()


def is_in_transaction() -> bool:
    """Return whether a transaction is running in which sessions end; that of a Django TestCase does not count."""
    store = own_engine() or SessionStore
    alias = router.db_for_write(store.get_model_class())
    connection: Any = connections[alias]
    if connection.in_atomic_block:
        return not connection.atomic_blocks[-1]._from_testcase
    # Without autocommit, the verb itself would begin one.
    connection.ensure_connection()
    return is_in_unknown_transaction(alias)


def _refuse_transaction() -> None:
    if is_in_transaction():
        raise TransactionManagementError(
            "settled=True cannot be kept in a transaction, because other processes do not see the end before its"
            " commit. Call it outside of atomic() and ATOMIC_REQUESTS, for instance by transaction.on_commit()."
        )


def _expect_told(ended: Any) -> None:
    within = invalidation_delay()
    if within is not None:
        raise UnsettledError(ended, within)


def _sleep(seconds: float) -> None:
    if seconds:
        # By the module's name, so that gevent's is called where it has taken its place.
        time.sleep(seconds)


async def _asleep(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
