"""Statements compiled once: those that nearly every request runs.

What a session costs is less the database's time than building and compiling the
same query again and again. So Django's own compiler does it once for each shape,
for the very query the store would run, with marks where its values go; the SQL is
kept and run through ``connection.cursor()``. Every quirk of a backend stays
Django's, and query counters, debug toolbars and execute wrappers see these
statements like any other.

A query that does not compile to what is expected here (a session model whose fields
wrap their SQL, a user model made of several tables) is refused, once, and the store
goes on with the ORM. ``SESSIONS_PLUS_FAST_PATH = False`` refuses all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections, models, transaction
from django.db.models.sql import UpdateQuery

from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession
    from django_sessions_plus.querysets import SessionQuerySet

    Rows = SessionQuerySet[AbstractSession]
    Build = Callable[[AbstractSession, datetime], Rows]

Statement = TypeVar("Statement")
Guard = tuple[Callable[["AbstractSession", datetime], Any], Any]

# What stands for a value while its statement is compiled. Each must be found again among the
# statement's parameters, so no two may be alike.
DIGEST_MARK = "f" * 64
_ID_MARK = UUID(int=7777)
_VERSION_MARK = 7777
_NOW_MARK = datetime(2001, 2, 3, 4, 5, 6, 7)  # noqa: DTZ001 - made aware where the project is
_LAST_SEEN_MARK = datetime(2002, 3, 4, 5, 6, 7, 8)  # noqa: DTZ001

_PLAIN_FIELDS = frozenset({models.DateTimeField, models.CharField, models.TextField})

_kept: dict[tuple[Any, ...], Any] = {}


class RefusedError(Exception):
    """The compiled statement has not the form that is needed here."""


class Reading:
    """A query that finds at most one row by one value."""

    def __init__(self, alias: str, compiler: Any, mark: Any) -> None:
        self.alias = alias
        self.sql, params = compiler.as_sql()
        expect(tuple(params) == (mark,))
        self.converters = list(_converters(compiler))

    def fetch(self, value: Any) -> list[Any] | None:
        """Return the row's values as Django's fields have them; None if there is no such row."""
        connection = connections[self.alias]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, (value,))
            found = cursor.fetchone()
        if found is None:
            return None
        values = list(found)
        for position, convert, expression in self.converters:
            values[position] = convert(values[position], expression, connection)
        return values


class Select(Reading):
    """Find the session that bears a digest, and its user with it where the query joins it."""

    def __init__(self, rows: Rows) -> None:
        query: Any = rows.query.clone()
        # The full name before each of its columns is half of the text, and drivers read it all
        # for every execution.
        query.change_aliases({query.get_initial_alias(): "s"})
        del query.base_table  # a cached property that knows the old name
        compiler: Any = query.get_compiler(rows.db)
        super().__init__(rows.db, compiler, DIGEST_MARK)
        self.session = Builder(compiler, compiler.klass_info)
        related = compiler.klass_info.get("related_klass_infos", [])
        self.user = Builder(compiler, related[0]) if related else None
        self.user_field: Any = rows.model._meta.get_field("user")

    def run(self, digest: str) -> AbstractSession | None:
        """Return the row that bears ``digest``, whatever its state."""
        values = self.fetch(digest)
        if values is None:
            return None
        session: AbstractSession = self.session.build(self.alias, values)
        if self.user is not None:
            self.user_field.set_cached_value(session, self.user.build(self.alias, values))
        return session


class Update:
    """Write columns of one row if it is still there as it was read, and say whether it was."""

    def __init__(self, rows: Rows, names: tuple[str, ...], *, skip_locked: bool) -> None:
        model: Any = rows.model
        self.alias = rows.db
        self.columns = [model._meta.get_field(name) for name in names]
        marks = {field.attname: mark_of(field) for field in self.columns}
        self.sql, params = _compile_update(rows, marks, skip_locked=skip_locked)
        connection = connections[self.alias]
        written = [field.get_db_prep_save(mark_of(field), connection) for field in self.columns]
        expect(list(params[: len(written)]) == written)
        self.guards = list(_guards(model, connection, params[len(written) :]))

    def run(self, values: list[Any], row: AbstractSession, now: datetime) -> bool:
        """Write ``values`` over ``row``; False if it is not there like that any more."""
        connection = connections[self.alias]
        params = [
            _prepared(field, value, connection)
            for field, value in zip(self.columns, values, strict=True)
        ]
        for value_of, field in self.guards:
            value = value_of(row, now)
            params.append(_prepared(field, value, connection) if field else value)
        with transaction.mark_for_rollback_on_error(self.alias), connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            return bool(cursor.rowcount)


def select(key: tuple[Any, ...], build: Callable[[], Rows]) -> Select | None:
    """Return the kept statement of the query ``build`` makes for ``DIGEST_MARK``; None if refused."""
    return keep(("select", *key), lambda: Select(build()))


def update(
    key: tuple[Any, ...],
    model: type[AbstractSession],
    names: tuple[str, ...],
    build: Build,
    *,
    skip_locked: bool = False,
) -> Update | None:
    """Return the kept statement that writes ``names`` to what ``build(row, now)`` finds; None if refused.

    With ``skip_locked`` a row that somebody else holds locked counts as not there, on
    PostgreSQL. Who holds it is most likely doing the same, and nobody should queue for that.
    """

    def compile_() -> Update:
        rows = build(_marked_row(model), _aware(_NOW_MARK))
        is_able = connections[rows.db].vendor == "postgresql"
        return Update(rows, names, skip_locked=skip_locked and is_able)

    return keep(("update", *key, names, config.ABSOLUTE_AGE is None), compile_)


class Builder:
    """Make instances of one model from a row of the compiled query."""

    def __init__(self, compiler: Any, info: dict[str, Any]) -> None:
        self.model: Any = info["model"]
        # A model made of several tables needs more than its own columns in their order.
        expect(not self.model._meta.parents)
        positions = list(info["select_fields"])
        self.start, self.stop = positions[0], positions[-1] + 1
        expect(positions == list(range(self.start, self.stop)))
        self.names = [compiler.select[position][0].target.attname for position in positions]
        self.key = self.start + self.names.index(self.model._meta.pk.attname)

    def build(self, alias: str, values: list[Any]) -> Any:
        """Return the instance in ``values``; None where the join found none."""
        if values[self.key] is None:
            return None
        return self.model.from_db(alias, self.names, values[self.start : self.stop])


def _prepared(field: Any, value: Any, connection: Any) -> Any:
    # The engine's own moments and texts have the type of their field already: what is left is
    # what the database makes of them. Whatever else comes here is converted first.
    if isinstance(value, (datetime, str)) and type(field) in _PLAIN_FIELDS:
        return field.get_db_prep_value(value, connection, prepared=True)
    return field.get_db_prep_save(value, connection)


def keep(key: tuple[Any, ...], compile_: Callable[[], Statement]) -> Statement | None:
    """Return the statement kept under ``key``, compiled the first time; None if it was refused."""
    try:
        kept: Statement | None = _kept[key]
    except KeyError:
        try:
            kept = compile_()
        except RefusedError:
            kept = None
        _kept[key] = kept
    return kept


def _forget_all(**kwargs: Any) -> None:
    # Time zones, databases, user models and routers all end up in compiled statements.
    _kept.clear()


setting_changed.connect(_forget_all, dispatch_uid="django_sessions_plus.compiled")


def expect(is_expected: bool) -> None:
    """Refuse the statement unless it has come out as expected."""
    if not is_expected:
        raise RefusedError


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if settings.USE_TZ else moment


def _marked_row(model: type[AbstractSession]) -> AbstractSession:
    return model(
        id=_ID_MARK,
        token_digest=DIGEST_MARK,
        version=_VERSION_MARK,
        last_seen_at=_aware(_LAST_SEEN_MARK),
    )


def _guards(model: Any, connection: Any, params: tuple[Any, ...]) -> Iterator[Guard]:
    """Return where the value of each parameter of the condition comes from."""
    moment = model._meta.get_field("expires_at")
    limit = config.ABSOLUTE_AGE or timedelta()
    sources: list[tuple[Any, Any, Callable[[AbstractSession, datetime], Any]]] = [
        (moment, _aware(_NOW_MARK), lambda row, now: now),
        (moment, _aware(_NOW_MARK) - limit, lambda row, now: now - (config.ABSOLUTE_AGE or limit)),
        (moment, _aware(_LAST_SEEN_MARK), lambda row, now: row.last_seen_at),
        (model._meta.pk, _ID_MARK, lambda row, now: row.pk),
        (model._meta.get_field("token_digest"), DIGEST_MARK, lambda row, now: row.token_digest),
        (model._meta.get_field("version"), _VERSION_MARK, lambda row, now: row.version),
    ]
    prepared = [(f.get_db_prep_value(mark, connection), f, get) for f, mark, get in sources]
    for param in params:
        match = next(((get, field) for value, field, get in prepared if value == param), None)
        # What stands for nothing of ours is a constant of the query.
        yield match or (_constant(param), None)


def _constant(value: Any) -> Callable[[AbstractSession, datetime], Any]:
    return lambda row, now: value


def _converters(compiler: Any) -> Iterator[tuple[int, Callable[..., Any], Any]]:
    expressions = [entry[0] for entry in compiler.select]
    for position, (converters, expression) in compiler.get_converters(expressions).items():
        for convert in converters:
            yield position, convert, expression


def mark_of(field: Any) -> Any:
    """Return a value of the field's type that is not NULL."""
    target = getattr(field, "target_field", field)
    marks: tuple[tuple[type[models.Field[Any, Any]], Any], ...] = (
        (models.DateTimeField, _aware(_NOW_MARK)),
        (models.UUIDField, _ID_MARK),
        (models.BooleanField, True),
        (models.IntegerField, 1),
        (models.GenericIPAddressField, "192.0.2.1"),
        (models.CharField, "x"),
        (models.TextField, "x"),
    )
    for kind, mark in marks:
        if isinstance(target, kind):
            return mark
    # What a project's own field takes nobody knows here.
    raise RefusedError


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
    by_key = rows.model.objects.using(rows.db).filter(pk=_ID_MARK)
    outer, outer_params = _compile(by_key, marks)
    head, separator, tail = outer.rpartition(" = %s")
    expect(bool(separator) and not tail)
    return f"{head} IN ({inner})", (*outer_params[:-1], *inner_params)


def _compile(rows: Rows, marks: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(marks)
    sql, params = query.get_compiler(rows.db).as_sql()
    return sql, tuple(params)
