"""The storage of sessions alone: rows and conditional statements, without a store or a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connection, transaction

from django_sessions_plus import tokens
from django_sessions_plus.backends.caching.rows import CachedRows
from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.backends.use import Columns
from django_sessions_plus.bulk.ending import in_batches
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from tests.backends.racing import racers, shared_database
from tests.conftest import Clock
from tests.scale.plans import explained

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
CONDITIONS = (
    *("still_active", "data_unchanged", "untouched", "still_signed_in"),
    *("unrefreshed", "expiry_unmoved", "replayable"),
)


@pytest.fixture(params=["orm", "compiled", "cached"])
def rows(request: pytest.FixtureRequest, settings: Any) -> Rows:
    settings.SESSIONS_PLUS_FAST_PATH = request.param != "orm"
    return CachedRows(Session, caches["default"]) if request.param == "cached" else Rows(Session)


@pytest.fixture
def inserted(rows: Rows, alice: User, clock: Clock) -> Callable[..., Session]:
    """Insert a row of alice's, or with other columns, and return it as it is read."""

    def insert(**columns: Any) -> Session:
        now = clock.now()
        row = Session(
            token_digest=tokens.digest(tokens.make_token()),
            **{"user": alice, "authenticated_at": now, "created_at": now, "updated_at": now}
            | {"last_seen_at": now, "expires_at": now + HOUR, "session_data": "{}"}
            | columns,
        )
        assert rows.insert(row)
        found = rows.find_for_refresh(row.pk)
        assert isinstance(found, Session)
        return found

    return insert


@pytest.fixture
def row(inserted: Callable[..., Session]) -> Session:
    return inserted(refresh_digest="d" * 64)


def stored(row: Any) -> Session:
    return Session.objects.get(pk=row.pk)


def test_a_row_is_found_by_its_digest_and_by_its_id_whatever_its_state(
    rows: Rows, row: Session, clock: Clock
):
    for _ in range(2):
        for found in (rows.find(row.token_digest), rows.find_by_id(row.pk)):
            assert found is not None
            assert (found.pk, found.user_id) == (row.pk, row.user_id)
        clock.advance(hours=2)
    assert rows.find(tokens.digest("none")) is None
    assert rows.find_by_id(tokens.make_id()) is None


def test_the_user_comes_along_if_asked_for(rows: Rows, row: Session, alice: User):
    found = rows.find(row.token_digest, with_user=True)
    assert found is not None
    if "user" not in found._state.fields_cache:
        rows.add_user(found)
    assert found._state.fields_cache["user"] == alice
    by_id = rows.find_by_id(row.pk, with_user=True)
    assert by_id is not None
    assert by_id._state.fields_cache["user"] == alice
    bare = rows.find_by_id(row.pk)
    assert bare is not None
    assert "user" not in bare._state.fields_cache


def test_only_a_row_that_has_not_ended_exists(rows: Rows, row: Session):
    assert rows.exists(row.token_digest)
    assert rows.find_not_ended(row.token_digest) == row
    assert not rows.exists(tokens.digest("none"))
    rows.end(row, "revoked")
    assert not rows.exists(row.token_digest)
    assert rows.find_not_ended(row.token_digest) is None


