"""The migration operation that makes the triggers: forwards, backwards, as SQL, and where it does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection, migrations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter

from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.backends.leasing.operations import InstallLeaseTriggers
from django_sessions_plus.models import Session

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="elsewhere it does nothing"
)

NAME = ("leasing", "0001_install_lease_triggers")


class Migration(migrations.Migration):
    """As a project writes it."""

    dependencies = [("django_sessions_plus", "0001_initial"), ("auth", "0001_initial")]
    operations = [InstallLeaseTriggers()]


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[Any]:
    """An executor that knows of the migration; it is not applied when the test is over."""
    executor = MigrationExecutor(connection)
    migration = Migration(NAME[1], NAME[0])
    executor.loader.graph.add_node(NAME, migration)
    for parent in Migration.dependencies:
        executor.loader.graph.add_dependency(migration, NAME, parent)
    yield executor
    MigrationRecorder(connection).record_unapplied(*NAME)
    if connection.vendor == "postgresql":
        triggers.remove(Session, "default")


def run(action: str, *, collect_sql: bool = False) -> list[str]:
    state = ProjectState.from_apps(apps)
    with connection.schema_editor(collect_sql=collect_sql) as editor:
        getattr(InstallLeaseTriggers(), f"database_{action}")("leasing", editor, state, state)
        return editor.collected_sql if collect_sql else []


def states() -> set[str]:
    return set(triggers.states(Session, "default").values())


@on_postgresql
def test_a_migration_installs_them_and_takes_them_back(executor: Any):
    assert states() == {triggers.MISSING}
    executor.migrate([NAME])
    assert states() == {triggers.INSTALLED}
    executor.loader.applied_migrations[NAME] = Migration(NAME[1], NAME[0])
    executor.migrate([(NAME[0], None)])
    assert states() == {triggers.MISSING}


@on_postgresql
@pytest.mark.django_db
def test_it_may_run_again_for_those_of_another_version():
    run("forwards")
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TRIGGER {} ON auth_user RENAME TO sessions_lease_update_0".format(
                triggers.tables_of(Session)[1].triggers["update"]
            )
        )
    assert states() == {triggers.INSTALLED, triggers.OUTDATED}
    run("forwards")
    assert states() == {triggers.INSTALLED}
    run("backwards")
    assert states() == {triggers.MISSING}


@on_postgresql
@pytest.mark.django_db
def test_its_sql_can_be_read_and_does_the_same():
    with connection.cursor() as cursor:
        for statement in run("forwards", collect_sql=True):
            cursor.execute(statement)
    assert states() == {triggers.INSTALLED}
    with connection.cursor() as cursor:
        for statement in run("backwards", collect_sql=True):
            cursor.execute(statement)
    assert states() == {triggers.MISSING}


class SessionsElsewhere:
    """A router that keeps sessions out of this database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label != "django_sessions_plus"


@pytest.mark.django_db(transaction=True)
def test_it_does_nothing_where_the_sessions_are_not(settings: Any):
    settings.DATABASE_ROUTERS = [SessionsElsewhere()]
    assert run("forwards", collect_sql=True) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "postgresql", reason="there it does something")
def test_on_another_database_it_does_nothing():
    assert run("forwards", collect_sql=True) == run("backwards", collect_sql=True) == []


def test_it_says_what_it_is_and_can_be_written():
    operation = InstallLeaseTriggers("shop.ShopSession")
    assert operation.describe() == "Install the lease triggers of shop.ShopSession"
    assert operation.migration_name_fragment == "install_lease_triggers"
    assert operation.reversible
    migration = Migration(NAME[1], NAME[0])
    migration.operations = [operation]
    written = MigrationWriter(migration).as_string()
    assert "operations.InstallLeaseTriggers(\n            model='shop.ShopSession'" in written
    assert "import django_sessions_plus.backends.leasing.operations" in written


def test_models_do_not_know_of_it():
    state = ProjectState.from_apps(apps)
    before = state.clone()
    InstallLeaseTriggers().state_forwards("leasing", state)
    assert state == before


@pytest.mark.django_db
def test_the_tables_of_a_migration_s_models_are_those_of_the_models():
    model = ProjectState.from_apps(apps).apps.get_model("django_sessions_plus", "Session")
    assert triggers.tables_of(model) == triggers.tables_of(Session)
    assert model.user.field.related_model is not User
