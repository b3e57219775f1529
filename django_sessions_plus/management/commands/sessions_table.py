"""``manage.py sessions_table``: how PostgreSQL stores and vacuums the session table, and settings for it that suit it.

They are storage parameters of the table, and of each partition: PostgreSQL has none for a partitioned table itself.
ALTER TABLE takes a lock for them (SHARE UPDATE EXCLUSIVE) beside which requests read and write.

Sources: PostgreSQL 15, "CREATE TABLE", storage parameters; "ALTER TABLE", SET; chapters 20.10, "Automatic Vacuuming",
25.1.6, "The Autovacuum Daemon", and 73.7, "Heap-Only Tuples (HOT)".
"""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections, router, transaction

from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.management.progress import add_json, write_json

PARAMETERS = {
    # Room in each page for the next version of a row, so that a touch, which changes no indexed column, stays in its
    # page and writes no index.
    "fillfactor": "90",
    # A purge leaves as many dead rows as it deletes, and the purge's search steps over each of them until the
    # vacuum. With the default of 0.2 that may be a fifth of the table.
    "autovacuum_vacuum_scale_factor": "0.02",
    # The purge goes by ranges of the expiry, whose statistics are old after each day of touches.
    "autovacuum_analyze_scale_factor": "0.02",
    # In pages and their costs, per pause of 2 ms. With the default of 200 the vacuum of a table with six indexes
    # takes many times as long, and the next is due before it ends.
    "autovacuum_vacuum_cost_limit": "1000",
}
"""The storage parameters that ``tune`` sets, as PostgreSQL shows them."""

_TABLES = """
WITH RECURSIVE tree AS (
    SELECT to_regclass(%s)::oid AS oid
    UNION ALL
    SELECT inhrelid FROM pg_catalog.pg_inherits JOIN tree ON inhparent = tree.oid
)
SELECT c.oid::regclass::text, c.reloptions, s.n_tup_upd, s.n_tup_hot_upd, s.n_live_tup, s.n_dead_tup,
    greatest(s.last_autovacuum, s.last_vacuum), pg_catalog.pg_total_relation_size(c.oid)
FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid
LEFT JOIN pg_catalog.pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relkind = 'r' ORDER BY 1
"""


@dataclass(frozen=True)
class Table:
    """What PostgreSQL knows of the table, or of one partition. Numbers of rows are its estimates."""

    name: str
    """Quoted, and with its schema where that is needed."""
    parameters: dict[str, str]
    """Its own storage parameters; one that is not among them is the server's."""
    updates: int
    """Rows updated since the server's statistics were reset."""
    hot_updates: int
    """How many of these wrote no index."""
    live_rows: int
    dead_rows: int
    vacuumed_at: datetime | None
    """The end of the last vacuum, by the server or by hand; None if there was none."""
    bytes: int
    """The size on disk, with indexes."""


class Command(BaseCommand):
    """Show how the session table is stored and vacuumed, tune that, or undo it."""

    help = (
        "Show how PostgreSQL stores and vacuums the table of the configured engine's sessions, or each of its"
        " partitions; 'tune' sets storage parameters for a large table, 'reset' removes them. Requests do not wait."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the action, the database, and the option for its output."""
        parser.add_argument(
            "action",
            choices=["status", "tune", "reset"],
            help="'tune' leaves parameters that have another value, 'reset' removes only those that 'tune' sets",
        )
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            choices=[*connections],
            help="the database of the table (default: the one that sessions are written to)",
        )
        add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and print the state of each table.

        Raises:
            CommandError: the engine is not ours, the database is not PostgreSQL, has no such table, or refused.
        """
        model = _model()
        alias = options["database"] or router.db_for_write(model)
        if connections[alias].vendor != "postgresql":
            raise CommandError(
                f"The database {alias!r} is {connections[alias].display_name}, which has no such parameters for a"
                " table. There is nothing to tune."
            )
        try:
            with transaction.atomic(using=alias):
                is_changed = _change(model, alias, options["action"])
                found = tables(model, alias)
        except DatabaseError as exc:
            raise CommandError(
                f"The database {alias!r} refused: {str(exc).strip()}"
                " The command has to run as the role that owns the table. Nothing was changed."
            ) from exc
        if options["json"]:
            report = [_as_json(table) for table in found]
            write_json(self.stdout, database=alias, tables=report, changed=is_changed)
        elif options["verbosity"]:
            self._write(found)
            if options["action"] != "status" and not is_changed:
                self.stdout.write("There was nothing to do.")

    def _write(self, found: list[Table]) -> None:
        for table in found:
            share = f"{table.hot_updates / table.updates:.0%}" if table.updates else "none"
            vacuumed = (
                "never" if table.vacuumed_at is None else f"{table.vacuumed_at:%Y-%m-%d %H:%M}"
            )
            self.stdout.write(
                f"{table.name}: {table.bytes / 2**20:,.1f} MiB with indexes, about {table.live_rows:,} rows and"
                f" {table.dead_rows:,} dead ones, last vacuum {vacuumed}. Updates that wrote no index (HOT):"
                f" {share} of {table.updates:,}."
            )
            for name, value in PARAMETERS.items():
                own = table.parameters.get(name)
                state = f"the server's; advised: {value}" if own is None else own
                if own not in (None, value):
                    state += f" (your own value; advised: {value})"
                self.stdout.write(f"  {name}: {state}")


def tables(model: Any, alias: str) -> list[Table]:
    """Return the table of the sessions, or its partitions, by name.

    Raises:
        CommandError: the database has no such table.
        DatabaseError: the database refused.
    """
    # With multi-table inheritance, the parent's table is the one that is touched.
    owner = model._meta.get_field("last_seen_at").model
    name = connections[alias].ops.quote_name(owner._meta.db_table)
    with connections[alias].cursor() as cursor:
        cursor.execute(_TABLES, [name])
        rows = cursor.fetchall()
    if not rows:
        raise CommandError(
            f"The database {alias!r} has no table {name}. Run 'manage.py migrate' first, or name its database"
            " with --database."
        )
    return [_table(*row) for row in rows]


def _change(model: Any, alias: str, action: str) -> bool:
    """Set or remove the parameters where that is needed; return whether any was changed."""
    is_changed = False
    for table in tables(model, alias) if action != "status" else ():
        if action == "tune":
            change = [
                f"{name} = {PARAMETERS[name]}"
                for name in PARAMETERS
                if name not in table.parameters
            ]
        else:
            change = [
                name for name, value in PARAMETERS.items() if table.parameters.get(name) == value
            ]
        if change:
            verb = "SET" if action == "tune" else "RESET"
            with connections[alias].cursor() as cursor:
                cursor.execute(f"ALTER TABLE {table.name} {verb} ({', '.join(change)})")
            is_changed = True
    return is_changed


def _table(name: str, parameters: list[str] | None, *figures: Any) -> Table:
    updates, hot, live, dead, vacuumed_at, size = figures
    own = dict(each.split("=", 1) for each in parameters or ())
    return Table(name, own, updates or 0, hot or 0, live or 0, dead or 0, vacuumed_at, size)


def _as_json(table: Table) -> dict[str, Any]:
    vacuumed_at = table.vacuumed_at and table.vacuumed_at.isoformat()
    return {**asdict(table), "vacuumed_at": vacuumed_at}


def _model() -> Any:
    store = own_engine()
    if store is None:
        raise CommandError(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, whose rows are not ours. Set it to an engine of this"
            " package, such as 'django_sessions_plus.backends.db'."
        )
    return store.get_model_class()
