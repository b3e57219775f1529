"""Whoever loses a race to a rotation by the same user goes on, and is given no token for it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.db import transaction

from django_sessions_plus import sessions
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, identity, sign_in
from tests.conftest import Clock, OpenSession


def loaded(open_session: OpenSession, token: str) -> Any:
    session = open_session(token)
    session.get("")
    return session


@pytest.fixture
def two(open_session: OpenSession, alice: User, clock: Clock) -> tuple[Any, Any]:
    """Two requests of alice's browser, both loaded before either does anything."""
    session = open_session()
    session.set("colour", "red")
    sign_in(session, alice)
    clock.advance(minutes=1)
    return loaded(open_session, session.token), loaded(open_session, session.token)


def rotate(session: Any, alice: User) -> None:
    session.cycle_key()
    session.save()


def renew_hash(session: Any, alice: User) -> None:
    session.cycle_key()
    session.set(HASH_SESSION_KEY, alice.get_session_auth_hash())
    session.save()


def authenticate(session: Any, alice: User) -> None:
    session.mark_authenticated(alice)
    session.save()


ROTATIONS = [rotate, renew_hash, authenticate]


@pytest.mark.parametrize("win", ROTATIONS)
def test_what_the_loser_changed_is_merged_and_it_sets_no_cookie(
    two: Any, alice: User, open_session: OpenSession, win: Any
):
    winner, loser = two
    win(winner, alice)
    dead = loser.token
    for number in range(2):
        loser.set("basket", number)
        loser.save()
        assert winner.stored.get_decoded()["basket"] == number
    assert winner.stored.get_decoded()["colour"] == "red"
    assert (loser.token, loser.is_cookie_due) == (dead, False)
    assert open_session(dead).load() == {}
    assert open_session(winner.token).get("basket") == 1
    assert Session.objects.count() == 1


@pytest.mark.parametrize("win", ROTATIONS)
def test_a_second_rotation_by_the_loser_is_the_winner_s(
    two: Any, alice: User, open_session: OpenSession, win: Any
):
    winner, loser = two
    win(winner, alice)
    for _ in range(2):
        loser.cycle_key()
        loser.set("size", 1)
        loser.save()
    assert not loser.is_cookie_due
    assert open_session(winner.token).get("size") == 1
    assert Session.objects.count() == 1


def test_the_loser_of_a_rotation_may_save_first(
    two: Any, alice: User, settings: Any, open_session: OpenSession
):
    """As when three requests of a page find that ``SECRET_KEY`` has changed."""
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one"
    winner, loser = two
    for session in two:
        session.store.user = alice
        session.cycle_key()
        session.set(HASH_SESSION_KEY, alice.get_session_auth_hash())
    loser.set("loser", 1)
    loser.save()
    winner.set("winner", 1)
    winner.save()
    data = open_session(winner.token).load()
    assert data.items() >= {"loser": 1, "winner": 1}.items()
    assert data[HASH_SESSION_KEY] == alice.get_session_auth_hash()
    assert Session.objects.count() == 1


@pytest.mark.parametrize("win", ROTATIONS)
def test_who_has_authenticated_itself_gets_a_session_of_its_own(
    two: Any, alice: User, clock: Clock, open_session: OpenSession, win: Any
):
    winner, loser = two
    win(winner, alice)
    loser.store.remember = False
    authenticate(loser, alice)
    assert loser.is_cookie_due
    for session in two:
        again = loaded(open_session, session.token)
        assert again.row.user == alice
        assert again.get("colour") == "red"
    assert loser.stored.authenticated_at == clock.moment
    assert loser.stored.remember is False
    assert loser.stored.pk != winner.stored.pk


def test_so_does_who_has_set_a_new_password_which_is_no_authentication(
    two: Any, alice: User, clock: Clock, open_session: OpenSession
):
    winner, loser = two
    signed_in_at = winner.stored.authenticated_at
    rotate(winner, alice)
    alice.set_password("another")
    loser.store.user = alice
    renew_hash(loser, alice)
    again = loaded(open_session, loser.token)
    assert again.row.pk != winner.row.pk
    assert again.row.authenticated_at == signed_in_at
    assert again.get(HASH_SESSION_KEY) == alice.get_session_auth_hash()


def test_a_new_password_of_the_winner_is_not_undone_by_a_renewed_hash(
    two: Any, alice: User, settings: Any, open_session: OpenSession
):
    winner, loser = two
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one"
    # Of the password as it was when this request was loaded, under the new key.
    before = User.objects.get(pk=alice.pk)
    loser.store.user = before
    alice.set_password("another")
    renew_hash(winner, alice)
    loser.update({HASH_SESSION_KEY: before.get_session_auth_hash(), "basket": "full"})
    loser.save()
    data = open_session(winner.token).load()
    assert data[HASH_SESSION_KEY] == alice.get_session_auth_hash()
    assert data["basket"] == "full"


