"""The example site, and somebody to sign in to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings

from tests.example_site import SETTINGS

PASSWORD = "nanosecond-wire-1952"


@pytest.fixture
def example_site() -> Iterator[None]:
    with override_settings(**SETTINGS):
        yield


@pytest.fixture
def grace(db: None, example_site: None) -> Any:
    user_model: Any = get_user_model()
    return user_model.objects.create_user("grace", password=PASSWORD)
