"""Statements that find one row and make instances of it, without the ORM."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections

from django_sessions_plus.backends import moments
from django_sessions_plus.backends.building import Builder, expect
from django_sessions_plus.backends.marks import DIGEST_MARK
from django_sessions_plus.backends.parameters import Parameters

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession
    from django_sessions_plus.querysets import SessionQuerySet

    Rows = SessionQuerySet[AbstractSession]


# What drivers return may be what Django's converters have to make of it. They need not be asked.
_LEFT_ALONE: dict[str, tuple[type, ...]] = {
    "convert_booleanfield_value": (NoneType, bool),
    "convert_uuidfield_value": (NoneType, UUID),
}


class Reading:
    """A query that finds at most one row by one value."""

    def __init__(self, alias: str, compiler: Any, mark: Any) -> None:
        self.alias = alias
        sql, params = compiler.as_sql()
        expect(tuple(params) == (mark,))
        connection = connections[alias]
        expressions = [entry[0] for entry in compiler.select]
        types = [expression.output_field.db_type(connection) for expression in expressions]
        self.loader = moments.drivers_loader(types, connection)
        self.naive = moments.NaiveMoments(connection)
        self.converters: list[tuple[int, tuple[type, ...], moments.Convert, Any]] = []
        for position, (converters, expression) in compiler.get_converters(expressions).items():
            for convert in converters:
                if not self.naive.takes(position, convert, expression):
                    ready = _types_left_alone(convert, connection)
                    self.converters.append((position, ready, convert, expression))
        sql = self.naive.as_text(sql, [entry[1][0] for entry in compiler.select], connection)
        self.parameters = Parameters(sql, 1, connection)

    def fetch(self, value: Any) -> list[Any] | None:
        """Return the row's values as Django's fields have them; None if there is no such row."""
        connection = connections[self.alias]
        with connection.cursor() as cursor:
            if self.loader is not None:
                self.loader.register(cursor)
            cursor.execute(self.parameters.sql, self.parameters.bind((value,)))
            found = cursor.fetchone()
        if found is None:
            return None
        values = list(found)
        if self.loader is not None:
            self.loader.make_aware(values, connection)
        self.naive.make_aware(values, connection)
        for position, ready, convert, expression in self.converters:
            if type(values[position]) not in ready:
                values[position] = convert(values[position], expression, connection)
        return values


def _types_left_alone(convert: moments.Convert, connection: Any) -> tuple[type, ...]:
    """Return the types whose values ``convert`` returns as they are, as far as that is known."""
    for name, types in _LEFT_ALONE.items():
        if convert == getattr(connection.ops, name, None):
            return types
    return ()


class Select(Reading):
    """Find the session that bears a digest or an id, and its user with it where the query joins it."""

    def __init__(self, rows: Rows, mark: Any = DIGEST_MARK) -> None:
        query: Any = rows.query.clone()
        # The full names before each of the columns are half of the text, and drivers read it all
        # for every execution. Compiling it makes the joins known.
        query.get_compiler(rows.db).as_sql()
        query.change_aliases(dict(zip(query.alias_map, ("s", "u"), strict=False)))
        del query.base_table  # a cached property that knows the old name
        compiler: Any = query.get_compiler(rows.db)
        super().__init__(rows.db, compiler, mark)
        self.session = Builder(compiler, compiler.klass_info)
        related = compiler.klass_info.get("related_klass_infos", [])
        self.user = Builder(compiler, related[0]) if related else None
        self.user_field: Any = rows.model._meta.get_field("user")

    def run(self, value: Any) -> AbstractSession | None:
        """Return the row that bears ``value``, as the database takes it, whatever the row's state."""
        values = self.fetch(value)
        if values is None:
            return None
        session: AbstractSession = self.session.build(self.alias, values)
        if self.user is not None:
            self.user_field.set_cached_value(session, self.user.build(self.alias, values))
        return session
