"""The engine with a cache: what it costs, what it keeps, how long, and what a failing cache does to it."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.cache import InvalidCacheBackendError, caches
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import AsyncClient, Client

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.caching import circuit, copies, entries
from django_sessions_plus.backends.caching import rows as cached_rows
from django_sessions_plus.models import Session
from tests.backends.cached import ENGINE, CachedAsync, CachedSync, TestedCache
from tests.backends.drivers import SyncSession, sign_in
from tests.conftest import Statements

Record = Callable[[], AbstractContextManager[Statements]]
Open = Callable[..., SyncSession]

pytestmark = pytest.mark.django_db(transaction=True)

CACHES = {"default": {"BACKEND": "tests.backends.cached.TestedCache", "LOCATION": "tested"}}


class Time:
    """Both clocks, which stand still: the wall's for entries, the steady one for the circuit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        wall, steady = time.time(), time.monotonic()
        monkeypatch.setattr(time, "time", lambda: wall + self.passed)
        monkeypatch.setattr(circuit, "monotonic", lambda: steady + self.passed)


@pytest.fixture(autouse=True)
def _engine(settings: Any) -> Iterator[None]:
    settings.SESSION_ENGINE = ENGINE
    settings.CACHES = CACHES
    TestedCache.is_down = TestedCache.is_full = False
    caches["default"].clear()
    TestedCache.asked.clear()
    yield
    TestedCache.is_down = TestedCache.is_full = False
    caches["default"].clear()


@pytest.fixture(params=[CachedSync, CachedAsync], ids=["sync", "async"])
def open_session(request: pytest.FixtureRequest) -> Open:
    driver: Open = request.param
    return driver


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def start(user: User | None = None) -> str:
    session = CachedSync()
    session.set("colour", "red")
    session.save()
    if user is not None:
        sign_in(session, user)
    return session.token


def read(token: str, driver: Open = CachedSync) -> dict[str, Any]:
    session = driver(token)
    session.get("")
    return dict(session.store._session)


def another_process() -> None:
    """Forget what this process knows of the cache; the cache is the same."""
    circuit._circuits.clear()


# Cost


def test_a_session_just_created_is_read_from_the_cache(open_session: Open, statements: Record):
    session = open_session()
    session.set("colour", "red")
    session.save()
    with statements() as cost:
        assert session.exists(session.token)
        assert read(session.token, open_session) == {"colour": "red"}
    assert cost == []


def test_the_second_read_is_one_round_trip_and_no_query(open_session: Open, statements: Record):
    token = start()
    caches["default"].clear()
    read(token, open_session)
    TestedCache.asked.clear()
    with statements() as cost:
        assert read(token, open_session) == {"colour": "red"}
    assert cost == []
    assert TestedCache.asked == ["get_many"]


def test_a_read_after_a_write_is_one_query(open_session: Open, statements: Record):
    session = open_session(start())
    session.set("colour", "blue")
    session.save()
    TestedCache.asked.clear()
    with statements() as cost:
        assert read(session.token, open_session) == {"colour": "blue"}
    assert len(cost) == 1
    assert TestedCache.asked == ["get_many", "add", "set"]


def test_a_write_is_one_update_and_one_invalidation(open_session: Open, statements: Record):
    session = open_session(start())
    session.set("colour", "blue")
    TestedCache.asked.clear()
    with statements() as cost:
        session.save()
    assert cost.written_columns >= {"session_data", "version"}
    assert cost.reads == []
    assert TestedCache.asked == ["delete_many"]


@pytest.mark.urls("tests.backends.urls")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_request_of_somebody_signed_in_reads_the_user_and_nothing_else(
    mode: str, alice: User, statements: Record
):
    client: Any = Client() if mode == "sync" else AsyncClient()
    get = client.get if mode == "sync" else async_to_sync(client.get)
    get(f"/{mode}/sign-in")
    get(f"/{mode}/who")
    TestedCache.asked.clear()
    with statements() as cost:
        assert get(f"/{mode}/who").content == b"alice"
    assert len(cost) == 1
    assert "auth_user" in cost[0]
    assert "LIMIT" not in cost[0], "compiled for this request"
    assert "django_sessions_plus_session" not in cost[0]
    assert TestedCache.asked == ["get_many"]


