"""On PostgreSQL timestamps are loaded in less time than Django takes, and are the same."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection, models

from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.backends.fastpath.timestamps import Timestamps, timestamps_of

with suppress(ImportError):
    from django.db.backends.postgresql.psycopg_any import BaseTzLoader

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(
        timestamps_of(connection) is None,
        reason="only psycopg has loaders, and a newer Python needs none",
    ),
]

MOMENT = datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


def lookup(key: Any, alias: str, with_user: bool) -> Any:
    return models.QuerySet(User, using=alias).filter(pk=key)


def last_login(user: User) -> Any:
    """Return when ``user`` has last signed in, as it is read by a statement that was compiled."""
    found = compiled.find(User._meta.pk, user.pk, lookup, "default")
    assert None not in compiled._statements.values()
    return found.last_login


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", last_login=MOMENT)


def test_djangos_loader_is_not_asked(ada, monkeypatch):
    def load(self: Any, data: Any) -> Any:
        raise NotImplementedError

    load.__module__ = BaseTzLoader.load.__module__
    monkeypatch.setattr(BaseTzLoader, "load", load)
    assert last_login(ada) == MOMENT
    assert last_login(ada).tzinfo is UTC


def test_no_other_statement_notices(ada):
    last_login(ada)
    with connection.cursor() as cursor:
        loader: Any = cursor.adapters.get_loader(1184, 0)
    assert loader.load is BaseTzLoader.load


def test_a_loader_of_the_projects_own_stays(ada):
    class Later(BaseTzLoader):
        timezone = UTC

        def load(self, data: Any) -> Any:
            return super().load(data) + timedelta(days=1)

    connection.ensure_connection()
    adapters: Any = connection.connection.adapters
    before = adapters.get_loader(1184, 0)
    adapters.register_loader("timestamptz", Later)
    try:
        assert last_login(ada) == MOMENT + timedelta(days=1)
    finally:
        adapters.register_loader("timestamptz", before)


def test_a_cursor_that_hides_its_adapters_is_left_alone():
    timestamps = timestamps_of(connection)
    assert timestamps is not None
    timestamps.register(object())


@pytest.mark.parametrize("zone", [ZoneInfo("Europe/Berlin"), None], ids=str)
def test_a_timestamp_is_in_the_time_zone_of_the_connection_or_in_none(zone):
    made: Any = Timestamps(SimpleNamespace(Database=connection.Database, timezone=zone))
    connection.ensure_connection()
    loaded = made.loader(made.oid, connection.connection).load(b"2030-05-06 07:08:09.123456+00")
    expected = MOMENT.replace(tzinfo=zone)
    assert (loaded, loaded.tzinfo) == (expected, zone)