def test_a_hash_that_is_renewed_beside_another_change_ends_no_refresh_tokens(
    two: Any, alice: User, settings: Any, clock: Clock
):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one"
    winner, loser = two
    Session.objects.update(refresh_digest="d" * 64, refresh_started_at=clock.moment)
    winner.set("colour", "blue")
    winner.save()
    loser.set(HASH_SESSION_KEY, alice.get_session_auth_hash())
    loser.save()
    assert loser.stored.get_decoded()[HASH_SESSION_KEY] == alice.get_session_auth_hash()
    assert loser.stored.refresh_digest == "d" * 64


def test_inside_of_a_transaction_as_well(two: Any, alice: User, open_session: OpenSession):
    winner, loser = two
    rotate(winner, alice)
    with transaction.atomic():
        loser.store.cycle_key()
        loser.store["size"] = 1
        loser.store.save()
    assert open_session(winner.token).get("size") == 1


@pytest.mark.parametrize("win", ["ends", "another user", "nobody"])
def test_an_end_or_another_user_interrupts_it(
    two: Any, alice: User, bob: User, open_session: OpenSession, win: str
):
    winner, loser = two
    if win == "ends":
        winner.flush()
    elif win == "another user":
        winner.update(identity(bob))
        authenticate(winner, bob)
    else:
        winner.pop(SESSION_KEY)
        rotate(winner, alice)
    before = list(Session.objects.values())
    loser.set("basket", "full")
    for attempt in (loser.save, loser.cycle_key, lambda: authenticate(loser, alice)):
        with pytest.raises(UpdateError):
            attempt()
    assert list(Session.objects.values()) == before


def test_a_visit_that_others_signed_in_to_is_not_written(open_session: OpenSession, alice: User):
    """Not by whoever planted the token, nor by the visitor's own request: as with Django."""
    session = open_session()
    session.set("colour", "red")
    session.save()
    winner, loser = (loaded(open_session, session.token) for _ in range(2))
    sign_in(winner, alice)
    loser.set("basket", "planted")
    with pytest.raises(UpdateError):
        loser.save()
    assert "basket" not in winner.stored.get_decoded()
    # To rotate is to begin anew with the visitor's own data, of which nothing is alice's.
    again = loaded(open_session, session.token)
    assert again.load() == {}


def test_a_sign_in_that_lost_begins_anew_with_the_visitor_s_data(
    open_session: OpenSession, alice: User
):
    session = open_session()
    session.set("basket", "full")
    session.store.remember = False
    session.save()
    winner, loser = (loaded(open_session, session.token) for _ in range(2))
    sign_in(winner, alice)
    sign_in(loser, alice)
    for each in (winner, loser):
        again = loaded(open_session, each.token)
        assert (again.get("basket"), again.row.user) == ("full", alice)
        assert again.row.remember is False
    assert Session.objects.count() == 2


class TestWhoHoldsACopyOfTheOldToken:
    """It was loaded before the rotation that was meant to be rid of it, and is held open."""

    @pytest.fixture
    def thief(self, two: Any, alice: User) -> Any:
        winner, thief = two
        authenticate(winner, alice)
        return thief

    def test_it_gets_no_token_by_anything_it_may_do(self, thief: Any, open_session: OpenSession):
        known = {thief.token}
        thief.touch()
        thief.cycle_key()
        thief.set("planted", 1)
        thief.save()
        thief.cycle_key()
        thief.save()
        thief.touch()
        known.add(thief.token)
        assert not any(open_session(token).load() for token in known)
        assert not thief.is_cookie_due
        assert Session.objects.count() == 1

    def test_it_gets_no_refresh_token(self, thief: Any):
        thief.set("planted", 1)
        thief.save()
        with pytest.raises(StaleSessionError):
            sessions.issue_tokens(thief.row)

    def test_it_can_end_the_session(self, thief: Any):
        thief.flush()
        assert Session.objects.get().end_reason == "signed_out"


def test_by_a_signed_token_a_second_authentication_leaves_the_first_one_s_tokens(
    open_session: OpenSession, alice: User, clock: Clock
):
    session = SyncSession()
    sign_in(session, alice)
    opened = [open_session(), open_session()]
    for each in opened:
        each.open_by_id(session.row.pk)
    clock.advance(minutes=1)
    pairs = []
    for each in opened:
        authenticate(each, alice)
        assert each.is_fresh()
        pairs.append(sessions.issue_tokens(each.row))
        clock.advance(seconds=5)
    assert session.stored.authenticated_at == clock.moment.replace(minute=1, second=0)
    assert pairs[0].access != pairs[1].access
