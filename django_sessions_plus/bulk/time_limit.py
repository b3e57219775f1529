"""Bound the time of a read in the database itself, which then stops reading.

PostgreSQL, MariaDB and MySQL bound each statement, SQLite the whole block. Any other database
is not bounded. Meant for reads: on SQLite, a write that is stopped undoes its transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from django.db import DatabaseError, connections, transaction

# The codes of a statement that was stopped: query_canceled of PostgreSQL, ER_STATEMENT_TIMEOUT of
# MariaDB, ER_QUERY_TIMEOUT of MySQL, SQLITE_INTERRUPT.
_POSTGRESQL = "57014"
_MYSQL = {1969, 3024}
_SQLITE = 9

# After so many of its instructions SQLite asks whether to go on: some thousand times a second.
_INSTRUCTIONS = 10_000


class TimeIsUpError(Exception):
    """The database has stopped a statement of the block. The connection and the transaction can be used on."""


@contextmanager
def time_limit(alias: str, seconds: float) -> Iterator[None]:
    """Let each statement of the block take that many seconds at most, in the database ``alias``.

    A shorter ``statement_timeout`` of PostgreSQL stays in force.

    Raises:
        TimeIsUpError: a statement took longer.
    """
    limits = {"postgresql": _on_postgresql, "mysql": _on_mysql, "sqlite": _on_sqlite}
    connection: Any = connections[alias]
    limit = limits.get(connection.vendor)
    if limit is None:
        yield
        return
    try:
        with limit(connection, seconds):
            yield
    except DatabaseError as error:
        if not _is_stopped(error):
            raise
        raise TimeIsUpError from error


@contextmanager
def _on_postgresql(connection: Any, seconds: float) -> Iterator[None]:
    # A savepoint where there is a transaction: the error would abort all of it. LOCAL, because a
    # pooler may give the connection to somebody else after the transaction.
    is_nested = connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('statement_timeout'), set_config('statement_timeout', least("
                "nullif(extract(epoch FROM current_setting('statement_timeout')::interval) * 1000, 0),"
                " %s)::int::text, true)",
                [max(1, int(seconds * 1000))],
            )
            before = cursor.fetchone()[0]
        yield
        if is_nested:
            # Otherwise it would last until the end of the transaction around this one.
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])


@contextmanager
def _on_mysql(connection: Any, seconds: float) -> Iterator[None]:
    def bounded(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT "):
            if connection.mysql_is_mariadb:
                sql = f"SET STATEMENT max_statement_time={seconds:.3f} FOR {sql}"
            else:
                hint = f"/*+ MAX_EXECUTION_TIME({max(1, int(seconds * 1000))}) */"
                sql = f"SELECT {hint} {sql.removeprefix('SELECT ')}"
        return execute(sql, params, many, context)

    with connection.execute_wrapper(bounded):
        yield


@contextmanager
def _on_sqlite(connection: Any, seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    end = monotonic() + seconds
    connection.connection.set_progress_handler(lambda: monotonic() >= end, _INSTRUCTIONS)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 0)


def _is_stopped(error: DatabaseError) -> bool:
    cause = error.__cause__
    # The second name is that of psycopg2.
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state is not None:
        return bool(state == _POSTGRESQL)
    number = getattr(cause, "sqlite_errorcode", None)
    if number is not None:
        return bool(number == _SQLITE)
    return bool(cause is not None and cause.args and cause.args[0] in _MYSQL)
