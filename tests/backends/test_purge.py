"""clear_expired(): what it deletes, what it keeps, and in how many statements.

It is a class method, called without any session at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.bulk import purging
from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, sign_in
from tests.conftest import Clock, Statements

Record = Callable[[], AbstractContextManager[Statements]]
Purge = Callable[[], None]


@pytest.fixture(params=["sync", "async"])
def purge(request: pytest.FixtureRequest, db: None) -> Purge:
    if request.param == "sync":
        return SessionStore.clear_expired
    return async_to_sync(SessionStore.aclear_expired)


def start(user: User | None = None, seconds: int = 3600) -> SyncSession:
    session = SyncSession()
    session.set_expiry(seconds)
    session.save()
    if user is not None:
        sign_in(session, user)
    return session


def test_living_sessions_stay(purge: Purge, alice: User, clock: Clock):
    start()
    start(alice)
    clock.advance(seconds=3599)
    purge()
    assert Session.objects.count() == 2


def test_expired_anonymous_sessions_go_at_once(purge: Purge, clock: Clock):
    start()
    clock.advance(hours=1)
    purge()
    assert not Session.objects.exists()


def test_expired_sign_ins_stay_until_their_retention_has_passed(
    purge: Purge, alice: User, clock: Clock
):
    start(alice)
    clock.advance(hours=1, days=29, seconds=86399)
    purge()
    assert Session.objects.count() == 1
    clock.advance(seconds=1)
    purge()
    assert not Session.objects.exists()


def test_ended_sign_ins_stay_from_their_end_until_their_retention_has_passed(
    purge: Purge, alice: User, clock: Clock
):
    session = start(alice, seconds=7 * 86400)
    clock.advance(days=1)
    session.flush()
    clock.advance(days=29, seconds=86399)
    purge()
    assert Session.objects.count() == 1
    clock.advance(seconds=1)
    purge()
    assert not Session.objects.exists()


def test_without_retention_they_go_at_once(purge: Purge, alice: User, clock: Clock, settings: Any):
    settings.SESSIONS_PLUS_RETENTION = timedelta(0)
    start(alice).flush()
    purge()
    assert not Session.objects.exists()


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 10])
def test_a_batch_is_a_border_and_a_deletion(
    purge: Purge, clock: Clock, monkeypatch: pytest.MonkeyPatch, statements: Record, rows: int
):
    monkeypatch.setattr(purging, "BATCH_SIZE", 4)
    for _ in range(rows):
        start()
        clock.advance(seconds=1)
    clock.advance(hours=1)
    with statements() as executed:
        purge()
    assert not Session.objects.exists()
    deletes = [sql for sql in executed.writes if sql.startswith("DELETE")]
    # PostgreSQL is told how long the first look at each kind may take, and then that it need not mind any more.
    reads = [sql for sql in executed.reads if "statement_timeout" not in sql]
    # The last of each kind takes what is left, which may be nothing.
    batches = -(-rows // 4) or 1
    if connection.vendor == "mysql":
        # Their keys are read in between, and what has none is not deleted.
        assert len(deletes) == -(-rows // 4)
        assert len(reads) <= 2 * (batches + 2) + 1
    else:
        assert len(deletes) <= batches + 2
        # And one look for sign-ins that have expired.
        assert len(reads) <= batches + 3
