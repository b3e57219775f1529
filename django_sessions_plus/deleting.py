"""Delete sets of rows while other processes do the same, in the way each database needs.

No signal is sent and no row is loaded, unless a model of the project has a foreign key to the
sessions. No copies are withdrawn: this is for sessions that are over.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Q
from django.db.models.deletion import get_candidate_relations_to_delete
from django.db.models.sql import DeleteQuery

from django_sessions_plus.locking import beside_key, take_turn, unlocked

if TYPE_CHECKING:
    from django_sessions_plus.querysets import SessionQuerySet

    Rows = SessionQuerySet[Any]

# How many rows one statement of MariaDB names: it makes a table of longer lists, and may then
# begin with the wrong one of both.
NAMED = 500


def delete(rows: Rows, condition: Q, limit: int | None = None) -> tuple[int, float]:
    """Delete what meets the condition, in one transaction; return how many rows, and how many seconds it took.

    With ``limit``, delete at most that many, and skip locked rows; on PostgreSQL those are skipped
    in any case. Waiting for the write lock of SQLite, and for the disk at the commit, does not
    count, because it says nothing about the number of rows.
    """
    with transaction.atomic(using=rows.db, savepoint=False):
        take_turn(rows)
        began = monotonic()
        return _delete(rows, condition, limit), monotonic() - began


def _delete(rows: Rows, condition: Q, limit: int | None) -> int:
    # Whether a row is over is asked in the transaction that deletes it: it may have been moved
    # since its range was looked for.
    vendor = connections[rows.db].vendor
    some = rows.filter(condition)
    if limit is not None:
        some = some[:limit]
    if vendor == "mysql":
        return _delete_by_key(rows, condition, some, skip_locked=limit is not None)
    if vendor == "postgresql":
        some = rows.filter(pk__in=unlocked(some).values("pk"))
    elif limit is not None:
        some = rows.filter(pk__in=some.values("pk"))
    return _count_deleted(some)


def _delete_by_key(rows: Rows, condition: Q, some: Rows, *, skip_locked: bool) -> int:
    """Delete ``some`` such that processes that do the same on MariaDB or MySQL neither fail nor wait for long."""
    keys = list(some.values_list("pk", flat=True))
    # The keys say which set they are from, and that may take a join to say.
    every: Rows = rows.model.objects.using(rows.db).quietly()
    if skip_locked:
        named = every.filter(beside_key(condition, rows.db), pk__in=keys)
        keys = list(unlocked(named).values_list("pk", flat=True))
    parts = (keys[start : start + NAMED] for start in range(0, len(keys), NAMED))
    delete_part = _count_deleted if _has_dependants(rows.model) else _force_delete
    return sum(delete_part(every.filter(condition, pk__in=part)) for part in parts)


def _force_delete(named: Rows) -> int:
    # Left to itself it reads all of a small table, and waits for every row that is locked.
    connection: Any = connections[named.db]
    table = connection.ops.quote_name(named.model._meta.db_table)
    query: Any = named.query.chain(DeleteQuery)
    sql, params = query.get_compiler(named.db).as_sql()
    head, _, condition = sql.partition(" WHERE ")
    hinted = head.replace(" ", f" {table} ", 1) + f" FORCE INDEX (PRIMARY) WHERE {condition}"
    with connection.cursor() as cursor:
        cursor.execute(hinted, params)
        return int(cursor.rowcount)


def _has_dependants(model: Any) -> bool:
    return bool(model._meta.parents or any(get_candidate_relations_to_delete(model._meta)))


def _count_deleted(rows: Rows) -> int:
    if _has_dependants(rows.model):
        # What a project hangs on its sessions goes with them; that has to be loaded.
        return rows.delete()[1].get(rows.model._meta.label, 0)
    # None where Django sees without asking that there are none.
    return rows._raw_delete(rows.db) or 0
