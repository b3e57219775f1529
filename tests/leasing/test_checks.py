"""The checks of the engine that serves sessions from memory, which depend on the database."""

from __future__ import annotations

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection

from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.checks import leasing
from django_sessions_plus.models import Session

PREFIX = "django_sessions_plus."


@pytest.fixture(autouse=True)
def _leased(settings: Any) -> None:
    settings.SESSION_ENGINE = "django_sessions_plus.backends.leased_db"


@pytest.fixture
def _possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on PostgreSQL."""
    monkeypatch.setattr(triggers, "why_impossible", lambda alias: None)


def ids(found: Any) -> list[str]:
    return [message.id.removeprefix(PREFIX) for message in found]


class UsersElsewhere:
    """A router that keeps users in another database than sessions."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "other" if model._meta.label == "auth.User" else None

    db_for_write = db_for_read


@pytest.mark.usefixtures("_possible")
def test_users_in_another_database_are_told_of(settings: Any):
    assert leasing.check_leases_are_possible() == []
    settings.DATABASE_ROUTERS = [UsersElsewhere()]
    (message,) = leasing.check_leases_are_possible()
    assert (message.id, "users" in message.msg) == (f"{PREFIX}W045", True)


def test_psycopg_2_and_schemas_of_tenants_are_told_of(monkeypatch: pytest.MonkeyPatch):
    database: Any = SimpleNamespace(vendor="postgresql", Database=object())
    monkeypatch.setattr(triggers, "connections", {"default": database})
    (message,) = leasing.check_leases_are_possible()
    assert "psycopg 3 is not installed" in message.msg
    database.Database = SimpleNamespace(AsyncConnection=object)
    assert leasing.check_leases_are_possible() == []
    database.set_tenant = None
    (message,) = leasing.check_leases_are_possible()
    assert "a schema for each tenant" in message.msg


@pytest.mark.parametrize(
    ("setting", "find", "code"),
    [
        ("ATOMIC_REQUESTS", leasing.check_atomic_requests, "W046"),
        ("DISABLE_SERVER_SIDE_CURSORS", leasing.check_pooler, "I009"),
    ],
)
def test_settings_of_the_database_that_keep_sessions_out_of_memory_are_told_of(
    monkeypatch: pytest.MonkeyPatch, settings: Any, setting: str, find: Any, code: str
):
    monkeypatch.setitem(connection.settings_dict, setting, True)
    monkeypatch.setattr(triggers, "why_impossible", lambda alias: None)
    assert ids(find()) == [code]
    monkeypatch.setitem(connection.settings_dict, setting, False)
    assert find() == []
    monkeypatch.setitem(connection.settings_dict, setting, True)
    # Nor is there anything to tell of where nothing is served from memory anyway.
    monkeypatch.setattr(triggers, "why_impossible", lambda alias: "it cannot")
    assert find() == []
    monkeypatch.setattr(triggers, "why_impossible", lambda alias: None)
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    assert find() == []


@pytest.mark.django_db
@pytest.mark.usefixtures("_possible")
def test_a_catalogue_that_cannot_be_read_is_no_problem(monkeypatch: pytest.MonkeyPatch):
    def refuse(model: Any, alias: str) -> Any:
        raise DatabaseError

    monkeypatch.setattr(triggers, "states", refuse)
    assert leasing.check_triggers(databases=["default"]) == []


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="triggers are made on PostgreSQL")
def test_triggers_that_are_missing_are_told_of_where_the_database_may_be_asked(
    settings: Any, monkeypatch: pytest.MonkeyPatch
):
    assert leasing.check_triggers() == leasing.check_triggers(databases=["other"]) == []
    (message,) = leasing.check_triggers(databases=["default"])
    assert message.id == f"{PREFIX}W049"
    assert "auth_user: missing" in message.msg
    triggers.install(Session, "default")
    assert leasing.check_triggers(databases=["default"]) == []
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE auth_user DISABLE TRIGGER USER")
    (message,) = leasing.check_triggers(databases=["default"])
    assert "(auth_user: disabled)" in message.msg
    # Before the first "migrate" there is nothing that could have triggers.
    monkeypatch.setattr(Session._meta, "db_table", "not_made_yet")
    monkeypatch.setattr(User._meta, "db_table", "not_made_yet_either")
    assert leasing.check_triggers(databases=["default"]) == []
    monkeypatch.undo()
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    assert leasing.check_triggers(databases=["default"]) == []


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
@pytest.mark.parametrize("debug", [True, False])
def test_a_channel_within_one_process_is_warned_of_where_there_may_be_more(
    settings: Any, monkeypatch: pytest.MonkeyPatch, debug: bool, vendor: str
):
    settings.SESSIONS_PLUS_LEASE_CHANNEL = "process"
    settings.DEBUG = debug
    monkeypatch.setattr(connection, "vendor", vendor)
    expected = [] if debug and vendor == "sqlite" else ["W050"]
    assert ids(leasing.check_leases_are_possible()) == expected
    assert leasing.check_triggers(databases=["default"]) == []


@pytest.mark.skipif(find_spec("redis") is None, reason="redis-py is missing")
@pytest.mark.parametrize("channel", ["redis://127.0.0.1:1/0", "sessions"])
def test_users_that_are_not_announced_are_told_of(settings: Any, channel: str):
    settings.CACHES = {
        "sessions": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    settings.SESSIONS_PLUS_LEASE_CHANNEL = channel
    settings.SESSIONS_PLUS_LEASE_USERS = "signals"
    everything = (
        leasing.check_leases_are_possible,
        leasing.check_redis,
        leasing.check_users_are_announced,
    )
    assert [each() for each in everything] == [[], [], []]
    settings.DATABASE_ROUTERS = [UsersElsewhere()]
    assert [ids(each()) for each in everything] == [[], [], ["W051"]]
    settings.SESSIONS_PLUS_LEASE_USERS = "query"
    assert leasing.check_users_are_announced() == []


@pytest.mark.parametrize("channel", ["databse", "default", "http://:secret@host"])
def test_a_channel_that_is_none_is_an_error_without_its_password(settings: Any, channel: str):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.SESSIONS_PLUS_LEASE_CHANNEL = channel
    (message,) = leasing.check_redis()
    assert message.id == f"{PREFIX}E040"
    assert "secret" not in message.msg
    assert leasing.check_leases_are_possible() == []
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    assert leasing.check_redis() == []


@pytest.mark.skipif(find_spec("redis") is None, reason="redis-py is missing")
@pytest.mark.parametrize(
    ("url", "host", "is_warned"),
    [
        ("redis://127.0.0.1:1/0", "db.example.com", True),
        ("redis://", "10.0.0.7", True),
        ("unix:///run/redis.sock", "db.example.com", True),
        ("redis://redis.example.com", "db.example.com", False),
        ("redis://127.0.0.1:1/0", "localhost", False),
        ("redis://127.0.0.1:1/0", "", False),
        ("redis://127.0.0.1:1/0", "/run/postgresql", False),
        ("process", "db.example.com", False),
    ],
)
def test_a_redis_of_this_host_alone_is_told_of(
    settings: Any, monkeypatch: pytest.MonkeyPatch, url: str, host: str, is_warned: bool
):
    settings.SESSIONS_PLUS_LEASE_CHANNEL = url
    monkeypatch.setitem(connection.settings_dict, "HOST", host)
    assert ids(leasing.check_redis_is_shared()) == (["W052"] if is_warned else [])
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    assert leasing.check_redis_is_shared() == []
