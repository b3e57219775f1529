"""Expiry: set_expiry() in all its forms, the idle timeout, the absolute limit, and what outranks what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from tests.backends.drivers import sign_in
from tests.conftest import Clock, OpenSession

IDLE = timedelta(weeks=2)
LIMIT = timedelta(days=30)


def left(session: Any, clock: Clock) -> timedelta:
    """Return how long the stored row still has."""
    remaining: timedelta = session.stored.expires_at - clock.moment
    return remaining


def test_without_a_word_a_session_has_the_idle_timeout(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.save()
    assert left(session, clock) == IDLE
    assert session.get_expiry_age() == IDLE.total_seconds()
    assert session.get_expiry_date() == clock.moment + IDLE
    assert session.get_expire_at_browser_close() is False


def test_seconds_are_an_idle_timeout_of_their_own(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.set_expiry(600)
    session.save()
    assert left(session, clock) == timedelta(minutes=10)
    clock.advance(minutes=9)
    assert session.get_expiry_age() == 600
    session.save()
    assert left(session, clock) == timedelta(minutes=10)


def test_zero_is_a_session_not_to_be_remembered(
    open_session: OpenSession, clock: Clock, alice: User
):
    """As with "remember me" left unticked in the recipes of Django and of other packages."""
    session = open_session()
    sign_in(session, alice)
    session.set_expiry(0)
    session.save()
    assert left(session, clock) == timedelta(days=1)
    assert session.stored.remember is False
    assert session.get_expire_at_browser_close() is True
    assert session.cookie_age(clock.moment) is None
    # What Django tells.
    assert session.get_expiry_age() == IDLE.total_seconds()
    assert session.get_expiry_date() == clock.moment + IDLE
    clock.advance(hours=23)
    again = open_session(session.token)
    again.get("")
    assert again.touch()
    assert left(again, clock) == timedelta(days=1)
    assert again.get_expiry_age() == IDLE.total_seconds()
    clock.advance(days=1)
    assert open_session(session.token).load() == {}


@pytest.mark.parametrize("value", [None, 3600, timedelta(days=3)])
def test_after_zero_another_expiry_has_it_remembered_again(
    open_session: OpenSession, clock: Clock, value: Any
):
    session = open_session()
    session.set_expiry(0)
    session.save()
    session.set_expiry(value)
    session.save()
    assert session.stored.remember is True
    expected = IDLE if value is None else value
    assert left(session, clock) == (timedelta(hours=1) if value == 3600 else expected)


def test_a_session_that_was_not_to_be_remembered_stays_so_whatever_its_expiry(
    open_session: OpenSession,
):
    session = open_session()
    session.store.remember = False
    session.save()
    session.set_expiry(3600)
    session.set_expiry(None)
    session.save()
    assert session.stored.remember is False


def test_negative_seconds_are_in_the_past(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.set("colour", "red")
    session.set_expiry(-1)
    session.save()
    assert left(session, clock) == timedelta(seconds=-1)
    assert open_session(session.token).load() == {}


def test_a_timedelta_is_a_moment_that_does_not_move(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.set_expiry(timedelta(hours=1))
    end = clock.moment + timedelta(hours=1)
    session.save()
    clock.advance(minutes=30)
    session.set("colour", "red")
    session.save()
    assert session.stored.expires_at == end
    assert session.get_expiry_age() == 1800


def test_a_moment_is_that_moment_and_survives_storage(open_session: OpenSession, clock: Clock):
    end = datetime(2030, 1, 5, tzinfo=UTC)
    session = open_session()
    session.set_expiry(end)
    session.save()
    assert session.stored.expires_at == end
    assert open_session(session.token).get_expiry_date() == end


def test_none_returns_to_the_idle_timeout(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.set_expiry(60)
    session.save()
    session.set_expiry(None)
    session.save()
    assert left(session, clock) == IDLE
    assert not session.has_key("_session_expiry")


@pytest.mark.parametrize("wish", [int(LIMIT.total_seconds()) * 2, LIMIT * 2])
def test_the_absolute_limit_caps_what_was_set(
    open_session: OpenSession, clock: Clock, alice: User, wish: Any
):
    session = open_session()
    sign_in(session, alice)
    session.set_expiry(wish)
    session.save()
    assert left(session, clock) == LIMIT
    assert session.get_expiry_date() == clock.moment + LIMIT


def test_what_was_set_comes_before_the_idle_timeout(
    open_session: OpenSession, clock: Clock, alice: User
):
    session = open_session()
    sign_in(session, alice)
    session.set_expiry(timedelta(days=20))
    session.save()
    assert left(session, clock) == timedelta(days=20)


def test_use_does_not_carry_a_sign_in_past_its_absolute_limit(
    open_session: OpenSession, clock: Clock, alice: User
):
    session = open_session()
    sign_in(session, alice)
    end = clock.moment + LIMIT
    for _ in range(29):
        clock.advance(days=1)
        session.save()
    assert session.stored.expires_at == end
    clock.advance(days=1)
    assert open_session(session.token).load() == {}


def test_authenticating_again_begins_the_absolute_limit_anew(
    open_session: OpenSession, clock: Clock, alice: User
):
    session = open_session()
    sign_in(session, alice)
    clock.advance(days=13)
    sign_in(session, alice)
    clock.advance(days=13)
    session.save()
    clock.advance(days=13)
    assert open_session(session.token).has_key("_auth_user_id")


def test_an_anonymous_session_has_no_absolute_limit(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.save()
    for _ in range(10):
        clock.advance(days=10)
        session.save()
    assert left(session, clock) == IDLE


def test_without_an_absolute_limit_only_the_idle_timeout_counts(
    open_session: OpenSession, clock: Clock, alice: User, settings: Any
):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
    session = open_session()
    sign_in(session, alice)
    for _ in range(10):
        clock.advance(days=10)
        session.save()
    assert left(session, clock) == IDLE


def test_expiry_set_in_a_request_that_is_no_activity_counts_at_once(
    open_session: OpenSession, clock: Clock
):
    session = open_session()
    session.save()
    seen = clock.moment
    clock.advance(minutes=1)
    session.store.counts_as_activity = False
    session.set_expiry(60)
    session.save()
    assert left(session, clock) == timedelta(minutes=1)
    assert session.stored.last_seen_at == seen
    session.set_expiry(None)
    session.save()
    assert left(session, clock) == IDLE
    session.store.remember = False
    session.save()
    assert left(session, clock) == timedelta(days=1)
    assert session.stored.last_seen_at == seen


def test_the_timeout_is_the_stores_to_override(
    open_session: OpenSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    session = open_session()
    monkeypatch.setattr(type(session.store), "get_session_cookie_age", lambda self: 3600)
    session.save()
    assert left(session, clock) == timedelta(hours=1)
    assert session.get_expiry_age() == 3600


def test_an_expiry_that_is_given_needs_no_data(open_session: OpenSession, clock: Clock):
    session = open_session("a" * 32)
    assert session.get_expiry_age(expiry=60, modification=clock.moment) == 60
    assert session.get_expiry_age(expiry=None) == IDLE.total_seconds()
    end = clock.moment + timedelta(seconds=5)
    assert session.get_expiry_age(expiry=end, modification=clock.moment) == 5
    assert session.get_expiry_date(expiry=60, modification=clock.moment) == (
        clock.moment + timedelta(minutes=1)
    )
    assert session.accessed is False


def test_a_modification_in_the_past_is_counted_from(open_session: OpenSession, clock: Clock):
    session = open_session()
    then = clock.moment - timedelta(days=1)
    assert session.get_expiry_date(modification=then) == then + IDLE
    assert session.get_expiry_age(modification=then) == IDLE.total_seconds()


def test_browser_length_sessions_are_djangos_setting(open_session: OpenSession, settings: Any):
    session = open_session()
    session.save()
    assert session.cookie_age(timezone.now()) == pytest.approx(IDLE.total_seconds(), abs=5)
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    assert session.get_expire_at_browser_close() is True
    assert session.cookie_age(timezone.now()) is None
    session.set_expiry(60)
    assert session.get_expire_at_browser_close() is False


def test_naive_times_work_when_time_zones_are_off(
    open_session: OpenSession, alice: User, settings: Any
):
    settings.USE_TZ = False
    session = open_session()
    session.set("colour", "red")
    sign_in(session, alice)
    session.set_expiry(timezone.now() + timedelta(hours=1))
    session.save()
    session.set_expiry(timedelta(hours=1))
    session.save()
    again = open_session(session.token)
    assert again.get("colour") == "red"
    assert again.stored.expires_at.tzinfo is None
    assert 3595 <= again.get_expiry_age() <= 3600
    again.touch()
    again.cycle_key()
    again.clear_expired()
    again.flush()
    assert again.is_empty()
