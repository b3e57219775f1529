"""Compiled SELECT statements that find one row by one value, and create model instances from it.

This saves the compiling, and what ``parameters`` and ``timestamps`` save. Django's converters and ``from_db()``
do the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connections, models
from django.utils import timezone

from django_sessions_plus.backends.fastpath.internals import (
    FOR_UPDATE,
    compile_select,
    expect,
    set_related,
)
from django_sessions_plus.backends.fastpath.parameters import Parameters
from django_sessions_plus.backends.fastpath.placeholders import UnsupportedError, placeholder_for
from django_sessions_plus.backends.fastpath.timestamps import timestamps_of

_TYPES: dict[type, type] = {models.DateTimeField: datetime, models.UUIDField: UUID}
"""The Python types of fields for which a driver may return another type than Django."""


class Part(NamedTuple):
    """The columns that belong to one model."""

    model: Any
    names: Collection[str]
    columns: slice
    key: int

    def instance(self, alias: str, values: Sequence[Any]) -> Any:
        """Return the model instance with these columns; None if the join found no row."""
        if values[self.key] is None:
            return None
        return self.model.from_db(alias, self.names, values[self.columns])


class Select:
    """A query that finds at most one row by one value, with its user if the query joins users.

    With ``for_update``, it locks the row until the transaction ends, where the database can do that.
    """

    def __init__(
        self, field: Any, rows: Callable[[Any], models.QuerySet[Any]], *, for_update: bool = False
    ) -> None:
        placeholder = placeholder_for(field)
        queryset = rows(placeholder)
        self.field = field
        self.alias = queryset.db
        sql, params, fields, self.converters = compile_select(queryset)
        expect(params == (field.get_db_prep_value(placeholder, connections[self.alias]),))
        if for_update and connections[self.alias].features.has_select_for_update:
            sql += FOR_UPDATE
        self.parameters = Parameters(sql, len(params), connections[self.alias])
        self.width = len(fields)
        self._unchecked = [(at, type(field)) for at, field in enumerate(fields)]
        self.timestamps = timestamps_of(connections[self.alias])
        self.user_field: Any = None
        self.row, *others = _parts(queryset.model, fields)
        if others:
            self.user_field = queryset.model._meta.get_field("user")
            self.user = others[0]

    def fetch(self, value: Any) -> Sequence[Any] | None:
        """Return the row with this value as the driver returns it; None if there is none.

        Raises:
            Exception: the database, the driver or a wrapper of its cursors raises it, as with the ORM.
        """
        connection = connections[self.alias]
        params = self.parameters.bind((self.field.get_db_prep_value(value, connection),))
        with connection.cursor() as cursor:
            if self.timestamps is not None:
                self.timestamps.register(cursor)
            cursor.execute(self.parameters.sql, params)
            found: Sequence[Any] | None = cursor.fetchone()
        return found

    def instance(self, found: Sequence[Any]) -> Any:
        """Return the model instance for a fetched row, with its user if the query joins users.

        Raises:
            Exception: the values are not of the expected form.
        """
        expect(len(found) == self.width)
        values = list(found)
        connection = connections[self.alias]
        for position, convert, expression in self.converters:
            values[position] = convert(values[position], expression, connection)
        if self._unchecked:
            self._check_types(values)
        row = self.row.instance(self.alias, values)
        if self.user_field is not None:
            set_related(row, self.user_field, self.user.instance(self.alias, values))
        return row

    def _check_types(self, values: list[Any]) -> None:
        """Check in the first row that all values have been converted."""
        for position, kind in self._unchecked:
            value, expected = values[position], _TYPES.get(kind)
            if value is None or expected is None:
                continue
            expect(isinstance(value, expected))
            if expected is datetime:
                expect(timezone.is_aware(value) == settings.USE_TZ)
        self._unchecked = []


def _parts(model: Any, fields: list[Any]) -> list[Part]:
    """Return the part of ``model``, and that of the user model if the query joins users.

    Raises:
        UnsupportedError: a model uses multi-table inheritance.
        UnexpectedError: the fields are not those of these models.
    """
    tables = [list(found) for _, found in groupby(fields, key=attrgetter("model"))]
    owners = [model] if len(tables) == 1 else [model, model._meta.get_field("user").related_model]
    if any(owner._meta.parents for owner in owners):
        raise UnsupportedError
    expect([table[0].model for table in tables] == [o._meta.concrete_model for o in owners])
    parts, start = [], 0
    for owner, table in zip(owners, tables, strict=True):
        names = [field.attname for field in table]
        key = start + names.index(owner._meta.pk.attname)
        # Where columns are deferred, from_db() looks up each of the model's fields among the names.
        is_deferred = len(names) < len(owner._meta.concrete_fields)
        columns = slice(start, start + len(names))
        parts.append(Part(owner, dict.fromkeys(names) if is_deferred else names, columns, key))
        start += len(names)
    return parts
