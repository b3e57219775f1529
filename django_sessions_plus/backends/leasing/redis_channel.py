"""The channel of Redis: pub/sub. Nothing hears of a write but by who writes, so writers publish it; see ``publishing``.

Redis writes to a connection in the order in which it executes commands. So a number that nobody can guess is published
to the connection, by another one: once it arrives, everything that was published before has arrived.

It is a plain connection, not redis-py's ``PubSub``, which connects and subscribes again by itself: what is published
meanwhile would be lost. That of redis-py has no public name for its socket: ``_sock`` is that of redis-py 5.1 to 8.
"""

from __future__ import annotations

from contextlib import suppress
from math import ceil
from typing import Any

from django_sessions_plus.backends.leasing import wire
from django_sessions_plus.backends.leasing.channels import Channel, Connection, UnheardError
from django_sessions_plus.backends.leasing.holds import ALL
from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.backends.leasing.process_channel import why_unannounced
from django_sessions_plus.backends.leasing.publishing import Publisher, publisher_of
from django_sessions_plus.backends.leasing.redis_location import Location, locate, why_none
from django_sessions_plus.conf import config

TIMEOUT = 5.0
"""Seconds for which the thread waits for an answer. The lease ends long before; then the connection is given up."""

UNKNOWN = 1.0
"""For how many seconds a new connection keeps nothing: somebody may have announced a change before there was this
connection, and not committed it yet."""

_PREFIX = "sessions-plus-lease"
TOKEN_OF_UNKNOWN = "unknown"
"""By what the memory knows the changes that were announced before there was a connection."""


class RedisChannel(Channel):
    """Hears what writers publish on Redis."""

    def why_impossible(self) -> str | None:
        """See Channel."""
        return why_none(config.LEASE_CHANNEL) or why_unannounced(self.model, self.alias)

    @property
    def location(self) -> Location:
        """Where Redis is; raises LocationError."""
        return locate(config.LEASE_CHANNEL)

    @property
    def name(self) -> str:
        """What is published to: the same in all processes of a site.

        So it has nothing that may differ between hosts or releases, such as how a host reaches the database, or the
        prefix of a cache's keys. Two sites with one name hear each other, which costs them some queries.
        """
        return f"{_PREFIX}:{self.location.database}:{self.model._meta.label_lower}"

    def publisher(self) -> Publisher | None:
        """See Channel."""
        return None if self.why_impossible() else publisher_of(self.location, self.name)

    def unheard_for(self) -> int | None:
        """See Channel. Another process may have found the Redis that this one has not, such as without redis-py."""
        if why_none(config.LEASE_CHANNEL) is not None:
            return ceil(config.CACHE_AGE.total_seconds())
        publisher = self.publisher()
        return None if publisher is None else publisher.unheard_for()

    def connect(self, memory: Memory) -> Connection:
        """See Channel."""
        return RedisConnection(self, memory)


class RedisConnection(Connection):
    """Two connections of redis-py: one that listens, and one that sends the echo."""

    def __init__(self, channel: RedisChannel, memory: Memory) -> None:
        location = channel.location
        self._memory = memory
        self._publisher = publisher_of(location, channel.name)
        self._common = channel.name.encode()
        # Nobody else is to have what is sent to it, but nothing is lost if somebody does.
        self._private = f"{channel.name}:{wire.new_token()}".encode()
        self._listening, self._asking = (location.connection(TIMEOUT) for _ in range(2))
        try:
            self._server = primary_of(*ask(self._listening, *_WHICH_SERVER))
            self._subscribe()
        except BaseException:
            self.close()
            raise
        memory.hold(TOKEN_OF_UNKNOWN, (ALL,), seconds=UNKNOWN)

    def echo(self) -> None:
        """See Connection. Redis sends what was published before the number that is published here."""
        number = wire.new_token().encode()
        *server, receivers = ask(self._asking, *_WHICH_SERVER, ("PUBLISH", self._private, number))
        if primary_of(*server) != self._server:
            raise UnheardError("the server is another one than before")
        if not receivers:
            raise UnheardError("this connection is not subscribed any more")
        while self._hear() != number:
            pass
        # redis-py may have read more than that, which would wake nobody.
        self.read()
        self._publisher.catch_up()

    def read(self) -> bool:
        """See Connection. An echo for each announcement would be as many as there are processes."""
        is_found = False
        while self._listening.can_read(0):
            if self._hear() is not None:
                raise UnheardError("somebody else publishes to this connection")
            is_found = True
        return is_found

    def fileno(self) -> int:
        """See Connection."""
        return _descriptor(self._listening)

    def descriptors(self) -> list[int]:
        """See Connection."""
        return [_descriptor(self._listening), _descriptor(self._asking)]

    def close(self) -> None:
        """See Connection."""
        for each in (self._listening, self._asking):
            with suppress(Exception):
                each.disconnect()

    def _subscribe(self) -> None:
        names = self._common, self._private
        self._listening.send_command("SUBSCRIBE", *names)
        for number, name in enumerate(names, 1):
            if self._listening.read_response() != [b"subscribe", name, number]:
                raise UnheardError("the server does not confirm the subscription")

    def _hear(self) -> bytes | None:
        """Pass the next message on; return what was published to this connection alone, None if it was to all."""
        found = self._listening.read_response()
        match found:
            case [b"message", self._common, bytes(payload)]:
                wire.pass_on(payload, self._memory)
                return None
            case [b"message", self._private, bytes(payload)]:
                return payload
        # Such as the confirmation of a subscription that this object has not asked for.
        raise UnheardError(f"the server has sent something unexpected: {found!r:.100}")


_WHICH_SERVER = ("INFO", "server"), ("INFO", "replication")
"""As two commands, because Redis before 7 takes no two sections."""


def listeners(channel: RedisChannel) -> int:
    """Return how many connections of any process listen to a channel.

    Raises:
        UnheardError: the server is a replica, or part of a cluster.
        redis.RedisError: it does not answer.
    """
    connection = channel.location.connection(TIMEOUT)
    try:
        *server, found = ask(connection, *_WHICH_SERVER, ("PUBSUB", "NUMSUB", channel.name))
    finally:
        connection.disconnect()
    primary_of(*server)
    return int(found[1])


def ask(connection: Any, *commands: tuple[Any, ...]) -> list[Any]:
    """Return the answers to these commands, which are sent together; raises what redis-py raises."""
    connection.send_packed_command(connection.pack_commands(commands))
    return [connection.read_response() for _ in commands]


def primary_of(server: bytes, replication: bytes) -> str:
    """Return which server it is, by what it answers to ``_WHICH_SERVER``.

    That is another one once it has been started again, or has been a replica meanwhile.

    Raises:
        UnheardError: it is a replica, or part of a cluster: what is published elsewhere might not reach it in time.
    """
    found = dict(
        line.split(":", 1)
        for line in (server + b"\n" + replication).decode(errors="replace").splitlines()
        if ":" in line
    )
    mode, role = found.get("redis_mode"), found.get("role")
    if mode != "standalone" or role != "master" or not found.get("run_id"):
        raise UnheardError(
            f"it has to be a single Redis or a primary, but its mode is {mode} and its role {role}"
        )
    return f"{found['run_id']} {found.get('master_replid')}"


def _descriptor(connection: Any) -> int:
    number: int = connection._sock.fileno()
    return number
