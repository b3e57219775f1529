from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessions_plus.backends import leased_db
from django_sessions_plus.backends.leasing.memory import Memory

ENGINE = "django_sessions_plus.backends.leased_db"


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
