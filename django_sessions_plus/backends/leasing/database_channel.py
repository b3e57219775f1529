"""The channel of PostgreSQL: LISTEN and NOTIFY, by the triggers of ``triggers``. The writers need do nothing.

Beside a pooler, which may give announcements to another client, another alias of DATABASES leads to the server itself.
Whether it is the server that the sessions are read from is asked of both.
"""

from __future__ import annotations

from typing import Any

from django.db import connections

from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.backends.leasing.channels import Channel, Connection, UnheardError
from django_sessions_plus.backends.leasing.memory import Memory, now
from django_sessions_plus.conf import config

APPLICATION_NAME = "sessions-plus-lease"
"""What the connections are called in ``pg_stat_activity``."""

COMPARED_AFTER = 5.0
"""Seconds after which the server is asked again whether it is the one that the sessions are read from."""

# In seconds, but for the last: how soon a server is given up that no longer answers.
_KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
}
# Parameters of connections that Django wants for its own.
_OF_DJANGO = ("context", "cursor_factory", "prepare_threshold")

# The cluster, its timeline, which a promoted standby changes, and the table, which is another one in each database.
_IDENTITY = (
    "SELECT system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8), to_regclass(%s)::oid"
    " FROM pg_control_system()"
)


class DatabaseChannel(Channel):
    """Hears what PostgreSQL announces."""

    def why_impossible(self) -> str | None:
        """See Channel."""
        if self.direct not in connections:
            return f"there is no database {self.direct!r} in DATABASES"
        return triggers.why_impossible(self.alias) or triggers.why_impossible(self.direct)

    def has_users(self) -> bool:
        """See Channel; there is a trigger for them."""
        return True

    def connect(self, memory: Memory) -> Connection:
        """See Channel."""
        return DatabaseConnection(self, memory)

    @property
    def direct(self) -> str:
        """The alias of the database to listen over: that of the sessions, unless the setting names another."""
        return config.LEASE_CHANNEL.partition(":")[2] or self.alias


class DatabaseConnection(Connection):
    """A connection of psycopg that listens. The echo asks for the triggers, and so notices when one is missing."""

    def __init__(self, channel: DatabaseChannel, memory: Memory) -> None:
        self._channel = channel
        self._compared_at = -COMPARED_AFTER
        database = connections[channel.direct]
        # Not database.connect(), whose connection may come from a pool and go back to it.
        parameters = {
            **database.get_connection_params(),
            **_KEEPALIVES,
            "application_name": APPLICATION_NAME,
        }
        self._driver: Any = database.Database.connect(  # type: ignore[attr-defined]
            **{name: value for name, value in parameters.items() if name not in _OF_DJANGO},
            autocommit=True,
        )
        try:
            self._driver.add_notify_handler(lambda notice: memory.hear(notice.payload))
            self._driver.execute(f"LISTEN {triggers.CHANNEL}")
            self._question = triggers.echo(channel.model, channel.alias)
        except BaseException:
            self.close()
            raise

    def echo(self) -> None:
        """See Connection. PostgreSQL sends what was announced before the answer."""
        if self._channel.direct != self._channel.alias:
            self._expect_same_server()
        answer = self._driver.execute(*self._question).fetchone()
        triggers.expect_all(answer, self._driver.info.backend_pid)

    def fileno(self) -> int:
        """See Connection."""
        number: int = self._driver.fileno()
        return number

    def close(self) -> None:
        """See Connection."""
        self._driver.close()

    def _expect_same_server(self) -> None:
        """Raise unless the sessions are read from the server, and the table, whose changes are heard."""
        if now() < self._compared_at + COMPARED_AFTER:
            return
        channel, compared_at = self._channel, now()
        question = (_IDENTITY, [triggers.tables_of(channel.model)[0].name])
        connection = connections[channel.alias]
        try:
            with connection.cursor() as cursor:
                cursor.execute(*question)
                read_from = cursor.fetchone()
        finally:
            # One of this thread alone, which would keep a server connection of the pooler.
            connection.close()
        if read_from != self._driver.execute(*question).fetchone():
            raise UnheardError(
                f"the database {channel.direct!r} is not the one of the sessions, {channel.alias!r}"
            )
        self._compared_at = compared_at
