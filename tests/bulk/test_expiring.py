"""A sign-in that a timeout has stopped: the first purge after it takes its data and records which timeout it was."""

from __future__ import annotations

import io
import json
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from django_sessions_plus import policy, privacy, sessions
from django_sessions_plus.admin import timeline
from django_sessions_plus.bulk import expiring, locking, purging
from django_sessions_plus.models import Session
from django_sessions_plus.policy import InactiveReason, Status, Timeout
from django_sessions_plus.presentation import wording
from django_sessions_plus.presentation.entries import Entry
from django_sessions_plus.signals import session_ended
from tests.backends.cached import ENGINE, CachedSync, TestedCache
from tests.backends.drivers import SessionStore, SyncSession, sign_in
from tests.backends.racing import racers, shared_database
from tests.conftest import Clock
from tests.scale.plans import SEEK, plans_of

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def add(user: User | None, **columns: Any) -> Session:
    return Session.objects.create(
        **{"token_digest": uuid.uuid4().hex * 2, "user": user, "session_data": '{"basket":[7]}'}
        | columns
    )


def expired_rows(ada: User, now: datetime) -> dict[str, Session]:
    """Return one row for each timeout, by name; both have expired an hour ago."""
    then = now - HOUR
    first = {"created_at": then - DAY, "authenticated_at": then - DAY}
    long_ago = {"created_at": then - 30 * DAY, "authenticated_at": then - 30 * DAY}
    return {
        "idle_timeout": add(ada, expires_at=then, **first),
        "absolute_timeout": add(ada, expires_at=then, **long_ago),
    }


def purge() -> purging.Purged:
    return purging.purge(Session.objects.all())


@pytest.fixture(autouse=True)
def _a_month_at_most(settings: Any) -> None:
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = 30 * DAY


def test_the_data_goes_and_the_row_stays_with_the_moment_and_the_timeout(ada: User, now: datetime):
    rows = expired_rows(ada, now)
    assert purge().expired == 2
    for reason, before in rows.items():
        row = Session.objects.get(pk=before.pk)
        assert row.session_data == ""
        assert row.ended_at == row.expires_at == before.expires_at
        assert (row.end_reason, row.ended_by) == (reason, None)
    # Once is enough.
    assert purge().expired == 0


def test_other_columns_stay_as_they_were(ada: User, now: datetime):
    before = expired_rows(ada, now)["idle_timeout"]
    purge()
    changed = {"ended_at", "end_reason", "session_data"}
    names = {field.attname for field in Session._meta.concrete_fields} - changed
    row = Session.objects.get(pk=before.pk)
    assert {name: getattr(row, name) for name in names} == {
        name: getattr(before, name) for name in names
    }


@pytest.mark.parametrize(
    "clear",
    [SessionStore.clear_expired, async_to_sync(SessionStore.aclear_expired)],
    ids=["sync", "async"],
)
def test_so_does_the_purge_of_the_engine(clock: Clock, ada: User, clear: Callable[[], None]):
    session = SyncSession()
    sign_in(session, ada)
    clock.advance(days=15)
    clear()
    row = session.stored
    assert (row.session_data, row.end_reason) == ("", Timeout.IDLE)
    assert not SessionStore(session.token).load()


def test_the_row_goes_when_its_retention_has_passed_counted_from_the_expiry(
    ada: User, now: datetime
):
    kept = expired_rows(ada, now)
    old = add(ada, expires_at=now - 31 * DAY)
    purged = purge()
    assert (purged.expired, purged.signed_in, purged.deleted, purged.done) == (3, 1, 1, 4)
    assert not Session.objects.filter(pk=old.pk).exists()
    later = purging.purge(Session.objects.all(), now=now + 30 * DAY)
    assert later.signed_in == len(kept)


def test_what_is_active_ended_or_nobodys_is_left_as_it_was(ada: User, now: datetime):
    active = add(ada, expires_at=now + DAY)
    ended = add(ada, expires_at=now - HOUR)
    Session.objects.filter(pk=ended.pk).end(reason="signed_out", now=now - HOUR)
    add(None, expires_at=now - HOUR)
    visit = add(None, expires_at=now + DAY)
    before = {row["id"]: row for row in Session.objects.values()}
    purged = purge()
    assert (purged.expired, purged.anonymous) == (0, 1)
    after = {row["id"]: row for row in Session.objects.values()}
    assert after == {key: before[key] for key in (active.pk, ended.pk, visit.pk)}


