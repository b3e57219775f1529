from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from django_sessions_plus.backends import leased_db
from django_sessions_plus.backends.leasing.memory import Memory

ENGINE = "django_sessions_plus.backends.leased_db"

_TRANSACTION = ("BEGIN", "COMMIT")


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
