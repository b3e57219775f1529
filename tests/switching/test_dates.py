"""What the previous engine has recorded of a session: its dates decide what may still be imported, and are kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.models import Session
from django_sessions_plus.switching.models import ImportBarrier
from django_sessions_plus.switching.sources.base import OldSession
from django_sessions_plus.switching.sources.rows import RowSource
from tests.backends.drivers import identity
from tests.switching.conftest import after_switch

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "k" * 32


def imported(user: User, key: str = KEY, **known: Any) -> Session | None:
    """Import a session of ``user`` of which the previous engine knows this, and return its row."""
    old = OldSession(data=identity(user), **known)
    with patch.object(RowSource, "find", return_value=old):
        new_store(key).load()
    return Session.objects.filter(token_digest=tokens.digest(key)).first()


def ago(**units: int) -> datetime:
    return timezone.now() - timedelta(**units)


@pytest.fixture(autouse=True)
def _after_switch(_stock_app: None) -> Any:
    with after_switch():
        yield


def test_its_dates_are_kept(alice, clock):
    row = imported(alice, created_at=ago(days=40), last_seen_at=ago(hours=3))
    assert row is not None
    assert (row.created_at, row.last_seen_at) == (ago(days=40), ago(hours=3))
    assert row.imported_at == clock.now()


def test_one_without_a_beginning_began_when_it_was_last_seen_at_the_latest(alice, clock):
    row = imported(alice, last_seen_at=ago(hours=3))
    assert row is not None
    assert row.created_at == ago(hours=3)


def test_the_clock_of_another_host_may_be_ahead(alice, clock):
    row = imported(alice, created_at=ago(minutes=-1), last_seen_at=ago(minutes=-2))
    assert row is not None
    assert row.created_at == row.last_seen_at == clock.now()


@pytest.mark.parametrize("end", [sessions.revoke_all, lambda user: sessions.revoke_everyone()])
def test_one_that_began_after_all_have_ended_is_imported(alice, clock, end):
    end(alice)
    at = clock.now()
    clock.advance(hours=1)
    assert imported(alice, created_at=at) is None
    assert imported(alice, "l" * 32, created_at=at + timedelta(seconds=1)) is not None


def test_the_later_of_both_barriers_counts(alice, clock):
    sessions.revoke_all(alice)
    clock.advance(hours=1)
    sessions.revoke_everyone()
    at = clock.now()
    clock.advance(hours=1)
    assert imported(alice, created_at=at) is None


def test_the_barrier_of_one_user_is_not_moved_by_another(alice, bob, clock):
    sessions.revoke_all(alice)
    first = clock.now()
    clock.advance(hours=1)
    sessions.revoke_all(bob)
    clock.advance(hours=1)
    sessions.revoke_all(bob)
    times = dict(ImportBarrier.objects.values_list("user_key", "before"))
    assert times == {str(alice.pk): first, str(bob.pk): clock.now()}
    assert imported(alice, created_at=first + timedelta(seconds=1)) is not None
