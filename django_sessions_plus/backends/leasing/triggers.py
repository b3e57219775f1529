"""The triggers by which PostgreSQL announces that a session or a user has changed.

The announcement is part of the transaction: whoever ends a session, by this package, the admin, raw SQL or a cascade,
cannot commit without it. Not announced are touches, nor data that is not kept, because no decision depends on them.
Rows that nobody can use any more are deleted in silence, as the purge does. Of a user, ``last_login`` is announced too:
a request that saves an earlier one would make a spent link for a new password valid again.

The function of a trigger compares the rows without naming their columns. PostgreSQL refuses to change the type of a
column that a trigger names, so every migration that does would fail; and columns that are added later are announced as
well. If one that the function does name is gone, it announces everything instead of failing the statement.

TRUNCATE announces everything. The triggers are ``ENABLE ALWAYS``, so that
``session_replication_role = replica`` does not silence them. DETACH and DROP of a partition, and ALTER TABLE that
rewrites a column, announce nothing; then the age of a snapshot is the bound. PostgreSQL refuses PREPARE TRANSACTION
after an announcement.

Longer than other modules, because what makes the triggers and what asks for them have to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections, router, transaction
from django.db.backends.utils import names_digest

from django_sessions_plus.backends.leasing.channels import UnheardError
from django_sessions_plus.backends.leasing.memory import LONGEST
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import ConfigurationError

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

CHANNEL = "django_sessions_plus"
"""The channel of LISTEN and NOTIFY."""
PREFIX = "sessions_lease"
"""What the names of all triggers and functions begin with."""

_SILENT, _SILENT_WITHOUT_DATA = ("updated_at", "last_seen_at"), ("session_data", "version")

INSTALLED, OUTDATED, DISABLED, MISSING = "installed", "outdated", "disabled", "missing"
NO_TABLE = "no table"
"""The states of a table's triggers; ``OUTDATED`` are those of another version of this package."""

# Those of the tables, and of their partitions, each of which has triggers that can be disabled by themselves.
_OF_TABLES = (
    "(tgrelid = ANY(%(tables)s::regclass[]) OR tgrelid IN"
    " (SELECT inhrelid FROM pg_inherits WHERE inhparent = ANY(%(tables)s::regclass[])))"
)

# What the connections of django-tenants and django-pgschemas have.
_OF_SCHEMAS = ("set_tenant", "_handle_search_path")

# In seconds: how long statements of requests wait behind the installation, which waits for a long transaction.
_LOCK_TIMEOUT = 5


@dataclass(frozen=True)
class Table:
    """A table whose changes are announced."""

    name: str
    """Quoted, as all names below."""
    kind: str
    """What an announcement begins with: ``s`` for sessions, ``u`` for users, ``*`` for all there are."""
    key: str
    """The column of the primary key."""
    silent: tuple[str, ...]
    """The columns whose changes are not announced."""
    condition: str
    """The condition that a row has to meet for its changes to be announced; empty if there is none."""

    @property
    def function(self) -> str:
        """The name of the function that its triggers run."""
        return f"{PREFIX}_{names_digest(self.name, length=8)}"

    @property
    def body(self) -> str:
        """The body of that function."""
        emptied = " ".join(
            f"before.{column} := NULL; after.{column} := NULL;" for column in self.silent
        )
        # concat() writes a key as clients read it; a cast to text would take the spaces from one of type char(n).
        key = "'*'" if self.kind == "*" else f"pg_catalog.concat('{self.kind} ', OLD.{self.key})"
        notify = f"PERFORM pg_catalog.pg_notify('{CHANNEL}',"
        # *= compares what is stored, and so needs no operator of the columns' types, which json does not have.
        # PostgreSQL fails a statement that announces more than 8,000 bytes, and a user may have chosen the key.
        return (
            "DECLARE before record; after record; what text; BEGIN"
            f" IF TG_OP = 'TRUNCATE' THEN {notify} '*'); RETURN NULL; END IF;"
            f" IF TG_OP = 'UPDATE' THEN before := OLD; after := NEW; {emptied}"
            " IF before OPERATOR(pg_catalog.*=) after THEN RETURN NULL; END IF; END IF;"
            f" what := {key}; IF pg_catalog.octet_length(what) > {LONGEST} THEN what := '*'; END IF;"
            f" {notify} what); RETURN NULL;"
            f" EXCEPTION WHEN undefined_column THEN {notify} '*'); RETURN NULL; END"
        )

    @property
    def triggers(self) -> dict[str, str]:
        """The names of its triggers by what they are for.

        They end with a digest of what they do, so that outdated ones are found.
        """
        version = names_digest(self.body, self.condition, length=8)
        return {each: f"{PREFIX}_{each}_{version}" for each in ("update", "delete", "truncate")}


