"""How many rows a command would concern, where the database takes long to count them. What is ended has no bound."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from django_sessions_plus import sessions
from django_sessions_plus.bulk import purging
from django_sessions_plus.bulk.time_limit import TimeIsUpError
from django_sessions_plus.management import counting
from django_sessions_plus.management.counting import Counted, count_in_time, total_in_time
from django_sessions_plus.models import Session

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    user = User.objects.create_user("ada")
    for _ in range(3):
        sessions.start(user)
    return user


@pytest.fixture(autouse=True)
def _little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "FEW", 2)
    if connection.vendor == "postgresql":
        # There, the database itself stops them.
        for name in ("SECONDS", "LAST_SECONDS", "SECONDS_TO_COUNT"):
            monkeypatch.setattr(counting, name, 0.01)


@contextmanager
def slow(is_slow: Callable[[str], bool] = lambda sql: True) -> Iterator[None]:
    """Have the counts take ten minutes of which this is true; where nothing sleeps, have them stopped."""

    def execute(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "COUNT(" in sql and is_slow(sql):
            if connection.vendor != "postgresql":
                raise TimeIsUpError
            sql, params = "SELECT pg_sleep(600)", None
        return execute(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield


def is_whole(sql: str) -> bool:
    return f"LIMIT {purging.MAX_COUNT}" in sql


def run(*command: str) -> str:
    out = io.StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("ada")
def test_what_can_be_counted_in_time_is_exact(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(counting, "SECONDS", 60.0)
    monkeypatch.setattr(counting, "SECONDS_TO_COUNT", 60.0)
    rows = Session.objects.order_by()
    assert count_in_time(rows) == (3, True)
    assert total_in_time(rows) == 3
    monkeypatch.setattr(purging, "MAX_COUNT", 3)
    assert count_in_time(rows) == (3, False)
    assert total_in_time(rows) is None


@pytest.mark.usefixtures("ada")
def test_where_that_takes_too_long_fewer_are_counted_and_otherwise_none(
    monkeypatch: pytest.MonkeyPatch,
):
    rows = Session.objects.order_by()
    with monkeypatch.context() as patch, slow(is_whole):
        patch.setattr(counting, "LAST_SECONDS", 60.0)
        assert count_in_time(rows) == (2, False)
        assert total_in_time(rows) is None
    with slow():
        assert count_in_time(rows) == (0, False)


@pytest.mark.usefixtures("ada")
def test_fewer_than_these_are_exact_after_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(counting, "FEW", 4)
    monkeypatch.setattr(counting, "LAST_SECONDS", 60.0)
    with slow(is_whole):
        assert count_in_time(Session.objects.order_by()) == (3, True)


@pytest.mark.parametrize(
    ("counted", "text"),
    [
        (Counted(1234, is_exact=True), "1,234"),
        (Counted(0, is_exact=True), "0"),
        (Counted(10_000, is_exact=False), "10,000 or more"),
        (Counted(0, is_exact=False), "an unknown number of"),
    ],
)
def test_a_count_says_whether_there_may_be_more(counted: Counted, text: str):
    assert str(counted) == text


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("whose", ["--user=ada", "--all"])
def test_a_dry_run_says_so_and_then_all_are_ended(whose: str, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch, slow(is_whole):
        patch.setattr(counting, "LAST_SECONDS", 60.0)
        text = run("revoke_sessions", whose, "--dry-run")
        figures = json.loads(run("revoke_sessions", whose, "--dry-run", "--json"))
        assert text == "To be ended: 2 or more sessions.\n"
        assert figures == {"dry_run": True, "sessions": 2, "is_exact": False}
        assert Session.objects.active().count() == 3
    with slow():
        assert run("revoke_sessions", whose, "--dry-run").startswith("To be ended: an unknown")
        assert "Ended 3 sessions" in run("revoke_sessions", whose, "--no-input")
    assert not Session.objects.active().exists()


@pytest.mark.usefixtures("ada")
def test_a_dry_purge_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(counting, "LAST_SECONDS", 60.0)
    Session.objects.update(expires_at="2020-01-01T00:00Z")
    with slow(is_whole):
        text = run("clearsessions", "--dry-run")
        figures = json.loads(run("clearsessions", "--dry-run", "--json"))
    assert "0 anonymous and 2 or more signed-in" in text
    assert "2 or more expired" in text
    assert (figures["signed_in"], figures["anonymous"], figures["is_exact"]) == (2, 0, False)
