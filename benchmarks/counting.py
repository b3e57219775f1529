"""Count, exactly: SQL statements and Redis round trips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created


class Counter:
    """What has gone to the servers since the last ``reset()``."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.parameters: list[Any] = []
        self.seconds: list[float] = []
        self.round_trips = 0

    def reset(self) -> None:
        """Forget what was counted."""
        self.__init__()  # type: ignore[misc]  # the same start, once more

    def execute(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        """Count a statement: one of Django's execute wrappers."""
        self.statements.append(sql)
        self.parameters.append(params)
        return execute(sql, params, many, context)


@contextmanager
def counting() -> Iterator[Counter]:
    """Count what every connection of this process sends, those opened later included."""
    counter = Counter()

    def watch(connection: Any, **kwargs: Any) -> None:
        if counter.execute not in connection.execute_wrappers:
            connection.execute_wrappers.append(counter.execute)

    connection_created.connect(watch)
    for connection in connections.all(initialized_only=True):
        watch(connection)
    try:
        with _counting_redis(counter):
            yield counter
    finally:
        connection_created.disconnect(watch)
        for connection in connections.all(initialized_only=True):
            if counter.execute in connection.execute_wrappers:
                connection.execute_wrappers.remove(counter.execute)


@contextmanager
def _counting_redis(counter: Counter) -> Iterator[None]:
    try:
        kind = import_module("redis.connection").AbstractConnection
    except ModuleNotFoundError:
        yield
        return
    original = kind.send_packed_command

    # A pipeline is one packed command, as it is one trip.
    def send_packed_command(self: Any, *args: Any, **kwargs: Any) -> Any:
        counter.round_trips += 1
        return original(self, *args, **kwargs)

    kind.send_packed_command = send_packed_command
    try:
        yield
    finally:
        kind.send_packed_command = original
