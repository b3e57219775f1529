"""Rotation: a new token on the same row, the old one dead at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError

from django_sessions_plus.conf import config
from django_sessions_plus.models import Session
from tests.backends.drivers import identity, sign_in
from tests.conftest import Clock, OpenSession, Statements

Record = Callable[[], AbstractContextManager[Statements]]


def test_cycle_key_keeps_row_moment_of_creation_and_data(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.set("colour", "red")
    session.save()
    old, before = session.token, session.stored
    clock.advance(hours=1)
    session.cycle_key()
    assert session.token != old
    assert (session.stored.pk, session.stored.created_at) == (before.pk, before.created_at)
    assert open_session(session.token).get("colour") == "red"
    assert session.modified is True


def test_the_old_token_is_dead_at_once(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    session.save()
    old = session.token
    session.cycle_key()
    assert not session.exists(old)
    assert open_session(old).load() == {}
    assert Session.objects.count() == 1


def test_cycle_key_writes_the_digest_and_nothing_else(
    open_session: OpenSession, statements: Record
):
    session = open_session()
    session.save()
    session.set("colour", "red")
    with statements() as executed:
        session.cycle_key()
    assert executed.written_columns == {"token_digest"}
    session.save()
    assert session.stored.get_decoded() == {"colour": "red"}


def test_cycle_key_of_a_session_without_a_row_creates_one(open_session: OpenSession):
    session = open_session()
    session.set("colour", "red")
    session.cycle_key()
    assert session.stored.get_decoded() == {"colour": "red"}


def test_cycle_key_of_an_unknown_token_takes_a_token_of_ours(open_session: OpenSession):
    session = open_session("a" * 32)
    session.cycle_key()
    assert session.token != "a" * 32


@pytest.mark.parametrize("is_loaded", [True, False], ids=["loaded", "not loaded"])
def test_cycle_key_of_an_ended_session_raises_and_does_not_bring_it_back(
    open_session: OpenSession, alice: User, is_loaded: bool
):
    session = open_session()
    sign_in(session, alice)
    Session.objects.all().end(reason="revoked")
    if not is_loaded:
        session = open_session(session.token)
        session.clear()
    before = list(Session.objects.values())
    with pytest.raises(UpdateError):
        session.cycle_key()
    assert list(Session.objects.values()) == before


def test_signing_in_rotates_the_token_of_an_anonymous_session(
    open_session: OpenSession, alice: User
):
    session = open_session()
    session.set("basket", "full")
    session.save()
    old, key = session.token, session.row.pk
    sign_in(session, alice)
    assert not session.exists(old)
    assert session.stored.pk == key
    assert session.stored.get_decoded() == {"basket": "full"} | identity(alice)


def test_signing_in_again_rotates_also_for_the_same_user(
    open_session: OpenSession, alice: User, clock: Clock
):
    session = open_session()
    sign_in(session, alice)
    old, created = session.token, session.stored.created_at
    clock.advance(hours=1)
    again = open_session(old)
    sign_in(again, alice)
    assert not again.exists(old)
    assert again.stored.created_at == created
    assert again.stored.authenticated_at == clock.moment
    assert Session.objects.count() == 1


def test_a_sign_in_rotates_once(open_session: OpenSession, alice: User, statements: Record):
    session = open_session()
    session.save()
    again = open_session(session.token)
    with statements() as executed:
        sign_in(again, alice)
    assert sum("token_digest" in sql.partition(" WHERE ")[0] for sql in executed.writes) == 1


def test_a_save_after_a_rotation_does_not_rotate_again(open_session: OpenSession, alice: User):
    session = open_session()
    sign_in(session, alice)
    token = session.token
    session.set("colour", "red")
    session.save()
    assert session.token == token


def test_what_was_asked_before_a_rotation_is_written_after_it(
    open_session: OpenSession, alice: User, clock: Clock
):
    session = open_session()
    sign_in(session, alice)
    clock.advance(hours=1)
    again = open_session(session.token)
    again.get("")
    again.store.remember = False
    again.mark_authenticated(alice)
    again.cycle_key()
    again.save()
    assert again.stored.remember is False
    assert again.stored.authenticated_at == clock.moment


def test_signing_in_unremembered_on_an_anonymous_session_is_not_remembered(
    open_session: OpenSession, alice: User, clock: Clock
):
    session = open_session()
    session.save()
    again = open_session(session.token)
    again.get("")
    again.store.remember = False
    sign_in(again, alice)
    assert again.stored.remember is False
    assert again.stored.expires_at - clock.moment == config.UNREMEMBERED_AGE