@pytest.mark.urls("tests.backends.urls")
def test_nothing_about_the_user_is_kept(alice: User, client: Client):
    client.get("/sync/sign-in")
    client.get("/sync/who")
    User.objects.filter(pk=alice.pk).update(username="alicia")
    assert client.get("/sync/who").content == b"alicia"
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert client.get("/sync/who").content == b""


@pytest.mark.urls("tests.backends.urls")
def test_without_the_fast_path_the_backend_finds_the_user(
    alice: User, client: Client, settings: Any, statements: Record
):
    settings.SESSIONS_PLUS_FAST_PATH = False
    client.get("/sync/sign-in")
    client.get("/sync/who")
    with statements() as cost:
        assert client.get("/sync/who").content == b"alice"
    assert len(cost) == 1


def test_an_unknown_token_is_asked_for_once(open_session: Open, statements: Record, passing: Time):
    token = tokens.make_token()
    assert read(token, open_session) == {}
    with statements() as cost:
        assert read(token, open_session) == {}
    assert cost == []
    passing.passed = entries.UNKNOWN_AGE
    with statements() as cost:
        assert read(token, open_session) == {}
    assert len(cost) == 1


def test_a_malformed_token_asks_nobody(open_session: Open, statements: Record):
    with statements() as cost:
        assert not open_session("x" * 40).exists("x" * 40)
        read("x" * 40, open_session)
    assert cost == []
    assert TestedCache.asked == []


# What is kept, and how long


def test_no_token_is_kept_and_nothing_of_the_user(alice: User):
    token = start(alice)
    read(token)
    store: Any = caches["default"]
    held = [f"{key} {pickle.loads(value)!r}" for key, value in store._cache.items()]
    assert any(tokens.digest(token) in text for text in held)
    for text in held:
        assert token not in text
        assert alice.password not in text
        assert alice.email not in text


def test_a_copy_is_served_for_the_cache_age(statements: Record, passing: Time):
    token = start()
    for passed, queries in [(59.0, 0), (60.5, 1), (61.0, 0)]:
        passing.passed = passed
        with statements() as cost:
            read(token)
        assert len(cost) == queries, passed


def test_a_copy_from_the_future_is_not_served(statements: Record, passing: Time):
    token = start()
    passing.passed = -2 * entries.CLOCK_SKEW
    with statements() as cost:
        read(token)
    assert len(cost) == 1


def test_the_age_of_copies_can_be_set(settings: Any, statements: Record, passing: Time):
    settings.SESSIONS_PLUS_CACHE_AGE = timedelta(seconds=10)
    token = start()
    passing.passed = 11
    with statements() as cost:
        read(token)
    assert len(cost) == 1


def test_a_copy_does_not_outlive_the_expiry(open_session: Open, clock: Any, statements: Record):
    session = open_session()
    session.set_expiry(30)
    session.save()
    clock.advance(seconds=29)
    with statements() as cost:
        assert read(session.token, open_session)
    assert cost == []
    clock.advance(seconds=2)
    assert read(session.token, open_session) == {}


def test_an_expiry_moved_by_somebody_the_cache_has_not_heard_of_signs_nobody_out(
    clock: Any, statements: Record
):
    session = CachedSync()
    session.set_expiry(30)
    session.save()
    Session.objects.quietly().update(expires_at=clock.now() + timedelta(hours=1))
    clock.advance(seconds=31)
    assert read(session.token)


def test_an_ended_session_is_not_asked_for_again(alice: User, statements: Record):
    token = start(alice)
    sessions.revoke_all(alice)
    assert read(token) == {}
    with statements() as cost:
        assert read(token) == {}
    assert cost == []


