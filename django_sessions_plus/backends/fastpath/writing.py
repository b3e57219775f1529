"""Compiled UPDATE statements that write columns of one row if it still meets a condition.

This saves the compiling, and what ``parameters`` saves. Each field prepares its value, as in the ORM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.db import connections, models, transaction

from django_sessions_plus.backends.fastpath.internals import (
    SKIP_LOCKED,
    Params,
    compile_update,
    expect,
    skipping_locked,
)
from django_sessions_plus.backends.fastpath.parameters import Parameters
from django_sessions_plus.backends.fastpath.placeholders import (
    PlaceholderRow,
    UnsupportedError,
    now_and_later,
    placeholder_for,
)
from django_sessions_plus.backends.use import Condition
from django_sessions_plus.conf import config, lifetimes

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

Source = Callable[[Any, datetime], Any]
"""Returns the value of one parameter of a condition, for a row and a time."""


class Update:
    """Writes columns of one row if it meets a condition."""

    def __init__(
        self, model: Any, names: Sequence[str], condition: Condition, *, skip_locked: bool
    ) -> None:
        self.columns = [model._meta.get_field(name) for name in names]
        # All different, to check that they stay in order.
        placeholders = [placeholder_for(field, at) for at, field in enumerate(self.columns, 1)]
        written = dict(zip((field.attname for field in self.columns), placeholders, strict=True))
        row = PlaceholderRow(model)
        rows, rows_later = (condition(row, now) for now in now_and_later())
        self.alias = rows.db
        skips_locked = skip_locked and connections[self.alias].vendor == "postgresql"
        if skips_locked:
            rows, rows_later = _skipping_locked(rows), _skipping_locked(rows_later)
        sql, params = compile_update(rows, written)
        expect(skips_locked == (SKIP_LOCKED in sql))
        same, later = compile_update(rows_later, written)
        expect(same == sql and len(params) == len(later))
        self.parameters = Parameters(sql, len(params), connections[self.alias])
        size = len(placeholders)
        expect(list(params[:size]) == self._values(placeholders))
        self.sources = _sources(model, row, params[size:], later[size:], connections[self.alias])

    def bind(self, values: Sequence[Any], row: AbstractSession, now: datetime) -> list[Any]:
        """Return the parameters for writing ``values`` to ``row``.

        Raises:
            Exception: a field does not accept its value.
        """
        connection = connections[self.alias]
        asked = [
            source(row, now)
            if field is None
            else field.get_db_prep_value(source(row, now), connection)
            for field, source in self.sources
        ]
        return self._values(values) + asked

    def run(self, params: Sequence[Any]) -> bool:
        """Run the statement; return False if the row did not meet the condition.

        Raises:
            Exception: the database, the driver or a wrapper of its cursors raises it, as with the ORM.
        """
        connection = connections[self.alias]
        # As in QuerySet.update(): if the statement fails, the transaction has to be rolled back.
        atomic = transaction.atomic(using=self.alias, savepoint=False)
        with atomic if connection.in_atomic_block else nullcontext(), connection.cursor() as cursor:
            cursor.execute(self.parameters.sql, self.parameters.bind(params))
            return bool(cursor.rowcount)

    def _values(self, values: Sequence[Any]) -> list[Any]:
        connection = connections[self.alias]
        pairs = zip(self.columns, values, strict=True)
        return [field.get_db_prep_save(value, connection) for field, value in pairs]


def _skipping_locked(rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    return models.QuerySet(rows.model, using=rows.db).filter(pk__in=skipping_locked(rows))


def _sources(
    model: Any, row: PlaceholderRow, params: Params, later: Params, connection: Any
) -> list[tuple[Any, Source]]:
    """Return, for each parameter of a condition, its field (None for a constant) and where its value comes from.

    Raises:
        UnsupportedError: a parameter depends on the time, but is neither the time itself nor a timeout before it.
        UnexpectedError: a value that the condition has read from the row is not among the parameters.
    """
    row_values: list[tuple[Any, Any, Source]] = []
    for name, placeholder in row.asked.items():
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
        row_values.append((field, placeholder, partial(_row_value, attrgetter(name))))
    time, (now, _) = model._meta.get_field("expires_at"), now_and_later()
    ages = {config.ABSOLUTE_AGE, *lifetimes.absolute_ages().values()} - {None}
    known: list[tuple[Any, Any, Source]] = [
        *row_values,
        (time, now, _current_time),
        *((time, now - age, partial(_time_before, age)) for age in ages if age),
    ]
    prepared = [(f.get_db_prep_value(value, connection), f, source) for f, value, source in known]
    sources: list[tuple[Any, Source]] = []
    for param, other in zip(params, later, strict=True):
        matches = [(field, source) for value, field, source in prepared if value == param]
        if not matches and param != other:
            raise UnsupportedError
        sources.append(matches[0] if matches else (None, partial(_constant, param)))
    found = [source for _, source in sources]
    expect(all(source in found for _, _, source in row_values))
    return sources


def _row_value(get: Callable[[Any], Any], row: Any, now: datetime) -> Any:
    return get(row)


def _current_time(row: Any, now: datetime) -> datetime:
    return now


def _time_before(age: timedelta, row: Any, now: datetime) -> datetime:
    return now - age


def _constant(value: Any, row: Any, now: datetime) -> Any:
    return value
