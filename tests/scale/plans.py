"""How the database goes about the statements that a piece of the package really executes.

Each statement is explained with its own parameters, right before it is executed: after it the
rows it was about may be gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection

from django_sessions_plus.models import Session

Columns = tuple[str, ...]
Indexes = dict[str, tuple[str, Columns]]

SEEK, WALK, SCAN = ["seek", "walk", "scan"]
"""Go to certain entries of an index; follow an index from one end; read the table."""

_EXPLAIN = {
    "sqlite": "EXPLAIN QUERY PLAN",
    "postgresql": "EXPLAIN (FORMAT JSON)",
    "mysql": "EXPLAIN FORMAT=JSON",
}
_STEP = re.compile(
    r"(SEARCH|SCAN) (\w+)(?: USING (?:COVERING )?INDEX (\w+))?(?: USING (INTEGER PRIMARY KEY))?"
)
# What MariaDB calls the ways to certain entries of an index.
_SEEKS = {"const", "eq_ref", "ref", "ref_or_null", "range", "system"}


@dataclass(frozen=True)
class Access:
    """One way into one table, by the columns of the index; none for the table itself."""

    how: str
    table: str
    columns: Columns = ()


@dataclass(frozen=True)
class Plan:
    """What the database would do for one statement."""

    sql: str
    text: str
    accesses: tuple[Access, ...]
    sorts: bool
    """Whether rows are put in order; not when an index has nearly done it."""

    @property
    def verb(self) -> str:
        return self.sql.partition(" ")[0]

    def of(self, model: Any = Session) -> list[tuple[str, Columns]]:
        """Return how the rows of ``model`` are reached."""
        table = model._meta.db_table
        return [(one.how, one.columns) for one in self.accesses if one.table == table]


def plans_of(work: Callable[[], object]) -> list[Plan]:
    """Do the work and return the plans of its statements about sessions."""
    with connection.cursor() as cursor:
        indexes = _indexes(cursor)
    found = explained(work, _EXPLAIN[connection.vendor])
    assert found
    return [_plan(sql, rows, indexes) for sql, rows in found]


def explained(work: Callable[[], object], how: str) -> list[tuple[str, list[Any]]]:
    """Do the work and return what the database has to say of each of its statements about sessions."""
    found: list[tuple[str, list[Any]]] = []
    is_asking = False

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal is_asking
        if Session._meta.db_table in sql and not sql.startswith("INSERT") and not is_asking:
            is_asking = True
            with connection.cursor() as cursor:
                cursor.execute(f"{how} {sql}", params)
                found.append((sql, cursor.fetchall()))
            is_asking = False
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        work()
    return found


def _plan(sql: str, rows: list[Any], indexes: Indexes) -> Plan:
    if connection.vendor == "sqlite":
        steps = [str(row[-1]) for row in rows]
        sorts = any(re.match(r"USE TEMP B-TREE FOR (ORDER BY|DISTINCT)", step) for step in steps)
        return Plan(sql, "\n".join(steps), tuple(_of_sqlite(steps, indexes)), sorts)
    told = rows[0][0] if isinstance(rows[0][0], list) else json.loads(rows[0][0])
    text = json.dumps(told, indent=1)
    if connection.vendor == "postgresql":
        nodes = list(_objects(told, "Node Type"))
        sorts = any(node["Node Type"] == "Sort" for node in nodes)
        return Plan(sql, text, tuple(_of_postgresql(nodes, indexes)), sorts)
    return Plan(sql, text, tuple(_of_mariadb(told, indexes)), '"filesort"' in text)


def _indexes(cursor: Any) -> Indexes:
    """Return the table and the columns of each index, by its name; primary keys by their table, too."""
    found = {}
    for model in (Session, get_user_model()):
        table = model._meta.db_table
        for name, entry in connection.introspection.get_constraints(cursor, table).items():
            found[name] = (table, tuple(entry["columns"]))
        key = (table, (str(model._meta.pk.column),))
        found[f"{table}.PRIMARY"] = key
        # What SQLite calls the index of a primary key that is no number, and of a constraint.
        found[f"sqlite_autoindex_{table}_1"] = key
    table = Session._meta.db_table
    found[f"sqlite_autoindex_{table}_2"] = (table, ("token_digest",))
    return found


def _of_sqlite(steps: list[str], indexes: Indexes) -> Iterator[Access]:
    for found in filter(None, map(_STEP.match, steps)):
        verb, name, index, key = found.groups()
        table = _table(name)
        if table is not None:
            columns = indexes[index or f"{table}.PRIMARY"][1] if index or key else ()
            yield Access((SEEK if verb == "SEARCH" else WALK) if columns else SCAN, table, columns)


def _of_postgresql(nodes: list[dict[str, Any]], indexes: Indexes) -> Iterator[Access]:
    for node in nodes:
        if index := node.get("Index Name"):
            yield Access(SEEK if "Index Cond" in node else WALK, *indexes[index])
        elif node["Node Type"] == "Seq Scan":
            yield Access(SCAN, node["Relation Name"])


def _of_mariadb(told: Any, indexes: Indexes) -> Iterator[Access]:
    for node in _objects(told, "access_type"):
        table = _table(node["table_name"])
        if table is None:
            continue
        if node["access_type"] == "ALL":
            yield Access(SCAN, table)
        else:
            key = node["key"]
            name = f"{table}.PRIMARY" if key == "PRIMARY" else key
            yield Access(SEEK if node["access_type"] in _SEEKS else WALK, *indexes[name])


def _table(name: str) -> str | None:
    """Return the table that a statement calls ``name``; None for what is no table of its own."""
    users = get_user_model()._meta.db_table
    names = dict.fromkeys((Session._meta.db_table, "s", "U0"), Session._meta.db_table)
    return (names | {users: users, "u": users}).get(name)


def _objects(told: Any, mark: str) -> Iterator[dict[str, Any]]:
    if isinstance(told, dict):
        if mark in told:
            yield told
        told = list(told.values())
    if isinstance(told, list):
        for one in told:
            yield from _objects(one, mark)
