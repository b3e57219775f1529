"""Parallel changes to one session: none is lost, and who is signed in never merges.

Two stores that both loaded before either saved are what two parallel requests are.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError

from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, identity, sign_in
from tests.conftest import OpenSession


def two(open_session: OpenSession, **data: Any) -> tuple[SyncSession, SyncSession]:
    """Return two stores that have loaded the same session."""
    session = open_session()
    session.update(data)
    session.save()
    one, other = open_session(session.token), open_session(session.token)
    one.get("")
    other.get("")
    return one, other


def stored() -> dict[str, Any]:
    return Session.objects.get().get_decoded()


def test_different_keys_are_both_kept(open_session: OpenSession):
    one, other = two(open_session, shared=1)
    one.set("one", 1)
    other.set("other", 2)
    one.save()
    other.save()
    assert stored() == {"shared": 1, "one": 1, "other": 2}
    assert dict(other.items()) == stored()


def test_of_one_key_the_later_save_counts(open_session: OpenSession):
    one, other = two(open_session, colour="red")
    one.set("colour", "blue")
    other.set("colour", "green")
    one.save()
    other.save()
    assert stored() == {"colour": "green"}


def test_a_key_nobody_here_changed_keeps_the_others_value(open_session: OpenSession):
    one, other = two(open_session, colour="red", size=1)
    one.set("colour", "blue")
    other.set("size", 2)
    one.save()
    other.save()
    assert stored() == {"colour": "blue", "size": 2}


def test_a_deletion_is_a_change_like_any_other(open_session: OpenSession):
    one, other = two(open_session, colour="red", size=1)
    one.set("size", 2)
    other.pop("colour")
    one.save()
    other.save()
    assert stored() == {"size": 2}


def test_a_key_deleted_by_one_and_changed_by_the_later_is_changed(open_session: OpenSession):
    one, other = two(open_session, colour="red")
    one.pop("colour")
    other.set("colour", "blue")
    one.save()
    other.save()
    assert stored() == {"colour": "blue"}


def test_a_key_changed_by_one_and_deleted_by_the_later_is_deleted(open_session: OpenSession):
    one, other = two(open_session, colour="red")
    one.set("colour", "blue")
    other.pop("colour")
    one.save()
    other.save()
    assert stored() == {}


def test_what_one_deleted_does_not_return_with_the_others_save(open_session: OpenSession):
    one, other = two(open_session, colour="red")
    one.pop("colour")
    other.set("size", 1)
    one.save()
    other.save()
    assert stored() == {"size": 1}


def test_a_mutation_inside_a_value_is_a_change(open_session: OpenSession):
    one, other = two(open_session, cart=["apple"])
    one.set("size", 1)
    other.get("cart").append("pear")
    one.save()
    other.save()
    assert stored() == {"size": 1, "cart": ["apple", "pear"]}


def test_keys_that_json_turns_into_text_merge_as_text(open_session: OpenSession):
    one, other = two(open_session)
    one.set(1, "one")
    other.set(2, "two")
    one.save()
    other.save()
    assert stored() == {"1": "one", "2": "two"}


def test_a_key_that_json_turned_into_text_is_no_change_of_mine(open_session: OpenSession):
    one, _ = two(open_session)
    one.set(1, "one")
    one.save()
    other = open_session(one.token)
    other.set("1", "uno")
    other.save()
    one.set(2, "two")
    one.save()
    assert stored() == {"1": "uno", "2": "two"}


def test_a_key_that_holds_none_is_not_absent(open_session: OpenSession):
    one, other = two(open_session, colour=None)
    one.pop("colour")
    other.set("size", None)
    one.save()
    other.save()
    assert stored() == {"size": None}


def test_a_store_goes_on_after_a_merge(open_session: OpenSession):
    one, other = two(open_session)
    for number in range(3):
        one.set(f"one{number}", number)
        one.save()
        other.set(f"other{number}", number)
        other.save()
    assert len(stored()) == 6


def test_looking_at_what_is_stored_does_not_make_it_the_base_of_the_next_save(
    open_session: OpenSession,
):
    one, other = two(open_session, colour="red")
    one.set("size", 1)
    one.save()
    other.load()
    other.set("colour", "blue")
    other.save()
    assert stored() == {"colour": "blue", "size": 1}


def test_clear_removes_what_it_knew_and_keeps_what_came_meanwhile(open_session: OpenSession):
    one, other = two(open_session, colour="red")
    one.set("size", 1)
    other.clear()
    one.save()
    other.save()
    assert stored() == {"size": 1}


def test_a_save_beside_a_data_change_keeps_what_was_asked_of_the_session(
    open_session: OpenSession,
):
    one, other = two(open_session)
    one.set("one", 1)
    other.set("other", 2)
    other.store.remember = False
    one.save()
    other.save()
    assert other.stored.remember is False


@pytest.mark.parametrize("act", ["signs in", "changes hands", "signs out"])
def test_what_was_done_for_one_identity_never_reaches_another(
    open_session: OpenSession, alice: User, bob: User, act: str
):
    before = {} if act == "signs in" else identity(alice)
    after = {
        "signs in": identity(alice),
        "changes hands": identity(bob),
        "signs out": {},
    }[act]
    one, other = two(open_session, **before)
    one.clear()
    one.update(after)
    one.save()
    written = list(Session.objects.values())
    other.set("basket", "of somebody else")
    for _ in range(2):
        with pytest.raises(UpdateError):
            other.save()
    assert list(Session.objects.values()) == written


def test_a_renewed_auth_hash_is_the_same_user_s_and_keeps_what_a_parallel_request_did(
    open_session: OpenSession, alice: User
):
    one, other = two(open_session, **identity(alice))
    one.set(HASH_SESSION_KEY, "another")
    one.save()
    other.set("basket", "full")
    other.save()
    assert stored() == identity(alice) | {HASH_SESSION_KEY: "another", "basket": "full"}


def test_a_sign_in_keeps_what_a_parallel_request_stored_before_it(
    open_session: OpenSession, alice: User
):
    one, other = two(open_session)
    other.set("basket", "full")
    other.save()
    sign_in(one, alice)
    assert stored() == {"basket": "full"} | identity(alice)
    assert one.stored.user == alice
