"""Views whose transaction is rolled back: the session still says what was done, as in Django.

Under ``ATOMIC_REQUESTS`` a view signs somebody in or out and then fails. What it wrote
of the session is gone; the middleware saves outside of that transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.db import transaction

from django_sessions_plus.conf import config
from django_sessions_plus.models import Session
from tests.backends.drivers import identity, sign_in
from tests.backends.rollback import rolled_back, saved, view
from tests.conftest import OpenSession, Statements, Told

Record = Callable[[], AbstractContextManager[Statements]]

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_session_created_there_is_inserted_by_the_next_save(open_session: OpenSession):
    session = open_session()
    with rolled_back():
        session.store["colour"] = "red"
        session.store.save()
    assert not Session.objects.exists()
    session.save()
    assert open_session(session.token).get("colour") == "red"


def test_it_is_inserted_also_when_the_save_would_write_nothing(open_session: OpenSession):
    session = open_session()
    session.store.counts_as_activity = False
    with rolled_back():
        session.store["colour"] = "red"
        session.store.save()
    session.save()
    assert open_session(session.token).get("colour") == "red"


def test_data_saved_there_is_written_again(open_session: OpenSession):
    session = saved(open_session, size=1)
    with rolled_back():
        session.store["colour"] = "red"
        session.store.save()
    session.save()
    assert session.stored.get_decoded() == {"size": 1, "colour": "red"}


def test_data_saved_there_in_several_saves_is_written_again(open_session: OpenSession):
    session, rival = saved(open_session), open_session()
    rival = open_session(session.token)
    rival.set("rival", 1)
    with rolled_back():
        session.store["one"] = 1
        session.store.save()
        session.store["two"] = 2
        session.store.save()
    rival.save()
    session.set("three", 3)
    session.save()
    assert session.stored.get_decoded() == {"one": 1, "two": 2, "three": 3, "rival": 1}


def test_data_merged_there_is_written_again(open_session: OpenSession):
    session = saved(open_session)
    rival = open_session(session.token)
    rival.set("rival", 1)
    rival.save()
    with rolled_back():
        session.store["one"] = 1
        session.store.save()
    session.save()
    assert session.stored.get_decoded() == {"one": 1, "rival": 1}


def test_a_sign_in_there_still_counts(open_session: OpenSession, alice: User):
    session = saved(open_session, basket="full")
    old = session.token
    with rolled_back():
        sign_in(view(session), alice)
    assert Session.objects.get().user is None
    session.save()
    assert session.stored.user == alice
    assert session.stored.get_decoded() == {"basket": "full"} | identity(alice)
    assert session.exists(session.token)
    assert not session.exists(old)


def test_a_sign_in_there_without_a_session_before_still_counts(
    open_session: OpenSession, alice: User
):
    session = open_session()
    with rolled_back():
        sign_in(view(session), alice)
    session.save()
    assert session.stored.user == alice
    assert open_session(session.token).get("_auth_user_id") == str(alice.pk)


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "old"])
def test_who_was_not_to_be_remembered_there_still_is_not(
    open_session: OpenSession, alice: User, is_new: bool
):
    session = open_session() if is_new else saved(open_session)
    with rolled_back():
        session.store.remember = False
        sign_in(view(session), alice)
    session.save()
    row = session.stored
    assert row.remember is False
    assert row.expires_at - row.updated_at == config.UNREMEMBERED_AGE


def test_a_rotation_there_still_counts(open_session: OpenSession):
    session = saved(open_session, colour="red")
    old = session.token
    with rolled_back():
        session.store.cycle_key()
    session.save()
    assert session.token != old
    assert open_session(session.token).get("colour") == "red"
    assert not session.exists(old)


def test_the_session_can_be_saved_again_after_that(open_session: OpenSession, alice: User):
    session = saved(open_session)
    with rolled_back():
        sign_in(view(session), alice)
    session.save()
    rival = open_session(session.token)
    rival.set("rival", 1)
    rival.save()
    session.set("colour", "red")
    session.save()
    assert session.stored.get_decoded() == identity(alice) | {"colour": "red", "rival": 1}


def test_a_session_revoked_since_does_not_return(open_session: OpenSession, alice: User):
    session = saved(open_session)
    sign_in(session, alice)
    with rolled_back():
        session.store["colour"] = "red"
        session.store.save()
    Session.objects.all().end(reason="revoked")
    with pytest.raises(UpdateError):
        session.save()
    assert Session.objects.get().session_data == ""


def test_a_save_that_was_refused_is_refused_again(
    open_session: OpenSession, alice: User, bob: User
):
    session = saved(open_session)
    rival = open_session(session.token)
    rival.update(identity(bob))
    rival.save()
    session.update(identity(alice))
    for _ in range(2):
        with pytest.raises(UpdateError):
            session.save()
    assert session.stored.user == bob


def test_after_a_commit_nothing_is_left_to_settle(
    open_session: OpenSession, alice: User, statements: Record
):
    session = saved(open_session)
    with transaction.atomic():
        sign_in(view(session), alice)
    with statements() as executed:
        session.set("colour", "red")
        session.save()
    assert len(executed) == 1
    with transaction.atomic():
        session.store.flush()
    assert session.uncommitted.ended is None


def test_after_a_commit_a_deleted_row_is_not_inserted_again(open_session: OpenSession):
    session = open_session()
    with transaction.atomic():
        session.store["colour"] = "red"
        session.store.save()
    Session.objects.all().delete()
    session.set("size", 1)
    with pytest.raises(UpdateError):
        session.save()
    assert not Session.objects.exists()


def test_nothing_is_told_of_what_was_rolled_back(
    open_session: OpenSession, alice: User, told: Told
):
    session = saved(open_session)
    with rolled_back():
        sign_in(view(session), alice)
        session.store.flush()
    assert told == []
