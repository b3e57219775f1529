"""Several who purge at once, beside somebody who uses what is being purged."""

from __future__ import annotations

import logging
import threading
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
from django.db.models import Q
from django.utils import timezone

from django_sessions_plus import privacy, sessions
from django_sessions_plus.bulk import deleting, ending, locking, purging
from django_sessions_plus.bulk.locking import locked
from django_sessions_plus.models import Session
from django_sessions_plus.signals import session_ended
from tests.backends.racing import racers, shared_database

ROUNDS = 3 if connection.vendor == "sqlite" else 10
# Where sets of rows are locked by several at once.
MORE_ROUNDS = 3 if connection.vendor == "sqlite" else 50
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _shared_database(
    transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setattr(purging, "BATCH_SIZE", 20)
    monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 20)
    # Time between batches is time in which others cannot be met.
    monkeypatch.setattr(purging, "MAX_PAUSE", 0)
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


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no locks of rows")
@pytest.mark.parametrize("act", ["end", "erase"])
def test_what_has_ended_meanwhile_is_not_waited_for_with_other_rows_locked(act: str):
    ada, moment = User.objects.create(username="ada"), timezone.now()
    store([moment + DAY if act == "end" else moment - DAY] * 2, [ada])
    first, second = list(Session.objects.order_by("pk"))
    moved = {"ended_at": moment} if act == "end" else {"expires_at": moment + DAY}
    does = sessions.revoke_all if act == "end" else privacy.erase

    def lock_both() -> None:
        with transaction.atomic():
            locked(Session.objects.filter(pk=first.pk))
            has_first.set()
            locked(Session.objects.filter(pk=second.pk))

    has_first = threading.Event()
    waits: list[Any] = []
    with racers(1) as other, ThreadPoolExecutor(1) as pool:

        def in_between(run: Any, sql: str, *args: Any) -> Any:
            if "FOR UPDATE" in sql and not waits:
                # Found as one of those to end, and over when they are locked.
                other.run(partial(Session.objects.filter(pk=first.pk).update, **moved))
                done = run(sql, *args)
                waits.append(pool.submit(other.run, lock_both))
                assert has_first.wait(120)
                return done
            return run(sql, *args)

        with connection.execute_wrapper(in_between):
            assert does(ada) == 1
        assert len(waits) == 1
        waits[0].result()


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
    # Not pg_stat_activity, of which a transaction sees the same picture until its end.
    waiting = (
        "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    for _ in range(600):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.1)")
            cursor.execute(waiting)
            if cursor.fetchone():
                return
    pytest.fail("nobody waits")


