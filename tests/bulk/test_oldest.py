"""Where a purge begins: not behind what was deleted before, and never past a row that is due."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus.bulk import oldest, purging, upkeep
from django_sessions_plus.bulk.time_limit import TimeIsUpError
from django_sessions_plus.models import Session

DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def store(*moments: datetime, **columns: Any) -> None:
    Session.objects.bulk_create(
        Session(token_digest=uuid.uuid4().hex * 2, expires_at=moment, **columns)
        for moment in moments
    )


@contextmanager
def deleted_rows_before(moment: datetime | None) -> Iterator[list[datetime | None]]:
    """Have each look that goes further back than ``moment`` take too long; gives where each look began."""
    looks: list[datetime | None] = []
    first = oldest._first

    def look(due: Any, since: datetime | None, seconds: float) -> datetime | None:
        looks.append(since)
        if moment is not None and (since is None or since < moment):
            raise TimeIsUpError
        return first(due, since, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oldest, "_first", look)
        yield looks


def test_the_first_look_is_bounded_by_the_database_itself(now: datetime):
    store(now - DAY)
    with CaptureQueriesContext(connection) as queries:
        purging.purge(Session.objects.all(), now=now)
    told = " ".join(query["sql"] for query in queries)
    mark = {"postgresql": "statement_timeout", "mysql": "max_statement_time"}
    assert mark.get(connection.vendor, "") in told


def test_where_deleted_rows_are_in_the_way_a_purge_begins_at_the_other_end(now: datetime):
    store(*(now - age * DAY for age in range(10)))
    with deleted_rows_before(now - 100 * DAY) as looks:
        purged = purging.purge(Session.objects.all(), now=now)
    assert purged.deleted == 10
    # From the beginning, then further back each time, then between the last two.
    assert len(looks) <= 3 * (1 + oldest._DOUBLINGS + oldest._HALVINGS)


def test_what_lies_among_deleted_rows_is_for_the_purge_after_they_were_vacuumed(now: datetime):
    store(now - DAY, now - 50 * DAY)
    with deleted_rows_before(now - 20 * DAY):
        assert purging.purge(Session.objects.all(), now=now).deleted == 1
    assert purging.purge(Session.objects.all(), now=now).deleted == 1


def test_the_looks_between_find_what_the_doubled_spans_jump_over(now: datetime):
    """Spans of 10.7 and 21.3 days: the purge that was stopped has deleted all before the 18th day."""
    store(now - 5 * DAY, now - 15 * DAY)
    with deleted_rows_before(now - 18 * DAY):
        assert purging.purge(Session.objects.all(), now=now).deleted == 2


def test_nothing_is_found_where_not_even_the_last_hour_can_be_searched(now: datetime):
    store(now - DAY)
    with deleted_rows_before(now):
        assert purging.purge(Session.objects.all(), now=now).deleted == 0


def purge_some(kind: purging.Kind = "anonymous") -> int:
    return purging.purge_handful(Session.objects.all(), kind, upkeep._memory)


def test_a_process_goes_on_where_it_was(now: datetime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(purging, "HANDFUL", 2)
    store(*(now - age * DAY for age in range(1, 7)))
    with deleted_rows_before(None) as looks:
        assert [purge_some() for _ in range(4)] == [2, 2, 2, 0]
    assert looks == [None, now - 6 * DAY, now - 4 * DAY, now - 2 * DAY]


def test_where_nothing_is_due_it_goes_on_from_then(now: datetime):
    with deleted_rows_before(None) as looks:
        purge_some()
        store(timezone.now())
        assert purge_some() == 1
    assert looks[0] is None
    assert looks[1] is not None
    assert looks[1] >= now


def test_the_delete_does_not_go_further_back_than_the_look(now: datetime):
    """PostgreSQL would step over the deleted rows once more."""
    store(now - DAY)
    with CaptureQueriesContext(connection) as queries:
        purge_some()
    (sql,) = [q["sql"] for q in queries if "expires_at" in q["sql"] and "DELETE" in q["sql"]] or [
        q["sql"] for q in queries if q["sql"].count("expires_at") >= 2
    ][:1]
    assert ">=" in sql


@pytest.mark.parametrize("kind", purging.KINDS)
def test_after_a_while_it_looks_from_the_beginning_again(
    now: datetime, monkeypatch: pytest.MonkeyPatch, kind: purging.Kind
):
    """A row may become due behind what was found: imported, by a slow clock, by a long transaction."""
    user = None if kind == "anonymous" else User.objects.create_user("ada")
    clock = [1000.0]
    monkeypatch.setattr(f"{oldest.__name__}.monotonic", lambda: clock[0])
    store(now - 40 * DAY, user=user)
    assert purge_some(kind) == 1
    store(now - 50 * DAY, user=user)
    for _ in range(3):
        # Not from the last look, or a busy process would never do it.
        clock[0] += oldest.Memory.AGE / 4
        assert purge_some(kind) == 0
    clock[0] += oldest.Memory.AGE / 4
    assert purge_some(kind) == 1


def test_the_kinds_are_kept_apart(now: datetime):
    ada = User.objects.create_user("ada")
    store(now - DAY)
    assert purge_some("anonymous") == 1
    store(now - 40 * DAY, user=ada)
    assert purge_some("expired") == 1
    assert purge_some("signed_in") == 1


def test_a_longer_retention_moves_it_back(now: datetime, settings: Any):
    ada = User.objects.create_user("ada")
    memory = oldest.Memory()
    take: Callable[[], int] = lambda: purging.purge_handful(  # noqa: E731 - three times the same
        Session.objects.all(), "signed_in", memory
    )
    assert take() == 0
    settings.SESSIONS_PLUS_RETENTION = 100 * DAY
    assert take() == 0
    store(now - 50 * DAY, user=ada)
    settings.SESSIONS_PLUS_RETENTION = 40 * DAY
    assert take() == 1


def test_a_part_of_the_rows_keeps_nothing(now: datetime):
    store(now - DAY)
    some = Session.objects.filter(transport="bearer")
    assert purging.purge_handful(some, "anonymous") == 0
    assert purge_some() == 1
