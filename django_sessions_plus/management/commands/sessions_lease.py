"""``manage.py sessions_lease``: what the engine ``leased_db`` needs to hear of ends: triggers, or a Redis."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections, router

from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.leased_db import SessionStore
from django_sessions_plus.backends.leasing import redis_channel, triggers
from django_sessions_plus.backends.leasing.database_channel import APPLICATION_NAME
from django_sessions_plus.backends.leasing.listening import DATABASE, PROCESS, channel_of
from django_sessions_plus.backends.leasing.redis_channel import RedisChannel
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.management.progress import add_json, write_json

QUEUE_ALARM = 0.1
"""How full the queue of notifications may be. When it is full, every transaction that notifies fails."""

# What to do about an error of PostgreSQL, by its SQLSTATE.
_ADVICE = {
    "42P01": "Run 'manage.py migrate' first.",
    "42501": "Run the command as the role that owns the tables.",
    "55P03": "Another transaction holds a table. Run the command again when it has ended.",
}


class Command(BaseCommand):
    """Install the triggers, tell whether they are installed, or remove them."""

    help = (
        "Install, inspect or remove the triggers by which PostgreSQL announces sessions that end and users that"
        " change, for the engine leased_db. The tables are those of the configured engine's model and of its users."
        " With another channel nothing has to be installed; 'status' then tells whether Redis can be used. Exit code 1"
        " if something failed, or 'status' finds that triggers are missing, outdated or disabled, or no Redis."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the action, and the option for its output."""
        parser.add_argument(
            "action",
            choices=["install", "status", "remove"],
            help="'install' may be repeated; writers of the tables wait for it, up to 5 seconds",
        )
        add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and print the state of each table.

        Raises:
            CommandError: the channel needs no triggers; the database has none of ours, refused to make them, or they
                are not installed.
        """
        model = _model()
        alias = router.db_for_write(model)
        channel = channel_of(model, alias)
        if isinstance(channel, RedisChannel) and options["action"] != "remove":
            self._of_redis(channel, options)
            return
        if config.LEASE_CHANNEL == PROCESS and options["action"] == "install":
            raise CommandError(
                f"{PREFIX}LEASE_CHANNEL is {PROCESS!r}, which needs no triggers. Leave it at {DATABASE!r} for a site"
                " of more than one process, or name a Redis."
            )
        if config.LEASE_CHANNEL == PROCESS and options["action"] == "status":
            self._status_without_triggers(options)
            return
        if (reason := triggers.why_impossible(alias)) is not None:
            if isinstance(channel, RedisChannel):
                raise CommandError(f"There are no triggers to remove, because {reason}.")
            raise CommandError(
                f"Leases do not work here: {reason}. They need PostgreSQL, one schema for all, and psycopg 3"
                " (pip install 'psycopg[binary]'). Until then leased_db reads sessions as"
                " 'django_sessions_plus.backends.db' does, and nothing has to be installed."
            )
        act: dict[str, Callable[[Any, str, dict[str, Any]], None]] = {
            "install": self._install,
            "status": self._status,
            "remove": self._remove,
        }
        try:
            act[options["action"]](model, alias, options)
        except DatabaseError as exc:
            advice = _ADVICE.get(getattr(exc.__cause__, "sqlstate", None) or "", "")
            raise CommandError(
                f"The database {alias!r} refused: {str(exc).strip()} {advice} Nothing was changed."
            ) from exc

    def _install(self, model: Any, alias: str, options: dict[str, Any]) -> None:
        is_changed = bool(triggers.missing(model, alias))
        if is_changed:
            triggers.install(model, alias)
        self._report(model, alias, options, changed=is_changed)
        store = own_engine()
        if store is None or not issubclass(store, SessionStore):
            self.stderr.write(
                f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which does not use the triggers. Set it to"
                " 'django_sessions_plus.backends.leased_db', or to an engine of yours that extends it."
            )

    def _remove(self, model: Any, alias: str, options: dict[str, Any]) -> None:
        before = triggers.states(model, alias)
        is_changed = not {*before.values()} <= {triggers.MISSING, triggers.NO_TABLE}
        if is_changed:
            triggers.remove(model, alias)
        self._report(model, alias, options, changed=is_changed)

    def _report(self, model: Any, alias: str, options: dict[str, Any], *, changed: bool) -> None:
        states = triggers.states(model, alias)
        if options["json"]:
            write_json(self.stdout, database=alias, tables=states, changed=changed)
        elif options["verbosity"]:
            self._write_states(states, alias)
            if not changed:
                self.stdout.write("There was nothing to do.")

    def _status(self, model: Any, alias: str, options: dict[str, Any]) -> None:
        states = triggers.states(model, alias)
        has_users = any(table.kind != "s" for table in triggers.tables_of(model))
        listening, queue = _of_server(alias)
        if options["json"]:
            write_json(
                self.stdout,
                channel=config.LEASE_CHANNEL,
                database=alias,
                tables=states,
                has_users=has_users,
                listening=listening,
                queue=queue,
            )
        elif options["verbosity"]:
            self._write_states(states, alias)
            if not has_users:
                self.stdout.write(
                    "Users are in another database, so sessions with a user are not served from memory."
                )
            self._write_figures(listening, queue)
        if set(states.values()) != {triggers.INSTALLED}:
            raise CommandError(
                "Sessions are not served from memory until all tables are installed:"
                " run 'manage.py sessions_lease install'."
            )

    def _of_redis(self, channel: RedisChannel, options: dict[str, Any]) -> None:
        """Tell whether Redis can be used, or that nothing has to be installed for it."""
        if (reason := channel.why_impossible()) is not None:
            raise CommandError(f"Leases do not work here, because {reason}.")
        shown = channel.location.shown
        listening = None
        if options["action"] == "status":
            try:
                listening = redis_channel.listeners(channel)
            except Exception as exc:
                # Whatever redis-py raises, which need not be installed.
                raise CommandError(
                    f"Sessions are not served from memory, because {shown} cannot be used: {exc}"
                ) from exc
        if options["json"]:
            write_json(
                self.stdout,
                channel=shown,
                **({"changed": False} if listening is None else {"listening": listening}),
            )
        elif options["verbosity"] and listening is None:
            self.stdout.write(f"The channel is {shown}. Nothing has to be installed.")
        elif options["verbosity"]:
            self.stdout.write(
                f"The channel is {shown}, a primary. Connections that listen: {listening:,}."
            )

    def _status_without_triggers(self, options: dict[str, Any]) -> None:
        if options["json"]:
            write_json(self.stdout, channel=config.LEASE_CHANNEL)
        elif options["verbosity"]:
            self.stdout.write(
                f"{PREFIX}LEASE_CHANNEL is {config.LEASE_CHANNEL!r}: the process that serves the site hears of what"
                " it ends itself. There are no triggers to install."
            )

    def _write_states(self, states: dict[str, str], alias: str) -> None:
        self.stdout.write(f"Triggers in the database {alias!r}:")
        for name, state in states.items():
            self.stdout.write(f"  {name}: {state}")

    def _write_figures(self, listening: int, queue: float) -> None:
        self.stdout.write(
            f"Connections that listen: {listening:,}. Queue of notifications: {queue:.0%} full."
        )
        if queue >= QUEUE_ALARM:
            self.stdout.write(
                "A connection that listens and does not read holds the queue up. When it is full, transactions that"
                " end sessions fail: find it by pg_stat_activity, and end it."
            )
        self.stdout.write(
            "What a process has in memory, how often that was asked, and whether its lease is valid, it alone knows."
        )


def _model() -> Any:
    store = own_engine()
    if store is None:
        raise CommandError(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, whose rows are not ours. Set it to an engine of this"
            " package, such as 'django_sessions_plus.backends.leased_db'."
        )
    return store.get_model_class()


def _of_server(alias: str) -> tuple[int, float]:
    """Return how many connections of any process listen, and how full the queue is, from 0 to 1."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT count(*), pg_notification_queue_usage() FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            [APPLICATION_NAME],
        )
        listening, queue = cursor.fetchone()
    return listening, queue
