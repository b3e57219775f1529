"""Statements that write columns of one row if it is still there as it was read, without the ORM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, models, transaction
from django.db.models.sql import UpdateQuery

from django_sessions_plus.backends import moments
from django_sessions_plus.backends.building import RefusedError, expect
from django_sessions_plus.backends.marks import (
    DIGEST_MARK,
    EXPIRES_MARK,
    ID_MARK,
    LAST_SEEN_MARK,
    NOW_MARK,
    REFRESH_MARK,
    VERSION_MARK,
    aware,
    mark_of,
    user_mark,
)
from django_sessions_plus.backends.parameters import Parameters
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession
    from django_sessions_plus.querysets import SessionQuerySet

    Rows = SessionQuerySet[AbstractSession]

Prepare = Callable[[Any, Any], Any]
Source = str | Callable[[datetime], Any]
"""Where a value of a condition comes from: this attribute of the row, or what is made of the present moment."""

# What the engine itself writes.
_MOMENTS = frozenset({"authenticated_at", "updated_at", "last_seen_at", "expires_at"})
_AS_THEY_ARE = frozenset({"token_digest", "session_data", "version"})
_PLAIN_FIELDS = (models.CharField, models.TextField, models.PositiveBigIntegerField)


class Update:
    """Write columns of one row if it is still there as it was read, and say whether it was."""

    def __init__(self, rows: Rows, names: tuple[str, ...], *, skip_locked: bool) -> None:
        model: Any = rows.model
        self.alias = rows.db
        connection = connections[self.alias]
        columns = [model._meta.get_field(name) for name in names]
        marks = {field.attname: mark_of(field) for field in columns}
        sql, params = _compile_update(rows, marks, skip_locked=skip_locked)
        self.parameters = Parameters(sql, len(params), connection)
        written = [field.get_db_prep_save(mark_of(field), connection) for field in columns]
        expect(list(params[: len(written)]) == written)
        self.columns = [_preparation(field) for field in columns]
        self.guards = list(_guards(model, connection, params[len(written) :]))

    def run(self, values: list[Any], row: AbstractSession, now: datetime) -> bool:
        """Write ``values`` over ``row``; False if it is not there like that any more."""
        connection = connections[self.alias]
        params = [
            prepare(value, connection) if prepare else value
            for prepare, value in zip(self.columns, values, strict=True)
        ]
        for source, prepare in self.guards:
            value = getattr(row, source) if isinstance(source, str) else source(now)
            params.append(prepare(value, connection) if prepare else value)
        if not connection.in_atomic_block:
            return self._execute(connection, params)
        with transaction.mark_for_rollback_on_error(self.alias):
            return self._execute(connection, params)

    def _execute(self, connection: Any, params: list[Any]) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(self.parameters.sql, self.parameters.bind(params))
            return bool(cursor.rowcount)


def _compile_update(
    rows: Rows, marks: dict[str, Any], *, skip_locked: bool
) -> tuple[str, tuple[Any, ...]]:
    if not skip_locked:
        return _compile(rows, marks)
    # Locked in a subselect: an UPDATE itself knows no SKIP LOCKED. Django compiles that only
    # inside a transaction, for outside of one the lock of a SELECT alone would be pointless.
    with transaction.atomic(using=rows.db):
        locking = rows.select_for_update(skip_locked=True).values("pk")
        inner, inner_params = locking.query.get_compiler(rows.db).as_sql()
    by_key = rows.model.objects.using(rows.db).filter(pk=ID_MARK)
    outer, outer_params = _compile(by_key, marks)
    head, separator, tail = outer.rpartition(" = %s")
    expect(bool(separator) and not tail)
    return f"{head} IN ({inner})", (*outer_params[:-1], *inner_params)


def _compile(rows: Rows, marks: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(marks)
    sql, params = query.get_compiler(rows.db).as_sql()
    # There is but one table, and its name before each column most of the text.
    table = connections[rows.db].ops.quote_name(rows.model._meta.db_table)
    return sql.replace(f"{table}.", ""), tuple(params)


def _preparation(field: Any) -> Prepare | None:
    """Return what makes a value of ``field`` what its database takes; None where that is the value itself.

    What the engine writes has the type of its field already. A column of a project's own
    gets what Django does for it.
    """
    if field.name in _MOMENTS and type(field) is models.DateTimeField:
        return moments.prepared
    if field.name in _AS_THEY_ARE and type(field) in _PLAIN_FIELDS:
        return None
    if field.primary_key and type(field) is models.UUIDField:
        return _prepared_id
    return field.get_db_prep_save  # type: ignore[no-any-return]


def _prepared_id(value: Any, connection: Any) -> Any:
    """Return the id of a session, which is a UUID, as the driver takes it."""
    return value if connection.features.has_native_uuid_field else value.hex


def _guards(
    model: Any, connection: Any, params: tuple[Any, ...]
) -> Iterator[tuple[Source, Prepare | None]]:
    """Return where the value of each parameter of the condition comes from, and what prepares it."""
    moment = model._meta.get_field("expires_at")
    limit = config.ABSOLUTE_AGE or timedelta()
    sources: list[tuple[Any, Any, Source]] = [
        (moment, aware(NOW_MARK), lambda now: now),
        (moment, aware(NOW_MARK) - limit, lambda now: now - (config.ABSOLUTE_AGE or limit)),
        (moment, aware(LAST_SEEN_MARK), "last_seen_at"),
        (moment, aware(EXPIRES_MARK), "expires_at"),
        (model._meta.pk, ID_MARK, model._meta.pk.attname),
        *(
            (model._meta.get_field(name), mark, name)
            for name, mark in (
                ("token_digest", DIGEST_MARK),
                ("version", VERSION_MARK),
                ("refresh_digest", REFRESH_MARK),
            )
        ),
    ]
    with suppress(RefusedError):
        # Of a type without a mark no condition that compiled has one.
        user = model._meta.get_field("user").target_field
        sources.append((user, user_mark(model), "user_id"))
    prepared = [(f.get_db_prep_value(mark, connection), f, get) for f, mark, get in sources]
    for param in params:
        match = next(((get, _preparation(f)) for value, f, get in prepared if value == param), None)
        # What stands for nothing of ours is a constant of the query.
        yield match or (_constant(param), None)


def _constant(value: Any) -> Source:
    return lambda now: value
