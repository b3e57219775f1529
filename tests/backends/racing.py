"""Workers that act at the same moment, each with a connection of its own.

They are threads, for what is under test is the database's: two connections contend for
its locks in the same way whether one process opened them or two.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.contrib.sessions.backends.base import UpdateError
from django.db import connections

ALIAS = "default"
PATIENCE = 120
# A server has connections for a hundred, and two processes with fifty each are one too many.
MANY = 16
# SQLite has one writer at a time, so few rounds say as much there as many.
ROUNDS = int(
    os.environ.get("SESSIONS_TEST_ROUNDS") or (8 if connections[ALIAS].vendor == "sqlite" else 50)
)


class Racers:
    """Threads that stay, with their connections, for any number of races."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._start = threading.Barrier(number)
        self._pool = ThreadPoolExecutor(number)

    def run(self, *works: Callable[[], Any]) -> list[Any]:
        """Do all works at once and return their results; a refused write is a result."""
        assert len(works) == self.number
        return list(self._pool.map(self._act, works))

    def close(self) -> None:
        self.run(*[connections.close_all] * self.number)
        self._pool.shutdown()

    def _act(self, work: Callable[[], Any]) -> Any:
        connections[ALIAS].ensure_connection()
        self._start.wait(PATIENCE)
        try:
            return work()
        except UpdateError as error:
            return error


@contextmanager
def racers(number: int) -> Iterator[Racers]:
    with _alone_with_many(number):
        found = Racers(number)
        try:
            yield found
        finally:
            found.close()


@contextmanager
def _alone_with_many(number: int) -> Iterator[None]:
    """Have no two processes on this machine race ``MANY`` at the same time."""
    if number < MANY:
        yield
        return
    path = Path(tempfile.gettempdir()) / f"sessions-plus-racers-{os.getuid()}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def shared_database(directory: Path) -> Iterator[None]:
    """Have all threads use one database: on SQLite, whose test database is one connection's memory, a file."""
    memory = connections[ALIAS]
    if memory.vendor != "sqlite":
        yield
        return
    memory.ensure_connection()
    path = directory / "race.sqlite3"
    with closing(sqlite3.connect(path)) as file:
        memory.connection.backup(file)
    before = connections.settings[ALIAS]
    # What a power failure would lose is not under test, and waiting for the disk takes long.
    options = {**before["OPTIONS"], "init_command": "PRAGMA synchronous=OFF", "timeout": PATIENCE}
    connections.settings[ALIAS] = {**before, "NAME": str(path), "OPTIONS": options}
    connections[ALIAS] = connections.create_connection(ALIAS)
    try:
        yield
    finally:
        connections[ALIAS].close()
        connections.settings[ALIAS] = before
        connections[ALIAS] = memory
