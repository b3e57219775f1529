"""SESSIONS_PLUS_LEASE_DATA: the session's data from memory, and nothing lost by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import AsyncClient, Client, override_settings
from django.utils import timezone

from django_sessions_plus.backends import leased_db
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.leasing import snapshots, triggers
from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.models import Session
from tests.leasing.conftest import queries, who

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


@pytest.fixture
def _with_data(memory: Memory) -> Iterator[None]:
    with override_settings(SESSIONS_PLUS_LEASE_DATA=True):
        yield


@pytest.fixture
def browser(_with_data: None, memory: Memory, ada: User) -> Client:
    """A browser that is signed in and has a session with data, which the memory knows."""
    client = Client()
    client.post("/sign-in", {"user": "ada"})
    client.get("/count")
    assert data_of(client)["n"] == 1
    return client


def store_of(client: Client) -> Any:
    """Return a store as a request has it."""
    store: Any = new_store(client.cookies["sessionid"].value)
    store.wants_user = True
    return store


def store_by_id(session_id: Any) -> Any:
    store: Any = new_store(None)
    store.wants_user = True
    assert store.open_by_id(session_id)
    return store


def data_of(client: Client) -> dict[str, Any]:
    return dict(store_of(client).items())


def written_elsewhere(client: Client, **values: Any) -> None:
    """Have another process write, whose announcement has not yet been heard here."""
    store = store_of(client)
    store.rows.memory = Memory(size=1, max_age=1.0)
    store.update(values)
    store.save()


def test_data_takes_no_query(browser, memory):
    data, number = queries(lambda: data_of(browser))
    assert (data["n"], number) == (1, 0)
    assert queries(lambda: who(browser)) == ("ada", 0)


def test_nor_does_it_in_async_code_nor_a_thread(browser, memory, monkeypatch):
    client = AsyncClient()
    client.cookies = browser.cookies

    async def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(args)

    monkeypatch.setattr(leased_db, "in_thread", refuse)
    monkeypatch.setattr(leased_db, "beside_event_loop", lambda load: pytest.fail("a thread"))

    async def read() -> tuple[Any, Any]:
        store = store_of(browser)
        return await store.aget("n"), store_of(browser).get("n")

    assert queries(async_to_sync(read)) == ((1, 1), 0)

    async def identified() -> tuple[Any, Any]:
        stores = [store_of(browser) for _ in range(2)]
        for store in stores:
            assert await store.aidentify()
        return await stores[0].aget("n"), stores[1].get("n")

    assert queries(async_to_sync(identified)) == ((1, 1), 0)


def test_a_write_is_one_statement_and_is_read_at_once_in_this_process(browser, memory):
    assert queries(lambda: browser.get("/count").content) == (b"2", 1)
    assert queries(lambda: browser.get("/count").content) == (b"3", 2)
    other = Client()
    other.cookies = browser.cookies
    assert other.get("/count").content == b"4"


def test_what_one_request_changes_in_place_no_other_sees(browser, memory):
    store = store_of(browser)
    store["basket"] = {"lines": [1]}
    store.save()
    assert data_of(browser)["basket"] == {"lines": [1]}
    data_of(browser)["basket"]["lines"].append(2)
    assert queries(lambda: data_of(browser)["basket"]) == ({"lines": [1]}, 0)


def test_outdated_data_is_served_until_it_is_heard_and_overwrites_nothing(browser, memory):
    written_elsewhere(browser, colour="red")
    stale = store_of(browser)
    assert "colour" not in stale
    stale["size"] = "xl"
    stale.save()
    with override_settings(SESSIONS_PLUS_LEASE_DATA=False):
        data = data_of(browser)
    assert (data["colour"], data["size"], data["n"]) == ("red", "xl", 1)
    assert data_of(browser)["colour"] == "red"


def test_a_write_by_a_session_that_has_ended_elsewhere_is_refused(browser, memory):
    store = store_of(browser)
    assert store["n"] == 1
    Session.objects.update(ended_at=timezone.now())
    store["n"] = 2
    with pytest.raises(StaleSessionError):
        store.save()
    assert data_of(browser) == {}


def test_everything_can_be_cleared(browser, memory):
    store = store_of(browser)
    store["n"] = 9
    store.clear()
    store.save()
    assert data_of(browser) == {}


def test_a_rotation_keeps_the_data(browser, memory):
    store = store_of(browser)
    assert store["n"] == 1
    store.cycle_key()
    store.save()
    assert data_of(browser) == {}
    assert dict(new_store(store.session_key).items())["n"] == 1


def test_in_a_transaction_the_data_is_read_from_the_database(browser, memory):
    written_elsewhere(browser, colour="red")
    with transaction.atomic():
        assert data_of(browser)["colour"] == "red"
        row = Session.objects.get()
        Session.objects.update(ended_at=timezone.now())
        assert data_of(browser) == {}
        transaction.set_rollback(True)
    memory.hear(f"s {row.pk}")
    assert data_of(browser)["colour"] == "red"


def test_long_data_is_left_in_the_database(browser, memory, monkeypatch):
    monkeypatch.setattr(snapshots, "LONGEST_DATA", 10)
    memory.hear("*")
    assert data_of(browser)["n"] == 1
    data, number = queries(lambda: data_of(browser))
    assert (data["n"], number) == (1, 1)
    assert queries(lambda: who(browser)) == ("ada", 0)


@pytest.mark.parametrize("policy", ["end", "reauthenticate"])
def test_the_policy_for_another_network_holds(browser, memory, policy):
    with override_settings(SESSIONS_PLUS_CONTEXT_POLICY=policy):
        Session.objects.update(user_agent="curl/8.6.0")
        memory.hear("*")
        here = {"HTTP_USER_AGENT": "curl/8.6.0"}
        assert who_by(browser, here) == "ada"
        there = {"HTTP_USER_AGENT": "Mozilla/5.0 (X11) Firefox"}
        response = browser.get("/count", **there)
        assert response.content == (b"1" if policy == "end" else b"2")
        assert who_by(browser, here) == ("" if policy == "end" else "ada")


def who_by(client: Client, headers: dict[str, str]) -> str:
    return client.get("/who", **headers).content.decode()  # type: ignore[arg-type]


def test_by_an_access_token_too(browser, memory):
    row = Session.objects.get()
    memory.hear("*")
    assert store_by_id(row.pk)["n"] == 1
    assert queries(lambda: store_by_id(row.pk)["n"]) == (1, 0)


@pytest.mark.parametrize("channel", ["process", "database"])
def test_without_triggers_a_write_of_data_is_announced(browser, memory, channel):
    with override_settings(SESSIONS_PLUS_LEASE_CHANNEL=channel):
        store = store_of(browser)
        store["n"] = 5
        other = Memory(size=9, max_age=60.0)
        before = other.figures.heard
        store.rows.memory = other
        store.save()
        assert (other.figures.heard - before > 1) is (channel == "process")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has triggers")
@pytest.mark.usefixtures("_with_data")
def test_triggers_made_without_it_are_outdated():
    with override_settings(SESSIONS_PLUS_LEASE_DATA=False):
        triggers.install(Session, "default")
    try:
        assert triggers.states(Session, "default")[Session._meta.db_table] == "outdated"
        triggers.install(Session, "default")
        assert triggers.missing(Session, "default") == []
        with override_settings(SESSIONS_PLUS_LEASE_DATA=False):
            assert triggers.missing(Session, "default") == [Session._meta.db_table]
    finally:
        triggers.remove(Session, "default")
