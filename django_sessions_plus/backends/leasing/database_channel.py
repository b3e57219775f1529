"""The channel of PostgreSQL: LISTEN and NOTIFY, by the triggers of ``triggers``. The writers need do nothing."""

from __future__ import annotations

from typing import Any

from django.db import connections

from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.backends.leasing.channels import Channel, Connection
from django_sessions_plus.backends.leasing.memory import Memory

APPLICATION_NAME = "sessions-plus-lease"
"""What the connections are called in ``pg_stat_activity``."""

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


class DatabaseChannel(Channel):
    """Hears what PostgreSQL announces."""

    def why_impossible(self) -> str | None:
        """See Channel."""
        return triggers.why_impossible(self.alias)

    def has_users(self) -> bool:
        """See Channel; there is a trigger for them."""
        return True

    def connect(self, memory: Memory) -> Connection:
        """See Channel."""
        return DatabaseConnection(self, memory)


class DatabaseConnection(Connection):
    """A connection of psycopg that listens. The echo asks for the triggers, and so notices when one is missing."""

    def __init__(self, channel: DatabaseChannel, memory: Memory) -> None:
        database = connections[channel.alias]
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
        answer = self._driver.execute(*self._question).fetchone()
        triggers.expect_all(answer, self._driver.info.backend_pid)

    def fileno(self) -> int:
        """See Connection."""
        number: int = self._driver.fileno()
        return number

    def close(self) -> None:
        """See Connection."""
        self._driver.close()
