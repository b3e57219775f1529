"""Saving: what is written, and when nothing may be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from django_sessions_plus import tokens
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.models import Session
from tests.backends.drivers import identity, sign_in
from tests.conftest import Clock, OpenSession, Statements

Record = Callable[[], AbstractContextManager[Statements]]

META = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "Firefox"}
USE = {"updated_at", "last_seen_at", "expires_at"}
DATA = {"session_data", "version"}


def raw(session: Any) -> dict[str, Any]:
    return dict(Session.objects.filter(pk=session.row.pk).values().get())


def test_first_save_inserts_once(open_session: OpenSession, statements: Record, clock: Clock):
    session = open_session(None, META)
    session.set("colour", "red")
    with statements() as executed:
        session.save()
    (sql,) = executed
    assert sql.startswith("INSERT")
    row = session.stored
    assert row.get_decoded() == {"colour": "red"}
    assert row.created_at == row.updated_at == row.last_seen_at == clock.moment
    assert (row.user, row.authenticated_at, row.ended_at) == (None, None, None)
    assert (row.ip_address, row.user_agent) == ("192.0.2.1", "Firefox")


def test_create_inserts_once_and_leaves_the_session_modified(
    open_session: OpenSession, statements: Record
):
    session = open_session()
    with statements() as executed:
        session.create()
    assert len(executed) == 1
    assert session.modified is True
    assert session.exists(session.token)


def test_create_takes_another_token_when_one_is_taken(
    open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
):
    first = open_session()
    first.create()
    drawn = iter([first.token, "b" * 32])
    monkeypatch.setattr(tokens, "make_token", lambda: next(drawn))
    second = open_session()
    second.create()
    assert second.token == "b" * 32
    assert Session.objects.count() == 2


def test_must_create_refuses_a_taken_token_and_leaves_the_row_alone(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    session.save()
    before = raw(session)
    rival = open_session(session.token)
    with pytest.raises(CreateError):
        rival.save(must_create=True)
    assert raw(session) == before


def test_a_key_that_changed_writes_the_data_and_nothing_else(
    open_session: OpenSession, statements: Record, clock: Clock
):
    session = open_session(None, META)
    session.save()
    clock.advance(seconds=1)
    again = open_session(session.token, {"REMOTE_ADDR": "192.0.2.1"})
    again.set("colour", "red")
    with statements() as executed:
        again.save()
    assert executed.written_columns == DATA
    assert raw(session)["ip_address"] == "192.0.2.1"
    assert raw(session)["version"] == 1


def test_a_save_writes_that_the_session_was_used_when_that_is_due(
    open_session: OpenSession, statements: Record, clock: Clock
):
    session = open_session(None, META)
    session.save()
    for passed, use in ((config.LAST_SEEN_INTERVAL, {"last_seen_at"}), (config.UPDATE_AGE, USE)):
        clock.advance(seconds=passed.total_seconds())
        again = open_session(session.token, META)
        again.set("colour", passed.days)
        with statements() as executed:
            again.save()
        assert executed.written_columns == DATA | use


def test_a_save_without_a_change_writes_only_that_the_session_was_used(
    open_session: OpenSession, statements: Record, clock: Clock
):
    session = open_session()
    session.save()
    clock.advance(seconds=1)
    with statements() as executed:
        session.save()
    assert executed.written_columns == {"last_seen_at"}


def test_a_save_moves_the_expiry_each_time_where_django_is_to_save_every_request(
    open_session: OpenSession, statements: Record, clock: Clock, settings: Any
):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    session = open_session()
    session.save()
    clock.advance(seconds=1)
    with statements() as executed:
        session.save()
    assert executed.written_columns == USE


@pytest.mark.parametrize("age", [3600, 60 * 24 * 3600])
def test_another_idle_timeout_holds_from_the_next_save(
    open_session: OpenSession, clock: Clock, settings: Any, age: int
):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
    session = open_session()
    session.save()
    settings.SESSION_COOKIE_AGE = age
    clock.advance(seconds=1)
    again = open_session(session.token)
    again.set("colour", "red")
    again.save()
    assert session.stored.expires_at == clock.moment + timedelta(seconds=age)
    assert again.store.is_cookie_due


def test_a_save_within_the_absolute_limit_of_a_capped_session_writes_the_data_alone(
    open_session: OpenSession,
    alice: User,
    statements: Record,
    clock: Clock,
    settings: Any,
):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(days=2)
    session = open_session()
    sign_in(session, alice)
    clock.advance(seconds=1)
    again = open_session(session.token)
    again.set("colour", "red")
    with statements() as executed:
        again.save()
    assert executed.written_columns == DATA


def test_a_save_that_is_no_activity_writes_only_the_data(
    open_session: OpenSession, statements: Record, clock: Clock
):
    session = open_session()
    session.save()
    clock.advance(seconds=1)
    session.store.counts_as_activity = False
    session.set("colour", "red")
    with statements() as executed:
        session.save()
    assert executed.written_columns == DATA
    with statements() as executed:
        session.save()
    assert executed == []


def test_signing_in_writes_user_moment_and_client(
    open_session: OpenSession, statements: Record, clock: Clock, alice: User
):
    session = open_session(None, META)
    session.save()
    clock.advance(seconds=1)
    again = open_session(session.token, {"REMOTE_ADDR": "192.0.2.2", "HTTP_USER_AGENT": "Safari"})
    again.update(identity(alice))
    again.mark_authenticated(alice)
    with statements() as executed:
        again.save()
    assert executed.written_columns == DATA | USE | {
        "user_id",
        "authenticated_at",
        "token_digest",
        "ip_address",
        "user_agent",
    }


def test_a_store_without_a_request_never_blanks_the_client(open_session: OpenSession, alice: User):
    session = open_session(None, META)
    sign_in(session, alice)
    other = open_session(session.token)
    other.set("colour", "red")
    other.save()
    sign_in(other, alice)
    row = other.stored
    assert (row.ip_address, row.user_agent, row.user) == ("192.0.2.1", "Firefox", alice)


def test_columns_written_by_somebody_else_survive_a_save(open_session: OpenSession, alice: User):
    session = open_session()
    session.save()
    Session.objects.update(user_agent="written meanwhile", created_at="2001-01-01T00:00Z")
    session.set("colour", "red")
    session.save()
    assert session.stored.user_agent == "written meanwhile"
    assert session.stored.created_at.year == 2001


def end(session: Any) -> None:
    Session.objects.filter(pk=session.row.pk).end(reason="revoked")


def delete(session: Any) -> None:
    Session.objects.all().delete()


def rotate(session: Any) -> None:
    Session.objects.update(token_digest="0" * 64)


def expire(session: Any) -> None:
    Session.objects.update(expires_at="2020-01-01T00:00Z")


def reach_limit(session: Any) -> None:
    Session.objects.update(authenticated_at="2020-01-01T00:00Z")


@pytest.mark.parametrize("stop", [end, delete, expire, reach_limit])
@pytest.mark.parametrize("is_changed", [True, False], ids=["changed", "unchanged"])
def test_a_session_that_stopped_since_it_was_loaded_is_never_written(
    open_session: OpenSession, alice: User, stop: Callable[[Any], None], is_changed: bool
):
    session = open_session()
    sign_in(session, alice)
    if is_changed:
        session.set("colour", "red")
    stop(session)
    before = list(Session.objects.values())
    with pytest.raises(StaleSessionError) as caught:
        session.save()
    assert isinstance(caught.value, UpdateError)
    assert isinstance(caught.value, SessionInterrupted)
    assert session.token not in str(caught.value)
    assert list(Session.objects.values()) == before


@pytest.mark.parametrize("stop", [end, delete, rotate, expire])
def test_a_session_whose_data_was_never_loaded_is_no_exception(
    open_session: OpenSession, alice: User, stop: Callable[[Any], None]
):
    session = open_session()
    sign_in(session, alice)
    stop(session)
    before = list(Session.objects.values())
    blind = open_session(session.token)
    blind.clear()
    blind.set("colour", "red")
    with pytest.raises(UpdateError):
        blind.save()
    assert list(Session.objects.values()) == before


def test_loading_again_after_the_end_does_not_let_the_data_into_a_new_row(
    open_session: OpenSession, alice: User
):
    session = open_session()
    sign_in(session, alice)
    end(session)
    assert session.load() == {}
    with pytest.raises(UpdateError):
        session.save()
    assert Session.objects.count() == 1


def test_saving_after_delete_does_not_bring_the_row_back(open_session: OpenSession):
    session = open_session()
    session.save()
    session.delete()
    with pytest.raises(UpdateError):
        session.save()
    assert not Session.objects.exists()


def test_data_that_cannot_be_serialized_writes_nothing(open_session: OpenSession):
    session = open_session()
    session.save()
    before = raw(session)
    session.set("object", object())
    with pytest.raises(TypeError):
        session.save()
    assert raw(session) == before


def test_an_absolute_limit_set_later_stops_writes_as_well(
    open_session: OpenSession, alice: User, clock: Clock, settings: Any
):
    session = open_session()
    sign_in(session, alice)
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(hours=1)
    clock.advance(hours=1)
    session.set("colour", "red")
    with pytest.raises(UpdateError):
        session.save()
