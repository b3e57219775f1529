"""``manage.py sessions_table``: what it shows and sets on PostgreSQL, and what it says elsewhere."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from django_sessions_plus.management.commands.sessions_table import PARAMETERS
from django_sessions_plus.models import Session
from tests.custom.engine import DeviceSession

TABLE = Session._meta.db_table

pytestmark = [pytest.mark.django_db, pytest.mark.db_engine]
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL has such parameters"
)


class Elsewhere:
    """A router to a database that there is not."""

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "elsewhere"


def run(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("sessions_table", *arguments, stdout=out, **options)
    return out.getvalue()


def found(*arguments: str) -> dict[str, dict[str, str]]:
    """Return the storage parameters of each table, as the command shows them to programs."""
    tables = json.loads(run(*arguments, "--json"))["tables"]
    return {table["name"]: table["parameters"] for table in tables}


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.skipif(connection.vendor == "postgresql", reason="there they are")
@pytest.mark.parametrize("action", ["status", "tune", "reset"])
def test_another_database_has_nothing_to_tune(action: str):
    with pytest.raises(CommandError, match="nothing to tune"):
        run(action)


def test_an_engine_of_others_is_refused(settings: Any):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with pytest.raises(CommandError, match=r"signed_cookies.*backends\.db"):
        run("status")


def test_a_database_that_is_not_configured_is_refused():
    with pytest.raises(CommandError, match="invalid choice: 'archive'"):
        call_command("sessions_table", "status", "--database", "archive")


@on_postgresql
class TestOnPostgreSQL:
    def test_what_is_set_can_be_removed(self):
        assert found("status") == {TABLE: {}}
        assert found("tune") == {TABLE: PARAMETERS}
        assert "There was nothing to do" in run("tune")
        assert found("reset") == {TABLE: {}}
        assert "There was nothing to do" in run("reset")

    def test_values_of_the_administrator_stay(self):
        own = {"fillfactor": "70", "autovacuum_enabled": "true"}
        sql(f"ALTER TABLE {TABLE} SET (fillfactor = 70, autovacuum_enabled = true)")
        assert found("tune") == {TABLE: PARAMETERS | own}
        assert "fillfactor: 70 (your own value; advised: 90)" in run("status")
        assert found("reset") == {TABLE: own}

    def test_it_shows_a_table_that_nobody_has_used_or_tuned(self, monkeypatch: pytest.MonkeyPatch):
        sql(f"CREATE TABLE unused (LIKE {TABLE})")
        monkeypatch.setattr(Session._meta, "db_table", "unused")
        shown = run("status")
        assert (
            "unused: 0.0 MiB with indexes, about 0 rows and 0 dead ones, last vacuum never" in shown
        )
        assert "(HOT): none of 0." in shown
        assert "fillfactor: the server's; advised: 90" in shown

    def test_parameters_are_those_of_each_partition(self, monkeypatch: pytest.MonkeyPatch):
        sql(f"CREATE TABLE parts (LIKE {TABLE}) PARTITION BY RANGE (token_digest)")
        sql(
            "CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('8')"
            " PARTITION BY RANGE (token_digest)"
        )
        sql("CREATE TABLE parts_a_a PARTITION OF parts_a FOR VALUES FROM (MINVALUE) TO ('4')")
        sql("CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM ('8') TO (MAXVALUE)")
        monkeypatch.setattr(Session._meta, "db_table", "parts")
        assert found("tune") == {"parts_a_a": PARAMETERS, "parts_b": PARAMETERS}
        sql("CREATE TABLE parts_a_b PARTITION OF parts_a FOR VALUES FROM ('4') TO ('8')")
        assert found("status")["parts_a_b"] == {}
        assert found("tune").keys() == {"parts_a_a", "parts_a_b", "parts_b"}
        assert found("reset") == {"parts_a_a": {}, "parts_a_b": {}, "parts_b": {}}

    def test_a_table_in_another_schema_is_found(self, monkeypatch: pytest.MonkeyPatch):
        sql('CREATE SCHEMA "Other"')
        sql(f'CREATE TABLE "Other"."Sessions" (LIKE {TABLE})')
        monkeypatch.setattr(Session._meta, "db_table", '"Other"."Sessions"')
        assert found("tune") == {'"Other"."Sessions"': PARAMETERS}

    def test_the_model_of_the_engine_is_meant(self, settings: Any):
        settings.SESSION_ENGINE = "tests.custom.engine"
        assert found("tune") == {DeviceSession._meta.db_table: PARAMETERS}

    def test_a_name_that_needs_quotes_is_found(self, monkeypatch: pytest.MonkeyPatch):
        sql(f'CREATE TABLE "Mixed" (LIKE {TABLE})')
        monkeypatch.setattr(Session._meta, "db_table", "Mixed")
        assert found("tune") == {'"Mixed"': PARAMETERS}

    def test_the_named_database_is_meant_and_not_the_routers(self, settings: Any):
        settings.DATABASE_ROUTERS = [Elsewhere()]
        assert json.loads(run("status", "--json", "--database", "default"))["database"] == "default"

    def test_a_table_that_is_not_made_yet_is_told_of(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(Session._meta, "db_table", "not_made_yet")
        with pytest.raises(CommandError, match=r"not_made_yet.*migrate"):
            run("status")

    def test_a_role_that_may_not_is_told_of(self):
        sql("SET LOCAL ROLE pg_monitor")
        with pytest.raises(CommandError, match=r"role that owns.*Nothing was changed"):
            run("tune")
        sql("RESET ROLE")
        assert found("status") == {TABLE: {}}

    def test_it_can_be_quiet(self):
        assert run("tune", verbosity=0) == run("status", verbosity=0) == ""


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_updates_that_wrote_no_index_are_counted():
    now = timezone.now()
    Session.objects.create(token_digest="a" * 64, expires_at=now)
    Session.objects.update(last_seen_at=now)
    # The statistics of a connection are sent when it ends, at the latest.
    connection.close()
    [table] = json.loads(run("status", "--json"))["tables"]
    assert 1 <= table["hot_updates"] <= table["updates"]
    assert f"% of {table['updates']:,}" in run("status")
