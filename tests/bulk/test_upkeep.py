"""The purge in passing: after some requests, at nobody's expense."""

from __future__ import annotations

import logging
import sqlite3
import uuid
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.signals import request_finished
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus.bulk import purging, upkeep
from django_sessions_plus.models import Session

DAY = timedelta(days=1)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


def listeners() -> list[Any]:
    return [entry for entry in request_finished.receivers if entry[0][0] == upkeep._UID]


def store(number: int, user: User | None = None, age: timedelta = DAY) -> None:
    now = timezone.now()
    Session.objects.bulk_create(
        Session(token_digest=uuid.uuid4().hex * 2, user=user, expires_at=now - age)
        for _ in range(number)
    )


class Lot:
    """What is drawn for each request."""

    number = 0.0
    kind: purging.Kind = "anonymous"

    def random(self) -> float:
        return self.number

    def choice(self, kinds: Any) -> purging.Kind:
        assert self.kind in kinds
        return self.kind


@pytest.fixture
def lot(monkeypatch: pytest.MonkeyPatch) -> Lot:
    """What is drawn, to be changed."""
    drawn = Lot()
    monkeypatch.setattr(upkeep, "random", drawn)
    return drawn


def finish_request() -> None:
    request_finished.send(sender=None)


def test_off_nothing_listens_and_a_request_costs_nothing():
    store(1)
    assert not listeners()
    Client().get("/who")
    assert Session.objects.exists()


def test_it_listens_as_long_as_it_is_on(settings: Any):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 0.5
    assert len(listeners()) == 1
    settings.SESSIONS_PLUS_PURGE_CHANCE = 0.1
    assert len(listeners()) == 1
    settings.SESSIONS_PLUS_PURGE_CHANCE = 0
    assert not listeners()


def test_a_wrong_setting_is_for_the_check_to_tell(settings: Any):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 5
    assert not listeners()
    upkeep.purge_after_request()


def test_every_request_purges_if_it_is_to(settings: Any):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 1
    store(10)
    for _ in range(50):
        Client().get("/who")
        if not Session.objects.exists():
            return
    pytest.fail("50 requests have deleted nothing")


@pytest.mark.parametrize(
    ("number", "is_drawn"), [(0.0, True), (0.24, True), (0.26, False), (0.99, False)]
)
def test_the_lot_falls_on_the_fraction(settings: Any, lot: Lot, number: float, is_drawn: bool):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 0.25
    store(1)
    lot.number = number
    finish_request()
    assert Session.objects.exists() is not is_drawn


@pytest.mark.parametrize("kind", purging.KINDS)
def test_it_takes_a_handful_of_one_kind(
    settings: Any, lot: Lot, monkeypatch: pytest.MonkeyPatch, kind: purging.Kind
):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 1
    monkeypatch.setattr(purging, "HANDFUL", 3)
    ada = User.objects.create_user("ada")
    store(5, age=40 * DAY)
    store(5, ada, age=40 * DAY)
    store(5, ada)
    lot.kind = kind
    with CaptureQueriesContext(connection) as queries:
        finish_request()
    assert Session.objects.filter(user=None).count() == (2 if kind == "anonymous" else 5)
    assert Session.objects.filter(user=ada).count() == (7 if kind == "signed_in" else 10)
    assert Session.objects.exclude(ended_at=None).count() == (3 if kind == "expired" else 0)
    deletes = [query for query in queries if "DELETE" in query["sql"]]
    assert len(deletes) == (0 if kind == "expired" else 1)


def test_a_request_deletes_only_after_its_response(settings: Any, lot: Lot):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 1
    store(1)
    seen: list[bool] = []

    def look(**said: Any) -> None:
        seen.append(Session.objects.exists())

    # Those that listen longer are told sooner.
    request_finished.disconnect(upkeep.purge_after_request, dispatch_uid=upkeep._UID)
    request_finished.connect(look)
    upkeep.connect()
    try:
        Client().get("/who")
    finally:
        request_finished.disconnect(look)
    assert seen == [True]
    assert not Session.objects.exists()


def test_it_keeps_out_of_a_transaction(settings: Any, lot: Lot):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 1
    store(1)
    with transaction.atomic():
        finish_request()
    assert Session.objects.exists()
    finish_request()
    assert not Session.objects.exists()


def test_a_database_that_fails_is_logged_and_nobodys_error(
    settings: Any, lot: Lot, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 1
    store(1)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(purging, "delete", fail)
    assert Client().get("/who").status_code == 200
    assert Client().get("/who").status_code == 200
    (record,) = caplog.records
    assert (record.levelname, record.event) == ("ERROR", "bookkeeping_failed")
    assert record.error == "OperationalError: gone"


def test_a_busy_sqlite_is_no_failure(
    settings: Any, lot: Lot, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 1
    store(1)
    caplog.set_level(logging.DEBUG, "django_sessions_plus")

    def fail(*args: Any, **kwargs: Any) -> None:
        cause = sqlite3.OperationalError("database is locked")
        cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise OperationalError from cause

    monkeypatch.setattr(purging, "delete", fail)
    finish_request()
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others have locks of rows")
@pytest.mark.parametrize("is_failing", [False, True])
def test_sqlite_is_waited_for_only_shortly_and_as_ever_after(
    monkeypatch: pytest.MonkeyPatch, is_failing: bool
):
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 5000")
    seen: list[int] = []

    def patience() -> int:
        with connection.cursor() as cursor:
            return int(cursor.execute("PRAGMA busy_timeout").fetchone()[0])

    def note(*args: Any, **kwargs: Any) -> tuple[int, float]:
        seen.append(patience())
        if is_failing:
            raise OperationalError
        return 0, 0

    monkeypatch.setattr(purging, "delete", note)
    store(1)
    with suppress(OperationalError):
        upkeep.purge_some(Session.objects.all(), "anonymous")
    assert seen == [upkeep.SQLITE_TIMEOUT]
    assert patience() == 5000


@pytest.mark.parametrize(("was_open", "left"), [(True, "as the settings say"), (False, "closed")])
def test_the_connection_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, was_open: bool, left: str
):
    done: list[str] = []
    stub = SimpleNamespace(
        vendor="none",
        in_atomic_block=False,
        connection=object() if was_open else None,
        close=lambda: done.append("closed"),
        close_if_unusable_or_obsolete=lambda: done.append("as the settings say"),
    )
    monkeypatch.setattr(upkeep, "connections", {"default": stub})
    monkeypatch.setattr(purging, "delete", lambda *args, **kwargs: (0, 0))
    upkeep.purge_some(Session.objects.all(), "anonymous")
    assert done == [left]


def test_a_foreign_engine_is_left_alone(settings: Any, lot: Lot, caplog: Any):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 1
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    store(1)
    finish_request()
    assert Session.objects.exists()
    assert not caplog.records


def test_it_works_from_coroutines(settings: Any, lot: Lot):
    settings.SESSIONS_PLUS_PURGE_CHANCE = 1
    store(1)
    async_to_sync(request_finished.asend)(sender=None)
    assert not Session.objects.exists()
