"""Several who purge at once, beside somebody who uses what is being purged."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from django_sessions_plus import ending, purging, sessions
from django_sessions_plus.locking import locked
from django_sessions_plus.models import Session
from django_sessions_plus.signals import session_ended
from tests.backends.racing import racers, shared_database

ROUNDS = 3 if connection.vendor == "sqlite" else 10
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _shared_database(
    transactional_db: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    settings.SESSIONS_PLUS_PURGE_BATCH_SIZE = 20
    monkeypatch.setattr(ending, "BATCH_SIZE", 20)
    # Time between batches is time in which others cannot be met.
    monkeypatch.setattr(purging, "LONGEST_PAUSE", 0)
    with shared_database(tmp_path):
        yield


def store(moments: list[datetime], users: list[User | None]) -> None:
    Session.objects.bulk_create(
        Session(token_digest=uuid.uuid4().hex * 2, expires_at=moment, user=users[at % len(users)])
        for at, moment in enumerate(moments)
    )


@pytest.mark.parametrize("step", [timedelta(0), SECOND], ids=["one moment", "many moments"])
def test_many_hosts_purge_at_once_and_each_row_is_counted_once(step: timedelta):
    ada, now = User.objects.create(username="ada"), timezone.now()
    with racers(3) as racing:
        for _ in range(ROUNDS):
            store([now - 31 * DAY - n * step for n in range(300)], [None, ada, None])
            purges = [partial(purging.purge, Session.objects.all(), now=now)] * 3
            results = racing.run(*purges)
            assert all(result.is_finished for result in results)
            # What one passed over because another had it locked that one has deleted.
            assert sum(result.deleted for result in results) == 300
            assert not Session.objects.exists()


def test_a_row_that_is_used_again_while_it_is_purged_is_one_or_the_other():
    """By nobody in this package, but a project may set an expiry back."""
    now = timezone.now()
    later = now + DAY

    def use(keys: list[uuid.UUID]) -> int:
        rows = Session.objects.all()
        return sum(
            rows.filter(pk=key, expires_at__lte=now).update(expires_at=later) for key in keys
        )

    with racers(3) as racing:
        for _ in range(ROUNDS):
            store([now - n * SECOND for n in range(200)], [None])
            keys = list(Session.objects.order_by("-pk").values_list("pk", flat=True)[:60])
            purge = partial(purging.purge, Session.objects.all(), now=now)
            used, *purged = racing.run(partial(use, keys), purge, purge)
            deleted = sum(each.deleted for each in purged)
            living = Session.objects.filter(expires_at=later)
            assert living.count() == used
            # Passed over, locked, by both: the next run finds it.
            assert deleted + used + Session.objects.filter(expires_at__lte=now).count() == 200
            Session.objects.all().delete()


def test_handfuls_of_many_requests_are_different_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(purging, "HANDFUL", 25)
    now = timezone.now()
    take = partial(purging.purge_handful, Session.objects.all(), "anonymous")
    with racers(3) as racing:
        for _ in range(ROUNDS):
            store([now - n * SECOND for n in range(75)], [None])
            deleted = sum(racing.run(take, take, take))
            assert deleted + Session.objects.count() == 75
            assert deleted >= 25
            Session.objects.all().delete()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no locks of rows")
def test_nobody_waits_for_rows_that_somebody_else_has_locked():
    now = timezone.now()
    store([now - n * SECOND for n in range(10)], [None])
    keys = list(Session.objects.order_by("expires_at").values_list("pk", flat=True)[:4])
    with racers(1) as racing, transaction.atomic():
        list(Session.objects.select_for_update().filter(pk__in=keys))
        (deleted,) = racing.run(partial(purging.purge_handful, Session.objects.all(), "anonymous"))
        if connection.vendor == "postgresql":
            (purged,) = racing.run(partial(purging.purge, Session.objects.all(), now=now))
            assert purged.deleted == 0
    assert deleted == 6
    assert Session.objects.count() == 4


@pytest.mark.parametrize("is_heard", [False, True])
def test_several_who_sign_everyone_out_end_each_session_once(is_heard: bool):
    told: list[uuid.UUID] = []

    def receive(session: Session, **said: Any) -> None:
        told.append(session.pk)

    users: list[User | None] = [User.objects.create(username=name) for name in ("ada", "bob")]
    tomorrow = timezone.now() + DAY
    if is_heard:
        session_ended.connect(receive)
    try:
        with racers(4) as racing:
            for _ in range(ROUNDS):
                Session.objects.all().delete()
                told.clear()
                store([tomorrow] * 150, users)
                everyone = sessions.revoke_everyone
                ada = partial(sessions.revoke_all, users[0])
                backwards = partial(sessions.revoke_all, users[1])
                assert sum(racing.run(everyone, everyone, ada, backwards)) == 150
                assert not Session.objects.active().exists()
                assert len(told) == len(set(told)) == (150 if is_heard else 0)
    finally:
        session_ended.disconnect(receive)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="others go by the primary key")
@pytest.mark.parametrize("name", ["ada", None], ids=["signed in", "anonymous"])
def test_ends_lock_in_the_order_in_which_the_limit_does(name: str | None):
    user = None if name is None else User.objects.create(username=name)
    keys, tomorrow = sorted(uuid.uuid4() for _ in range(3)), timezone.now() + DAY
    # In the table they lie the other way round, and a small one is read as it lies.
    for key in reversed(keys):
        Session.objects.create(pk=key, token_digest=key.hex * 2, user=user, expires_at=tomorrow)
    end = partial(sessions.revoke_many, Session.objects.all())
    with racers(1) as racing, ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            locked(Session.objects.filter(pk=keys[0]))
            ended = pool.submit(racing.run, end)
            _wait_for_somebody_who_waits()
            # A deadlock, if whoever waits for the first has another one.
            locked(Session.objects.all())
        assert ended.result() == [3]


def _wait_for_somebody_who_waits() -> None:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(600):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.1)")
            cursor.execute(waiting)
            if cursor.fetchone():
                return
    pytest.fail("nobody waits")
