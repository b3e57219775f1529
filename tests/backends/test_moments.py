"""Rows that are read without the ORM are the rows it reads, to the time zone of each moment."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, models

from django_sessions_plus.backends import compiled, moments
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from tests.backends.drivers import identity

with suppress(ImportError):
    from django.db.backends.postgresql.psycopg_any import BaseTzLoader

pytestmark = pytest.mark.django_db

MOMENT = datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
only_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only psycopg has loaders"
)

only_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="others store no text")


@pytest.fixture
def token(alice: User) -> Any:
    store = SessionStore()
    store.update(identity(alice))
    store.save()
    Session.objects.update(refreshed_at=MOMENT)
    User.objects.update(last_login=MOMENT)
    return store.session_key


@pytest.fixture
def berlin(monkeypatch):
    """Have the database keep moments in another zone than UTC, as ``DATABASES`` may say."""
    database: Any = connections["default"]
    with monkeypatch.context() as patch:
        patch.setitem(database.settings_dict, "TIME_ZONE", "Europe/Berlin")
        yield use_zone(database)
    use_zone(database)


def use_zone(database: Any) -> Any:
    for name in ("timezone", "timezone_name"):
        vars(database).pop(name, None)
    if database.vendor == "postgresql":
        database.ensure_timezone()
    compiled._kept.clear()
    return database.timezone


def read(token: str) -> list[tuple[Any, ...]]:
    store = SessionStore(token)
    store.wants_user = True
    store.load()
    row: Any = store.row
    return [
        (type(one), name, value, getattr(value, "tzinfo", None))
        for one in (row, row.user)
        for name, value in sorted(vars(one).items())
        if name != "_state"
    ]


def select_of(token: str) -> Any:
    """Return the statement that reads the row."""
    compiled._kept.clear()
    read(token)
    [found] = [one for one in compiled._kept.values() if type(one).__name__ == "Select"]
    return found


def test_a_row_is_read_as_by_the_orm(token, settings):
    fast = read(token)
    assert compiled._kept
    settings.SESSIONS_PLUS_FAST_PATH = False
    assert fast == read(token)
    assert not compiled._kept
    assert ("refreshed_at", MOMENT, UTC) in {row[1:] for row in fast}


def test_a_row_is_read_as_by_the_orm_in_another_zone(token, settings, berlin):
    Session.objects.update(expires_at=MOMENT + timedelta(days=9000), refreshed_at=MOMENT)
    fast = read(token)
    settings.SESSIONS_PLUS_FAST_PATH = False
    assert fast == read(token)
    zone = ZoneInfo("Europe/Berlin")
    assert ("refreshed_at", MOMENT, zone) in {row[1:] for row in fast}


@pytest.mark.parametrize(
    "value",
    [
        None,
        MOMENT,
        MOMENT.astimezone(timezone(timedelta(hours=5))),
        MOMENT.replace(tzinfo=ZoneInfo("UTC")),
    ],
    ids=str,
)
def test_a_moment_is_written_as_django_writes_it(value):
    assert moments.prepared(value, connection) == connection.ops.adapt_datetimefield_value(value)


def test_a_moment_is_written_in_the_zone_of_the_database(berlin):
    assert moments.prepared(MOMENT, connection) == connection.ops.adapt_datetimefield_value(MOMENT)


# The driver's own loader


@only_postgresql
def test_the_driver_loads_moments_itself(token):
    select = select_of(token)
    assert select.loader.loader.__module__.startswith(("psycopg_binary.", "psycopg_c."))
    read = [
        each.maker.model._meta.get_field(name)
        for each in (select.session, select.user)
        for name in each.maker.names
    ]
    at = [at for at, field in enumerate(read) if isinstance(field, models.DateTimeField)]
    assert select.loader.positions == at
    assert len(at) > 5


@only_postgresql
def test_no_other_statement_notices(token):
    read(token)
    with connection.cursor() as cursor:
        loader: Any = cursor.adapters.get_loader(1184, 0)
    assert loader.load is BaseTzLoader.load


@only_postgresql
@pytest.mark.parametrize("name", ["timestamp with time zone[]", "tstzrange", "timestamp"])
def test_what_is_made_of_moments_is_left_to_django(name):
    assert moments.drivers_loader([name, moments.MOMENT], connection) is None
    assert moments.drivers_loader([None, "text", moments.MOMENT], connection) is not None


@only_postgresql
def test_a_loader_of_the_projects_own_stays(token):
    class Later(BaseTzLoader):
        timezone = UTC

        def load(self, data: Any) -> Any:
            return super().load(data) + timedelta(days=1)

    connection.ensure_connection()
    adapters: Any = connection.connection.adapters
    before = adapters.get_loader(1184, 0)
    adapters.register_loader("timestamptz", Later)
    compiled._kept.clear()
    try:
        assert ("refreshed_at", MOMENT + timedelta(days=1), UTC) in {row[1:] for row in read(token)}
    finally:
        adapters.register_loader("timestamptz", before)
        compiled._kept.clear()


@only_postgresql
def test_a_cursor_that_hides_its_adapters_is_read_by_django():
    loader = moments.drivers_loader(["text", moments.MOMENT, moments.MOMENT], connection)
    assert loader is not None
    loader.register(object())
    values = [MOMENT, MOMENT, None]
    loader.make_aware(values, connection)
    assert values == [MOMENT, MOMENT, None]


@only_postgresql
def test_a_project_without_time_zones_has_none_in_its_moments():
    loader = moments.drivers_loader([moments.MOMENT], connection)
    assert loader is not None
    values = [MOMENT]
    loader.make_aware(values, SimpleNamespace(timezone=None))
    assert values == [MOMENT.replace(tzinfo=None)]


# Moments that are stored as text


@only_sqlite
@pytest.mark.parametrize(
    "text",
    [
        "2030-05-06 07:08:09",
        "2030-05-06 07:08:09.123456",
        "2030-05-06 07:08:09.123",
        "2030-05-06T07:08:09",
        "2030-05-06 07:08:09+02:00",
        "2030-05-06 07:08:09Z",
        "2030-05-06 07:08",
        "2030-05-06",
        "2030-5-6 7:08:09.12",
        "soon",
        "",
        None,
        1_900_000_000,
    ],
)
def test_what_somebody_else_wrote_is_read_as_by_the_orm(token, settings, text):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE auth_user SET last_login = %s", [text])
    fast = answer(token)
    settings.SESSIONS_PLUS_FAST_PATH = False
    assert fast == answer(token)


@only_sqlite
def test_moments_are_read_as_text_only_where_django_would_make_them_utc(token, settings, berlin):
    assert not select_of(token).naive.columns
    use_zone(connection)


@only_sqlite
def test_moments_are_text_to_the_driver(token):
    select = select_of(token)
    assert select.naive.is_text
    # Django 6.1 puts the alias in quotes as well.
    assert "+s.expires_at" in select.parameters.sql.replace('"', "")


def test_a_statement_that_selects_otherwise_is_left_as_it_is():
    naive = moments.NaiveMoments(connection)
    assert (
        naive.as_text("SELECT DISTINCT a FROM b", ["a"], connection) == "SELECT DISTINCT a FROM b"
    )
    assert not naive.is_text


def answer(token: str) -> Any:
    """Return what is read, or which error that is."""
    try:
        return read(token)
    except (ValueError, TypeError, AttributeError) as exc:
        return type(exc)
