"""The commands for programs: figures as JSON, and what would be done without doing it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError

from django_sessions_plus.bulk import purging
from django_sessions_plus.models import Session
from tests.backends.cached import TestedCache
from tests.test_commands import DAY, Terminal, ada, cached, run, store  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db


def figures(*arguments: str, **options: Any) -> dict[str, Any]:
    """Return what a command writes, which has to be one JSON object also on a terminal."""
    found: dict[str, Any] = json.loads(run(*arguments, "--json", out=Terminal(), **options))
    return found


def test_a_purge_tells_its_figures(ada: User):  # noqa: F811
    store(25, age=DAY)
    store(5, ada, age=40 * DAY)
    store(3, ada)
    found = figures("clearsessions", verbosity=0)
    assert found.pop("elapsed") >= found.pop("longest") >= 0
    assert found.pop("batches") >= 2
    known = {"dry_run": False, "deleted": 30, "anonymous": 25, "signed_in": 5, "is_finished": True}
    assert known.items() <= found.items()


def test_a_dry_purge_tells_what_it_would_delete(ada: User, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    store(25, age=DAY)
    store(5, ada, age=40 * DAY)
    found = figures("clearsessions", "--dry-run")
    assert {
        "dry_run": True,
        "anonymous": 25,
        "signed_in": 5,
        "is_exact": True,
    }.items() <= found.items()
    monkeypatch.setattr(purging, "MAX_COUNT", 20)
    found = figures("clearsessions", "--dry-run")
    assert (found["anonymous"], found["is_exact"]) == (20, False)
    assert Session.objects.count() == 30


def test_another_engine_has_no_figures(settings: Any):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with pytest.raises(CommandError, match=r"--json cannot apply"):
        run("clearsessions", "--json")


def test_ending_tells_its_figures(ada: User):  # noqa: F811
    store(12, ada)
    found = figures("revoke_sessions", "--user=ada", verbosity=0)
    assert found.pop("elapsed") >= 0
    assert found == {
        "dry_run": False,
        "ended": 12,
        "is_finished": True,
        "settled": True,
        "within": None,
    }


def test_ending_tells_that_the_cache_could_not_be_told(ada: User, cached: type[TestedCache]):  # noqa: F811
    store(2, ada)
    cached.is_down = True
    out = io.StringIO()
    with pytest.raises(CommandError, match="65 seconds") as caught:
        run("revoke_sessions", "--user=ada", "--json", out=out)
    assert caught.value.returncode == 1
    found = json.loads(out.getvalue())
    assert (found["ended"], found["settled"], found["within"]) == (2, False, 65)


@pytest.mark.parametrize("whose", [("--user=ada",), ("--all",)])
def test_dry_it_ends_nothing_and_asks_nothing(
    ada: User,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    whose: tuple[str, ...],
):
    store(12, ada)
    store(3, ada, age=DAY)
    store(4)
    assert run("revoke_sessions", *whose, "--dry-run") == "To be ended: 12 sessions.\n"
    expected = {"dry_run": True, "sessions": 12, "is_exact": True}
    assert figures("revoke_sessions", *whose, "--dry-run") == expected
    monkeypatch.setattr(purging, "MAX_COUNT", 10)
    assert run("revoke_sessions", *whose, "--dry-run") == "To be ended: 10 or more sessions.\n"
    assert figures("revoke_sessions", *whose, "--dry-run")["is_exact"] is False
    assert Session.objects.active().for_user(ada).count() == 12


def test_a_question_is_not_mixed_with_figures(ada: User):  # noqa: F811
    store(1, ada)
    with pytest.raises(CommandError, match="--no-input"):
        run("revoke_sessions", "--all", "--json")
    assert Session.objects.active().exists()
    assert figures("revoke_sessions", "--all", "--no-input")["ended"] == 1
