"""How to change many rows in parallel transactions without deadlocks.

Two transactions that lock the same rows in different orders wait for each other until the
database aborts one of them. So all code that changes sets of sessions locks them in the order of
their primary keys, or skips locked rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from django.db import connections
from django.db.models import F, Q, QuerySet

Rows = TypeVar("Rows", bound=QuerySet[Any])
Key = TypeVar("Key")

# The most primary keys in one statement, and so the most rows that one transaction ends: MariaDB turns
# longer lists into a temporary table, and may then join the two tables in the wrong order.
KEYS_PER_STATEMENT = 500

# False for every row, but an optimizer cannot know that.
_NEVER = Q(version=F("version") + 1)


def batched(keys: list[Key]) -> Iterator[list[Key]]:
    """Yield the keys, ``KEYS_PER_STATEMENT`` at a time."""
    for at in range(0, len(keys), KEYS_PER_STATEMENT):
        yield keys[at : at + KEYS_PER_STATEMENT]


def keys_in_batches(rows: QuerySet[Any]) -> Iterator[list[Any]]:
    """Yield the sorted primary keys of the rows, ``KEYS_PER_STATEMENT`` at a time; one query for each batch."""
    rest = rows.order_by("pk")
    while keys := list(rest.values_list("pk", flat=True)[:KEYS_PER_STATEMENT]):
        yield keys
        rest = rest.filter(pk__gt=keys[-1])


def without_index_on_mysql(condition: Q, alias: str) -> Q:
    """Return ``condition`` in a form for a write that lists its rows by primary key.

    MariaDB may use any index on a column of the condition, and then locks the index entry before
    the row. A transaction that has locked the row and changes that index entry deadlocks with it.
    For MariaDB and MySQL, the returned condition can be served by the primary key only.
    """
    return without_index(condition) if connections[alias].vendor == "mysql" else condition


def without_index(condition: Q) -> Q:
    """Return ``condition`` in a form that no index can serve, for a statement that lists its rows by primary key."""
    return condition | _NEVER


def skipping_locked(rows: Rows) -> Rows:
    """Return ``rows`` locked; rows that another transaction has locked are skipped, where the database can do that.

    Lazy. Needs a transaction when it is evaluated.
    """
    if connections[rows.db].features.has_select_for_update_skip_locked:
        return rows.select_for_update(skip_locked=True)
    return rows


def take_write_lock(rows: QuerySet[Any]) -> None:
    """On a database without row locks, take the write lock and hold it until the transaction ends.

    On SQLite, a transaction that begins with a write waits for the lock. One that begins with a read
    fails at its first write if another transaction has written meanwhile.
    """
    if not connections[rows.db].features.has_select_for_update:
        nothing = rows.model._base_manager.using(rows.db).filter(token_digest="")
        QuerySet.update(nothing, version=F("version"))


def locked(rows: QuerySet[Any]) -> list[Any]:
    """Read and return ``rows``, locked until the transaction ends. Needs a transaction."""
    take_write_lock(rows)
    return list(_in_order(rows))


def locked_values(rows: QuerySet[Any], condition: Q, *columns: str) -> list[tuple[Any, ...]]:
    """Lock the ``rows`` that meet ``condition`` and return these columns of each. Needs a transaction.

    A row that changed while this waited for its lock is checked, and returned, as it is then.
    """
    take_write_lock(rows)
    if connections[rows.db].vendor != "mysql":
        return list(_in_order(rows.filter(condition)).values_list(*columns))
    # In one statement, MariaDB would lock in the order of the index that it searches.
    keys = list(rows.filter(condition).order_by("pk").values_list("pk", flat=True))
    return locked_by_key(rows, keys, *columns, condition=without_index_on_mysql(condition, rows.db))


def locked_by_key(
    rows: QuerySet[Any],
    keys: list[Any],
    *columns: str,
    condition: Q | None = None,
    skip_locked: bool = False,
) -> list[tuple[Any, ...]]:
    """Lock the rows with these primary keys, which must be sorted, and return columns of each. Needs a transaction.

    Only the model and the database of ``rows`` are used, not its filters. With ``skip_locked``, rows
    that another transaction has locked are skipped, where the database can do that.
    """
    all_rows = rows.model._base_manager.using(rows.db).filter(condition or Q())
    return [
        values
        for part in batched(keys)
        for values in _in_order(all_rows.filter(pk__in=part), skip_locked).values_list(*columns)
    ]


def lock_in_order(rows: Rows) -> Rows:
    """Lock ``rows`` until the transaction ends, and return a queryset of the locked ones.

    Where the database has no row locks, this does nothing and returns ``rows``.

    The next statement must use the returned queryset. ``rows`` may match more rows by then: MariaDB
    keeps no lock on a row that did not meet the condition, and would now lock it out of order.
    """
    if not connections[rows.db].features.has_select_for_update:
        return rows
    keys = list(_in_order(rows).values_list("pk", flat=True))
    found: Rows = rows.model.objects.using(rows.db).filter(pk__in=keys)
    return found


def _in_order(rows: Rows, skip_locked: bool = False) -> Rows:
    rows, features = rows.order_by("pk"), connections[rows.db].features
    if not features.has_select_for_update:
        return rows
    can_skip = features.has_select_for_update_skip_locked
    return rows.select_for_update(skip_locked=skip_locked and can_skip)
