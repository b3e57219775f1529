"""Ending: what delete() and flush() leave behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.contrib.auth.models import User

from django_sessions_plus.backends.user_check import ending_as
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from tests.backends.drivers import sign_in
from tests.conftest import Clock, OpenSession, Statements

Record = Callable[[], AbstractContextManager[Statements]]


@pytest.mark.db_engine
def test_delete_removes_an_anonymous_row(open_session: OpenSession, statements: Record):
    session = open_session()
    session.set("basket", "full")
    session.save()
    with statements() as executed:
        session.delete()
    assert len(executed) == 1
    assert not Session.objects.exists()


def test_delete_ends_a_sign_in_and_wipes_its_data(
    open_session: OpenSession, alice: User, clock: Clock
):
    session = open_session()
    session.set("basket", "full")
    sign_in(session, alice)
    clock.advance(hours=1)
    session.delete()
    row = session.stored
    assert (row.ended_at, row.expires_at) == (clock.moment, clock.moment)
    assert (row.end_reason, row.ended_by, row.user) == ("signed_out", alice, alice)
    assert row.session_data == ""
    assert row.get_decoded() == {}
    assert not session.exists(session.token)


@pytest.mark.db_engine
def test_delete_of_a_loaded_sign_in_is_one_update_of_the_columns_of_an_end(
    open_session: OpenSession, alice: User, statements: Record
):
    session = open_session()
    sign_in(session, alice)
    with statements() as executed:
        session.delete()
    assert len(executed) == 1
    assert executed.written_columns == {
        "ended_at",
        "ended_by_id",
        "end_reason",
        "expires_at",
        "session_data",
    }


def test_an_end_keeps_its_first_moment_and_reason(
    open_session: OpenSession, alice: User, clock: Clock
):
    session = open_session()
    sign_in(session, alice)
    Session.objects.all().end(reason="revoked")
    clock.advance(hours=1)
    session.delete()
    assert session.stored.end_reason == "revoked"
    assert session.stored.ended_at != clock.moment


def test_the_reason_can_be_another_for_a_while(open_session: OpenSession, alice: User):
    session = open_session()
    sign_in(session, alice)
    with ending_as(session.store, "password_changed"):
        session.flush()
    assert Session.objects.get().end_reason == "password_changed"
    assert Session.objects.get().ended_by is None
    assert session.end_reason == "signed_out"


def test_delete_without_a_row_in_hand_finds_it_by_token(open_session: OpenSession, alice: User):
    session = open_session()
    sign_in(session, alice)
    open_session(session.token).delete()
    assert session.stored.end_reason == "signed_out"


def test_delete_of_another_token_leaves_the_own_session(open_session: OpenSession, alice: User):
    session, other = open_session(), open_session()
    sign_in(session, alice)
    sign_in(other, alice)
    session.delete(other.token)
    assert other.stored.ended_at is not None
    assert session.stored.ended_at is None


def test_an_expired_session_can_still_be_deleted(
    open_session: OpenSession, alice: User, clock: Clock
):
    session = open_session()
    sign_in(session, alice)
    clock.advance(days=400)
    open_session().delete(session.token)
    assert session.stored.end_reason == "signed_out"


def test_a_sign_out_that_raced_a_rotation_ends_the_session_all_the_same(
    open_session: OpenSession, alice: User
):
    session = open_session()
    sign_in(session, alice)
    late = open_session(session.token)
    late.get("")
    session.cycle_key()
    late.delete()
    assert not session.exists(session.token)
    assert session.stored.end_reason == "signed_out"


def test_an_auth_hash_that_was_refused_late_does_not_end_the_session_that_changed_it(
    open_session: OpenSession, alice: User
):
    session = open_session()
    sign_in(session, alice)
    late = open_session(session.token)
    late.get("")
    session.cycle_key()
    with ending_as(late.store, EndReason.PASSWORD_CHANGED):
        late.flush()
    assert session.exists(session.token)


def test_flush_leaves_an_empty_modified_session_without_a_token(
    open_session: OpenSession, alice: User
):
    session = open_session()
    session.set("basket", "full")
    sign_in(session, alice)
    old = session.token
    session.flush()
    assert session.session_key is None
    assert session.store.row is None
    assert session.is_empty()
    assert (session.accessed, session.modified) == (True, True)
    assert open_session(old).load() == {}


def test_flush_of_a_session_nobody_loaded_ends_it(open_session: OpenSession, alice: User):
    session = open_session()
    sign_in(session, alice)
    unloaded = open_session(session.token)
    unloaded.flush()
    assert unloaded.is_empty()
    assert session.stored.ended_at is not None


def test_flush_of_nothing_is_harmless_and_costs_nothing(
    open_session: OpenSession, statements: Record
):
    with statements() as executed:
        open_session().flush()
        open_session("short").flush()
    assert executed == []


def test_a_session_saved_after_flush_is_another_one(open_session: OpenSession, alice: User):
    session = open_session()
    session.set("basket", "full")
    sign_in(session, alice)
    old, key = session.token, session.row.pk
    session.flush()
    session.set("colour", "red")
    session.save()
    assert session.token != old
    assert session.row.pk != key
    assert session.stored.get_decoded() == {"colour": "red"}
    assert session.stored.user is None


def test_flush_tells_the_request(open_session: OpenSession):
    told: list[str] = []
    session = open_session()
    session.store.on_end = lambda: told.append("ended")
    session.flush()
    assert told == ["ended"]


def test_forget_touches_no_storage(open_session: OpenSession, statements: Record):
    session = open_session()
    session.set("colour", "red")
    session.save()
    with statements() as executed:
        session.forget()
    assert executed == []
    assert session.is_empty()
    assert (session.accessed, session.modified) == (True, False)
    assert Session.objects.count() == 1