def test_the_current_row_is_found_and_locked_by_its_key_alone(rows: Rows, row: Session):
    Session.objects.filter(pk=row.pk).update(token_digest="f" * 64, version=7)
    current = rows.find_current(row)
    with transaction.atomic():
        locked = rows.lock(row)
    assert current is not None
    assert locked is not None
    assert current.version == locked.version == 7
    rows.end(current, "revoked")
    with transaction.atomic():
        assert rows.lock(row) is None
    assert rows.find_current(row) is None


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
def test_a_token_that_is_taken_is_not_inserted_twice(rows: Rows, row: Session, inside: bool):
    twin = Session(token_digest=row.token_digest, expires_at=row.expires_at)
    if inside:
        with transaction.atomic():
            assert not rows.insert(twin)
            # The transaction goes on.
            assert stored(row) == row
    else:
        assert not rows.insert(twin)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_row_that_is_as_it_was_read_is_written(rows: Rows, row: Session, condition: str):
    assert rows.update(row, {"name": "laptop"}, getattr(rows, condition))
    assert stored(row).name == "laptop"
    # What was read stays as it was.
    assert row.name == ""


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("over", ["ended", "expired", "deleted"])
def test_a_row_that_is_over_is_never_written(
    rows: Rows, row: Session, clock: Clock, condition: str, over: str
):
    if over == "ended":
        rows.end(row, "revoked")
    elif over == "expired":
        clock.advance(hours=2)
    else:
        Session.objects.all().delete()
    assert not rows.update(row, {"name": "laptop"}, getattr(rows, condition))
    assert not Session.objects.filter(name="laptop").exists()


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        (
            {"token_digest": "f" * 64},
            {"still_active", "data_unchanged", "untouched", "still_signed_in"},
        ),
        ({"version": 1}, {"data_unchanged"}),
        ({"user": None}, {"still_signed_in", "unrefreshed", "expiry_unmoved", "replayable"}),
        ({"refresh_digest": "e" * 64}, {"unrefreshed", "expiry_unmoved", "replayable"}),
        ({"refresh_replays_left": 1}, {"replayable"}),
        ({"name": "other"}, set()),
    ],
    ids=lambda value: next(iter(value), "none") if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_somebody_else_has_changed_is_what_a_condition_refuses(
    rows: Rows, row: Session, condition: str, changed: Columns, refused: set[str]
):
    Session.objects.filter(pk=row.pk).update(**changed)
    is_written = rows.update(row, {"end_reason": "x"}, getattr(rows, condition))
    assert is_written is (condition not in refused)


@pytest.mark.parametrize(
    ("moved", "refused"),
    [("last_seen_at", {"untouched"}), ("expires_at", {"untouched", "expiry_unmoved"})],
)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_so_is_a_use_and_a_move_of_the_expiry(
    rows: Rows, row: Session, condition: str, moved: str, refused: set[str]
):
    Session.objects.filter(pk=row.pk).update(**{moved: getattr(row, moved) + HOUR})
    is_written = rows.update(row, {"end_reason": "x"}, getattr(rows, condition))
    assert is_written is (condition not in refused)


def test_an_end_keeps_the_row_of_a_sign_in_and_says_who_and_why(
    rows: Rows, row: Session, bob: User, clock: Clock
):
    ended = rows.end(row, "revoked", bob)
    assert ended is not None
    for one in (ended, stored(row)):
        assert (one.ended_at, one.end_reason, one.ended_by_id) == (clock.moment, "revoked", bob.pk)
        assert one.session_data == ""
    assert row.ended_at is None
    assert rows.end(row, "revoked", bob) is None


def test_an_end_deletes_a_visit_unless_somebody_has_signed_in_to_it(
    rows: Rows, inserted: Any, alice: User
):
    visit, other = (inserted(user=None, authenticated_at=None) for _ in range(2))
    assert rows.end(visit, "signed_out") is None
    assert not Session.objects.filter(pk=visit.pk).exists()
    # Which rotates the token.
    Session.objects.filter(pk=other.pk).update(user=alice, token_digest="f" * 64)
    assert rows.end(other, "signed_out") is None
    assert stored(other).is_active()


@pytest.mark.parametrize(
    ("reason", "changed", "is_ended"),
    [
        ("signed_out", {"token_digest": "f" * 64}, True),
        ("signed_out", {"user": None}, False),
        ("revoked", {"token_digest": "f" * 64}, False),
        ("revoked", {"version": 1}, True),
        ("password_changed", {"version": 1}, False),
        ("refresh_reused", {"token_digest": "f" * 64}, True),
        ("refresh_reused", {"refresh_started_at": None}, False),
    ],
)
def test_an_end_is_of_what_was_meant(
    rows: Rows, inserted: Any, clock: Clock, reason: str, changed: Columns, is_ended: bool
):
    row = inserted(refresh_started_at=clock.now())
    Session.objects.filter(pk=row.pk).update(**changed)
    assert (rows.end(row, reason) is not None) is is_ended
    assert (stored(row).ended_at is not None) is is_ended


@pytest.mark.skipif(connection.vendor != "mysql", reason="elsewhere only rows are locked")
@pytest.mark.parametrize("user", ["alice", None])
@pytest.mark.parametrize("reason", EndReason.values)
def test_an_end_locks_the_row_and_no_entry_of_another_index(
    rows: Rows, inserted: Any, alice: User, user: str | None, reason: str
):
    # Who has the row and is about to change that entry would deadlock with it.
    def end(row: Session) -> None:
        rows.end(row, reason)

    def end_in_a_batch(row: Session) -> None:
        mine: Any = Session.objects.filter(pk=row.pk)
        assert [batch.count for batch in in_batches([mine], reason=reason, actor=None)] == [1]

    for ending in (end, end_in_a_batch):
        row = inserted(user=alice if user else None, refresh_started_at=None)
        told = explained(partial(ending, row), "EXPLAIN")
        possible = [plan[0][4] for sql, plan in told if not sql.startswith("SELECT")]
        assert possible
        assert set(possible) <= {"PRIMARY", None}, told