def _scattered(now: datetime, number: int) -> list[datetime]:
    """Return moments of expiry in another order than that of the keys, which grow as rows are stored."""
    return [now - 31 * DAY - (number * 7919 % 1009) * SECOND for number in range(number)]


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a transaction name its rows in many statements, as it does with thousands of rows."""
    monkeypatch.setattr(purging, "BATCH_SIZE", 100)
    monkeypatch.setattr(locking, "KEYS_PER_STATEMENT", 3)


@pytest.mark.usefixtures("few_at_a_time")
def test_two_purges_never_wait_for_each_other_in_a_circle():
    """Each cuts what has expired into pieces of its own, and rows expire in another order than that of the keys."""
    ada, now = User.objects.create(username="ada"), timezone.now()
    with racers(2) as racing:
        for number in range(MORE_ROUNDS):
            store(_scattered(now, 150), [None, ada])
            one = partial(purging.purge, Session.objects.all(), now=now)
            size = 40 + number % 50
            other = partial(purging.purge, Session.objects.all(), now=now, batch_size=size)
            assert sum(result.deleted for result in racing.run(one, other)) == 150
            assert not Session.objects.exists()


@pytest.mark.usefixtures("few_at_a_time")
def test_two_purges_mark_each_expired_sign_in_once_and_log_it_once(
    caplog: pytest.LogCaptureFixture,
):
    """Beside a handful, and somebody who moves the expiry of some: those are marked or moved, never both."""
    caplog.set_level(logging.INFO, "django_sessions_plus")
    ada, now = User.objects.create(username="ada"), timezone.now()
    later = now + DAY

    def use(keys: list[uuid.UUID]) -> int:
        rows = Session.objects.filter(ended_at=None, expires_at__lte=now)
        return sum(rows.filter(pk=key).update(expires_at=later) for key in keys)

    with racers(4) as racing:
        for number in range(MORE_ROUNDS):
            Session.objects.all().delete()
            caplog.clear()
            store([moment + 30 * DAY for moment in _scattered(now, 150)], [ada])
            keys = list(Session.objects.order_by("-pk").values_list("pk", flat=True)[:30])
            one = partial(purging.purge, Session.objects.all(), now=now)
            size = 40 + number % 50
            other = partial(purging.purge, Session.objects.all(), now=now, batch_size=size)
            some = partial(purging.purge_handful, Session.objects.all(), "expired")
            first, second, handful, used = racing.run(one, other, some, partial(use, keys))
            marked = set(Session.objects.exclude(ended_at=None).values_list("pk", flat=True))
            moved = set(Session.objects.filter(expires_at=later).values_list("pk", flat=True))
            assert not marked & moved
            assert len(moved) == used
            assert first.expired + second.expired + handful == len(marked)
            told = [vars(record)["session_id"] for record in caplog.records]
            assert sorted(told) == sorted(map(str, marked))
            # Passed over, locked, by both: the next run finds it.
            assert one().expired == 150 - len(marked) - used


@pytest.mark.usefixtures("few_at_a_time")
def test_a_purge_beside_who_signs_everyone_out():
    users: list[User | None] = [User.objects.create(username=name) for name in ("ada", "bob")]
    now = timezone.now()
    with racers(3) as racing:
        for _ in range(MORE_ROUNDS):
            Session.objects.all().delete()
            tomorrow = [now + DAY - moment for moment in _ages(40)]
            store([*_scattered(now, 80), *tomorrow], users)
            purge = partial(purging.purge, Session.objects.all(), now=now)
            purged, again, ended = racing.run(purge, purge, sessions.revoke_everyone)
            assert purged.deleted + again.deleted == 80
            assert ended == 40


@pytest.mark.usefixtures("few_at_a_time")
def test_a_purge_beside_the_limit(settings: Any):
    settings.SESSIONS_PLUS_MAX_PER_USER = 5
    ada, now = User.objects.create(username="ada"), timezone.now()
    with racers(4) as racing:
        for _ in range(MORE_ROUNDS):
            Session.objects.all().delete()
            store([*_scattered(now, 80), *[now + DAY - moment for moment in _ages(40)]], [ada])
            newest = sessions.list_for(ada).latest("pk")
            purge = partial(purging.purge, Session.objects.all(), now=now)
            limit = partial(sessions.enforce_limit, ada, keep=newest)
            purged, ended, also, everyone = racing.run(
                purge, limit, limit, partial(sessions.revoke_everyone, keep=newest)
            )
            assert purged.deleted == 80
            assert ended + also + everyone == 39
            assert sessions.list_for(ada).get() == newest


@pytest.mark.usefixtures("few_at_a_time")
def test_ends_beside_updates_and_deletes_of_sets():
    users: list[User | None] = [User.objects.create(username=name) for name in ("ada", "bob")]
    now = timezone.now()
    with racers(3) as racing:
        for _ in range(MORE_ROUNDS):
            Session.objects.all().delete()
            store([*_scattered(now, 60), *[now + DAY - moment for moment in _ages(40)]], users)
            erase = partial(privacy.erase, users[0])
            limit = partial(sessions.revoke_all, users[1])
            erased, purged, ended = racing.run(
                erase, partial(purging.purge, Session.objects.all(), now=now), limit
            )
            assert erased + purged.deleted == 60
            assert ended == 20


def _ages(number: int) -> list[timedelta]:
    return [(at * 7919 % 1009) * SECOND for at in range(number)]


def test_a_set_is_deleted_in_the_order_of_the_keys_however_it_was_found(
    monkeypatch: pytest.MonkeyPatch,
):
    """On MariaDB, in several statements: two processes in two orders would wait for each other in a circle."""
    monkeypatch.setattr(locking, "KEYS_PER_STATEMENT", 1)
    now = timezone.now()
    for order in ("expires_at", "-expires_at"):
        store([now - 3 * SECOND, now - 2 * SECOND, now - SECOND], [None])
        keys = sorted(Session.objects.values_list("pk", flat=True))
        named: list[uuid.UUID] = []

        def note(run: Any, sql: str, params: Any, *args: Any) -> Any:
            if sql.startswith("DELETE"):
                given = {str(param).replace("-", "") for param in params}
                named.extend(key for key in keys if key.hex in given)  # noqa: B023
            return run(sql, params, *args)

        with connection.execute_wrapper(note):
            rows = Session.objects.order_by(order)
            assert deleting.delete(rows, Q(expires_at__lte=now))[0] == 3
        assert named == (keys if connection.vendor == "mysql" else [])


@pytest.mark.parametrize("act", ["end", "limit", "erase", "forget"])
def test_rows_that_others_have_locked_are_not_waited_for_in_a_small_table(act: str, settings: Any):
    """MariaDB reads all of a small table, if a statement lets it, also where the rows are named by key."""
    settings.SESSIONS_PLUS_MAX_PER_USER = 1
    users = [User.objects.create(username=name) for name in ("ada", "bob")]
    moment = timezone.now() + (-DAY if act == "erase" else DAY)
    newest: dict[User | None, Session] = {}
    verbs: dict[str, Any] = {
        "end": sessions.revoke_all,
        "limit": lambda user: sessions.enforce_limit(user, keep=newest[user]),
        "erase": privacy.erase,
        "forget": lambda user: deleting.forget_user(Session.objects.all(), user.pk),
    }
    with racers(2) as racing:
        for more in range(MORE_ROUNDS):
            Session.objects.all().delete()
            store([moment] * (10 + more), [*users])
            newest = {user: Session.objects.filter(user=user).latest("pk") for user in users}
            racing.run(*[partial(verbs[act], user) for user in users])
            living = Session.objects.active()
            assert living.count() == (2 if act == "limit" else 0)
            assert act not in ("erase", "forget") or not Session.objects.exists()


def test_who_has_ended_sessions_is_forgotten_beside_others_in_a_small_table():
    users = [User.objects.create(username=name) for name in ("ada", "bob")]
    with racers(2) as racing:
        for more in range(MORE_ROUNDS):
            Session.objects.all().delete()
            store([timezone.now()] * (10 + more), [None])
            for at, key in enumerate(Session.objects.order_by("pk").values_list("pk", flat=True)):
                Session.objects.filter(pk=key).update(ended_by=users[at % 2])
            forget = [
                partial(deleting.forget_user, Session.objects.all(), user.pk) for user in users
            ]
            racing.run(*forget)
            assert not Session.objects.exclude(ended_by=None).exists()
