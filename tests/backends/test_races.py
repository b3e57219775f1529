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
        updated_at=timezone.now() - timedelta(days=2),
        last_seen_at=timezone.now() - timedelta(days=2),
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


def test_of_two_rotations_one_wins(open_session: OpenSession):
    with racers(2) as racing:
        for _ in range(ROUNDS):
            token = start(open_session)
            stores = [load(open_session, token) for _ in range(2)]
            results = racing.run(*(store.cycle_key for store in stores))
            assert sorted(map(is_refused, results)) == [False, True]
            (winner,) = (s for s, r in zip(stores, results, strict=True) if not is_refused(r))
            assert winner.exists(winner.token)
            assert not winner.exists(token)


@pytest.mark.parametrize("is_signed_in", [False, True], ids=["anonymous", "signed in"])
def test_of_two_sign_ins_on_one_session_one_wins(
    open_session: OpenSession, told: Told, is_signed_in: bool
):
    alice, bob = person("alice"), person("bob")
    with racers(2) as racing:
        for _ in range(ROUNDS // 2):
            token = start(open_session, alice if is_signed_in else None)
            told.clear()
            stores = [load(open_session, token) for _ in range(2)]
            people = [alice, alice] if is_signed_in else [alice, bob]
            results = racing.run(
                *(partial(sign_in, *entry) for entry in zip(stores, people, strict=True))
            )
            assert sorted(map(is_refused, results)) == [False, True]
            won = [is_refused(result) for result in results].index(False)
            row = stores[won].stored
            assert row.user == people[won]
            assert row.get_decoded() == {"colour": "red"} | identity(people[won])
            assert len(told.of(session_started)) == (0 if is_signed_in else 1)


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
