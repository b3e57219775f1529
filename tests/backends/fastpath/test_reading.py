"""Rows that are read without the ORM are the rows it reads, to the time zone of each timestamp."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.models import Session
from tests.backends.drivers import identity

pytestmark = pytest.mark.django_db

MOMENT = datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
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
    """Have the database keep timestamps in another zone than UTC, as ``DATABASES`` may say."""
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
    compiled._statements.clear()
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


def test_a_row_is_read_as_by_the_orm(token, settings):
    fast = read(token)
    assert compiled._statements
    settings.SESSIONS_PLUS_FAST_PATH = False
    assert fast == read(token)
    assert not compiled._statements
    assert ("refreshed_at", MOMENT, UTC) in {row[1:] for row in fast}


def test_a_row_is_read_as_by_the_orm_in_another_zone(token, settings, berlin):
    Session.objects.update(expires_at=MOMENT + timedelta(days=9000), refreshed_at=MOMENT)
    fast = read(token)
    settings.SESSIONS_PLUS_FAST_PATH = False
    assert fast == read(token)
    zone = ZoneInfo("Europe/Berlin")
    assert ("refreshed_at", MOMENT, zone) in {row[1:] for row in fast}


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


def answer(token: str) -> Any:
    """Return what is read, or which error that is."""
    try:
        return read(token)
    except (ValueError, TypeError, AttributeError) as exc:
        return type(exc)
