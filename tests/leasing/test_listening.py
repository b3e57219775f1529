"""The thread that listens, with PostgreSQL: from an end in the database to a refusal here, and what ends the lease."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from django_sessions_plus import sessions
from django_sessions_plus.backends.leasing import listening, triggers
from django_sessions_plus.backends.leasing.listening import Listener, memory_of
from django_sessions_plus.backends.leasing.memory import Memory, now
from django_sessions_plus.models import Session
from tests.leasing.conftest import ENGINE, PATIENCE, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL announces what has ended"
)


@pytest.fixture
def leases(ada: User) -> Iterator[Memory]:
    """The engine, with a thread that listens, and triggers. The lease is long, so that a busy machine loses none."""
    with override_settings(SESSION_ENGINE=ENGINE, SESSIONS_PLUS_LEASE=timedelta(minutes=5)):
        triggers.install(Session, "default")
        try:
            yield started()
        finally:
            listening.stop_all()
            triggers.remove(Session, "default")


def started() -> Memory:
    # Each time, because a short lease may be over before it is looked at, and then nobody has asked since.
    until(lambda: memory_of(Session).valid_until > now())
    return memory_of(Session)


def listener() -> Listener:
    (found,) = listening.listeners()
    return found


def send_an_echo() -> None:
    """Have the listener send one now, and not only after a quarter of the long lease."""
    listener()._is_asleep = True
    listener().wake()


def heard_so_far(memory: Memory) -> int:
    """Return how many announcements were heard, among them all that were committed before this call."""
    asked_at = now()
    # Its answer comes after them.
    send_an_echo()
    until(lambda: listener().heard_at >= asked_at)
    return memory.figures.heard


def signed_in() -> Client:
    client = Client()
    client.post("/sign-in", {"user": "ada"})
    until(lambda: number_of_queries(client) == 0)
    return client


def who(client: Client) -> str:
    return client.get("/who").content.decode()


def number_of_queries(client: Client) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert who(client) == "ada"
    return len(captured)


def elsewhere(sql: str, *values: Any) -> None:
    """Run a statement over a connection that this package knows nothing of."""
    # Where there is no PostgreSQL, it need not be installed.
    psycopg: Any = pytest.importorskip("psycopg")
    parameters = connections["default"].settings_dict
    with psycopg.connect(
        dbname=parameters["NAME"],
        host=parameters["HOST"] or None,
        port=parameters["PORT"] or None,
        user=parameters["USER"] or None,
        password=parameters["PASSWORD"] or None,
        autocommit=True,
    ) as other:
        other.execute(sql, values)


@on_postgresql
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE django_sessions_plus_session SET ended_at = now()",
        "DELETE FROM django_sessions_plus_session",
        "UPDATE auth_user SET is_active = false",
        "UPDATE auth_user SET password = 'x'",
        "TRUNCATE django_sessions_plus_session CASCADE",
    ],
    ids=["end", "delete", "deactivate", "password", "truncate"],
)
def test_what_a_statement_elsewhere_ends_is_refused_here(leases, sql):
    client = signed_in()
    elsewhere(sql)
    until(lambda: who(client) == "")


@on_postgresql
def test_a_touch_and_data_elsewhere_leave_the_memory_as_it_is(leases):
    client = signed_in()
    heard = heard_so_far(leases)
    elsewhere("UPDATE django_sessions_plus_session SET last_seen_at = now(), version = version + 1")
    elsewhere("UPDATE auth_user SET first_name = 'Augusta'")
    until(lambda: leases.figures.heard > heard)
    assert leases.figures.heard == heard + 1
    assert client.get("/who").wsgi_request.user.first_name == "Augusta"


@on_postgresql
def test_a_connection_that_is_cut_empties_the_memory_and_is_made_anew(leases):
    client = signed_in()
    connected = leases._connections
    elsewhere(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'sessions-plus-lease' AND datname = current_database()"
    )
    until(lambda: leases._connections >= connected + 2)
    until(lambda: leases.valid_until > now())
    assert len(leases) == 0
    assert listener().error is None
    until(lambda: number_of_queries(client) == 0)


@on_postgresql
def test_without_triggers_there_is_no_lease_and_the_database_is_asked(leases, caplog, monkeypatch):
    client = signed_in()
    monkeypatch.setattr(listening, "REPORTED_AFTER", 0.0)
    caplog.set_level(logging.WARNING, "django_sessions_plus")
    triggers.remove(Session, "default")
    send_an_echo()
    until(lambda: listener().error is not None)
    assert "triggers are missing" in str(listener().error)
    assert leases.valid_until == 0.0
    assert [number_of_queries(client) for _ in range(2)] == [1, 1]
    until(lambda: "triggers are missing" in caplog.text)


@on_postgresql
def test_a_trigger_that_is_disabled_ends_the_lease(leases):
    name = triggers.tables_of(Session)[1].triggers["update"]
    elsewhere(f"ALTER TABLE auth_user DISABLE TRIGGER {name}")
    send_an_echo()
    until(lambda: listener().error is not None)
    assert triggers.missing(Session, "default") == ["auth_user"]


@on_postgresql
@pytest.mark.parametrize(
    ("instead", "reason"),
    [("pg_backend_pid() + 1", "a pooler"), ("true, pg_backend_pid()", "a standby")],
)
def test_over_such_a_connection_there_is_no_lease(leases, monkeypatch, instead, reason):
    sql, parameters = triggers.echo(Session, "default")
    before = "pg_backend_pid()" if "+" in instead else "pg_is_in_recovery(), pg_backend_pid()"
    changed = sql.replace(before, instead)
    monkeypatch.setattr(triggers, "echo", lambda model, alias: (changed, parameters))
    listening.stop_all()
    memory = memory_of(Session)
    until(lambda: reason in str(listener().error))
    assert memory.valid_until == 0.0


@on_postgresql
def test_while_nobody_asks_no_echo_is_sent_but_announcements_are_read(leases, monkeypatch):
    with override_settings(SESSIONS_PLUS_LEASE=timedelta(milliseconds=20)):
        memory = started()
        until(lambda: listener()._is_asleep)
        before = listener().heard_at
        time.sleep(0.2)
        assert listener().heard_at == before
        heard = memory.figures.heard
        elsewhere("UPDATE auth_user SET first_name = 'Augusta'")
        until(lambda: memory.figures.heard == heard + 1)
        until(lambda: listener()._is_asleep)
        assert memory.find("nothing") is None
        memory_of(Session)
        until(lambda: memory.valid_until > now())


@on_postgresql
def test_a_process_that_was_forked_begins_anew(leases):
    signed_in()
    parent = listener()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            memory = memory_of(Session)
            is_new = memory is not parent.memory and len(memory) == 0
            is_closed = Path(f"/proc/self/fd/{parent._connection.fileno()}").readlink() == Path(
                os.devnull
            )
            deadline = time.monotonic() + PATIENCE
            while memory.valid_until <= now() and time.monotonic() < deadline:
                time.sleep(0.01)
            os.write(writing, f"{is_new} {is_closed} {memory.valid_until > now()}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"True True True"
    os.close(reading)
    os.close(writing)
    # The connection of the parent goes on.
    heard = heard_so_far(leases)
    elsewhere("UPDATE auth_user SET first_name = 'Augusta'")
    until(lambda: leases.figures.heard == heard + 1)


@on_postgresql
def test_a_child_ends_what_gevent_lets_live_on_of_the_parents_listener(leases):
    inherited = listener()
    child = os.fork()
    if child == 0:
        # The loop of a greenlet returns; it would connect for ever otherwise.
        os._exit(0 if inherited._is_over else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert not inherited._is_over


@on_postgresql
def test_when_it_stops_the_thread_and_its_connection_end(leases):
    thread = next(each for each in threading.enumerate() if each.name == "sessions-plus-lease")
    listening.stop_all()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert leases.valid_until == 0.0
    assert listening.listeners() == []
    assert memory_of(Session) is not leases


@on_postgresql
def test_a_server_that_does_not_answer_is_reported_by_who_asks(leases, caplog, monkeypatch):
    caplog.set_level(logging.WARNING, "django_sessions_plus")
    waits = listener()
    monkeypatch.setattr(waits, "heard_at", now() - 6.0)
    monkeypatch.setattr(waits, "_woken_at", now() - 6.0)
    monkeypatch.setattr(waits, "_is_asleep", False)
    leases.extend(0.0)
    for _ in range(2):
        memory_of(Session)
    assert caplog.text.count("does not answer") == 1


@on_postgresql
def test_all_threads_of_a_process_share_one_listener(leases):
    found: list[Memory] = []
    listening.stop_all()
    threads = [threading.Thread(target=lambda: found.append(memory_of(Session))) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({id(memory) for memory in found}) == 1
    assert len(listening.listeners()) == 1


@pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL announces")
def test_another_database_is_asked_every_time(ada):
    with override_settings(SESSION_ENGINE=ENGINE):
        client = Client()
        client.post("/sign-in", {"user": "ada"})
        assert [number_of_queries(client) for _ in range(3)] == [1, 1, 1]
        assert "is not PostgreSQL" in str(listener().error)
        assert not [t for t in threading.enumerate() if t.name == "sessions-plus-lease"]
        assert sessions.revoke_all(ada) == 1
        assert who(client) == ""
    listening.stop_all()
