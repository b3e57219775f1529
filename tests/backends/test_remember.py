"""Being remembered: what it shortens, and that use alone never changes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User

from tests.backends.drivers import sign_in
from tests.conftest import Clock, OpenSession

IDLE = timedelta(weeks=2)


def left(session: Any, clock: Clock) -> timedelta:
    """Return how long the stored row still has."""
    remaining: timedelta = session.stored.expires_at - clock.moment
    return remaining


def test_a_session_not_to_be_remembered_is_short_and_ends_with_the_browser(
    open_session: OpenSession, clock: Clock, alice: User
):
    session = open_session()
    session.store.remember = False
    sign_in(session, alice)
    assert left(session, clock) == timedelta(days=1)
    assert session.stored.remember is False
    again = open_session(session.token)
    assert again.get_expire_at_browser_close() is True
    assert again.cookie_age(clock.moment) is None
    assert again.get_expiry_age() == 86400


def test_use_never_upgrades_a_session_not_to_be_remembered(
    open_session: OpenSession, clock: Clock, alice: User
):
    session = open_session()
    session.store.remember = False
    sign_in(session, alice)
    for number in range(5):
        clock.advance(hours=20)
        again = open_session(session.token)
        again.set("visits", number)
        if number % 2:
            again.save()
        else:
            again.touch()
        assert left(session, clock) <= timedelta(days=1)
    assert session.stored.remember is False


def test_an_unremembered_session_never_lasts_longer_than_a_remembered_one(
    open_session: OpenSession, clock: Clock, settings: Any
):
    settings.SESSION_COOKIE_AGE = 60
    session = open_session()
    session.store.remember = False
    session.save()
    assert left(session, clock) == timedelta(minutes=1)


def test_the_short_timeout_is_a_setting(open_session: OpenSession, clock: Clock, settings: Any):
    settings.SESSIONS_PLUS_UNREMEMBERED_AGE = timedelta(hours=1)
    session = open_session()
    session.store.remember = False
    session.save()
    assert left(session, clock) == timedelta(hours=1)


def test_being_remembered_can_be_decided_anew(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.store.remember = False
    session.save()
    again = open_session(session.token)
    again.get("")
    again.store.remember = True
    again.save()
    assert left(session, clock) == IDLE
