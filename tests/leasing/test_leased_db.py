"""The engine: what it answers without a query, and what it has to ask the database for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import AsyncClient, Client, override_settings
from django.utils import timezone

from django_sessions_plus import middleware, sessions
from django_sessions_plus.backends import importing, leased_db, session, user_check
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.models import Session
from tests.leasing.conftest import queries, who

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]

DAY = timedelta(days=1)


@pytest.fixture
def browser(clock: Any, memory: Memory, ada: User) -> Client:
    """A browser that is signed in, and whose session the memory knows."""
    client = Client(headers={"user-agent": "curl/8.6.0"})
    client.post("/sign-in", {"user": "ada"})
    assert who(client) == "ada"
    return client


def test_the_second_request_takes_no_query(browser, memory):
    assert queries(lambda: who(browser)) == ("ada", 0)
    assert memory.figures.hits >= 1


def test_under_asgi_too_and_without_a_thread(browser, memory, monkeypatch):
    client = AsyncClient()
    client.cookies = browser.cookies

    async def ask() -> str:
        return str((await client.get("/awho")).content.decode())

    assert async_to_sync(ask)() == "ada"

    async def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(args)

    for module in (leased_db, middleware, session):
        monkeypatch.setattr(module, "in_thread", refuse)
    assert queries(async_to_sync(ask)) == ("ada", 0)


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="Django closes no connection to a database in memory"
)
def test_async_code_may_read_the_data_without_awaiting_once_the_user_is_known(browser, memory):
    browser.get("/count")
    assert who(browser) == "ada"

    async def read() -> Any:
        store: Any = new_store(browser.cookies["sessionid"].value)
        assert await store.aidentify()
        assert store.identity is not None
        store["n"] += 1
        await store.asave()
        return store["n"]

    assert async_to_sync(read)() == 2
    assert browser.get("/count").content == b"3"


def test_a_row_that_is_not_in_the_database_is_not_kept(memory, browser, monkeypatch):
    imported = Session.objects.get()
    memory.hear("*")
    monkeypatch.setattr(Rows, "find", lambda self, digest, with_user=False: None)
    monkeypatch.setattr(importing, "import_row", lambda store: imported)
    assert new_store(browser.cookies["sessionid"].value).load()
    assert len(memory) == 0


def test_each_request_has_a_user_and_a_row_of_its_own(browser, memory):
    first, second = (browser.get("/who").wsgi_request for _ in range(2))
    assert first.user == second.user
    assert first.user is not second.user
    assert first.user._wrapped is not second.user._wrapped
    assert first.session.row is not second.session.row
    first.user._wrapped.username = "changed"
    assert who(browser) == "ada"


def test_the_auth_hash_is_compared_once_and_again_when_the_data_may_have_another(
    browser, memory, monkeypatch
):
    compared: list[Any] = []
    real: Any = user_check._verify_session

    def verify(store: Any, auth_hash: Any, user: Any) -> Any:
        compared.append(auth_hash)
        return real(store, auth_hash, user)

    monkeypatch.setattr(user_check, "_verify_session", verify)
    assert who(browser) == "ada"
    assert compared == []

    store: Any = new_store(browser.cookies["sessionid"].value)
    store.wants_user = True
    assert user_check.user_of(store).get_username() == "ada"
    assert compared == []
    store[HASH_SESSION_KEY] = "that of another password"
    assert not user_check.user_of(store).is_authenticated
    assert "that of another password" in compared


def test_after_an_announcement_one_query_finds_the_row(browser, memory):
    memory.hear(f"s {Session.objects.get().pk}")
    assert queries(lambda: who(browser)) == ("ada", 1)
    assert queries(lambda: who(browser)) == ("ada", 0)


@pytest.mark.parametrize("end", ["revoke", "sql", "delete", "user"])
def test_what_has_ended_is_refused_as_soon_as_it_is_heard(browser, memory, ada, end):
    row = Session.objects.get()
    if end == "revoke":
        sessions.revoke_all(ada)
    elif end == "sql":
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {Session._meta.db_table} SET ended_at = %s", [timezone.now()])
    elif end == "delete":
        Session.objects.all().delete()
    else:
        User.objects.filter(pk=ada.pk).update(is_active=False)
    memory.hear(f"u {ada.pk}" if end == "user" else f"s {row.pk}")
    assert who(browser) == ""


def test_an_end_by_this_process_needs_no_announcement(browser, memory):
    other = Client()
    other.cookies = browser.cookies
    other.post("/sign-out")
    assert who(browser) == ""


@pytest.mark.parametrize("what", ["password", "name"])
def test_what_changes_of_the_user_is_seen_once_it_is_heard(browser, memory, ada, what):
    if what == "password":
        ada.set_password("new")
        ada.save()
    else:
        User.objects.update(username="lovelace")
    memory.hear(f"u {ada.pk}")
    assert who(browser) == ("" if what == "password" else "lovelace")


def test_the_data_is_read_from_the_database_and_written_there(browser, memory):
    assert browser.get("/count").content == b"1"
    assert who(browser) == "ada"
    other = Client()
    other.cookies = browser.cookies
    assert [browser.get("/count").content for _ in range(2)] == [b"2", b"3"]
    assert other.get("/count").content == b"4"
    answer, number = queries(lambda: browser.get("/count").content)
    assert (answer, number) == (b"5", 2)
    # A save of data leaves the rest in memory.
    assert queries(lambda: who(browser)) == ("ada", 0)


def test_data_that_another_process_has_written_is_read_at_once(browser, memory):
    store = new_store(browser.cookies["sessionid"].value)
    store["n"] = 41
    # Another process: nothing is announced of data.
    store.rows.memory = Memory(size=1, max_age=1.0)
    store.save()
    assert browser.get("/count").content == b"42"


def test_a_request_becomes_anonymous_when_the_data_shows_that_the_session_has_ended(
    browser, memory
):
    response = browser.get("/who")
    session, request = response.wsgi_request.session, response.wsgi_request
    Session.objects.update(ended_at=timezone.now())
    fresh = new_store(browser.cookies["sessionid"].value)
    assert fresh.identify()
    assert dict(fresh.items()) == {}
    assert fresh.row is None
    assert session.get("anything") is None
    assert not request.user.is_authenticated


def test_no_expired_session_is_served(clock, browser, memory):
    clock.advance(days=15)
    assert who(browser) == ""


def test_one_whose_expiry_another_process_has_moved_is_served(clock, browser, memory):
    clock.advance(days=13)
    Session.objects.update(expires_at=clock.now() + 14 * DAY)
    clock.advance(days=2)
    assert who(browser) == "ada"


def test_a_touch_is_written_although_the_row_is_from_memory(clock, browser, memory):
    seen = Session.objects.get().last_seen_at
    clock.advance(minutes=10)
    assert queries(lambda: who(browser)) == ("ada", 1)
    assert Session.objects.get().last_seen_at == seen + timedelta(minutes=10)
    # The snapshot had the earlier time.
    assert queries(lambda: who(browser)) == ("ada", 1)
    assert queries(lambda: who(browser)) == ("ada", 0)


def test_a_touch_that_another_process_has_made_is_not_repeated_for_long(clock, browser, memory):
    clock.advance(minutes=10)
    Session.objects.update(last_seen_at=clock.now())
    assert queries(lambda: who(browser)) == ("ada", 1)
    assert queries(lambda: who(browser)) == ("ada", 1)
    assert queries(lambda: who(browser)) == ("ada", 0)


def test_in_a_transaction_the_database_is_asked(browser, memory, ada):
    with transaction.atomic():
        User.objects.update(username="lovelace")
        assert who(browser) == "lovelace"
    memory.hear(f"u {ada.pk}")
    with transaction.atomic():
        Session.objects.update(ended_at=timezone.now())
        other = Client()
        other.cookies["sessionid"] = browser.cookies["sessionid"].value
        assert who(other) == ""
        transaction.set_rollback(True)
    assert queries(lambda: who(browser)) == ("lovelace", 1)


def test_anonymous_sessions_are_served_too(memory, db):
    client = Client()
    client.get("/count")
    client.get("/count")
    assert who(client) == ""
    assert queries(lambda: who(client)) == ("", 0)
    assert client.get("/count").content == b"3"


@pytest.mark.parametrize("policy", ["end", "reauthenticate"])
def test_the_policy_for_another_network_holds_for_rows_from_memory(browser, memory, policy):
    with override_settings(SESSIONS_PLUS_CONTEXT_POLICY=policy):
        assert who(browser) == "ada"
        response = browser.get("/sensitive", headers={"user-agent": "Mozilla/5.0 (X11) Firefox"})
        assert response.status_code == 302
        assert who(browser) == ("" if policy == "end" else "ada")


def test_a_lapsed_lease_means_the_database(browser, memory):
    memory.extend(0.0)
    assert queries(lambda: who(browser)) == ("ada", 1)
    assert queries(lambda: who(browser)) == ("ada", 1)
    Session.objects.update(ended_at=timezone.now())
    assert who(browser) == ""


@pytest.mark.parametrize(
    "junk", ["", "short", "x" * 500, "../../etc", "ÄÖÜ", "a" * 31 + " "], ids=range(6)
)
def test_junk_costs_no_query(memory, db, junk):
    client = Client()
    client.cookies["sessionid"] = junk
    assert queries(lambda: who(client)) == ("", 0)


def test_a_new_secret_key_is_noticed(browser, memory, settings):
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    memory.hear("*")
    assert who(browser) == "ada"
    assert who(browser) == "ada"
    settings.SECRET_KEY_FALLBACKS = []
    assert who(browser) == "ada"
