"""Touching: use without a change is written once per interval, by one of those who saw it due."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, sign_in
from tests.conftest import Clock, OpenSession, Statements

Record = Callable[[], AbstractContextManager[Statements]]

META = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "Firefox"}
MOVED = {"REMOTE_ADDR": "192.0.2.2", "HTTP_USER_AGENT": "Safari"}
SEEN = {"last_seen_at"}
SLID = {"last_seen_at", "updated_at", "expires_at"}


def load(open_session: OpenSession, token: str, meta: dict[str, str] | None = None) -> SyncSession:
    session = open_session(token, meta)
    session.get("")
    return session


@pytest.fixture
def token(open_session: OpenSession, clock: Clock, alice: User) -> str:
    session = open_session(None, META)
    sign_in(session, alice)
    return session.token


def test_nothing_is_written_before_it_is_due(
    open_session: OpenSession, clock: Clock, token: str, statements: Record
):
    clock.advance(minutes=4, seconds=59)
    session = load(open_session, token)
    with statements() as executed:
        assert session.touch() is False
    assert executed == []


def test_last_activity_is_written_once_per_interval(
    open_session: OpenSession, clock: Clock, token: str, statements: Record
):
    clock.advance(minutes=5)
    session = load(open_session, token)
    with statements() as executed:
        assert session.touch() is False
        assert session.touch() is False
    assert executed.written_columns == SEEN
    assert session.stored.last_seen_at == clock.moment


def test_the_expiry_moves_once_per_update_age(
    open_session: OpenSession, clock: Clock, token: str, statements: Record
):
    clock.advance(days=1)
    session = load(open_session, token)
    with statements() as executed:
        assert session.touch() is True
        assert session.touch() is False
    assert executed.written_columns == SLID
    assert session.stored.expires_at == clock.moment + timedelta(weeks=2)
    assert session.cookie_age(clock.moment) == 14 * 86400


def test_a_short_timeout_slides_well_before_the_update_age(
    open_session: OpenSession, clock: Clock, settings: Any
):
    settings.SESSION_COOKIE_AGE = 600
    session = open_session()
    session.save()
    clock.advance(seconds=119)
    assert session.touch() is False
    clock.advance(seconds=1)
    assert session.touch() is True


def test_seconds_set_by_set_expiry_slide_too(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.set_expiry(600)
    session.save()
    clock.advance(minutes=2)
    again = load(open_session, session.token)
    assert again.touch() is True
    assert again.stored.expires_at == clock.moment + timedelta(minutes=10)


def test_a_moment_set_by_set_expiry_never_moves(
    open_session: OpenSession, clock: Clock, statements: Record
):
    session = open_session()
    session.set_expiry(clock.moment + timedelta(days=10))
    session.save()
    clock.advance(days=5)
    again = load(open_session, session.token)
    with statements() as executed:
        assert again.touch() is False
    assert executed.written_columns == SEEN


def test_of_two_that_saw_it_due_one_wins(open_session: OpenSession, clock: Clock, token: str):
    clock.advance(days=1)
    one, other = load(open_session, token), load(open_session, token)
    assert [one.touch(), other.touch()] == [True, False]


def test_the_loser_knows_it_wrote_nothing(open_session: OpenSession, clock: Clock, token: str):
    clock.advance(days=1)
    one, other = load(open_session, token), load(open_session, token)
    one.touch()
    other.touch()
    other.set("colour", "red")
    other.save()
    assert other.stored.get_decoded()["colour"] == "red"


def test_a_session_that_stopped_is_not_touched_and_nothing_is_raised(
    open_session: OpenSession, clock: Clock, token: str
):
    clock.advance(days=1)
    session = load(open_session, token)
    Session.objects.all().end(reason="revoked")
    before = list(Session.objects.values())
    assert session.touch() is False
    assert list(Session.objects.values()) == before


def test_a_rotated_session_is_not_touched(open_session: OpenSession, clock: Clock, token: str):
    clock.advance(days=1)
    session = load(open_session, token)
    load(open_session, token).cycle_key()
    assert session.touch() is False


def test_anonymous_sessions_slide_too(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.save()
    clock.advance(days=1)
    again = load(open_session, session.token)
    assert again.touch() is True
    assert again.stored.expires_at == clock.moment + timedelta(weeks=2)


def test_what_is_no_activity_touches_nothing(
    open_session: OpenSession, clock: Clock, token: str, statements: Record
):
    clock.advance(days=1)
    session = load(open_session, token, MOVED)
    session.store.counts_as_activity = False
    with statements() as executed:
        assert session.touch() is False
    assert executed == []


def test_a_touch_stays_within_the_absolute_limit(
    open_session: OpenSession, clock: Clock, token: str
):
    end = clock.moment + timedelta(days=30)
    for day in range(1, 30):
        clock.advance(days=1)
        assert load(open_session, token).touch() is (day <= 30 - 14)
    assert Session.objects.get().expires_at == end


def test_a_touch_without_a_session_does_nothing(open_session: OpenSession, statements: Record):
    with statements() as executed:
        assert open_session().touch() is False
        assert open_session("a" * 32).touch() is False
    assert executed == []


def test_a_touch_keeps_what_is_still_to_be_saved(
    open_session: OpenSession, clock: Clock, token: str, alice: User
):
    clock.advance(days=1)
    session = load(open_session, token)
    session.store.remember = False
    session.mark_authenticated(alice)
    session.touch()
    session.save()
    assert session.token != token
    assert session.stored.remember is False
    assert session.stored.authenticated_at == clock.moment


def test_another_device_is_recorded_when_activity_is(
    open_session: OpenSession, clock: Clock, token: str, statements: Record
):
    clock.advance(minutes=5)
    session = load(open_session, token, MOVED)
    with statements() as executed:
        session.touch()
    change = {"context_changed_at", "previous_ip_address", "previous_user_agent"}
    assert executed.written_columns == SEEN | {"ip_address", "user_agent"} | change
    assert (session.stored.ip_address, session.stored.user_agent) == ("192.0.2.2", "Safari")


def test_another_address_of_the_network_alone_is_no_reason_to_write(
    open_session: OpenSession, clock: Clock, token: str, statements: Record
):
    session = load(open_session, token, {"REMOTE_ADDR": "192.0.2.99", "HTTP_USER_AGENT": "Firefox"})
    with statements() as executed:
        session.touch()
    assert executed == []


def test_another_device_is_one_once_in_an_interval(
    open_session: OpenSession, clock: Clock, token: str, statements: Record
):
    clock.advance(seconds=1)
    with statements() as executed:
        for _ in range(3):
            load(open_session, token, MOVED).touch()
            load(open_session, token).touch()
    assert len(executed.writes) == 1


def test_a_request_that_says_nothing_of_its_device_changes_nothing(
    open_session: OpenSession, clock: Clock, token: str
):
    clock.advance(minutes=5)
    load(open_session, token, {}).touch()
    clock.advance(minutes=5)
    load(open_session, token, {"REMOTE_ADDR": "", "HTTP_USER_AGENT": ""}).touch()
    row = Session.objects.get()
    assert (row.ip_address, row.user_agent) == ("192.0.2.1", "Firefox")


def test_intervals_of_zero_write_with_every_use(
    open_session: OpenSession, clock: Clock, token: str, settings: Any
):
    settings.SESSIONS_PLUS_UPDATE_AGE = settings.SESSIONS_PLUS_LAST_SEEN_INTERVAL = timedelta(0)
    session = load(open_session, token)
    for _ in range(3):
        clock.advance(seconds=1)
        assert session.touch() is True


@pytest.mark.parametrize("late", ["touch", "save"])
def test_late_use_does_not_undo_what_set_expiry_has_just_asked_for(
    clock, open_session, alice, settings, late
):
    session = open_session()
    sign_in(session, alice)
    # Seen a moment before the slide is due, so that the other save has no activity to record.
    clock.advance(hours=23, minutes=59)
    open_session(session.token).get("colour")
    Session.objects.update(last_seen_at=clock.moment)
    clock.advance(minutes=2)
    late_one, other = open_session(session.token), open_session(session.token)
    late_one.get("colour")
    other.set_expiry(timedelta(hours=1))
    other.save()
    getattr(late_one, late)()
    assert session.stored.expires_at == clock.moment + timedelta(hours=1)
