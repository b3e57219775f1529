"""Sign-outs in a transaction that is rolled back: the person must stay signed out."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError

from django_sessions_plus.models import Session
from tests.backends.drivers import sign_in
from tests.backends.rollback import rolled_back, saved
from tests.conftest import OpenSession

pytestmark = pytest.mark.django_db(transaction=True)


def go_on_beside_a_rival(session: Any, open_session: OpenSession) -> None:
    """Save twice, with a parallel request that saves another key in between."""
    session.set("size", 1)
    session.save()
    rival = open_session(session.token)
    rival.set("rival", 1)
    rival.save()
    session.set("size", 2)
    session.save()


@pytest.mark.parametrize("is_signed_in", [True, False], ids=["signed in", "anonymous"])
def test_a_sign_out_there_still_counts(open_session: OpenSession, alice: User, is_signed_in: bool):
    session = saved(open_session)
    if is_signed_in:
        sign_in(session, alice)
    token = session.token
    with rolled_back():
        session.store.flush()
    assert session.exists(token)
    assert session.uncommitted.ended is not None
    session.repeat_end()
    assert not session.exists(token)
    assert session.uncommitted.ended is None
    assert open_session(token).load() == {}


def test_a_sign_out_after_a_rotation_there_still_counts(open_session: OpenSession, alice: User):
    session = saved(open_session)
    sign_in(session, alice)
    token = session.token
    with rolled_back():
        session.store.cycle_key()
        session.store.flush()
    session.repeat_end()
    assert not session.exists(token)


def test_a_sign_out_after_a_rotation_that_was_rolled_back_ends_the_session(
    open_session: OpenSession, alice: User
):
    session = saved(open_session)
    sign_in(session, alice)
    token = session.token
    with rolled_back():
        session.store.cycle_key()
    session.flush()
    assert not session.exists(token)


def test_what_is_stored_after_a_sign_out_there_is_another_session(
    open_session: OpenSession, alice: User
):
    session = saved(open_session)
    sign_in(session, alice)
    old = session.row.pk
    with rolled_back():
        session.store["colour"] = "red"
        session.store.save()
        session.store.flush()
    session.repeat_end()
    go_on_beside_a_rival(session, open_session)
    assert session.row.pk != old
    assert session.stored.get_decoded() == {"size": 2, "rival": 1}


def test_a_session_created_and_flushed_there_leaves_nothing_behind(open_session: OpenSession):
    session = open_session()
    with rolled_back():
        session.store["colour"] = "red"
        session.store.save()
        session.store.flush()
    session.repeat_end()
    go_on_beside_a_rival(session, open_session)
    assert Session.objects.get().get_decoded() == {"size": 2, "rival": 1}


def test_a_session_created_there_and_deleted_since_does_not_return(open_session: OpenSession):
    session = open_session()
    with rolled_back():
        session.store["colour"] = "red"
        session.store.save()
    session.delete()
    with pytest.raises(UpdateError):
        session.save()
    assert not Session.objects.exists()
