"""``settled=True``: who waits, for how long, after what, and who refuses to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.test import TestCase

from django_sessions_plus import sessions
from django_sessions_plus.backends import settlement
from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.exceptions import UnsettledError
from django_sessions_plus.models import Session
from tests.admin.site import make_session
from tests.api.conftest import ApiClient
from tests.backends.cached import TestedCache, in_use

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.db_engine,
    pytest.mark.urls("tests.api.urls"),
]

LEASE = 0.75

Verb = Callable[..., Any]

VERBS: dict[str, Callable[[Verb, User], Any]] = {
    "revoke": lambda verb, user: verb(Session.objects.get(), settled=True),
    "revoke_many": lambda verb, user: verb(Session.objects.all(), settled=True),
    "revoke_others": lambda verb, user: verb(user, keep=None, settled=True),
    "revoke_all": lambda verb, user: verb(user, settled=True),
    "revoke_everyone": lambda verb, user: verb(settled=True),
}


class Waited(list[tuple[str, float]]):
    """How the process waited, for how many seconds, and that all was ended and committed by then."""

    def note(self, how: str, seconds: float) -> None:
        assert not connection.in_atomic_block
        self.append((how, seconds))


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> Waited:
    waited = Waited()

    async def asleep(seconds: float) -> None:
        waited.note("loop", seconds)

    monkeypatch.setattr(time, "sleep", lambda seconds: waited.note("thread", seconds))
    monkeypatch.setattr(asyncio, "sleep", asleep)
    return waited


@pytest.fixture
def leases(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine, on a database of which it is said that it announces what has ended."""
    settings.SESSION_ENGINE = "django_sessions_plus.backends.leased_db"
    settings.SESSIONS_PLUS_LEASE = timedelta(seconds=LEASE)
    monkeypatch.setattr(triggers, "why_impossible", lambda alias: None)


@pytest.fixture
def cache(settings: Any) -> Iterator[None]:
    with in_use(settings, "settlement"):
        yield


@pytest.fixture(params=["", "a"], ids=["sync", "async"])
def verb_named(request: pytest.FixtureRequest) -> Callable[[str], Verb]:
    def find(name: str) -> Verb:
        verb = getattr(sessions, f"{request.param}{name}")
        return async_to_sync(verb) if request.param else verb

    return find


@pytest.mark.usefixtures("leases")
@pytest.mark.parametrize("name", VERBS)
def test_a_verb_waits_for_a_lease_and_a_coroutine_does_so_in_the_event_loop(
    alice: User, waited: Waited, verb_named: Any, name: str
):
    make_session(alice)
    assert VERBS[name](verb_named(name), alice) == 1
    how = "loop" if verb_named(name) is not getattr(sessions, name) else "thread"
    assert waited == [(how, LEASE)]
    assert not Session.objects.active().exists()


@pytest.mark.usefixtures("leases")
def test_who_finds_nothing_waits_too_because_another_may_have_ended_it_just_now(
    alice: User, waited: Waited, verb_named: Any
):
    row = make_session(alice)
    sessions.revoke(row)
    assert waited == []
    assert verb_named("revoke")(row, settled=True) is False
    assert [seconds for _, seconds in waited] == [LEASE]


@pytest.mark.parametrize("name", VERBS)
def test_with_the_engine_db_there_is_nothing_to_wait_for(
    alice: User, waited: Waited, verb_named: Any, name: str, settings: Any
):
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    make_session(alice)
    assert VERBS[name](verb_named(name), alice) == 1
    assert waited == []


@pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL announces")
def test_without_announcements_memory_is_never_served_and_there_is_nothing_to_wait_for(
    alice: User, waited: Waited, settings: Any
):
    settings.SESSION_ENGINE = "django_sessions_plus.backends.leased_db"
    make_session(alice)
    assert sessions.revoke_all(alice, settled=True) == 1
    assert waited == []


@pytest.mark.parametrize("engine", ["db", "leased_db"])
@pytest.mark.parametrize("name", VERBS)
def test_in_a_transaction_it_is_refused_before_anything_is_ended(
    alice: User, waited: Waited, name: str, engine: str, settings: Any
):
    settings.SESSION_ENGINE = f"django_sessions_plus.backends.{engine}"
    make_session(alice)
    with transaction.atomic():
        with pytest.raises(TransactionManagementError, match="before its commit"):
            VERBS[name](getattr(sessions, name), alice)
        assert Session.objects.active().count() == 1
    assert waited == []


def test_in_a_transaction_without_atomic_it_is_refused_too(alice: User):
    transaction.set_autocommit(False)
    try:
        with pytest.raises(TransactionManagementError):
            sessions.revoke_all(alice, settled=True)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.skipif(connection.vendor == "mysql", reason="its driver does not tell")
