"""What is kept of a row in a cache, under which keys, and when it may be served."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from django_sessions_plus.backends.caching import entries
from django_sessions_plus.backends.caching.entries import Generations
from django_sessions_plus.models import Session

DIGEST = "d" * 64
VALUES = ("value",)
NOW = 1_000_000.0
GENERATIONS = Generations(1, 2)


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


def is_valid(
    *, bears: Generations = GENERATIONS, found: Generations = GENERATIONS, **other: Any
) -> bool:
    read_at, values = NOW - other.get("age", 0), other.get("values", VALUES)
    entry = entries.entry_of(bears, read_at, other.get("digest", DIGEST), values)
    return entries.is_valid(entry, found, DIGEST)


def test_an_entry_is_valid_under_the_very_generations_it_bears():
    assert is_valid()
    assert not is_valid(found=Generations(1, 3))
    assert not is_valid(found=Generations(3, 2))


@pytest.mark.parametrize("missing", [Generations(None, 2), Generations(1, None)])
def test_without_a_generation_no_entry_is_valid(missing: Generations):
    assert not is_valid(found=missing)
    assert not is_valid(bears=missing, found=missing)


def test_an_entry_of_another_digest_is_not_valid():
    assert not is_valid(digest="e" * 64)


@pytest.mark.parametrize(("age", "expected"), [(0, 1), (59, 1), (60, 0), (-5, 1), (-6, 0)])
def test_an_entry_is_valid_for_the_cache_age(age: float, expected: int):
    assert is_valid(age=age) == bool(expected)


@pytest.mark.parametrize(("age", "expected"), [(4, 1), (5, 0)])
def test_that_there_is_no_row_is_valid_for_five_seconds(age: float, expected: int):
    assert is_valid(age=age, values=None) == bool(expected)


def test_no_host_serves_an_entry_for_longer_than_the_cache_age_and_the_clock_skew(settings: Any):
    settings.SESSIONS_PLUS_CACHE_AGE = timedelta(seconds=10)
    assert entries.max_age() == 10 + entries.CLOCK_SKEW
    assert entries.seconds_left(VALUES, NOW - 4) == 6
    assert entries.generation_age() == 20


@pytest.mark.parametrize("changed", [{"SECRET_KEY": "another"}, {"USE_TZ": False}])
def test_sites_that_differ_share_generations_and_no_entries(settings: Any, changed: dict[str, Any]):
    here = entries.layout_of(Session, "default")
    for name, value in changed.items():
        setattr(settings, name, value)
    there = entries.layout_of(Session, "default")
    assert there.entry_key(DIGEST) != here.entry_key(DIGEST)
    assert there.generation_key(DIGEST) == here.generation_key(DIGEST)
    assert there.all_rows_key == here.all_rows_key
