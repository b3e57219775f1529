"""What runs at the commit of a transaction before everything else, and whether the transaction still runs.

Private names of Django 5.2 to 6.1: ``run_on_commit``, ``atomic_blocks`` and ``_from_testcase``, because copies
must be invalidated before other ``on_commit()`` callbacks run, and Django has no public way to order
them. tests/test_private_names.py fails if they disappear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from django.db import connections, transaction

# Of PGTransactionStatusType. Between them are those of a transaction.
_IDLE, _UNKNOWN = 0, 4


def first_on_commit(callback: Callable[[], None], using: str) -> None:
    """Call ``callback`` when the transaction on ``using`` commits, before the callbacks of others; without one, now."""
    transaction.on_commit(callback, using=using)
    connection: Any = connections[using]
    if connection.in_atomic_block and not connection.atomic_blocks[0]._from_testcase:
        # Run it first, because a callback that raises keeps the later ones from running. Not in
        # a TestCase: there, Django identifies callbacks by their position, and nothing commits.
        connection.run_on_commit.insert(0, connection.run_on_commit.pop())


def is_over(callback: Callable[[], None], using: str) -> Callable[[], bool]:
    """Return a function that says whether ``callback`` waits for a commit no longer. Any thread may call it.

    It waits no longer once the transaction is committed, or the part of it that registered the callback is rolled back.
    """
    weak = ref(connections[using])

    def ask() -> bool:
        connection: Any = weak()
        # A copy, because the thread of the transaction may change the list meanwhile.
        return connection is None or all(
            each[1] is not callback for each in tuple(connection.run_on_commit)
        )

    return ask


def is_in_any_transaction(using: str) -> bool:
    """Return whether a transaction is running, even one that was started without atomic(), or by raw SQL.

    One that raw SQL has started on MariaDB or MySQL is not noticed.
    """
    connection: Any = connections[using]
    return connection.in_atomic_block or is_in_unknown_transaction(using)


def is_in_unknown_transaction(using: str) -> bool:
    """Return whether a transaction is running of whose end Django tells nobody."""
    connection: Any = connections[using]
    # Not get_autocommit(), which connects, and which async code may not call.
    if connection.in_atomic_block or connection.connection is None:
        return False
    return not connection.autocommit or _is_begun(connection.connection)


def _is_begun(driver: Any) -> bool:
    """Return whether the server is in a transaction, as psycopg and sqlite3 know without asking it; else False."""
    status = getattr(getattr(driver, "pgconn", None), "transaction_status", _IDLE)
    return bool(_IDLE < status < _UNKNOWN) or getattr(driver, "in_transaction", False) is True
