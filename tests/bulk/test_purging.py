"""The purge: its pieces are small, whatever the rows look like, and it stops when it is told to."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.signals import post_delete, post_init
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus.bulk import deleting, purging
from django_sessions_plus.bulk.purging import Purged
from django_sessions_plus.models import Session
from tests.conftest import Clock

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.django_db

Purge = Callable[..., Purged]


@pytest.fixture(params=["sync", "async"])
def purge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Purge:
    """Purge the table in batches of ten, in either mode."""
    monkeypatch.setattr(purging, "BATCH_SIZE", 10)

    def call(**how: Any) -> Purged:
        if request.param == "sync":
            return purging.purge(Session.objects.all(), **how)
        return async_to_sync(purging.apurge)(Session.objects.all(), **how)

    return call


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def store(moments: Any, **columns: Any) -> None:
    Session.objects.bulk_create(
        Session(token_digest=uuid.uuid4().hex * 2, expires_at=moment, **columns)
        for moment in moments
    )


class Deletes(list[int]):
    """How many rows each DELETE took."""


@contextmanager
def deletes() -> Iterator[Deletes]:
    found = Deletes()

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("DELETE"):
            found.append(context["cursor"].rowcount)
        return result

    with connection.execute_wrapper(note):
        yield found


@pytest.mark.parametrize(
    "ages",
    [
        pytest.param(list(range(35)), id="each at its own moment"),
        pytest.param([5] * 35, id="all at one moment"),
        pytest.param([9, 8, 7] + [5] * 29 + [3, 2, 1], id="a crowd between others"),
        pytest.param([5] * 10 + [3] * 10 + [1] * 15, id="crowds of exactly a batch"),
        pytest.param([5] * 9 + [3] * 2 + [1] * 24, id="a pair astride the border"),
        pytest.param(list(range(30)), id="whole batches"),
        pytest.param([1], id="one"),
    ],
)
def test_no_statement_deletes_more_than_a_batch_however_the_rows_lie(
    purge: Purge, now: datetime, ages: list[int]
):
    store(now - age * SECOND for age in ages)
    with deletes() as taken:
        purged = purge(now=now)
    assert not Session.objects.exists()
    assert purged.deleted == purged.anonymous == sum(taken) == len(ages)
    assert max(taken) <= 10
    # One for each batch there might be, and one that may find nothing for each border.
    assert len(taken) <= 2 * (len(ages) // 10 + 1) + 2
    assert purged.batches == sum(count > 0 for count in taken)
    assert purged.is_finished


def test_the_reads_are_as_few_as_the_batches(
    purge: Purge, now: datetime, django_assert_max_num_queries: Any
):
    store(now - age * SECOND for age in range(100))
    # For each batch a border, its DELETE and its transaction, with what MariaDB needs beside.
    with django_assert_max_num_queries(11 * 6):
        assert purge(now=now).deleted == 100


def test_a_range_has_one_bound_on_either_side(purge: Purge, now: datetime):
    """Of two upper ones SQLite goes by the first, and each batch reads on through all that are left."""
    store([now - age * SECOND for age in range(15)] + [now - DAY] * 25)
    with CaptureQueriesContext(connection) as queries:
        purge(now=now)
    found = [re.findall(r"expires_at\W (<|>)", query["sql"]) for query in queries]
    assert [">", "<"] in found
    assert all(len(bounds) == len(set(bounds)) for bounds in found)


def test_the_first_range_is_bounded_below_as_well(purge: Purge, now: datetime):
    """Without that PostgreSQL takes the sign-ins that are retained for part of it, and reads the whole table."""
    store([now - age * SECOND for age in range(15)])
    store([now - 31 * DAY - age * SECOND for age in range(15)], user=User.objects.create())
    with CaptureQueriesContext(connection) as queries:
        purge(now=now)
    found = [query["sql"] for query in queries if query["sql"].startswith("DELETE")]
    assert len(found) >= 4
    for sql in found:
        assert re.findall(r"expires_at\W (<|>)", sql) == [">", "<"]


def test_where_nothing_is_over_each_kind_takes_one_look(purge: Purge, now: datetime):
    store([now + DAY])
    with CaptureQueriesContext(connection) as queries:
        assert purge(now=now).is_finished
    # PostgreSQL is told beside, how long each may take.
    assert sum(Session._meta.db_table in query["sql"] for query in queries) == 3


def test_the_kinds_are_counted_apart(purge: Purge, now: datetime):
    ada = User.objects.create(username="ada")
    store([now] * 3)
    store([now - 31 * DAY] * 4)
    store([now - 31 * DAY] * 5, user=ada)
    store([now - 29 * DAY] * 6, user=ada)
    counts = purging.count_purgeable(Session.objects.all(), now=now)
    purged = purge(now=now)
    assert (purged.anonymous, purged.signed_in, purged.deleted) == (7, 5, 12)
    assert (purged.expired, purged.done) == (11, 23)
    assert counts == {"expired": 11, "anonymous": 7, "signed_in": 5}
    assert Session.objects.count() == 6


def test_what_expires_while_it_runs_is_left_for_the_next(purge: Purge, clock: Clock):
    now = clock.moment
    store(now - age * SECOND for age in range(15))
    store([now + SECOND])
    purged = purge(progress=lambda done: clock.advance(hours=1))
    assert purged.deleted == 15
    assert purged.is_finished
    assert Session.objects.count() == 1


def test_rows_that_come_meanwhile_do_not_keep_it_going(purge: Purge, now: datetime):
    store(now - age * SECOND for age in range(25))

    def come(done: int) -> None:
        store([now - DAY] * 10)

    purged = purge(now=now, progress=come)
    # Those that came behind it are for the next run.
    assert purged.is_finished
    assert purged.deleted == 25
    left = Session.objects.count()
    assert left >= 30
    assert purge(now=now).deleted == left


@contextmanager
def before_statement(number: int, act: Callable[[], Any]) -> Iterator[None]:
    """Act before the statement of this number, those of transactions not counted."""
    seen = [0]

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("SELECT", "DELETE")):
            seen[0] += 1
            if seen[0] == number:
                act()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        yield
    assert seen[0] >= number


# On MariaDB the keys are looked for, and then deleted.
BETWEEN = [2, 3] if connection.vendor == "mysql" else [2]


@pytest.mark.parametrize("number", BETWEEN)
@pytest.mark.parametrize("crowd", [False, True])
def test_a_row_that_moves_after_its_range_was_found_survives(
    now: datetime, monkeypatch: pytest.MonkeyPatch, number: int, crowd: bool
):
    monkeypatch.setattr(purging, "BATCH_SIZE", 10)
    store(now - (5 if crowd else age) * SECOND for age in range(8))
    moved = Session.objects.order_by("expires_at", "pk")[3]

    def move() -> None:
        Session.objects.filter(pk=moved.pk).update(expires_at=now + DAY)

    with before_statement(number, move):
        assert purging.purge(Session.objects.all(), now=now).deleted == 7
    assert Session.objects.get() == moved


def test_it_stops_when_its_time_is_up(purge: Purge, now: datetime, monkeypatch: Any):
    seconds = iter(range(10_000))
    monkeypatch.setattr(f"{purging.__name__}.monotonic", lambda: next(seconds))
    monkeypatch.setattr(f"{purging.__name__}.sleep", lambda seconds: None)
    store(now - age * SECOND for age in range(35))
    purged = purge(now=now, budget=timedelta(seconds=1))
    assert (purged.deleted, purged.batches, purged.is_finished) == (10, 1, False)
    assert purged.elapsed > 1
    assert purge(now=now, budget=timedelta(days=1)).deleted == 25


def test_it_stops_between_batches_when_it_is_asked_to(purge: Purge, now: datetime):
    store(now - age * SECOND for age in range(35))
    done: list[int] = []
    purged = purge(now=now, progress=done.append, should_stop=lambda: len(done) == 2)
    assert done == [10, 20]
    assert (purged.deleted, purged.is_finished) == (20, False)
    assert Session.objects.count() == 15


def test_the_figures_say_how_long_the_longest_statement_took(
    purge: Purge, now: datetime, monkeypatch: Any
):
    store(now - age * SECOND for age in range(35))
    moments = iter([0.0, *(second for second in range(1, 1000) for _ in range(1))])
    monkeypatch.setattr(f"{purging.__name__}.monotonic", lambda: next(moments))
    monkeypatch.setattr(f"{purging.__name__}.sleep", lambda seconds: None)
    purged = purge(now=now)
    assert purged.longest == 1
    assert purged.elapsed > purged.batches


def test_batches_become_smaller_where_they_take_long_and_grow_again(
    now: datetime, monkeypatch: Any
):
    """The time of each DELETE is made up: long for the first two, none for the others."""
    monkeypatch.setattr(purging, "BATCH_SIZE", 400)
    monkeypatch.setattr(purging, "FIRST_BATCH_SIZE", 200)
    monkeypatch.setattr(f"{purging.__name__}.sleep", lambda seconds: None)
    clock, slow = [0.0], [True, True]
    for module in (purging, deleting):
        monkeypatch.setattr(f"{module.__name__}.monotonic", lambda: clock[0])
    store(now - age * SECOND for age in range(1200))

    def take(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("DELETE") and slow:
            slow.pop()
            clock[0] += 2 * purging.SLOW
        return execute(sql, params, many, context)

    with deletes() as taken, connection.execute_wrapper(take):
        assert purging.purge(Session.objects.all(), now=now).deleted == 1200
    assert [count for count in taken if count] == [200, 100, 100, 200, 400, 200]


def test_on_sqlite_others_have_their_turn_between_batches(
    purge: Purge, now: datetime, monkeypatch: Any
):
    rests: list[float] = []
    monkeypatch.setattr(f"{purging.__name__}.sleep", rests.append)
    store(now - age * SECOND for age in range(35))
    purge(now=now)
    assert bool(rests) is (connection.vendor == "sqlite")
    assert all(0 < rest <= purging.MAX_PAUSE for rest in rests)


def test_no_row_is_loaded_and_no_signal_is_sent(purge: Purge, now: datetime):
    store(now - age * SECOND for age in range(25))
    seen: list[Any] = []

    def receive(**said: Any) -> None:
        seen.append(said)

    # Without a sender, as what audits every model connects.
    post_delete.connect(receive)
    post_init.connect(receive, sender=Session)
    try:
        assert purge(now=now).deleted == 25
    finally:
        post_delete.disconnect(receive)
        post_init.disconnect(receive, sender=Session)
    assert not seen


def test_a_purge_stays_within_its_set_also_across_a_join(now: datetime, settings: Any):
    settings.SESSIONS_PLUS_RETENTION = timedelta(0)
    for name, is_active in (("ada", True), ("bob", False)):
        store([now] * 3, user=User.objects.create(username=name, is_active=is_active))
    assert purging.purge(Session.objects.filter(user__is_active=False), now=now).deleted == 3
    assert set(Session.objects.values_list("user__username", flat=True)) == {"ada"}


def test_the_count_is_bounded(now: datetime, monkeypatch: Any):
    monkeypatch.setattr(purging, "MAX_COUNT", 4)
    store([now] * 9)
    assert purging.count_purgeable(Session.objects.all(), now=now)["anonymous"] == 4


@pytest.mark.parametrize("kind", ["anonymous", "signed_in"])
def test_a_handful_is_the_oldest_of_its_kind(now: datetime, monkeypatch: Any, kind: purging.Kind):
    monkeypatch.setattr(purging, "HANDFUL", 5)
    ada = User.objects.create(username="ada")
    store(now - 31 * DAY - age * SECOND for age in range(12))
    store((now - 31 * DAY - age * SECOND for age in range(12)), user=ada)
    store([now + DAY])
    store([now - DAY], user=ada)
    with deletes() as taken:
        assert purging.purge_handful(Session.objects.all(), kind) == 5
    assert taken == [5]
    left = Session.objects.filter(user__isnull=kind == "anonymous", expires_at__lte=now - 30 * DAY)
    assert left.count() == 7
    assert min(row.expires_at for row in left) == now - 31 * DAY - 6 * SECOND
    assert Session.objects.count() == 21
