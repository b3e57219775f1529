"""Every undocumented part of Django that the fast path uses.

Private names of Django 5.2 to 6.1: ``get_compiler()`` and ``chain()`` of a query, ``UpdateQuery`` and its
``add_update_values()``; ``as_sql()``, ``select`` and ``get_converters()`` of a compiler; ``target`` of a column;
the ``template`` of ``Subquery``; ``set_cached_value()`` of a field; ``ModelState``, ``DeferredAttribute`` and
``ForeignKeyDeferredAttribute``.
tests/backends/fastpath/test_internals.py changes each of them, and checks that the ORM does the work then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import models
from django.db.models import base, query_utils, signals
from django.db.models.fields import related_descriptors
from django.db.models.sql import UpdateQuery

from django_sessions_plus.conf import config

Convert = Callable[[Any, Any, Any], Any]
Params = tuple[Any, ...]

FOR_UPDATE = " FOR UPDATE"
"""Appended to a SELECT of one table: ``select_for_update()`` compiles only inside a transaction."""
SKIP_LOCKED = "FOR UPDATE SKIP LOCKED"


class UnexpectedError(Exception):
    """Django has compiled a query into a form that this package does not know."""


class Compiled(NamedTuple):
    """A compiled SELECT. A converter is the position of a value, the function that converts it, and its expression."""

    sql: str
    params: Params
    fields: list[Any]
    converters: list[tuple[int, Convert, Any]]


def expect(is_expected: bool) -> None:
    """Raise UnexpectedError if ``is_expected`` is False."""
    if not is_expected:
        raise UnexpectedError


def compile_select(rows: models.QuerySet[Any]) -> Compiled:
    """Return the statement that reads ``rows``, without running it.

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
    """Return the statement that writes ``values`` to ``rows``, and its parameters, without running it.

    Raises:
        Exception: Django has changed.
    """
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(values)
    sql, params = query.get_compiler(rows.db).as_sql()
    return _checked(sql, params)


def skipping_locked(rows: models.QuerySet[Any]) -> models.Subquery:
    """Return a subquery for the keys of ``rows`` that locks them and skips rows that other transactions have locked."""
    # An UPDATE has no SKIP LOCKED itself, and select_for_update() compiles only inside a transaction.
    return models.Subquery(rows.values("pk"), template=f"(%(subquery)s {SKIP_LOCKED})")


def set_related(row: Any, field: Any, related: Any) -> None:
    """Set the related instance of ``field``, as ``select_related()`` does."""
    field.set_cached_value(row, related)


def instance_of(model: Any, names: tuple[str, ...], values: tuple[Any, ...], alias: str) -> Any:
    """Return the instance that ``from_db()`` returns, without a call for each column.

    On PostgreSQL this saves 10 percent of a request whose session is served from memory.
    """
    if not config.FAST_PATH or not _has_only_columns(model) or _is_init_observed(model):
        return model.from_db(alias, names, values)
    return _instance(model, names, values, alias)


def _instance(model: Any, names: tuple[str, ...], values: tuple[Any, ...], alias: str) -> Any:
    made = model.__new__(model)
    made._state = state = base.ModelState()
    state.adding, state.db = False, alias
    vars(made).update(zip(names, values, strict=True))
    return made


@lru_cache(maxsize=64)
def _has_only_columns(model: Any) -> bool:
    """Return whether an instance has nothing but its columns, each as it was read; False if Django has changed."""
    names = tuple(field.attname for field in model._meta.concrete_fields)
    values = tuple(range(len(names)))
    try:
        simple = {query_utils.DeferredAttribute, related_descriptors.ForeignKeyDeferredAttribute}
        return (
            model.__init__ is models.Model.__init__
            and {type(getattr(model, name)) for name in names} <= simple
            and _content(_instance(model, names, values, "x"))
            == _content(model.from_db("x", names, values))
        )
    except Exception:  # noqa: BLE001 - whatever a model, or a later Django, may raise
        return False


def _content(instance: Any) -> tuple[Any, ...]:
    state = {"fields_cache": {}, **vars(instance._state)}
    return {**vars(instance), "_state": None}, state


def _is_init_observed(model: Any) -> bool:
    return bool(signals.pre_init.has_listeners(model) or signals.post_init.has_listeners(model))


def _checked(sql: Any, params: Sequence[Any]) -> tuple[str, Params]:
    expect(isinstance(sql, str))
    # Raises a TypeError if the numbers of placeholders and parameters differ.
    sql % tuple(params)
    return sql, tuple(params)
