"""The rows, once for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from pytest_django import DjangoDbBlocker

from tests.scale.rows import filled

# The plans of a table in parts are held by tests/partitioned.
collect_ignore_glob = ["test_*.py"] if "partitioned" in settings.SESSION_ENGINE else []


@pytest.fixture(scope="module")
def people(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[list[User]]:
    """The people whose sessions fill the table, the one with many devices first, then the staff."""
    with django_db_blocker.unblock(), filled() as people:
        yield people