def silent_fields() -> tuple[str, ...]:
    """Return the fields of a session of whose changes nobody is told; ``SESSIONS_PLUS_LEASE_DATA`` decides."""
    return _SILENT if config.LEASE_DATA else (*_SILENT_WITHOUT_DATA, *_SILENT)


def tables_of(model: type[AbstractSession]) -> list[Table]:
    """Return the table of the sessions, and those of their users unless they are in another database.

    With multi-table inheritance, all of these. ``model`` may be one of a migration's state.
    """
    users: Any = model._meta.get_field("user").related_model
    found = [*_tables(model, "s", silent_fields())]
    # A router may name another database for reading each time.
    if router.db_for_write(model) in (router.db_for_write(users), router.db_for_read(users)):
        found += _tables(users, "u", ())
    return found


def _tables(model: Any, kind: str, silent: Sequence[str]) -> Iterator[Table]:
    concrete = model._meta.concrete_model
    with_its_key = {concrete}
    link = concrete._meta.pk.remote_field
    while link is not None and link.parent_link:
        with_its_key.add(link.model)
        link = link.model._meta.pk.remote_field
    for owner in (concrete, *concrete._meta.all_parents):
        # Another parent's rows have keys of their own.
        yield _table(owner, kind if owner in with_its_key else "*", silent)


def _table(owner: Any, kind: str, silent: Sequence[str]) -> Table:
    columns = {field.name: _quote(field.column) for field in owner._meta.local_concrete_fields}
    condition = ""
    if kind == "s" and {"ended_at", "expires_at"} <= columns.keys():
        # Nobody keeps others in memory. An hour, because clocks differ.
        condition = (
            f"OLD.{columns['ended_at']} IS NULL"
            f" AND OLD.{columns['expires_at']} > now() - interval '1 hour'"
        )
    return Table(
        _quote(owner._meta.db_table),
        kind,
        _quote(owner._meta.pk.column),
        tuple(columns[name] for name in silent if name in columns),
        condition,
    )


def _quote(name: str) -> str:
    # As Django's PostgreSQL backend does, without a connection.
    return name if name.startswith('"') and name.endswith('"') else f'"{name}"'


