"""What a process keeps between two purges, which no test may find."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_sessions_plus.bulk import upkeep


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    upkeep._memory.forget()
    yield
    upkeep._memory.forget()