def test_in_a_transaction_begun_by_raw_sql_it_is_refused_too(alice: User):
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            with pytest.raises(TransactionManagementError):
                sessions.revoke_all(alice, settled=True)
        finally:
            cursor.execute("ROLLBACK")


@pytest.mark.usefixtures("leases")
def test_after_the_commit_it_can_be_called(alice: User, waited: Waited):
    make_session(alice)
    with transaction.atomic():
        transaction.on_commit(lambda: sessions.revoke_all(alice, settled=True) and None)
    assert waited == [("thread", LEASE)]


@pytest.mark.django_db(transaction=False)
def test_the_transaction_of_a_test_case_does_not_count():
    atomics = TestCase._enter_atomics()
    try:
        assert not settlement.is_in_transaction()
        with transaction.atomic():
            assert settlement.is_in_transaction()
    finally:
        TestCase._rollback_atomics(atomics)


@pytest.mark.usefixtures("cache")
def test_a_cache_that_was_told_leaves_nothing_to_wait_for(
    alice: User, waited: Waited, verb_named: Any
):
    make_session(alice)
    assert verb_named("revoke_all")(alice, settled=True) == 1
    assert waited == []


@pytest.mark.usefixtures("cache")
def test_a_cache_that_could_not_be_told_is_an_error_that_says_what_was_ended(
    alice: User, waited: Waited, verb_named: Any
):
    make_session(alice)
    TestedCache.is_down = True
    with pytest.raises(UnsettledError, match="65 seconds") as caught:
        verb_named("revoke_all")(alice, settled=True)
    assert (caught.value.ended, caught.value.within) == (1, 65)
    assert not Session.objects.active().exists()
    assert waited == []


@pytest.mark.usefixtures("leases")
@pytest.mark.parametrize("command", ["revoke_sessions", "sessions_erase"])
def test_a_command_waits_always(alice: User, waited: Waited, command: str):
    make_session(alice)
    whose = ("--user=alice",) if command == "revoke_sessions" else ("alice", "--all", "--no-input")
    call_command(command, *whose, verbosity=0)
    assert waited == [("thread", LEASE)]


def revoke_one(api: ApiClient, other: str, settled: Any) -> Any:
    word = {True: "?settled=true", False: "?settled=false", None: ""}[settled]
    return api.send("delete", f"sessions/{other}{word}")


def revoke_others(api: ApiClient, other: str, settled: Any) -> Any:
    asked = {} if settled is None else {"settled": settled}
    return api.send("post", "sessions/revoke", {"scope": "others", **asked})


@pytest.fixture
def api(alice: User) -> ApiClient:
    api = ApiClient()
    assert api.take(api.sign_in("alice", "wonderland", transport="bearer")).status_code == 200
    return api


@pytest.mark.usefixtures("leases")
@pytest.mark.parametrize("is_atomic", [False, True], ids=["", "atomic"])
@pytest.mark.parametrize(("end", "status"), [(revoke_one, 204), (revoke_others, 200)])
def test_the_api_waits_after_the_commit_if_it_is_asked_to(
    api: ApiClient,
    alice: User,
    waited: Waited,
    monkeypatch: pytest.MonkeyPatch,
    is_atomic: bool,
    end: Any,
    status: int,
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    for settled, seconds in [(None, []), (False, []), (True, [("thread", LEASE)])]:
        assert end(api, str(make_session(alice).pk), settled).status_code == status
        assert waited == seconds
        assert Session.objects.active().count() == 1


@pytest.mark.usefixtures("leases")
@pytest.mark.parametrize("end", [revoke_one, revoke_others])
def test_in_a_transaction_around_the_request_the_api_says_that_it_is_not_settled(
    api: ApiClient, alice: User, waited: Waited, end: Any
):
    with transaction.atomic():
        answer = end(api, str(make_session(alice).pk), True)
    assert answer.status_code == 202
    assert answer.json()["settled"] is False
    assert answer.json()["within"] == 1
    assert waited == []


def test_what_is_neither_true_nor_false_is_refused_and_ends_nothing(api: ApiClient, alice: User):
    other = make_session(alice).pk
    assert api.send("delete", f"sessions/{other}?settled=1").status_code == 400
    body = {"scope": "others", "settled": "soon"}
    assert api.send("post", "sessions/revoke", body).status_code == 400
    assert Session.objects.active().count() == 2


@pytest.mark.usefixtures("leases")
def test_nothing_is_waited_for_where_one_process_serves_the_site(
    alice: User, waited: Waited, settings: Any
):
    settings.SESSIONS_PLUS_LEASE_CHANNEL = "process"
    make_session(alice)
    assert sessions.revoke_all(alice, settled=True) == 1
    assert waited == []