def test_a_touch_is_seen_by_the_next_request(open_session: Open, clock: Any):
    token = start()
    clock.advance(minutes=6)
    first = open_session(token)
    first.get("")
    first.touch()
    second = open_session(token)
    second.get("")
    assert second.row.last_seen_at == clock.now()
    assert second.store.due_columns() == {}


@pytest.mark.parametrize("act", ["revoke", "sign out", "delete", "save"])
def test_what_is_not_believed_any_more_is_not_in_the_cache_either(
    open_session: Open, alice: User, act: str
):
    token, other = start(alice), start(alice)
    read(token), read(other)
    store: Any = caches["default"]

    def holders(wanted: str) -> list[str]:
        entries = [key for key in store._cache if ":entry:" in key]
        return [key for key in entries if tokens.digest(wanted) in key]

    assert holders(token)
    session = open_session(token)
    session.get("")
    if act == "revoke":
        sessions.revoke(session.row)
    elif act == "sign out":
        session.flush()
    elif act == "delete":
        Session.objects.filter(pk=session.row.pk).delete()
    else:
        session.set("colour", "blue")
        session.save()
    assert not holders(token)
    assert holders(other)


# Transactions


def test_a_transaction_sees_its_own_changes_and_nobody_else_does():
    token = start()
    with transaction.atomic():
        session = CachedSync(token)
        session.set("colour", "blue")
        session.save()
        assert read(token) == {"colour": "blue"}
        assert Session.objects.quietly().get().get_decoded() == {"colour": "blue"}
    assert read(token) == {"colour": "blue"}


def test_what_a_transaction_read_or_wrote_and_rolled_back_is_in_no_copy():
    token = start()
    caches["default"].clear()
    with transaction.atomic():
        session = CachedSync(token)
        session.set("colour", "blue")
        session.save()
        read(token)
        created = start()
        transaction.set_rollback(True)
    assert read(token) == {"colour": "red"}
    assert read(token) == {"colour": "red"}
    assert read(created) == {}


def test_a_session_first_read_in_a_transaction_is_kept_after_it(statements: Record):
    token = start()
    caches["default"].clear()
    with transaction.atomic():
        read(token)
    with statements() as cost, transaction.atomic():
        assert read(token) == {"colour": "red"}
    assert cost == []


def test_what_a_transaction_changed_behind_our_back_and_rolled_back_is_in_no_copy():
    token = start()
    caches["default"].clear()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("""UPDATE django_sessions_plus_session SET session_data = '{"n":1}'""")
        assert read(token) == {"n": 1}
        transaction.set_rollback(True)
    assert read(token) == {"colour": "red"}


def test_an_error_after_the_commit_does_not_keep_an_end_from_being_told(alice: User):
    token = start(alice)
    assert read(token)

    def fail() -> None:
        raise ZeroDivisionError

    @transaction.atomic
    def end() -> None:
        transaction.on_commit(fail)
        sessions.revoke_all(alice)

    held = copies.Copies(caches["default"], Session, "default")
    generation = held.layout.generation_key(tokens.digest(token))
    assert caches["default"].get(generation)
    with pytest.raises(ZeroDivisionError):
        end()
    assert caches["default"].get(generation) is None


