"""What the fast path uses of Django that Django may change without notice, all of it in this module.

Private names of Django 5.2 to 6.1: ``get_compiler()`` and ``chain()`` of a query, ``UpdateQuery`` and its
``add_update_values()``; ``as_sql()``, ``select`` and ``get_converters()`` of a compiler; ``target`` of a column;
the ``template`` of ``Subquery``; ``set_cached_value()`` of a field.
tests/backends/fastpath/test_internals.py changes each of them, and sees the ORM take over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import models
from django.db.models.sql import UpdateQuery

Convert = Callable[[Any, Any, Any], Any]
Params = tuple[Any, ...]

SKIP_LOCKED = "FOR UPDATE SKIP LOCKED"


class UnexpectedError(Exception):
    """Django has made something else of a query than this package knows how to run."""


class Compiled(NamedTuple):
    """A query that reads. ``converters`` are the positions of values, what converts each, and its expression."""

    sql: str
    params: Params
    fields: list[Any]
    converters: list[tuple[int, Convert, Any]]


def expect(is_expected: bool) -> None:
    """Raise UnexpectedError unless what Django returned is what is known here."""
    if not is_expected:
        raise UnexpectedError


def compile_select(rows: models.QuerySet[Any]) -> Compiled:
    """Return the statement that reads ``rows``; no query is made.

    Raises:
        Exception: Django has changed.
    """
    query: Any = rows.query
    compiler = query.get_compiler(rows.db)
    sql, params = compiler.as_sql()
    expressions = [expression for expression, _, _ in compiler.select]
    converters = [
        (position, convert, expression)
        for position, (found, expression) in compiler.get_converters(expressions).items()
        for convert in found
    ]
    expect(all(callable(convert) for _, convert, _ in converters))
    fields = [expression.target for expression in expressions]
    expect(all(isinstance(field, models.Field) for field in fields))
    return Compiled(*_checked(sql, params), fields, converters)


def compile_update(rows: models.QuerySet[Any], values: Mapping[str, Any]) -> tuple[str, Params]:
    """Return the statement that writes ``values`` to ``rows``, and its parameters; no query is made.

    Raises:
        Exception: Django has changed.
    """
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(values)
    sql, params = query.get_compiler(rows.db).as_sql()
    return _checked(sql, params)


def skipping_locked(rows: models.QuerySet[Any]) -> models.Subquery:
    """Return the keys of ``rows``, without those that another transaction has locked, and lock them."""
    # An UPDATE itself has no SKIP LOCKED, and select_for_update() compiles only inside a transaction.
    return models.Subquery(rows.values("pk"), template=f"(%(subquery)s {SKIP_LOCKED})")


def set_related(row: Any, field: Any, related: Any) -> None:
    """Make ``related`` what ``field`` of ``row`` refers to, as if both had been read by one query."""
    field.set_cached_value(row, related)


def _checked(sql: Any, params: Sequence[Any]) -> tuple[str, Params]:
    expect(isinstance(sql, str))
    # A TypeError unless there are as many placeholders as parameters.
    sql % tuple(params)
    return sql, tuple(params)
