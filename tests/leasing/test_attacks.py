"""What an attacker, or an unusual view, might try with a session that is served from memory."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone

from django_sessions_plus.backends import leased_db
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.backends.leasing.listening import Listener
from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.backends.leasing.snapshots import snapshot_of
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.models import Session

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL announces what has ended"
)


@pytest.fixture
def browser(memory: Memory, ada: User) -> Client:
    """A browser that is signed in and has counted to 1, and whose session the memory knows."""
    client = Client()
    client.post("/sign-in", {"user": "ada"})
    client.get("/count")
    assert who(client) == who(client) == "ada"
    return client


def who(client: Client) -> str:
    return client.get("/who").content.decode()


def served(browser: Client) -> Any:
    """Return the store of a request that has asked for the user, who came from memory."""
    store: Any = new_store(browser.cookies["sessionid"].value)
    store.wants_user = True
    assert store.identify()[SESSION_KEY]
    assert store.identity is not None
    return store


def served_by_id(browser: Client) -> Any:
    """Return the same for an access token, whose session is opened by its id."""
    store: Any = leased_db.SessionStore()
    store.wants_user = True
    assert store.open_by_id(Session.objects.get().pk)
    assert store.identity is not None
    return store


# The data of a session that came from memory


@pytest.mark.parametrize("open_store", [served, served_by_id])
def test_a_session_that_is_cleared_is_empty(browser, open_store):
    store = open_store(browser)
    store.clear()
    assert dict(store.items()) == {}
    store.save()
    assert Session.objects.get().user_id is None
    assert Session.objects.get().get_decoded() == {}
    assert who(browser) == ""


@pytest.mark.parametrize("open_store", [served, served_by_id])
def test_a_read_that_fails_does_not_empty_the_session(browser, open_store, monkeypatch):
    store = open_store(browser)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError

    with monkeypatch.context() as patch:
        for name in ("find", "find_by_id"):
            patch.setattr(Rows, name, fail)
        with pytest.raises(DatabaseError):
            store.get("n")
    assert store.get("n") == 1
    store["more"] = True
    store.save()
    assert Session.objects.get().get_decoded()["n"] == 1
    assert who(browser) == "ada"


@pytest.mark.parametrize("open_store", [served, served_by_id])
def test_coroutines_of_one_request_see_the_same_data(browser, open_store):
    store = open_store(browser)

    async def read() -> list[Any]:
        async def soon() -> Any:
            # When the thread of the other has begun, but not come back.
            while store.identity is not None and "_session_cache" not in vars(store):  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0)
            return await store.aget("n")

        return list(await asyncio.gather(store.aget("n"), soon(), store.aget("n")))

    assert async_to_sync(read)() == [1, 1, 1]


def test_who_is_asked_for_while_the_data_is_read_changes_nothing(browser, monkeypatch):
    store: Any = new_store(browser.cookies["sessionid"].value)
    find = Rows.find

    def find_and_ask(*args: Any, **kwargs: Any) -> Any:
        found = find(*args, **kwargs)
        # Another coroutine of the request, while this thread waits for the database.
        assert not store._open_leased()
        return found

    monkeypatch.setattr(Rows, "find", find_and_ask)
    store["n"] = 2
    assert store.identity is None
    assert store["n"] == 2
    store.save()
    assert Session.objects.get().get_decoded()["n"] == 2


@pytest.mark.parametrize("open_store", [served, served_by_id])
def test_what_is_written_to_a_session_that_has_ended_meanwhile_is_refused(browser, open_store):
    store = open_store(browser)
    Session.objects.update(ended_at=timezone.now())
    # Of the user whom the view has just been told.
    store["private"] = "of ada"
    with pytest.raises(StaleSessionError):
        store.save()
    with pytest.raises(StaleSessionError):
        async_to_sync(store.asave)()
    assert Session.objects.count() == 1


def test_somebody_may_sign_in_where_a_session_has_ended_meanwhile(browser):
    Session.objects.update(ended_at=timezone.now())
    assert browser.post("/sign-in", {"user": "ada"}).status_code == 200
    assert Session.objects.count() == 2
    assert who(browser) == "ada"


def test_a_session_that_has_another_user_now_is_not_given_to_the_request(browser):
    store = served(browser)
    bob = User.objects.create_user("bob")
    Session.objects.update(user=bob)
    assert dict(store.items()) == {}
    store["private"] = "of ada"
    with pytest.raises(StaleSessionError):
        store.save()
    assert "private" not in Session.objects.get().get_decoded()


def test_create_takes_the_data_along(browser):
    store = served(browser)
    store.create()
    assert store["n"] == 1
    assert store.row.user_id == Session.objects.earliest("created_at").user_id


def test_a_sign_in_that_another_package_reports_is_saved(browser, ada, rf):
    store = served(browser)
    request = rf.get("/")
    request.session = store
    user_logged_in.send(User, request=request, user=ada)
    assert store["n"] == 1
    store.save()
    assert new_store(store.session_key).get("n") == 1


# What the memory does not see


def test_an_engine_with_a_rule_of_its_own_is_asked_each_time(browser, monkeypatch):
    class Refusing(leased_db.SessionStore):
        def load(self) -> dict[str, Any]:
            super().load()
            self.forget()
            return {}

    store = Refusing(browser.cookies["sessionid"].value)
    store.wants_user = True
    assert store.identify() == {}
    assert store.row is None


def test_what_one_request_does_to_who_is_signed_in_stays_in_it(browser):
    identity: Any = served(browser).identify()
    with pytest.raises(TypeError):
        identity[SESSION_KEY] = "1000"


def test_no_repr_of_what_is_kept_shows_secrets(browser, memory, ada):
    ada.refresh_from_db()
    (snapshot,) = memory._snapshots.values()
    text = repr(snapshot)
    for secret in (ada.password, snapshot.identity[HASH_SESSION_KEY], snapshot.digest):
        assert secret
        assert secret not in text


def test_a_save_of_the_user_does_not_bring_back_an_earlier_sign_in(browser, memory, ada):
    user: Any = browser.get("/who").wsgi_request.user
    user.get_username()
    signed_in_at = timezone.now()
    # By another device, of whose sign-in the user's trigger tells.
    User.objects.update(last_login=signed_in_at)
    memory.hear(f"u {ada.pk}")
    user = browser.get("/who").wsgi_request.user
    user.first_name = "Augusta"
    user.save()
    # A link that resets the password would be valid again.
    assert User.objects.get().last_login == signed_in_at


# Announcements


@pytest.mark.parametrize("junk", ["s not-a-uuid", "s ", "s", "", "u", "\0", "s " + "f" * 7990])
def test_what_nobody_understands_concerns_all(browser, memory, junk):
    memory.hear(junk)
    assert len(memory) == 0
    assert who(browser) == "ada"
    assert len(memory) == 1


def test_long_announcements_do_not_fill_the_memory(memory):
    for number in range(200):
        memory.hear(f"u {number:07990}")
    assert sum(map(len, memory._recent)) < 200 * 1000


def test_a_user_with_an_empty_key_is_a_user(memory):
    user = User(pk="", password="x")
    row = Session(user=user, expires_at=timezone.now() + timedelta(days=1))
    row._state.db = connection.alias
    row._state.fields_cache["user"] = user
    data = {"_auth_user_hash": user.get_session_auth_hash()}
    ticket: Any = memory.begin()
    snapshot: Any = snapshot_of(row, data, 1.0)
    assert memory.keep(snapshot, ticket)
    memory.hear("u ")
    assert len(memory) == 0
    assert not memory.keep(snapshot, ticket)


@contextmanager
def listening_to(kind: str, key_type: str, value: str) -> Iterator[tuple[list[str], str]]:
    """Make a table of users with a key of another type, and yield what is heard, and the key that a client reads."""
    heard: list[str] = []
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE odd_user (name {key_type} PRIMARY KEY, is_active boolean)")
        table = triggers.Table('"odd_user"', kind, '"name"', (), "")
        for sql in triggers.install_sql(table):
            cursor.execute(sql)
        cursor.execute("INSERT INTO odd_user VALUES (%s, true) RETURNING name", [value])
        (read,) = cursor.fetchone()
        connection.connection.add_notify_handler(lambda notice: heard.append(notice.payload))
        cursor.execute(f"LISTEN {triggers.CHANNEL}")
        try:
            yield heard, read
        finally:
            cursor.execute(f"UNLISTEN {triggers.CHANNEL}")
            for sql in triggers.remove_sql(table):
                cursor.execute(sql)
            cursor.execute("DROP TABLE odd_user")
    connection.close()


@on_postgresql
def test_a_key_that_is_padded_is_announced_as_clients_read_it():
    with listening_to("u", "char(10)", "ada") as (heard, read), connection.cursor() as cursor:
        cursor.execute("UPDATE odd_user SET is_active = false")
        cursor.execute("SELECT 1")
        assert heard == [f"u {read}"]


@on_postgresql
def test_a_user_cannot_choose_a_key_so_long_that_nobody_can_deactivate_them():
    with listening_to("u", "text", "a" * 9000) as (heard, _), connection.cursor() as cursor:
        cursor.execute("UPDATE odd_user SET is_active = false")
        cursor.execute("SELECT 1")
        assert heard == ["*"]


# Connections


@on_postgresql
def test_in_a_transaction_that_django_does_not_know_the_database_is_asked(browser, memory):
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(f"UPDATE {Session._meta.db_table} SET ended_at = now()")
            assert who(browser) == ""
        finally:
            cursor.execute("ROLLBACK")


@pytest.mark.parametrize("name", ["set_tenant", "_handle_search_path"])
def test_where_each_request_has_a_schema_nothing_is_served(monkeypatch, name):
    # django-tenants, and django-pgschemas.
    monkeypatch.setattr(connection, "vendor", "postgresql")
    monkeypatch.setattr(connection.Database, "AsyncConnection", object, raising=False)
    assert triggers.why_impossible("default") is None
    monkeypatch.setattr(connection, name, None, raising=False)
    assert "schema" in str(triggers.why_impossible("default"))


def test_a_process_with_thousands_of_connections_can_listen(db):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < 2000:
        pytest.skip("this system allows fewer files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    listener = Listener(Session, "default")

    class Connection:
        def fileno(self) -> int:
            return 1500

        def read(self) -> bool:
            return False

    os.dup2(listener._reading_end, 1500)
    try:
        os.write(listener._writing_end, b"w")
        listener._wait(Connection(), is_idle=True)
        assert not listener._is_asleep
    finally:
        os.close(1500)
        os.close(listener._reading_end)
        os.close(listener._writing_end)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@on_postgresql
def test_nobody_else_keeps_the_function_that_all_writers_run():
    function = triggers.tables_of(Session)[0].function
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE sessions_lease_mallory")
        cursor.execute(
            f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
            f" AS 'BEGIN RETURN NULL; END'; ALTER FUNCTION {function}() OWNER TO sessions_lease_mallory"
        )
        try:
            triggers.install(Session, "default")
            cursor.execute(
                "SELECT proowner::regrole::text = CURRENT_USER, prosecdef FROM pg_proc WHERE proname = %s",
                [function],
            )
            assert cursor.fetchall() == [(True, False)]
        finally:
            triggers.remove(Session, "default")
            cursor.execute(
                f"DROP FUNCTION IF EXISTS {function}(); DROP ROLE sessions_lease_mallory"
            )


class Note(str):
    """A text that can be changed in place, as a field of another package may return it."""

    mark = ""


def snapshot_with(value: Any) -> Any:
    user = User(pk=7, password="x", first_name=value)
    row = Session(user=user, expires_at=timezone.now() + timedelta(days=1))
    row._state.db = connection.alias
    row._state.fields_cache["user"] = user
    return snapshot_of(row, {"_auth_user_hash": user.get_session_auth_hash()}, 1.0)


def test_a_value_that_cannot_be_copied_fails_no_request():
    assert snapshot_with("Ada") is not None
    assert snapshot_with(threading.Lock()) is None


def test_no_two_requests_share_a_value_that_can_be_changed():
    snapshot = snapshot_with(Note("Ada"))
    one, two = snapshot.instance().user.first_name, snapshot.instance().user.first_name
    one.mark = "seen by one request"
    assert two.mark == ""
