"""How many sessions one user may have: a sign-in ends those beyond the limit, and no other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from django_sessions_plus import sessions
from django_sessions_plus.bulk import ending, locking
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.signals import session_ended
from tests.accounts.test_receivers import sign_in
from tests.conftest import Clock, Told

MANY = 1200


def store(user: User, number: int, now: datetime) -> list[Session]:
    """Store sessions of ``user``, each seen a second later than the one before, with a lot of data."""
    rows = [
        Session(
            token_digest=f"{at:064x}",
            user=user,
            session_data="x" * 2000,
            last_seen_at=now + timedelta(seconds=at),
            authenticated_at=now,
            expires_at=now + timedelta(days=1),
        )
        for at in range(number)
    ]
    return Session.objects.bulk_create(rows)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 10])
def test_sign_ins_one_after_another_leave_as_many_as_the_limit_lets(
    alice: User,
    limit: int,
    settings: Any,
    clock: Clock,
    django_capture_on_commit_callbacks: Any,
):
    settings.SESSIONS_PLUS_MAX_PER_USER = limit
    started: list[Any] = []
    for number in range(1, 13):
        clock.advance(seconds=1)
        with django_capture_on_commit_callbacks(execute=True):
            client = sign_in(alice)
        started.append(Session.objects.latest("created_at").pk)
        active = list(sessions.list_for(alice).values_list("pk", flat=True))
        assert active == started[::-1][: min(number, limit)]
        assert isinstance(client, Client)
    reasons = Session.objects.ended().values_list("end_reason", flat=True)
    assert list(reasons) == [EndReason.LIMIT] * (12 - limit)


def test_nobody_is_signed_out_below_the_limit(alice: User, clock: Clock, settings: Any):
    settings.SESSIONS_PLUS_MAX_PER_USER = 3
    rows = store(alice, 2, clock.now())
    assert sessions.enforce_limit(alice, keep=rows[-1]) == 0
    assert sessions.list_for(alice).count() == 2


def test_below_the_limit_nothing_is_locked_or_written(
    alice: User, clock: Clock, settings: Any, statements: Any
):
    settings.SESSIONS_PLUS_MAX_PER_USER = 3
    rows = store(alice, 3, clock.now())
    with statements() as executed:
        sessions.enforce_limit(alice, keep=rows[-1])
    assert len(executed) == len(executed.reads) == 1
    assert "FOR UPDATE" not in executed[0]


@pytest.mark.db_engine
def test_the_limit_reads_no_data_and_costs_a_constant_number_of_statements_per_batch(
    alice: User, clock: Clock, settings: Any, statements: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.SESSIONS_PLUS_MAX_PER_USER = 3
    monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 100)
    monkeypatch.setattr(locking, "KEYS_PER_STATEMENT", 100)
    costs = []
    for number in (203, 403, 603):
        Session.objects.all().delete()
        rows = store(alice, number, clock.now())
        with statements() as executed:
            assert sessions.enforce_limit(alice, keep=rows[0]) == number - 3
        assert not any("session_data" in sql for sql in executed.reads)
        costs.append(len(executed))
        left = set(sessions.list_for(alice).values_list("pk", flat=True))
        assert left == {rows[0].pk, rows[-1].pk, rows[-2].pk}
    # What was locked to be compared is neither listed nor locked again: one UPDATE for each batch.
    assert costs[1] - costs[0] == costs[2] - costs[1] == 2 * (1 + (connection.vendor == "mysql"))


def test_the_end_of_each_session_beyond_the_limit_is_told_and_logged_once(
    alice: User,
    clock: Clock,
    settings: Any,
    told: Told,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Any,
):
    settings.SESSIONS_PLUS_MAX_PER_USER = 2
    rows = store(alice, 5, clock.now())
    with (
        caplog.at_level("INFO", "django_sessions_plus"),
        django_capture_on_commit_callbacks(execute=True),
    ):
        assert sessions.enforce_limit(alice, keep=rows[0]) == 3
    ended = sorted(row.pk for row in rows[1:4])
    assert sorted(said["session"].pk for said in told.of(session_ended)) == ended
    for said in told.of(session_ended):
        assert (said["user"], said["reason"], said["actor"]) == (alice, EndReason.LIMIT, None)
        assert said["session"].end_reason == EndReason.LIMIT
    logged = [(record.session_id, record.user_id) for record in caplog.records]  # type: ignore[attr-defined]
    assert logged == [(str(key), str(alice.pk)) for key in ended]


def test_a_limit_that_comes_late_ends_what_is_far_beyond_it(
    alice: User, clock: Clock, settings: Any
):
    """More rows than one statement of any database names."""
    settings.SESSIONS_PLUS_MAX_PER_USER = 5
    rows = store(alice, MANY, clock.now())
    assert sessions.enforce_limit(alice, keep=rows[-1]) == MANY - 5
    left = sessions.list_for(alice).values_list("pk", flat=True)
    assert list(left) == [row.pk for row in rows[: -1 - 5 : -1]]