@pytest.mark.parametrize(
    ("since", "absolute_age", "expected"),
    [
        (timedelta(0), DAY, Timeout.ABSOLUTE),
        (SECOND, DAY, Timeout.IDLE),
        (-SECOND, DAY, Timeout.ABSOLUTE),
        (timedelta(0), None, Timeout.IDLE),
        (None, DAY, Timeout.IDLE),
    ],
)
def test_the_absolute_timeout_is_what_allows_no_later_expiry(
    now: datetime, since: timedelta | None, absolute_age: timedelta | None, expected: Timeout
):
    begun = None if since is None else now - DAY + since
    assert policy.timeout(expires_at=now, since=begun, absolute_age=absolute_age) is expected


def test_which_timeout_it_was_is_judged_by_the_transport_of_the_row(
    ada: User, now: datetime, settings: Any
):
    settings.SESSIONS_PLUS_LIFETIMES = {"bearer": {"absolute": 90 * DAY}, "jwt": {"absolute": None}}
    then = now - HOUR
    for transport in ("cookie", "bearer", "jwt"):
        add(ada, transport=transport, expires_at=then, authenticated_at=then - 30 * DAY)
    expected = {"cookie": "absolute_timeout", "bearer": "idle_timeout", "jwt": "idle_timeout"}
    assert {row.transport: row.timeout.value for row in Session.objects.all()} == expected
    purge()
    assert dict(Session.objects.values_list("transport", "end_reason")) == expected


def test_it_is_told_to_the_log_once_and_by_no_signal(
    ada: User, now: datetime, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "django_sessions_plus")
    rows = expired_rows(ada, now)
    add(None, expires_at=now - HOUR)
    heard: list[Any] = []

    def hear(**said: Any) -> None:
        heard.append(said)

    session_ended.connect(hear)
    try:
        purge()
        purge()
    finally:
        session_ended.disconnect(hear)
    names = ("event", "session_id", "user_id", "reason", "actor_id")
    told = [tuple(vars(record)[name] for name in names) for record in caplog.records]
    assert sorted(told) == sorted(
        ("session_ended", str(row.pk), str(ada.pk), reason, None) for reason, row in rows.items()
    )
    assert not heard


