"""Statements that are compiled anew for every test, and failures only where a test provokes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_sessions_plus.backends.fastpath import compiled


@pytest.fixture(autouse=True)
def _nothing_is_compiled_yet() -> Iterator[None]:
    compiled._statements.clear()
    yield
    compiled._statements.clear()


@pytest.fixture
def _may_fail() -> Iterator[None]:
    """Forget the failures of this test. Any other failure is left, and fails the next test that looks."""
    yield
    compiled._failures.clear()
