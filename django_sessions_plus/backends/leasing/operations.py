"""A migration operation that makes the triggers, for projects whose databases are only changed by migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from django_sessions_plus.backends.leasing.triggers import (
    Table,
    install_sql,
    remove_sql,
    tables_of,
)


class InstallLeaseTriggers(Operation):
    """Make the triggers by which PostgreSQL announces ended sessions; on another database do nothing.

    ``model`` is the label of the session model. The migration has to depend on one that makes its table, and on one
    that makes the table of users. Backwards it removes the triggers.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, model: str = "django_sessions_plus.Session") -> None:
        self.model = model

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: models do not know of triggers."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """Make the triggers, in place of those of another version of this package."""
        self._run(schema_editor, to_state, install_sql)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """Remove the triggers."""
        self._run(schema_editor, to_state, remove_sql)

    def describe(self) -> str:
        """Return what ``migrate --plan`` says of it."""
        return f"Install the lease triggers of {self.model}"

    @property
    def migration_name_fragment(self) -> str:
        """What ``makemigrations`` calls a migration with it."""
        return "install_lease_triggers"

    def _run(
        self,
        schema_editor: BaseDatabaseSchemaEditor,
        state: Any,
        statements: Callable[[Table], Iterator[str]],
    ) -> None:
        model = state.apps.get_model(self.model)
        alias = schema_editor.connection.alias
        if schema_editor.connection.vendor != "postgresql":
            return
        if not self.allow_migrate_model(alias, model):
            return
        for table in tables_of(model):
            for sql in statements(table):
                # Without parameters, so that a percent sign stands for itself.
                schema_editor.execute(sql, params=None)