def test_nothing_is_kept_in_a_transaction_django_does_not_manage(statements: Record):
    token = start()
    caches["default"].clear()
    transaction.set_autocommit(False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("""UPDATE django_sessions_plus_session SET session_data = '{"n":1}'""")
        assert read(token) == {"n": 1}
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    with statements() as cost:
        assert read(token) == {"colour": "red"}
    assert len(cost) == 1


def test_a_change_in_a_transaction_django_does_not_manage_is_refused():
    session = CachedSync(start())
    session.set("colour", "blue")
    transaction.set_autocommit(False)
    try:
        with pytest.raises(transaction.TransactionManagementError):
            session.save()
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert read(session.token) == {"colour": "red"}


@pytest.mark.parametrize("place", [{"SECRET_KEY": "another"}, {"NAME": "copy_of_it"}])
def test_a_copy_of_the_database_shares_invalidations_and_no_entries(
    place: dict[str, str], alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    """As on a staging site with the rows and the Redis of the real one."""
    token = start(alice)
    assert read(token)
    Session.objects.filter().quietly().update(session_data='{"colour":"blue"}')
    there = Session.objects.get()
    if "NAME" in place:
        monkeypatch.setitem(connection.settings_dict, "NAME", place["NAME"])
        entries._layouts.clear()
    else:
        settings.SECRET_KEY = place["SECRET_KEY"]
    assert read(token)["colour"] == "blue"
    there.save()
    monkeypatch.undo()
    settings.SECRET_KEY = "known to everybody, used by the tests alone"
    entries._layouts.clear()
    assert read(token)["colour"] == "blue"


def test_an_entry_of_another_token_is_not_served():
    """A connection that mixes up its answers must not mix up people."""
    token, other = start(), start()
    Session.objects.filter(token_digest=tokens.digest(other)).update(session_data="{}")
    held = copies.Copies(caches["default"], Session, "default")
    cache: Any = caches["default"]
    for name in (held.layout.entry_key, held.layout.generation_key):
        cache.set(name(tokens.digest(other)), cache.get(name(tokens.digest(token))))
    assert read(other) == {}
    assert read(token) == {"colour": "red"}


# A cache that fails


def test_a_cache_that_does_not_exist_is_an_error(settings: Any):
    settings.SESSION_CACHE_ALIAS = "missing"
    with pytest.raises(InvalidCacheBackendError):
        CachedSync()


def test_a_cache_that_is_down_costs_queries_and_nothing_else(
    open_session: Open, alice: User, caplog: pytest.LogCaptureFixture, passing: Time
):
    token = start(alice)
    TestedCache.is_down = True
    with caplog.at_level(logging.ERROR, "django.contrib.sessions"):
        assert read(token, open_session)["colour"] == "red"
        session = open_session(token)
        session.set("colour", "blue")
        session.save()
        assert open_session().exists(token)
        assert read(start())
        sessions.revoke_all(alice)
        assert read(token, open_session) == {}
    assert {record.getMessage() for record in caplog.records} == {
        f"Error reading from cache ({caches['default']})"
    }


def test_a_cache_that_is_down_is_asked_by_few(passing: Time):
    token = start()
    TestedCache.is_down = True
    TestedCache.asked.clear()
    asked = []
    for second in range(200):
        passing.passed = second + 0.5
        for _ in range(5):
            read(token)
        if TestedCache.asked:
            asked.append(second)
            TestedCache.asked.clear()
    assert asked[:5] == [0, 1, 3, 7, 15]
    pauses = [later - earlier for earlier, later in pairwise(asked[5:])]
    assert set(pauses) == {circuit.LONGEST_DELAY}
    TestedCache.is_down = False
    passing.passed += circuit.LONGEST_DELAY
    read(token)
    TestedCache.asked.clear()
    read(token)
    assert TestedCache.asked == ["get_many"]


@pytest.mark.parametrize("revoked", [1, 3], ids=["some", "more than it remembers"])
def test_an_end_the_cache_has_not_heard_of_is_told_before_it_is_used_again(
    alice: User, passing: Time, monkeypatch: pytest.MonkeyPatch, revoked: int
):
    monkeypatch.setattr(circuit, "MAX_DIGESTS", 2)
    opened = [start(alice) for _ in range(revoked)]
    assert all(map(read, opened))
    TestedCache.is_down = True
    assert sessions.revoke_all(alice) == revoked
    assert not any(map(read, opened))
    TestedCache.is_down = False
    assert not any(map(read, opened))
    passing.passed = circuit.LONGEST_DELAY
    assert not any(map(read, opened))
    another_process()
    assert not any(map(read, opened))


def test_an_end_the_cache_never_hears_of_bites_elsewhere_within_the_cache_age(
    alice: User, passing: Time
):
    token = start(alice)
    assert read(token)
    TestedCache.is_down = True
    sessions.revoke_all(alice)
    TestedCache.is_down = False
    another_process()
    passing.passed = 59
    assert read(token), "the bound is not tight: find out what has become better"
    passing.passed = 60
    assert read(token) == {}


def test_a_write_the_cache_has_not_heard_of_is_seen_by_its_own_process(passing: Time):
    token = start()
    read(token)
    session = CachedSync(token)
    session.set("colour", "blue")
    TestedCache.is_down = True
    session.save()
    TestedCache.is_down = False
    for _ in range(3):
        assert read(token) == {"colour": "blue"}
        passing.passed += 1.5


def test_a_cache_that_is_full_hears_of_ends(
    alice: User, passing: Time, caplog: pytest.LogCaptureFixture
):
    token, other = start(alice), start(alice)
    assert read(token)
    TestedCache.is_full = True
    with caplog.at_level(logging.CRITICAL, "django.contrib.sessions"):
        read(tokens.make_token())
        start()
        sessions.revoke_all(alice)
    TestedCache.is_full = False
    another_process()
    assert read(token) == {}
    assert read(other) == {}


def test_what_a_full_cache_keeps_is_still_read_from_it(statements: Record, passing: Time):
    token = start()
    TestedCache.is_full = True
    read(tokens.make_token())
    with statements() as cost:
        assert read(token) == {"colour": "red"}
    assert cost == []
    TestedCache.asked.clear()
    for _ in range(5):
        read(tokens.make_token())
    assert TestedCache.asked == ["get_many"] * 5
    TestedCache.is_full = False
    passing.passed = 2
    unknown = tokens.make_token()
    read(unknown)
    with statements() as cost:
        read(unknown)
    assert cost == []


def test_an_end_is_told_as_soon_as_the_cache_is_back_however_long_it_was_down(
    alice: User, passing: Time, settings: Any
):
    settings.SESSIONS_PLUS_CACHE_AGE = timedelta(days=1)
    token = start(alice)
    assert read(token)
    TestedCache.is_down = True
    for _ in range(10):
        passing.passed += circuit.LONGEST_DELAY
        read(token)
    passing.passed += circuit.FIRST_DELAY
    TestedCache.is_down = False
    assert read(start())
    sessions.revoke_all(alice)
    another_process()
    assert read(token) == {}


def test_a_process_with_pending_invalidations_asks_every_second(alice: User, passing: Time):
    start(alice)
    TestedCache.is_down = True
    for _ in range(10):
        passing.passed += circuit.LONGEST_DELAY
        read(start(alice))
    sessions.revoke_all(alice)
    for _ in range(3):
        passing.passed += circuit.FIRST_DELAY
        TestedCache.asked.clear()
        read(tokens.make_token())
        assert len(TestedCache.asked) == 1


def test_what_a_worker_was_invalidating_when_it_was_stopped_is_pending(
    alice: User, monkeypatch: pytest.MonkeyPatch, passing: Time
):
    class StopError(BaseException):
        """As a server's time limit for requests, which no ``except Exception`` sees."""

    token = start(alice)
    assert read(token)

    def stop(self: Any, keys: Any) -> None:
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(TestedCache, "delete_many", stop)
        with pytest.raises(StopError):
            sessions.revoke_all(alice)
    assert read(token) == {}


def test_an_emptied_cache_and_a_lost_generation_are_queries(alice: User, statements: Record):
    token = start(alice)
    read(token)
    sessions.revoke_all(alice)
    caches["default"].clear()
    assert read(token) == {}
    other = start(alice)
    read(other)
    held = copies.Copies(caches["default"], Session, "default")
    for key in (held.layout.generation_key(tokens.digest(other)), held.layout.all_rows_key):
        caches["default"].delete(key)
        with statements() as cost:
            assert read(other)["colour"] == "red"
        assert len(cost) == 1
        with statements() as cost:
            assert read(other)["colour"] == "red"
        assert cost == []


@pytest.mark.parametrize("rubbish", ["text", (), (1, 2), (None, None, None), 5])
def test_rubbish_in_the_cache_is_not_served(rubbish: object):
    token = start()
    held = copies.Copies(caches["default"], Session, "default")
    caches["default"].set(held.layout.entry_key(tokens.digest(token)), rubbish)
    assert read(token) == {"colour": "red"}


def test_an_entry_without_a_generation_is_not_served():
    token = start()
    caches["default"].clear()
    held = copies.Copies(caches["default"], Session, "default")
    digest = tokens.digest(token)
    entry = ((None, None), time.time(), digest, None)
    caches["default"].set(held.layout.entry_key(digest), entry)
    assert read(token) == {"colour": "red"}


@pytest.mark.urls("tests.backends.urls")
def test_a_user_who_is_gone_is_nobody(alice: User, client: Client):
    client.get("/sync/sign-in")
    assert client.get("/sync/who").content == b"alice"
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM auth_user")
    assert client.get("/sync/who").content == b""


def test_a_replica_is_never_what_a_copy_is_made_of(settings: Any):
    settings.SESSIONS_PLUS_READ_FROM_REPLICA = True
    settings.DATABASE_ROUTERS = ["tests.backends.test_cached_db.ReplicaRouter"]
    assert CachedSync().store.rows.read_alias == "default"


class ReplicaRouter:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


# Many at once


@pytest.fixture
def _few_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit, "MAX_DIGESTS", 3)


def deleted(rows: Any) -> None:
    rows.delete()


def updated(rows: Any) -> None:
    rows.update(session_data="")


@pytest.mark.usefixtures("_few_by_name")
@pytest.mark.parametrize("change", [deleted, updated])
@pytest.mark.parametrize(("number", "is_all"), [(3, False), (4, True)])
def test_of_many_rows_that_change_at_once_no_copy_is_served_any_more(
    change: Callable[[Any], None], number: int, is_all: bool, statements: Record
):
    opened, other = [start() for _ in range(number)], start()
    digests = list(map(tokens.digest, opened))
    TestedCache.asked.clear()
    with statements() as cost:
        change(Session.objects.filter(token_digest__in=digests))
    assert TestedCache.asked == ["delete_many"]
    if change is deleted:
        # MariaDB finds the keys first, to lock the rows in their order.
        assert "LIMIT 4" in cost.reads[0]
        assert len(cost.reads) == (2 if connection.vendor == "mysql" else 1)
        assert not any(map(read, opened))
    with statements() as cost:
        assert read(other)
    assert len(cost) == is_all


@pytest.mark.usefixtures("_few_by_name")
def test_a_transaction_remembers_a_bounded_number_of_rows_it_has_changed():
    opened = [start() for _ in range(6)]
    with transaction.atomic():
        for token in opened:
            Session.objects.filter(token_digest=tokens.digest(token)).update(session_data="")
        ((_, remembered),) = cached_rows._uncommitted.items()
        assert len(remembered) == 4
        assert not any(map(read, opened))
    assert not any(map(read, opened))


@pytest.mark.usefixtures("_few_by_name")
def test_of_many_rows_all_copies_are_pending_for_a_cache_that_is_down(passing: Time):
    opened = [start() for _ in range(4)]
    TestedCache.is_down = True
    Session.objects.all().delete()
    TestedCache.is_down = False
    passing.passed = 2
    assert not any(map(read, opened))
    another_process()
    assert not any(map(read, opened))


# The command


def test_the_command_says_when_the_cache_was_not_told():
    TestedCache.is_down = True
    with pytest.raises(CommandError, match="is down"):
        call_command("sessions_refresh_cache")


def test_the_command_has_nothing_to_do_for_another_engine(settings: Any):
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    with pytest.raises(CommandError, match="keeps no copies"):
        call_command("sessions_refresh_cache")


def test_the_other_engine_asks_for_no_digests(settings: Any, alice: User, statements: Record):
    start(alice)
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    with statements() as cost:
        assert Session.objects.for_user(alice).end(reason="revoked") == 1
    assert len(cost) == 1
