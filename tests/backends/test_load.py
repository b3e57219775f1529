"""Loading: what opens a session, and that nothing else creates one, raises or leaves a trace."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection

from django_sessions_plus import tokens
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from tests.backends.drivers import AsyncSession, sign_in
from tests.conftest import Clock, OpenSession, Statements
from tests.running import ROOT

Record = Callable[[], AbstractContextManager[Statements]]

MALFORMED = [
    None,
    "",
    "short",
    "a" * 31,
    "a" * 33,
    "a" * 100_000,
    "A" * 32,
    "ü" * 32,
    "١" * 32,
    "a" * 31 + "\n",
    "a" * 32 + "\n",
    "\x00" * 32,
    "../" * 11,
    "' OR 1=1 --" * 3,
    b"a" * 32,
    12345678,
]


@pytest.mark.parametrize("token", MALFORMED, ids=lambda token: repr(token)[:20])
def test_a_malformed_token_is_an_empty_session_without_a_query(
    open_session: OpenSession, statements: Record, token: Any
):
    session = open_session(token)
    with statements() as executed:
        assert session.get("colour") is None
        assert session.load() == {}
    assert executed == []
    assert session.session_key is None
    assert session.is_empty()


def test_an_unknown_token_is_an_empty_session_without_a_row(
    open_session: OpenSession, statements: Record
):
    session = open_session("a" * 32)
    with statements() as executed:
        assert session.get("colour") is None
    assert len(executed) == len(executed.reads) == 1
    assert session.session_key is None
    assert session.store.row is None
    assert not Session.objects.exists()


def test_a_session_saved_after_an_unknown_token_gets_a_token_of_ours(open_session: OpenSession):
    session = open_session("a" * 32)
    session.set("colour", "red")
    session.save()
    assert session.token != "a" * 32


def test_an_expired_session_is_empty_and_stays_in_the_table(
    open_session: OpenSession, clock: Clock, settings: Any
):
    session = open_session()
    session.set("colour", "red")
    session.save()
    clock.advance(seconds=settings.SESSION_COOKIE_AGE - 1)
    assert open_session(session.token).get("colour") == "red"
    clock.advance(seconds=1)
    late = open_session(session.token)
    assert late.get("colour") is None
    assert late.session_key is None
    assert Session.objects.count() == 1


def test_an_ended_session_is_empty(open_session: OpenSession, alice: User):
    session = open_session()
    sign_in(session, alice)
    Session.objects.all().end(reason="revoked")
    late = open_session(session.token)
    assert late.load() == {}
    assert late.session_key is None
    assert late.store.row is None


def test_a_session_past_its_absolute_limit_is_empty_whatever_its_expiry_says(
    open_session: OpenSession, clock: Clock, settings: Any, alice: User
):
    session = open_session()
    sign_in(session, alice)
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(hours=1)
    clock.advance(hours=1)
    assert open_session(session.token).load() == {}


@pytest.mark.db_engine
def test_loading_is_one_query_by_digest(open_session: OpenSession, statements: Record):
    session = open_session()
    session.save()
    with statements() as executed:
        again = open_session(session.token)
        again.get("colour")
        again.get("size")
    (sql,) = executed
    assert "token_digest" in sql
    assert "ORDER BY" not in sql
    assert session.token not in sql


def test_loading_with_the_user_is_one_query_too(
    open_session: OpenSession, statements: Record, alice: User
):
    session = open_session()
    sign_in(session, alice)
    again = open_session(session.token)
    again.store.wants_user = True
    with statements() as executed:
        again.get("colour")
        assert again.row.user == alice
    assert len(executed) == 1


def test_only_the_digest_of_the_token_is_stored(open_session: OpenSession, alice: User):
    session = open_session()
    session.set("colour", "red")
    sign_in(session, alice)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {Session._meta.db_table}")
        (row,) = cursor.fetchall()
    values = [str(value) for value in row]
    assert tokens.digest(session.token) in values
    assert not any(session.token in value for value in values)


def test_an_explicit_load_returns_what_is_stored_and_touches_nothing_here(
    open_session: OpenSession,
):
    session = open_session()
    session.set("colour", "red")
    session.save()
    other = open_session(session.token)
    other.set("colour", "blue")
    other.save()
    assert session.load() == {"colour": "blue"}
    assert session.get("colour") == "red"


def test_a_store_can_be_asked_before_its_data_was(open_session: OpenSession):
    session = open_session()
    session.save()
    fresh = open_session(session.token)
    assert fresh.load() == {}
    assert fresh.touch() is False


def test_row_never_loads(open_session: OpenSession, statements: Record):
    session = open_session()
    session.save()
    with statements() as executed:
        assert open_session(session.token).store.row is None
    assert executed == []


def test_the_engine_can_be_imported_before_apps_are_ready():
    code = """
from django.conf import settings
settings.configure(SECRET_KEY="known")
from importlib import import_module
from django.apps import apps
store = import_module("django_sessions_plus.backends.db").SessionStore
store(), store("a" * 32), store(session_key=None)
assert not apps.models_ready
"""
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)


def test_a_store_needs_no_argument_and_takes_the_token_by_position_or_name():
    assert SessionStore().session_key is None
    assert SessionStore("a" * 32).session_key == "a" * 32
    assert SessionStore(session_key="a" * 32).session_key == "a" * 32


@pytest.mark.django_db(transaction=True)
def test_coroutines_that_write_at_once_into_a_session_nobody_has_loaded_keep_all_they_wrote():
    session = AsyncSession()
    session.set("colour", "red")
    session.save()
    store = session.engine(session.token)

    @async_to_sync
    async def write() -> None:
        await asyncio.gather(
            *(store.aset(f"key{number}", number) for number in range(5)),
            store.aupdate({"more": True}),
            store.aget("colour"),
        )
        await store.asave()

    write()
    expected = {f"key{number}": number for number in range(5)}
    assert session.stored.get_decoded() == expected | {"colour": "red", "more": True}


@pytest.mark.django_db(transaction=True)
def test_what_was_loaded_first_is_the_base_of_the_save():
    """Also if a parallel request has saved between the two loads of one store."""
    session = AsyncSession()
    session.set("colour", "red")
    session.save()
    store = session.engine(session.token)
    rival = session.engine(session.token)

    @async_to_sync
    async def write() -> None:
        async def second() -> None:
            await rival.aset("colour", "blue")
            await rival.asave()
            await store.aset("two", 2)

        await asyncio.gather(store.aset("one", 1), second(), store.aset("three", 3))
        await store.asave()

    write()
    assert session.stored.get_decoded() == {"colour": "blue", "one": 1, "two": 2, "three": 3}
