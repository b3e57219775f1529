"""How to change many rows in parallel transactions without deadlocks.

Two transactions that lock the same rows in different orders wait for each other until the
database aborts one of them. Whatever changes sets of sessions therefore locks them in the
order of their primary keys, or skips rows that are locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import F, Q, QuerySet

if TYPE_CHECKING:
    from django_sessions_plus.querysets import SessionQuerySet

    Rows = SessionQuerySet[Any]

# True of no row, and nothing an optimizer sees through.
_NEVER = Q(version=F("version") + 1)


def beside_key(condition: Q, alias: str) -> Q:
    """Return ``condition`` for a write that names its rows by primary key.

    MariaDB may use any index on a column that is named, and then locks the index entry before
    the row. A transaction that has locked the row and moves it in that index deadlocks with it.
    The condition returned for MariaDB and MySQL leaves only the primary key to go by.
    """
    return condition | _NEVER if connections[alias].vendor == "mysql" else condition


def unlocked(rows: Rows) -> Rows:
    """Return ``rows`` locked, without those that another transaction has locked, where the database can do that.

    Lazy. Needs a transaction when it is read.
    """
    if connections[rows.db].features.has_select_for_update_skip_locked:
        return rows.select_for_update(skip_locked=True)
    return rows


def take_turn(rows: Rows) -> None:
    """On a database without row locks, wait for the write lock, which then is held until the transaction ends.

    On SQLite a transaction that begins with a write waits; one that begins with a read is
    refused when it comes to write.
    """
    if not connections[rows.db].features.has_select_for_update:
        nothing = rows.model._base_manager.using(rows.db).filter(token_digest="")
        QuerySet.update(nothing, version=F("version"))


def locked(rows: Rows) -> list[Any]:
    """Read and return ``rows``, locked until the transaction ends. Needs a transaction."""
    take_turn(rows)
    return list(_in_order(rows))


def lock_in_order(rows: Rows) -> None:
    """Lock ``rows`` until the transaction ends, where the database has row locks; reads only their keys."""
    if connections[rows.db].features.has_select_for_update:
        list(_in_order(rows).values_list("pk"))


def _in_order(rows: Rows) -> Rows:
    rows = rows.order_by("pk")
    has_locks = connections[rows.db].features.has_select_for_update
    return rows.select_for_update() if has_locks else rows
