"""Delete sets of rows while other processes may do the same, in the way that each database needs.

No signal is sent and no row is loaded, unless a model of the project has a foreign key to the
sessions. ``delete()`` is for sessions that have ended or expired and invalidates no copies;
``delete_by_keys()`` does.

Private names of Django 5.2 to 6.1, where no public one will do; tests/test_private_names.py fails if they disappear:

- ``QuerySet._raw_delete()``, because ``delete()`` loads every row as soon as an app connects to
  ``pre_delete`` without a sender;
- ``DeleteQuery`` and its compiler, because MariaDB needs ORDER BY and LIMIT on a DELETE, which Django does not write;
- ``lazy_sub_objs``, ``Collector.collect()`` and ``NestedObjects.edges``, because a function for
  ``on_delete`` gets a collector, which Django does not document.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from django.db import connections, router, transaction
from django.db.models import SET_NULL, Q
from django.db.models.sql import DeleteQuery

from django_sessions_plus.bulk.locking import (
    batched,
    keys_in_batches,
    lock_in_order,
    skipping_locked,
    take_write_lock,
    without_index_on_mysql,
)
from django_sessions_plus.querysets import SessionQuerySet

Rows = SessionQuerySet[Any]


def delete(rows: Rows, condition: Q, limit: int | None = None) -> tuple[int, float]:
    """Delete the ``rows`` that meet the condition, in one transaction; return how many, and how many seconds it took.

    With ``limit``, delete at most that many, and skip locked rows; on PostgreSQL those are always
    skipped. The time excludes the wait for the write lock of SQLite and for the disk at the commit,
    because neither depends on the number of rows.
    """
    with transaction.atomic(using=rows.db, savepoint=False):
        take_write_lock(rows)
        began = monotonic()
        return _delete(rows, condition, limit), monotonic() - began


def cascade_within_database(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """Cascade as Django does, but only if the sessions are in the database of their users.

    A value for ``on_delete``. Django looks for the rows in the database of the deleted user, where
    there may be no such table; the receiver of ``pre_delete`` deletes them in their own database. The
    admin's confirmation page shows them in any case.
    """
    alias = router.db_for_write(field.model)
    if alias != using:
        # The users are in another database, so that no join is possible.
        sub_objs = sub_objs.using(alias).select_related(None)
    # Only the admin's NestedObjects has edges; it collects the rows to show them, not to delete.
    if alias == using or hasattr(collector, "edges"):
        collector.collect(
            sub_objs,
            source=field.remote_field.model,
            source_attr=field.name,
            nullable=field.null,
            fail_on_restricted=False,
        )


def set_null_within_database(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """Set the column to NULL as Django does, but only in the database of the deleted user.

    See cascade_within_database().
    """
    if router.db_for_write(field.model) == using:
        SET_NULL(collector, field, sub_objs, using)


# Without this, Django would read the rows before it calls these functions.
cascade_within_database.lazy_sub_objs = True  # type: ignore[attr-defined]
set_null_within_database.lazy_sub_objs = True  # type: ignore[attr-defined]


def forget_user(rows: Rows, user_id: Any) -> None:
    """Delete the rows of a user, and clear ``ended_by`` of rows that the user has ended; in short transactions."""
    all_rows = rows.model.objects.using(rows.db)
    if not connections[rows.db].features.has_select_for_update:
        # SQLite locks no rows, so no order is needed; with one, it would read the whole table.
        rows.filter(user=user_id).delete()
        rows.filter(ended_by=user_id).update(ended_by=None)
        return
    for keys in keys_in_batches(rows.filter(user=user_id)):
        with transaction.atomic(using=rows.db, savepoint=False):
            delete_by_keys(lock_in_order(all_rows.filter(pk__in=keys)))
    for keys in keys_in_batches(rows.filter(ended_by=user_id)):
        with transaction.atomic(using=rows.db, savepoint=False):
            lock_in_order(all_rows.filter(pk__in=keys)).update(ended_by=None)


def delete_by_keys(rows: Rows) -> int:
    """Delete rows that are listed by primary key, and invalidate their copies; return how many. Needs a transaction.

    The caller has locked them. On MariaDB this waits for the lock of no other row.
    """
    if connections[rows.db].vendor != "mysql" or _is_referenced(rows.model):
        return rows.delete()[1].get(rows.model._meta.label, 0)
    rows.invalidate_copies()
    return _delete_keys(rows, list(rows.order_by("pk").values_list("pk", flat=True)))


def _delete(rows: Rows, condition: Q, limit: int | None) -> int:
    # The condition is checked again in the transaction that deletes: the session may have been used
    # since the range was read, and its expiry moved.
    vendor = connections[rows.db].vendor
    due = rows.filter(condition)
    if limit is not None:
        due = due[:limit]
    if vendor == "mysql":
        return _delete_by_key(rows, condition, due, skip_locked=limit is not None)
    if vendor == "postgresql":
        due = rows.filter(pk__in=skipping_locked(due).values("pk"))
    elif limit is not None:
        due = rows.filter(pk__in=due.values("pk"))
    return _count_deleted(due)


def _delete_by_key(rows: Rows, condition: Q, due: Rows, *, skip_locked: bool) -> int:
    """Delete ``due`` so that processes that do the same on MariaDB or MySQL neither fail nor wait for long."""
    # Without a limit, in the order in which every process locks, because each part stays locked
    # until the transaction ends. With a limit, the rows are locked below.
    found = due if skip_locked else due.order_by("pk")
    keys = list(found.values_list("pk", flat=True))
    # The keys already come from ``rows``; its filters may need a join.
    all_rows: Rows = rows.model.objects.using(rows.db).quietly()
    if skip_locked:
        keyed = all_rows.filter(without_index_on_mysql(condition, rows.db), pk__in=keys)
        keys = list(skipping_locked(keyed.order_by("pk")).values_list("pk", flat=True))
    still_due = all_rows.filter(without_index_on_mysql(condition, rows.db))
    if _is_referenced(rows.model):
        return sum(_count_deleted(still_due.filter(pk__in=part)) for part in batched(keys))
    return sum(_delete_keys(still_due, part) for part in batched(keys))


def _delete_keys(rows: Rows, keys: list[Any]) -> int:
    """Delete those of ``rows`` that have these primary keys, which are sorted; for MariaDB and MySQL."""
    if not keys:
        return 0
    connection: Any = connections[rows.db]
    query: Any = rows.filter(pk__in=keys).query.chain(DeleteQuery)
    sql, params = query.get_compiler(rows.db).as_sql()
    key = connection.ops.quote_name(rows.model._meta.pk.column)
    with connection.cursor() as cursor:
        # Without ORDER BY and LIMIT it reads all of a small table, and waits for every locked row.
        cursor.execute(f"{sql} ORDER BY {key} LIMIT {len(keys)}", params)
        return int(cursor.rowcount)


def _is_referenced(model: Any) -> bool:
    fields = model._meta.get_fields(include_hidden=True)
    return bool(model._meta.parents) or any(
        field.auto_created and not field.concrete and (field.one_to_one or field.one_to_many)
        for field in fields
    )


def _count_deleted(rows: Rows) -> int:
    if _is_referenced(rows.model):
        # Rows of the project that reference the sessions are deleted too, so Django has to load them.
        return rows.delete()[1].get(rows.model._meta.label, 0)
    # None if Django knows without a query that there are no rows.
    return rows._raw_delete(rows.db) or 0