def test_nothing_is_logged_of_what_is_not_committed(
    ada: User, now: datetime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level(logging.INFO, "django_sessions_plus")
    expired_rows(ada, now)

    def fail(*args: Any) -> int:
        mark(*args)
        raise RuntimeError("the worker was stopped")

    mark = expiring._mark
    monkeypatch.setattr(expiring, "_mark", fail)
    with pytest.raises(RuntimeError):
        purge()
    assert not caplog.records
    assert not Session.objects.exclude(ended_at=None).exists()


def seen(row: Session, ada: User, now: datetime) -> dict[str, Any]:
    """Return what everybody who reads the table makes of a row, but for its data."""
    sets: dict[str, Any] = {
        "active": Session.objects.active(now),
        "ended": Session.objects.ended(),
        "expired": Session.objects.expired(now),
        "listed": sessions.list_for(ada),
    }
    (record,) = [each for each in privacy.records(ada) if each["id"] == row.pk]
    with translation.override("en"):
        return {
            "sets": {name for name, rows in sets.items() if rows.filter(pk=row.pk).exists()},
            "status": row.status(now),
            "is active": row.is_active(now),
            "reason": row.end_reason_label,
            "why over": Entry(row).why_ended,
            "over since": Entry(row).ended_since,
            "told": policy.inactive_reason(end_reason=row.end_reason, ended_at=row.ended_at),
            "owner": wording.end_reason(row),
            "timeline": timeline.events(row, now),
            "exported": {record[name] for name in ("status", "device", "has_refresh_token")},
        }


@pytest.mark.parametrize("reason", Timeout.values)
def test_everybody_says_the_same_of_it_before_and_after(ada: User, now: datetime, reason: str):
    row = expired_rows(ada, now)[reason]
    before = seen(row, ada, now)
    purge()
    row.refresh_from_db()
    assert row.ended_at is not None
    assert seen(row, ada, now) == before
    assert before["sets"] == {"expired"}
    assert before["status"] is Status.EXPIRED
    assert before["told"] is InactiveReason.EXPIRED
    assert before["reason"] == Timeout(reason).label
    assert before["why over"] == "Expired."


def test_whoever_presents_its_token_is_told_the_same(clock: Clock, ada: User):
    session = SyncSession()
    sign_in(session, ada)
    clock.advance(days=15)

    def reason() -> Any:
        store = SessionStore(session.token)
        assert not store.load_if_needed()
        return store.inactive_reason

    assert reason() is InactiveReason.EXPIRED
    purge()
    assert session.stored.ended_at is not None
    assert reason() is InactiveReason.EXPIRED


def test_a_save_that_comes_late_brings_nothing_back(clock: Clock, ada: User):
    session = SyncSession()
    sign_in(session, ada)
    late = SessionStore(session.token)
    late["colour"] = "red"
    clock.advance(days=15)
    purge()
    with pytest.raises((UpdateError, SessionInterrupted)):
        late.save()
    row = session.stored
    assert (row.session_data, row.end_reason) == ("", Timeout.IDLE)


def test_the_first_end_counts(clock: Clock, ada: User):
    session = SyncSession()
    sign_in(session, ada)
    late = SessionStore(session.token)
    late.load_if_needed()
    clock.advance(days=15)
    purge()
    before = Session.objects.values().get()
    with suppress(UpdateError):
        late.flush()
    assert sessions.revoke(before["id"]) is False
    assert sessions.revoke_all(ada) == 0
    assert Session.objects.values().get() == before


def test_it_does_not_count_against_the_limit(ada: User, now: datetime, settings: Any):
    settings.SESSIONS_PLUS_MAX_PER_USER = 1
    expired_rows(ada, now)
    purge()
    keep = add(ada, expires_at=now + DAY)
    assert sessions.enforce_limit(ada, keep=keep) == 0


def test_it_is_erased_with_the_others(ada: User, now: datetime):
    expired_rows(ada, now)
    purge()
    assert privacy.erase(ada) == 2


# Before its range is bounded, before its key is looked for, and before it is locked.
@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize("act", ["extended", "signed_out"])
def test_what_somebody_does_with_a_row_meanwhile_holds(
    ada: User, now: datetime, number: int, act: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "django_sessions_plus")
    row = add(ada, expires_at=now - HOUR)
    seen = [0]

    def do(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT"):
            seen[0] += 1
            if seen[0] == number:
                rows = Session.objects.filter(pk=row.pk)
                if act == "extended":
                    rows.update(expires_at=now + DAY)
                else:
                    rows.end(reason=act, now=now)
        return run(sql, params, many, context)

    with connection.execute_wrapper(do):
        assert purge().expired == 0
    assert seen[0] >= number
    assert not caplog.records
    row.refresh_from_db()
    assert row.end_reason == ("" if act == "extended" else act)
    assert (row.ended_at is None) is (act == "extended")
    assert row.is_active() is (act == "extended")


def test_the_update_asks_once_more(ada: User, now: datetime):
    """Where a database could not lock the rows, as an early MariaDB cannot skip them."""
    add(ada, expires_at=now - HOUR)
    with CaptureQueriesContext(connection) as queries:
        purge()
    (update,) = [
        query["sql"]
        for query in queries
        if query["sql"].startswith("UPDATE") and "end_reason" in query["sql"]
    ]
    condition = update.partition(" WHERE ")[2]
    assert "ended_at" in condition
    assert "expires_at" in condition


def test_a_row_is_named_by_key_in_statements_of_bounded_length(
    ada: User, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locking, "KEYS_PER_STATEMENT", 4)
    for number in range(10):
        add(ada, expires_at=now - HOUR - number * SECOND)
    with CaptureQueriesContext(connection) as queries:
        assert purge().expired == 10
    assert len([query for query in queries if "absolute_timeout" in query["sql"]]) == 0
    updates = [query for query in queries if "idle_timeout" in query["sql"]]
    assert len(updates) == 3


@pytest.mark.parametrize("step", [timedelta(0), SECOND], ids=["one moment", "many moments"])
def test_it_is_done_in_batches_and_told_as_progress(
    ada: User, now: datetime, monkeypatch: pytest.MonkeyPatch, step: timedelta
):
    monkeypatch.setattr(purging, "BATCH_SIZE", 10)
    for number in range(35):
        add(ada, expires_at=now - HOUR - number * step)
    done: list[int] = []
    purged = purging.purge(
        Session.objects.all(), progress=done.append, should_stop=lambda: done[-1:] == [20]
    )
    assert (purged.expired, purged.batches, purged.is_finished) == (20, 2, False)
    assert max(b - a for a, b in zip([0, *done], done, strict=False)) == 10
    assert purge().expired == 15


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others go by how many rows there are")
def test_what_expired_at_one_moment_is_reached_by_its_keys(
    ada: User, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    """What is marked keeps its expiry: reached by that, all of it would be read again with each batch."""
    monkeypatch.setattr(purging, "BATCH_SIZE", 10)
    for _ in range(35):
        add(ada, expires_at=now - HOUR)
    named = [plan for plan in plans_of(purge) if " IN (" in plan.sql]
    assert len(named) >= 4 * 3
    for plan in named:
        assert plan.of(Session) == [(SEEK, ("id",))]


def test_a_purge_in_passing_takes_a_handful(
    ada: User, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(purging, "HANDFUL", 3)
    rows = [add(ada, expires_at=now - HOUR - number * SECOND) for number in range(5)]
    assert purging.purge_handful(Session.objects.all(), "expired") == 3
    # The oldest first.
    marked = set(Session.objects.filter(session_data="").values_list("pk", flat=True))
    assert marked == {row.pk for row in rows[2:]}
    assert purging.purge_handful(Session.objects.all(), "expired") == 2
    assert purging.purge_handful(Session.objects.all(), "expired") == 0


def test_of_purges_at_the_same_time_each_row_is_one_s(
    ada: User,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, "django_sessions_plus")
    monkeypatch.setattr(purging, "BATCH_SIZE", 20)

    def some() -> int:
        return sum(purging.purge_handful(Session.objects.all(), "expired") for _ in range(3))

    def all_there_are() -> int:
        return purge().expired

    with shared_database(tmp_path), racers(4) as racing:
        rows = [add(ada, expires_at=now - HOUR - number % 2 * SECOND) for number in range(200)]
        done = racing.run(all_there_are, all_there_are, all_there_are, some)
        # What one of them passed over because another had it locked.
        assert sum(done) + all_there_are() == len(rows)
        assert Session.objects.filter(end_reason=Timeout.IDLE, session_data="").count() == len(rows)
    told = [vars(record)["session_id"] for record in caplog.records]
    assert sorted(told) == sorted(str(row.pk) for row in rows)


class TestCommand:
    """clearsessions tells of it."""

    def figures(self, *arguments: str) -> dict[str, Any]:
        out = io.StringIO()
        call_command("clearsessions", "--json", *arguments, stdout=out)
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    def text(self, *arguments: str) -> str:
        out = io.StringIO()
        call_command("clearsessions", *arguments, stdout=out)
        return out.getvalue()

    def test_in_figures(self, ada: User, now: datetime):
        expired_rows(ada, now)
        dry = self.figures("--dry-run")
        assert (dry["expired"], dry["signed_in"], dry["is_exact"]) == (2, 0, True)
        done = self.figures()
        assert (done["expired"], done["deleted"]) == (2, 0)
        assert self.figures("--dry-run")["expired"] == 0

    def test_in_words(self, ada: User, now: datetime):
        expired_rows(ada, now)
        assert "To lose their data: 2 expired sign-ins." in self.text("--dry-run")
        assert "2 expired sign-ins have lost their data" in self.text()


@pytest.fixture
def cached(settings: Any) -> Callable[[], list[Any]]:
    """Run on the engine with a cache; returns what the cache holds."""
    settings.SESSION_ENGINE = ENGINE
    settings.CACHES = {"default": {"BACKEND": "tests.backends.cached.TestedCache"}}
    TestedCache("", {}).clear()

    def held() -> list[Any]:
        return list(vars(TestedCache("", {}))["_cache"].values())

    return held


def test_a_cached_copy_goes_with_it(clock: Clock, ada: User, cached: Callable[[], list[Any]]):
    session = CachedSync()
    sign_in(session, ada)
    session.set("basket", "nine sentinel pears")
    session.save()
    CachedSync(session.token).load_if_needed()
    other = CachedSync()
    sign_in(other, User.objects.create_user("bob"))
    other.set("basket", "a single melon")
    other.save()
    other.store.remember = True
    Session.objects.filter(pk=other.row.pk).update(expires_at=clock.moment + 300 * DAY)
    CachedSync(other.token).load_if_needed()
    clock.advance(days=15)
    # Whoever presents the token again has the row cached again.
    assert not CachedSync(session.token).load_if_needed()
    assert any(b"nine sentinel pears" in value for value in cached())
    CachedSync.engine.clear_expired()
    assert not any(b"nine sentinel pears" in value for value in cached())
    assert any(b"a single melon" in value for value in cached())
    assert not CachedSync(session.token).load_if_needed()
