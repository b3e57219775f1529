"""Requests of one browser that really arrive together, right after the switch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.db import connection, transaction

from django_sessions_plus import sessions
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.models import Session
from django_sessions_plus.switching import bulk_import
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.named import source_of
from django_sessions_plus.switching.sources.rows import RowSource
from tests.backends.drivers import SyncSession
from tests.backends.racing import racers, shared_database
from tests.switching.conftest import after_switch, before_switch, browser, key_of

# SQLite has one writer at a time, so few rounds say as much there as many.
ROUNDS = 3 if connection.vendor == "sqlite" else 20


@pytest.fixture(autouse=True)
def _shared_database(_stock_app: None, tmp_path: Path) -> Iterator[None]:
    with shared_database(tmp_path):
        yield


def load(key: str) -> tuple[str | None, str | None]:
    session = SyncSession(key)
    return session.get(SESSION_KEY), session.get("basket")


def test_of_20_requests_one_imports_and_all_are_signed_in(alice: User):
    with before_switch():
        keys = [key_of(browser(alice, basket="tea")) for _ in range(ROUNDS)]
    with after_switch(), racers(20) as racing:
        for key in keys:
            results = racing.run(*[partial(load, key)] * 20)
            assert results == [(str(alice.pk), "tea")] * 20
    assert Session.objects.count() == ImportedKey.objects.count() == ROUNDS


def test_of_20_requests_with_one_signed_cookie_one_imports(alice: User):
    engine = "django.contrib.sessions.backends.signed_cookies"
    with before_switch(SESSION_ENGINE=engine):
        values = [key_of(browser(alice, basket=f"tea {number}")) for number in range(ROUNDS)]
    with after_switch("signed_cookies"), racers(20) as racing:
        for number, value in enumerate(values):
            results = racing.run(*[partial(load, value)] * 20)
            assert results == [(str(alice.pk), f"tea {number}")] * 20
    assert Session.objects.count() == ImportedKey.objects.count() == ROUNDS


def test_whoever_signs_out_everywhere_leaves_nothing_that_was_imported_meanwhile(alice: User):
    with before_switch():
        rounds = [[key_of(browser(alice)) for _ in range(4)] for _ in range(ROUNDS)]

    def end_all() -> None:
        # On SQLite, a transaction that has read is refused its write if another has written since.
        with nullcontext() if connection.vendor == "sqlite" else transaction.atomic():
            sessions.revoke_all(alice)

    with after_switch(), racers(5) as racing:
        for keys in rounds:
            racing.run(*(partial(load, key) for key in keys), end_all)
            assert [load(key) for key in keys] == [(None, None)] * 4
    assert not Session.objects.active().exists()


def test_bulk_imports_and_requests_import_each_session_once(alice: User):
    """Two bulk imports in small batches, and requests of the same sessions."""
    with before_switch():
        keys = sorted(key_of(browser(alice, basket="tea")) for _ in range(10 * ROUNDS))
    store_class, source = type(new_store()), source_of("django")
    assert isinstance(source, RowSource)

    def import_in_bulk(size: int) -> int:
        options = bulk_import.Options(batch_size=size)
        return bulk_import.import_all(source, store_class, options).imported

    def load_some(some: list[str]) -> list[Any]:
        return [load(key) for key in some]

    with after_switch(), racers(4) as racing:
        work = [partial(import_in_bulk, size) for size in (7, 4)]
        *numbers, one, other = racing.run(
            *work, partial(load_some, keys[::3]), partial(load_some, keys[::-2])
        )
        assert one + other == [(str(alice.pk), "tea")] * (len(keys[::3]) + len(keys[::-2]))
        assert [load(key) for key in keys] == [(str(alice.pk), "tea")] * len(keys)
    assert 0 < sum(numbers) <= len(keys)
    assert Session.objects.active().count() == ImportedKey.objects.count() == len(keys)
