from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext

from django_sessions_plus.backends import leased_db
from django_sessions_plus.backends.leasing.memory import Memory

ENGINE = "django_sessions_plus.backends.leased_db"

_TRANSACTION = ("BEGIN", "COMMIT")

PATIENCE = 60.0
"""Seconds for which a test waits for what a busy machine may take long for."""


def until(is_so: Callable[[], Any]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def queries_of_async(client: Client) -> tuple[str, int]:
    """Return for whom an async view takes the client, and how many statements that took."""
    other = AsyncClient()
    other.cookies = client.cookies

    async def ask() -> str:
        return str((await other.get("/awho")).content.decode())

    if connection.vendor != "sqlite":
        # The thread that serves sync code in this one connects first.
        async_to_sync(ask)()
    answer: tuple[str, int] = queries(async_to_sync(ask))
    return answer


def who(client: Client) -> str:
    """Return the name of the user whom the site takes the client for."""
    return client.get("/who").content.decode()


def queries(work: Callable[[], Any]) -> tuple[Any, int]:
    """Return what ``work`` returns, and how many statements it took, but for those that begin or end a transaction."""
    with CaptureQueriesContext(connection) as captured:
        answer = work()
    return answer, len([q for q in captured.captured_queries if q["sql"] not in _TRANSACTION])


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    """The engine with a memory whose lease lasts. It hears what the test tells it, so that any database will do."""
    found = Memory(size=100, max_age=60.0)
    found.extend(float("inf"))
    monkeypatch.setattr(leased_db, "memory_of", lambda model: found)
    with override_settings(SESSION_ENGINE=ENGINE):
        yield found


@pytest.fixture
def ada(transactional_db: None) -> User:
    return User.objects.create_user("ada", password="correct horse")
