"""``manage.py sessions_lease``: what it makes, tells and removes, and what it says where it cannot."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.management.commands import sessions_lease
from django_sessions_plus.models import Session
from tests.custom.engine import DeviceSession

LEASED = "django_sessions_plus.backends.leased_db"
TABLE = Session._meta.db_table

pytestmark = [pytest.mark.django_db, pytest.mark.db_engine]
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL has such triggers"
)


@pytest.fixture(autouse=True)
def _leased(settings: Any) -> None:
    settings.SESSION_ENGINE = LEASED


def run(*arguments: str, **options: Any) -> tuple[str, str]:
    """Return what the command writes to standard output and to standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command("sessions_lease", *arguments, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.skipif(connection.vendor == "postgresql", reason="there they work")
@pytest.mark.parametrize("action", ["install", "status", "remove"])
def test_another_database_is_refused_with_what_to_do(action: str):
    with pytest.raises(CommandError, match=r"not PostgreSQL.*backends\.db") as caught:
        run(action)
    assert caught.value.returncode == 1


def test_a_channel_without_triggers_needs_none(settings: Any):
    settings.SESSIONS_PLUS_LEASE_CHANNEL = "process"
    assert "'process'" in run("status")[0]
    assert json.loads(run("status", json=True)[0]) == {"channel": "process"}
    with pytest.raises(CommandError, match="needs no triggers"):
        run("install")


def test_without_psycopg_3_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(triggers, "why_impossible", lambda alias: "psycopg 3 is not installed")
    with pytest.raises(CommandError, match=r"psycopg 3 is not installed.*pip install"):
        run("install")


def test_an_engine_of_others_is_refused(settings: Any):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with pytest.raises(CommandError, match=r"signed_cookies.*leased_db"):
        run("install")


@pytest.mark.parametrize("arguments", [(), ("begin",), ("install", "remove")])
def test_it_has_to_be_told_one_thing_to_do(arguments: tuple[str, ...]):
    with pytest.raises(CommandError):
        run(*arguments)


@on_postgresql
class TestOnPostgreSQL:
    def test_they_are_installed_once_and_removed_once(self):
        out, err = run("install")
        assert f"{TABLE}: installed" in out
        assert "auth_user: installed" in out
        assert ("nothing to do" in out, err) == (False, "")
        assert "nothing to do" in run("install")[0]
        assert "auth_user: missing" in run("remove")[0]
        assert "nothing to do" in run("remove")[0]

    def test_installing_again_takes_no_lock(self, monkeypatch: pytest.MonkeyPatch):
        """To drop a trigger, PostgreSQL waits for readers, and has others wait behind."""
        run("install")
        monkeypatch.setattr(triggers, "install", None)
        run("install")

    def test_it_can_be_quiet(self):
        assert run("install", verbosity=0) == run("status", verbosity=0) == ("", "")

    def test_status_fails_until_they_are_installed(self):
        with pytest.raises(CommandError, match="sessions_lease install") as caught:
            run("status")
        assert caught.value.returncode == 1
        run("install")
        out, _ = run("status")
        assert "installed" in out
        assert "Connections that listen: 0. Queue of notifications:" in out
        assert "it alone knows" in out

    @pytest.mark.parametrize(
        ("statement", "state"),
        [
            ("ALTER TABLE auth_user DISABLE TRIGGER {}", "disabled"),
            ("ALTER TRIGGER {} ON auth_user RENAME TO sessions_lease_update_0", "outdated"),
            ("DROP TRIGGER {} ON auth_user", "outdated"),
        ],
    )
    def test_status_tells_what_is_wrong_and_install_mends_it(self, statement: str, state: str):
        run("install")
        sql(statement.format(triggers.tables_of(Session)[1].triggers["update"]))
        out = io.StringIO()
        with pytest.raises(CommandError):
            call_command("sessions_lease", "status", stdout=out)
        assert f"auth_user: {state}" in out.getvalue()
        run("install")
        run("status")

    def test_programs_are_told_the_same(self):
        tables = {TABLE: "installed", "auth_user": "installed"}
        told = {"database": "default", "tables": tables, "changed": True}
        assert json.loads(run("install", "--json")[0]) == told
        status = json.loads(run("status", "--json")[0])
        # One queue of the whole server, which others fill and empty.
        assert 0 <= status.pop("queue") < 1
        assert status == {
            "channel": "database",
            "database": "default",
            "tables": tables,
            "has_users": True,
            "listening": 0,
        }
        gone = dict.fromkeys(tables, "missing")
        assert json.loads(run("remove", "--json")[0]) == {**told, "tables": gone}
        out = io.StringIO()
        with pytest.raises(CommandError):
            call_command("sessions_lease", "status", "--json", stdout=out)
        assert json.loads(out.getvalue())["tables"] == gone

    def test_a_queue_that_fills_up_is_told_of(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(sessions_lease, "_of_server", lambda alias: (1200, 0.1))
        run("install")
        out, _ = run("status")
        assert "listen: 1,200. Queue of notifications: 10% full." in out
        assert "pg_stat_activity" in out

    def test_users_in_another_database_are_told_of(self, settings: Any):
        settings.DATABASE_ROUTERS = [UsersElsewhere()]
        run("install")
        assert "Users are in another database" in run("status")[0]

    def test_an_engine_without_leases_is_installed_for_with_a_warning(self, settings: Any):
        settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
        out, err = run("install")
        assert "auth_user: installed" in out
        assert LEASED in err

    def test_the_model_of_the_engine_is_meant(self, settings: Any):
        settings.SESSION_ENGINE = "tests.custom.engine"
        assert f"{DeviceSession._meta.db_table}: installed" in run("install")[0]
        assert TABLE not in run("status")[0]

    def test_tables_that_are_not_made_yet_are_told_of(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(Session._meta, "db_table", "not_made_yet")
        with pytest.raises(CommandError, match=r"not_made_yet.*migrate"):
            run("install")
        assert f"not_made_yet: {triggers.NO_TABLE}" in run("remove")[0]

    def test_a_role_that_may_not_is_told_of(self):
        sql("SET LOCAL ROLE pg_monitor")
        with pytest.raises(CommandError, match=r"role that owns.*Nothing was changed"):
            run("install")
        sql("RESET ROLE")
        assert set(triggers.states(Session, "default").values()) == {"missing"}

    def test_it_does_not_wait_long_for_a_table(
        self, monkeypatch: pytest.MonkeyPatch, held: Callable[[], None]
    ):
        monkeypatch.setattr(triggers, "_LOCK_TIMEOUT", 0.01)
        held()
        with pytest.raises(CommandError, match="Another transaction holds a table"):
            run("install")


@pytest.fixture
def held() -> Iterator[Callable[[], None]]:
    """Have another transaction write to the table."""
    other: Any = connection.copy()
    other.set_autocommit(False)

    def hold() -> None:
        with other.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {TABLE} IN ROW EXCLUSIVE MODE")

    yield hold
    other.rollback()
    other.close()


class UsersElsewhere:
    """A router that keeps users in another database than sessions."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "other" if model._meta.label == "auth.User" else None

    db_for_write = db_for_read
