"""The channel "process": what this process ends, it refuses at once; and how many statements a request takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import Client, override_settings
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.leasing import listening, process_channel
from django_sessions_plus.backends.leasing import users as signals_of_users
from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient
from tests.leasing.conftest import ENGINE, queries, queries_of_async, who

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]

PROCESS = {"SESSION_ENGINE": ENGINE, "SESSIONS_PLUS_LEASE_CHANNEL": "process"}


class FailError(Exception):
    """What a test raises to have a transaction rolled back."""


@pytest.fixture(params=["signals", "query"])
def users(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def process(ada: User) -> Iterator[Memory]:
    """The engine, with users in memory too."""
    with override_settings(**PROCESS, SESSIONS_PLUS_LEASE_USERS="signals"):
        yield listening.memory_of(Session)
    listening.stop_all()


@pytest.fixture
def browser(process: Memory) -> Client:
    return signed_in()


def signed_in() -> Client:
    client = Client()
    client.post("/sign-in", {"user": "ada"})
    for _ in range(2):
        assert who(client) == "ada"
    return client


@pytest.fixture
def as_read(browser: Client, process: Memory) -> Any:
    """The snapshot of the row as it was before the change, which a slow or early request has read."""
    (snapshot,) = process._snapshots.values()
    return snapshot


# Statements


def test_the_second_request_by_cookie(ada: User, users: str):
    with override_settings(**PROCESS, SESSIONS_PLUS_LEASE_USERS=users):
        client = signed_in()
        assert queries(lambda: who(client)) == ("ada", 0 if users == "signals" else 1)
        assert queries_of_async(client) == ("ada", 0 if users == "signals" else 1)


@pytest.mark.urls("tests.api.urls")
@pytest.mark.parametrize("transport", ["bearer", "jwt"])
def test_the_second_request_by_a_token_in_a_header(ada: User, users: str, transport: str):
    with override_settings(**PROCESS, SESSIONS_PLUS_LEASE_USERS=users):
        app = ApiClient()
        assert app.take(app.sign_in(transport=transport)).status_code == 200

        def ask() -> int:
            return int(app.send("get", "/mine").status_code)

        assert ask() == ask() == 200
        assert queries(ask) == (200, 0 if users == "signals" else 1)
        sessions.revoke_all(ada)
        assert ask() == 401


def test_no_thread_is_begun(process: Memory):
    assert "sessions-plus-lease" not in [each.name for each in threading.enumerate()]
    assert process.valid_until == float("inf")


# Each way to end a session, or to change a user


ENDS: dict[str, Callable[[User], Any]] = {
    "revoke_all": sessions.revoke_all,
    "revoke": lambda ada: sessions.revoke(Session.objects.get()),
    "revoke_everyone": lambda ada: sessions.revoke_everyone(),
    "queryset": lambda ada: Session.objects.update(ended_at=timezone.now()),
    "end": lambda ada: Session.objects.all().end(reason="revoked"),
    "delete": lambda ada: Session.objects.all().delete(),
    "row": lambda ada: Session.objects.get().delete(),
    "saved row": lambda ada: _save(Session.objects.get(), ended_at=timezone.now()),
    "inactive": lambda ada: _save(ada, is_active=False),
    "password": lambda ada: _save(ada, password="x"),
    "deleted user": lambda ada: ada.delete(),
}


def _save(instance: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save()


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_what_this_process_ends_is_refused_at_once(browser: Client, ada: User, end: Any):
    assert queries(lambda: who(browser)) == ("ada", 0)
    end(ada)
    assert who(browser) == ""


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_what_was_read_before_the_commit_is_not_kept_after_it(
    browser: Client, process: Memory, as_read: Any, ada: User, end: Any
):
    began_before = process.begin()

    def read() -> tuple[bool, int]:
        ticket = process.begin()
        assert ticket is not None
        return process.keep(as_read, ticket), len(process)

    with transaction.atomic():
        end(ada)
        assert read() == (False, 0)
    assert began_before is not None
    assert not process.keep(as_read, began_before)
    assert who(browser) == ""


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_nothing_of_it_is_kept_from_the_moment_that_others_can_see_it(
    browser: Client, process: Memory, as_read: Any, ada: User, monkeypatch: Any, end: Any
):
    answers: list[bool] = []
    commit = connection.commit

    def read() -> None:
        ticket = process.begin()
        assert ticket is not None
        answers.append(process.keep(as_read, ticket) or len(process) > 0)

    def read_around_commit() -> None:
        read()
        commit()
        read()

    def read_after_autocommit(execute: Any, sql: str, *args: Any) -> Any:
        result = execute(sql, *args)
        if sql.startswith(("UPDATE", "DELETE")) and not connection.in_atomic_block:
            read()
        return result

    monkeypatch.setattr(connection, "commit", read_around_commit)
    with connection.execute_wrapper(read_after_autocommit):
        end(ada)
    assert answers
    assert not any(answers)
    assert who(browser) == ""


def test_a_callback_of_others_that_is_slow_or_fails_keeps_nothing_ended_in_memory(
    browser: Client, process: Memory, as_read: Any, ada: User
):
    kept = []

    def read() -> None:
        ticket = process.begin()
        assert ticket is not None
        kept.append(process.keep(as_read, ticket))
        raise FailError

    early = process.begin()
    with pytest.raises(FailError), transaction.atomic():  # noqa: PT012 - the commit raises
        transaction.on_commit(read)
        sessions.revoke_all(ada)
    assert early is not None
    assert not process.keep(as_read, early)
    process.hear("*")
    assert who(browser) == ""


@pytest.mark.parametrize("nested", [False, True])
def test_after_a_rollback_the_session_is_served_from_memory_again(
    browser: Client, ada: User, nested: bool
):
    def fail() -> None:
        with transaction.atomic():
            sessions.revoke_all(ada)
            ada.is_active = False
            ada.save()
            raise FailError

    if nested:
        with transaction.atomic(), pytest.raises(FailError):
            fail()
    else:
        with pytest.raises(FailError):
            fail()
    assert who(browser) == "ada"
    assert who(browser) == "ada"
    assert queries(lambda: who(browser)) == ("ada", 0)


def test_an_inner_rollback_leaves_what_the_outer_transaction_holds(
    browser: Client, process: Memory, as_read: Any, ada: User
):
    with transaction.atomic():
        sessions.revoke_all(ada)
        with pytest.raises(FailError), transaction.atomic():  # noqa: PT012 - both are rolled back
            Session.objects.update(end_reason="again")
            raise FailError
        ticket = process.begin()
        assert ticket is not None
        assert not process.keep(as_read, ticket)
    assert who(browser) == ""


def test_a_statement_that_fails_holds_nothing(browser: Client, process: Memory, monkeypatch: Any):
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise DatabaseError

    store: Any = new_store(browser.cookies["sessionid"].value)
    store.load()
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "update", fail)
        with pytest.raises(DatabaseError):
            store.rows.update(store.row, {"expires_at": timezone.now()})
    assert not process._holds
    assert who(browser) == who(browser) == "ada"
    assert queries(lambda: who(browser)) == ("ada", 0)


def test_in_a_transaction_of_raw_sql_nothing_is_kept_until_its_end_is_certain(
    browser: Client, process: Memory, as_read: Any, ada: User
):
    if connection.vendor == "mysql":
        pytest.skip("its driver does not know")
    store: Any = new_store(browser.cookies["sessionid"].value)
    store.load()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        store.rows.end(store.row, "revoked")
        cursor.execute("COMMIT")
    ticket = process.begin()
    assert ticket is not None
    assert not process.keep(as_read, ticket)
    assert who(browser) == ""


def test_more_sessions_than_are_named_concern_all(browser: Client, process: Memory, ada: User):
    from django_sessions_plus.backends.leasing import announcing  # noqa: PLC0415

    bob = User.objects.create_user("bob")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(announcing, "MOST_NAMED", 1)
        for _ in range(3):
            sessions.start(bob)
        assert len(process) == 1
        Session.objects.filter(user=bob).delete()
    assert len(process) == 0
    assert who(browser) == "ada"


def test_a_sign_in_elsewhere_costs_one_lookup(browser: Client, ada: User):
    Client().post("/sign-in", {"user": "ada"})
    # It has set last_login.
    assert queries(lambda: who(browser)) == ("ada", 1)
    assert queries(lambda: who(browser)) == ("ada", 0)


# Users


def test_without_signals_a_user_changed_by_any_means_is_read(ada: User):
    with override_settings(**PROCESS):
        client = signed_in()
        User.objects.update(username="lovelace")
        assert who(client) == "lovelace"
        User.objects.update(is_active=False)
        assert who(client) == ""
        User.objects.update(is_active=True)
        assert who(client) == "lovelace"
        User.objects.all()._raw_delete("default")
        assert who(client) == ""


def test_what_signals_miss_is_bounded_by_the_age(browser: Client, process: Memory):
    User.objects.update(username="lovelace")
    assert who(browser) == "ada"
    process.max_age = 0.0
    assert who(browser) == "lovelace"


def test_a_key_that_is_written_in_another_way_is_the_same_user(browser: Client, ada: User):
    User(pk=f"0{ada.pk}", username="lovelace", password=ada.password).save()
    assert who(browser) == "lovelace"


# Where it is not served


def test_a_model_that_is_not_that_of_the_engine_is_not_served():
    from tests.custom.engine import DeviceSession  # noqa: PLC0415

    with override_settings(**PROCESS):
        assert listening.memory_of(DeviceSession).valid_until == 0.0
    listening.stop_all()


@pytest.mark.parametrize("is_hook_called", [True, False])
def test_a_process_that_was_forked_from_one_that_serves_asks_the_database(
    browser: Client, process: Memory, monkeypatch: pytest.MonkeyPatch, is_hook_called: bool
):
    monkeypatch.setattr(process_channel.ProcessChannel, "was_forked", False)
    if is_hook_called:
        listening._close_inherited()
    else:
        # As after a fork in C, of which Python knows nothing.
        process.pid = -1
    assert listening.memory_of(Session).valid_until == 0.0
    (listener,) = listening.listeners()
    assert "forked" in str(listener.error)


def test_the_age_is_a_bound_for_raw_sql(browser: Client, process: Memory):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {Session._meta.db_table} SET ended_at = %s", [timezone.now()])
    assert who(browser) == "ada"
    process.max_age = timedelta(0).total_seconds()
    assert who(browser) == ""


@pytest.mark.parametrize("channel", ["database", "process"])
def test_a_user_model_that_there_is_not_stops_nothing(channel):
    # As Django's own tests do, which expect its own errors.
    with override_settings(SESSIONS_PLUS_LEASE_USERS="signals"):
        with override_settings(
            AUTH_USER_MODEL="nothing.Nobody", SESSIONS_PLUS_LEASE_CHANNEL=channel
        ):
            assert signals_of_users._connected == []
        with override_settings(SESSIONS_PLUS_LEASE_CHANNEL=channel):
            assert bool(signals_of_users._connected) is (channel == "process")