def why_impossible(alias: str) -> str | None:
    """Return why the database ``alias`` cannot announce what has ended; None if it can."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return f"the database {alias!r} is not PostgreSQL"
    if not hasattr(getattr(connection, "Database", None), "AsyncConnection"):
        return "psycopg 3 is not installed"
    return why_shared(alias)


def why_shared(alias: str) -> str | None:
    """Return why a session in the database ``alias`` may be another one by the next request; None if it may not."""
    if any(hasattr(connections[alias], name) for name in _OF_SCHEMAS):
        # A session of one tenant would be found in memory by another.
        return f"the database {alias!r} has a schema for each tenant"
    return None


def install_sql(table: Table) -> Iterator[str]:
    """Yield the statements that make the triggers of a table, in place of those that it has from this package."""
    yield from remove_sql(table)
    function, name, names = table.function, table.name, table.triggers
    yield (
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $body$ {table.body} $body$"
    )
    # Whoever may create functions could have made one of this name, and would remain the owner of what all writers run.
    yield f"ALTER FUNCTION {function}() OWNER TO CURRENT_USER"
    when = f" WHEN ({table.condition})" if table.condition else ""
    for trigger, event in (
        (names["update"], f"UPDATE ON {name} FOR EACH ROW{when}"),
        (names["delete"], f"DELETE ON {name} FOR EACH ROW{when}"),
        (names["truncate"], f"TRUNCATE ON {name} FOR EACH STATEMENT"),
    ):
        yield f"CREATE TRIGGER {trigger} AFTER {event} EXECUTE FUNCTION {function}()"
        yield f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER {trigger}"


def remove_sql(table: Table) -> Iterator[str]:
    """Yield the statement that removes the triggers of a table and their function, of any version of this package."""
    text = table.name.replace("'", "''")
    yield (
        "DO $body$ DECLARE found record; BEGIN FOR found IN"  # noqa: S608 - the name of a table, quoted
        " SELECT tgname, tgfoid, tgrelid::regclass AS home, tgfoid::regprocedure AS function FROM pg_trigger"
        f" WHERE tgrelid = to_regclass('{text}') AND tgname LIKE '{PREFIX}\\_%' AND NOT tgisinternal"
        " LOOP EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, found.home);"
        " IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = found.tgfoid)"
        " THEN EXECUTE format('DROP FUNCTION %s', found.function); END IF; END LOOP; END $body$"
    )


def install(model: type[AbstractSession], alias: str) -> None:
    """Make the triggers of all tables, in one transaction. Writers wait meanwhile.

    Raises:
        ConfigurationError: the database cannot announce anything.
        DatabaseError: the user of the database may not, or a lock was not to be had within 5 seconds.
    """
    _run(model, alias, install_sql)


def remove(model: type[AbstractSession], alias: str) -> None:
    """Remove the triggers of all tables, in one transaction; see install()."""
    _run(model, alias, remove_sql)


def _run(
    model: type[AbstractSession], alias: str, statements: Callable[[Table], Iterator[str]]
) -> None:
    if (reason := why_impossible(alias)) is not None:
        raise ConfigurationError(f"Leases need triggers, and {reason}.")
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}s'")
        for table in tables_of(model):
            for sql in statements(table):
                # Without parameters, so that a percent sign stands for itself.
                cursor.execute(sql)


def echo(model: type[AbstractSession], alias: str) -> tuple[str, dict[str, Any]]:
    """Return the question of the listener, and its parameters; ``expect_all()`` takes the answer.

    How many of the triggers are missing or disabled, whether the server is a standby, and which process answers.
    """
    tables = tables_of(model)
    names = [name for table in tables for name in table.triggers.values()]
    sql = (
        "SELECT %(number)s - count(*) FILTER (WHERE tgparentid = 0 AND tgenabled = 'A')"  # noqa: S608 - constants
        " + count(*) FILTER (WHERE tgparentid <> 0 AND tgenabled <> 'A'), pg_is_in_recovery(), pg_backend_pid()"
        f" FROM pg_trigger WHERE {_OF_TABLES} AND tgname = ANY(%(names)s::name[])"
    )
    parameters = {"number": len(names), "tables": [table.name for table in tables], "names": names}
    return sql, parameters


def expect_all(answer: Any, connected_to: int) -> None:
    """Take the answer to ``echo()``; ``connected_to`` is the process that answered when the connection was made.

    Raises:
        UnheardError: triggers are missing, outdated or disabled, the server is a standby, on which nothing is
            announced, or there is a pooler, which may give announcements to another client.
    """
    missing, is_standby, pid = answer
    if missing:
        raise UnheardError(f"{missing} triggers are missing, outdated or disabled")
    if is_standby:
        raise UnheardError("the server is a standby")
    if pid != connected_to:
        raise UnheardError("a pooler is between this process and the server")


def states(model: type[AbstractSession], alias: str) -> dict[str, str]:
    """Return the state of the triggers by the name of each table, by at most two queries for each."""
    with connections[alias].cursor() as cursor:
        return {table.name.strip('"'): _state(table, cursor) for table in tables_of(model)}


def _state(table: Table, cursor: Any) -> str:
    cursor.execute("SELECT to_regclass(%s) IS NULL", [table.name])
    if cursor.fetchone() == (True,):
        return NO_TABLE
    cursor.execute(
        f"SELECT tgname, bool_and(tgenabled = 'A') FROM pg_trigger WHERE {_OF_TABLES}"  # noqa: S608 - a constant
        " AND starts_with(tgname, %(prefix)s) AND NOT tgisinternal GROUP BY tgname",
        {"tables": [table.name], "prefix": f"{PREFIX}_"},
    )
    found, names = dict(cursor.fetchall()), table.triggers.values()
    if not found:
        return MISSING
    if not found.keys() >= set(names):
        return OUTDATED
    return INSTALLED if all(found[name] for name in names) else DISABLED


def missing(model: type[AbstractSession], alias: str) -> list[str]:
    """Return the names of tables whose triggers are missing, outdated or disabled."""
    return [name for name, state in states(model, alias).items() if state != INSTALLED]
