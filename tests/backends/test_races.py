"""Requests that really run in parallel, each against the database the suite runs on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.models import Session
from django_sessions_plus.signals import session_context_changed, session_ended, session_started
from tests.backends.drivers import SyncSession, identity, sign_in
from tests.backends.racing import racers, shared_database
from tests.conftest import OpenSession, Told

# SQLite has one writer at a time, so few rounds say as much there as many.
ROUNDS = 8 if connection.vendor == "sqlite" else 100

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _shared_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    with shared_database(tmp_path):
        yield


def load(open_session: OpenSession, token: str, **meta: str) -> SyncSession:
    session = open_session(token, meta)
    session.get("")
    return session


def start(open_session: OpenSession, user: User | None = None) -> str:
    session = SyncSession()
    session.set("colour", "red")
    session.save()
    if user is not None:
        sign_in(session, user)
    return session.token


def person(name: str) -> User:
    return User.objects.create(username=name)


def is_refused(result: Any) -> bool:
    return isinstance(result, UpdateError)


def test_32_requests_that_each_change_a_key_lose_nothing(open_session: OpenSession):
    token = start(open_session)

    def change(number: int, session: SyncSession) -> None:
        session.set(f"key{number}", number)
        session.save()

    with racers(32) as racing:
        stores = [load(open_session, token) for _ in range(32)]
        results = racing.run(*(partial(change, *entry) for entry in enumerate(stores)))
    assert results == [None] * 32
    expected = {"colour": "red"} | {f"key{number}": number for number in range(32)}
    assert Session.objects.get().get_decoded() == expected


def test_of_50_requests_that_see_the_update_due_one_writes(open_session: OpenSession, told: Told):
    token = start(open_session, person("alice"))
    Session.objects.update(
        last_seen_at=timezone.now() - timedelta(days=2),
        expires_at=timezone.now() + timedelta(days=12),
        user_agent="Firefox",
    )
    stores = [load(open_session, token, HTTP_USER_AGENT="Safari") for _ in range(50)]
    with racers(50) as racing:
        results = racing.run(*(store.touch for store in stores))
    assert sorted(results) == [False] * 49 + [True]
    assert len(told.of(session_context_changed)) == 1


@pytest.mark.parametrize("is_merging", [False, True], ids=["plain", "merging"])
def test_a_save_that_races_the_end_never_brings_the_session_back(
    open_session: OpenSession, is_merging: bool
):
    alice = person("alice")

    def save(session: SyncSession) -> None:
        session.set("size", 1)
        session.save()

    with racers(2) as racing:
        for _ in range(ROUNDS):
            token = start(open_session, alice)
            session = load(open_session, token)
            if is_merging:
                save(load(open_session, token))
            rows = Session.objects.filter(pk=session.row.pk)
            saved, ended = racing.run(
                partial(save, session), partial(rows.all().end, reason="revoked")
            )
            assert saved is None or is_refused(saved)
            assert ended == 1
            assert rows.get().session_data == ""
            assert open_session(token).load() == {}


def test_a_save_that_races_the_delete_of_an_anonymous_session_never_brings_it_back(
    open_session: OpenSession,
):
    with racers(2) as racing:
        for _ in range(ROUNDS):
            token = start(open_session)
            session, other = load(open_session, token), load(open_session, token)
            session.set("size", 1)
            saved, _ = racing.run(session.save, other.flush)
            assert saved is None or is_refused(saved)
            assert not Session.objects.exists()


def test_rotations_of_one_signed_in_session_leave_one_token_that_opens_it(
    open_session: OpenSession,
):
    alice = person("alice")
    with racers(4) as racing:
        for _ in range(ROUNDS):
            token = start(open_session, alice)
            stores = [load(open_session, token) for _ in range(4)]
            assert racing.run(*(store.cycle_key for store in stores)) == [None] * 4
            for number, store in enumerate(stores):
                store.set(f"key{number}", number)
                store.save()
            row = stores[0].stored
            assert row.get_decoded().items() >= {f"key{n}": n for n in range(4)}.items()
            assert {store.row.pk for store in stores} == {row.pk}
            # The one who rotated has it, and nobody else was given any.
            opening = [store for store in stores if store.exists(store.token)]
            assert len(opening) == 1
            assert [store.is_cookie_due for store in stores].count(True) == 1
            assert opening[0].is_cookie_due
            assert not opening[0].exists(token)


def test_rotations_of_one_anonymous_session_leave_each_a_session_with_its_data(
    open_session: OpenSession,
):
    with racers(3) as racing:
        for _ in range(ROUNDS // 2):
            token = start(open_session)
            stores = [load(open_session, token) for _ in range(3)]
            assert racing.run(*(store.cycle_key for store in stores)) == [None] * 3
            for store in stores:
                assert open_session(store.token).load() == {"colour": "red"}
            assert len({store.row.pk for store in stores}) == 3
            assert load(open_session, token).load() == {}


@pytest.mark.parametrize("is_signed_in", [False, True], ids=["anonymous", "signed in"])
@pytest.mark.parametrize("is_same", [False, True], ids=["two users", "one user"])
def test_sign_ins_on_one_session_at_once_all_succeed(
    open_session: OpenSession, told: Told, is_signed_in: bool, is_same: bool
):
    """Each answer brings a cookie that works, as with Django: the browser keeps whichever comes last."""
    alice, bob = person("alice"), person("bob")
    people = [alice, alice if is_same or is_signed_in else bob]
    with racers(2) as racing:
        for _ in range(ROUNDS // 4):
            token = start(open_session, alice if is_signed_in else None)
            told.clear()
            stores = [load(open_session, token) for _ in range(2)]
            results = racing.run(
                *(partial(sign_in, *entry) for entry in zip(stores, people, strict=True))
            )
            assert results == [None, None]
            for store, user in zip(stores, people, strict=True):
                again = load(open_session, store.token)
                assert again.row.user == user
                assert again.load() == {"colour": "red"} | identity(user)
                assert store.is_cookie_due
            assert load(open_session, token).load() == {}
            # One of them in the row that was there.
            assert len(told.of(session_started)) == (1 if is_signed_in else 2)


def test_revoking_all_while_somebody_signs_in_leaves_no_half_ended_session(
    open_session: OpenSession,
):
    alice = person("alice")
    with racers(2) as racing:
        for _ in range(ROUNDS):
            start(open_session, alice)
            session = load(open_session, start(open_session))
            _, revoked = racing.run(
                partial(sign_in, session, alice), partial(sessions.revoke_all, alice)
            )
            row = session.stored
            assert revoked == (1 if row.is_active() else 2)
            assert row.get_decoded() == (
                {"colour": "red"} | identity(alice) if row.is_active() else {}
            )
            sessions.revoke_all(alice)


def test_of_four_parallel_revocations_one_says_it_did_it(open_session: OpenSession, told: Told):
    alice = person("alice")
    with racers(4) as racing:
        for _ in range(ROUNDS // 4):
            session = load(open_session, start(open_session, alice))
            told.clear()
            results = racing.run(*[partial(sessions.revoke, session.row)] * 4)
            assert sorted(results) == [False, False, False, True]
            assert len(told.of(session_ended)) == 1


def test_two_who_revoke_all_at_once_end_each_session_once(open_session: OpenSession, told: Told):
    alice = person("alice")
    with racers(2) as racing:
        for _ in range(1 + ROUNDS // 10):
            for _ in range(10):
                start(open_session, alice)
            told.clear()
            results = racing.run(*[partial(sessions.revoke_all, alice)] * 2)
            assert sum(results) == len(told.of(session_ended)) == 10


@pytest.mark.parametrize("earlier", [0, 1, 3, 5], ids=lambda number: f"{number} before")
def test_parallel_sign_ins_leave_as_many_sessions_as_the_limit_lets(
    earlier: int, settings: Any, told: Told
):
    alice = person("alice")

    def sign_in_anew() -> None:
        sign_in(SyncSession(), alice)

    with racers(8) as racing:
        for _ in range(1 + ROUNDS // 10):
            settings.SESSIONS_PLUS_MAX_PER_USER = None
            for _ in range(earlier):
                sign_in_anew()
            before = set(sessions.list_for(alice).values_list("pk", flat=True))
            told.clear()
            settings.SESSIONS_PLUS_MAX_PER_USER = 3
            assert racing.run(*[sign_in_anew] * 8) == [None] * 8
            left = set(sessions.list_for(alice).values_list("pk", flat=True))
            assert len(left) == 3
            assert not left & before
            assert len(told.of(session_ended)) == earlier + 8 - 3
            sessions.revoke_all(alice)