def counted(stored: Any) -> tuple[Columns, str]:
    return {"session_data": str(len(stored.session_data)), "version": stored.version + 1}, "rest"


def test_a_merge_decides_by_the_row_as_it_is_now(rows: Rows, row: Session):
    Session.objects.filter(pk=row.pk).update(session_data="x" * 40, version=3)
    found = rows.merge(row, counted)
    assert found is not None
    before, columns, rest = found
    assert (before.version, columns, rest) == (3, {"session_data": "40", "version": 4}, "rest")
    assert (stored(row).session_data, stored(row).version) == ("40", 4)


def test_a_merge_that_writes_nothing_still_needs_the_row(rows: Rows, row: Session):
    assert rows.merge(row, lambda stored: ({}, None)) is not None
    rows.end(row, "revoked")
    assert rows.merge(row, lambda stored: ({}, None)) is None
    assert rows.merge(row, counted) is None
    assert stored(row).session_data == ""


def test_a_merge_decides_once_with_the_row_locked(
    rows: Rows, row: Session, statements: Callable[[], Any]
):
    calls = []

    def decide(now: Any) -> tuple[Columns, None]:
        calls.append((now.version, connection.in_atomic_block))
        return {"name": "laptop", "version": now.version + 1}, None

    Session.objects.filter(pk=row.pk).update(version=7)
    with statements() as executed:
        assert rows.merge(row, decide) is not None
    assert calls == [(7, True)]
    assert (stored(row).name, stored(row).version) == ("laptop", 8)
    # Where rows cannot be locked, a write takes the lock of the database before the row is read.
    found = [sql.split()[0] + (" FOR UPDATE" if "FOR UPDATE" in sql else "") for sql in executed]
    has_row_locks = connection.features.has_select_for_update
    read = ["SELECT FOR UPDATE"] if has_row_locks else ["UPDATE", "SELECT"]
    assert found == [*read, "UPDATE"]


def test_of_many_merges_at_once_none_is_lost(tmp_path: Path, settings: Any):
    settings.SESSIONS_PLUS_FAST_PATH = True
    with shared_database(tmp_path):
        rows = Rows(Session)
        row = Session(token_digest="a" * 64)
        row.expires_at = row.created_at + HOUR
        assert rows.insert(row)

        def add(stored: Any) -> tuple[Columns, None]:
            return {"session_data": stored.session_data + "x", "version": stored.version + 1}, None

        with racers(8) as racing:
            found = racing.run(*[lambda: rows.merge(row, add)] * 8)
        assert None not in found
        assert stored(row).session_data == "x" * 8


def test_rows_are_written_to_the_database_that_the_routers_name(settings):
    class Router:
        def db_for_write(self, model: Any, **hints: Any) -> str:
            return "other"

    assert Rows(Session).alias == "default"
    settings.DATABASE_ROUTERS = [Router()]
    assert Rows(Session).alias == "other"


def test_a_merge_brings_no_user_along_who_may_have_changed(rows: Rows, row: Session, alice: User):
    row.user = alice
    found = rows.merge(row, lambda stored: ({}, None))
    assert found is not None
    assert "user" not in found[0]._state.fields_cache
    assert found[0].user is not alice


def test_every_lookup_and_condition_is_checked_against_the_fast_path(
    monkeypatch: pytest.MonkeyPatch,
):
    checked: list[str] = []

    def note(model: Any, alias: str, lookups: Any, conditions: Any) -> None:
        checked.extend(lookup.__name__ for _, lookup in lookups)
        checked.extend(condition.__name__ for condition, _ in conditions)

    monkeypatch.setattr(compiled, "compilation_error", note)
    assert Rows(Session).compilation_error() is None
    parameters = {
        name: [*inspect.signature(each).parameters]
        for name, each in vars(Rows).items()
        if inspect.isfunction(each)
    }
    kinds = (["row", "now"], ["digest", "alias", "with_user"], ["session_id", "alias", "with_user"])
    assert sorted(checked) == sorted(n for n, found in parameters.items() if found[1:] in kinds)
