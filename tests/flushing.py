"""What makes the database clean after a transactional test: deleting the rows that it left.

Django's flush also sends ``post_migrate``, whose receivers create every content type and
permission again. That takes far longer than most tests do. So rows that migrating has created
stay where they are, as long as no test changes them; if one does, Django's flush repairs them.

``TransactionTestCase._fixture_teardown`` is private; this was read in Django 5.2 to 6.1.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

Rows = list[tuple[Any, ...]]

# Per database and table. Taken once, for a test does not notice that a row is as old as the table.
_created_by_migrating: dict[str, dict[str, Rows]] = {}
_flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]


def install(patch: pytest.MonkeyPatch) -> None:
    """Delete rows in place of flushing, once the test databases have been made."""
    patch.setattr(TransactionTestCase, "_fixture_teardown", delete_rows)
    for alias in TransactionTestCase._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
        _remember(alias)


def delete_rows(case: Any) -> None:
    """Leave the databases of a test as they were when they were made."""
    aliases = case._databases_names(include_mirrors=False)
    if case.available_apps is not None or case.serialized_rollback:
        _flush(case)
    elif all(_is_as_created(alias) for alias in aliases):
        for alias in aliases:
            _delete_rows(connections[alias], keep=_created_by_migrating[alias])
    else:
        _flush(case)
        for alias in aliases:
            _remember(alias)


def _remember(alias: str) -> None:
    connection = connections[alias]
    found = {table: _rows(connection, table) for table in _tables(connection)}
    _created_by_migrating[alias] = {table: rows for table, rows in found.items() if rows}


def _is_as_created(alias: str) -> bool:
    created = _created_by_migrating.get(alias)
    return created is not None and all(
        _rows(connections[alias], table) == rows for table, rows in created.items()
    )


def _delete_rows(connection: BaseDatabaseWrapper, keep: dict[str, Rows]) -> None:
    emptied = [table for table in _tables(connection) if table not in keep]
    with (
        connection.constraint_checks_disabled(),
        transaction.atomic(using=connection.alias),
        connection.cursor() as cursor,
    ):
        for table in emptied:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


def _tables(connection: BaseDatabaseWrapper) -> list[str]:
    return connection.introspection.django_table_names(only_existing=True, include_views=False)


def _rows(connection: BaseDatabaseWrapper, table: str) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY 1")
        return list(cursor.fetchall())
