"""A deployment changes a timeout: nobody who is active is signed out, and nobody idle stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User

from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, sign_in
from tests.backends.test_touch import Record, load
from tests.conftest import Clock, OpenSession

HOUR, DAY = 60, 24 * 60
"""In minutes, as all of the tables."""


class Timeout(NamedTuple):
    """Something that says how long a session lives unused, and how a project changes it."""

    apply: Callable[[Any, int], None]
    begin: Callable[[SyncSession], None]
    """What the session is told at its start."""
    is_signed_in: bool = True


def _seconds(settings: Any, minutes: int) -> None:
    settings.SESSION_COOKIE_AGE = minutes * 60


def _unremembered(settings: Any, minutes: int) -> None:
    settings.SESSIONS_PLUS_UNREMEMBERED_AGE = timedelta(minutes=minutes)
    settings.SESSION_COOKIE_AGE = 400 * DAY * 60


def _of_transport(settings: Any, minutes: int) -> None:
    settings.SESSIONS_PLUS_LIFETIMES = {"bearer": {"idle": timedelta(minutes=minutes)}}


def _in_a_header(session: SyncSession) -> None:
    session.store.transport = "bearer"


def _forget(session: SyncSession) -> None:
    session.store.remember = False


def _nothing(session: SyncSession) -> None:
    """Say nothing."""


TIMEOUTS = {
    "SESSION_COOKIE_AGE": Timeout(_seconds, _nothing),
    "UNREMEMBERED_AGE": Timeout(_unremembered, _forget),
    "LIFETIMES": Timeout(_of_transport, _in_a_header),
    "SESSION_COOKIE_AGE of a visitor": Timeout(_seconds, _nothing, is_signed_in=False),
}
# The old timeout, the new one, how often the session is used, and at which use it is gone.
TABLE = [
    (HOUR, 14 * DAY, 5, None),
    (HOUR, 14 * DAY, 59, None),
    (HOUR, 14 * DAY, 60, 1),
    (HOUR, 70, 5, None),
    (HOUR, 70, 48, None),
    (HOUR, 61, 40, None),
    (HOUR, HOUR, 5, None),
    (HOUR, HOUR, 60, 1),
    (14 * DAY, HOUR, 5, None),
    (14 * DAY, HOUR, 48, None),
    # The first use is good by the old timeout, and the next one is not by the new.
    (14 * DAY, HOUR, 60, 2),
    (14 * DAY, HOUR, 5 * DAY, 2),
    (14 * DAY, HOUR, 14 * DAY, 1),
    (70, HOUR, 62, 2),
]


# One of them in every run, all in thorough ones.
KINDS = [
    kind if kind == "SESSION_COOKIE_AGE" else pytest.param(kind, marks=pytest.mark.thorough)
    for kind in TIMEOUTS
]


@pytest.fixture(autouse=True)
def _no_absolute_timeout(settings: Any) -> None:
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None


def start(open_session: OpenSession, timeout: Timeout, user: User) -> str:
    session = open_session()
    timeout.begin(session)
    if timeout.is_signed_in:
        sign_in(session, user)
    else:
        session.set("colour", "red")
        session.save()
    return session.token


def use_every(
    minutes: int, token: str, *, until: timedelta, open_session: OpenSession, clock: Clock
) -> int | None:
    """Use the session by pages that only read; return the number of the first use that finds nothing."""
    end, number = clock.moment + until, 0
    while clock.moment < end and number < 60:
        number += 1
        clock.advance(minutes=minutes)
        session = open_session(token)
        if session.load() == {}:
            return number
        session.get("")
        session.touch()
    return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("old", "new", "minutes", "gone_at"), TABLE)
def test_a_changed_timeout_counts_from_the_next_use(
    open_session: OpenSession,
    clock: Clock,
    settings: Any,
    alice: User,
    kind: str,
    old: int,
    new: int,
    minutes: int,
    gone_at: int | None,
):
    timeout = TIMEOUTS[kind]
    timeout.apply(settings, old)
    token = start(open_session, timeout, alice)
    timeout.apply(settings, new)
    until = timedelta(minutes=4 * max(old, new))
    found = use_every(minutes, token, until=until, open_session=open_session, clock=clock)
    assert found == gone_at


@pytest.mark.parametrize("kind", TIMEOUTS)
@pytest.mark.parametrize(("old", "new"), [(HOUR, 14 * DAY), (14 * DAY, HOUR)])
def test_the_change_is_one_write_by_one_request_and_the_cookie_follows(
    open_session: OpenSession,
    clock: Clock,
    settings: Any,
    alice: User,
    statements: Record,
    kind: str,
    old: int,
    new: int,
):
    timeout = TIMEOUTS[kind]
    timeout.apply(settings, old)
    token = start(open_session, timeout, alice)
    timeout.apply(settings, new)
    clock.advance(minutes=1)
    parallel = [load(open_session, token) for _ in range(3)]
    assert [session.touch() for session in parallel] == [True, False, False]
    assert Session.objects.get().expires_at == clock.moment + timedelta(minutes=new)
    assert parallel[0].is_cookie_due
    with statements() as executed:
        assert not load(open_session, token).touch()
    assert executed.writes == []


@pytest.mark.parametrize(
    ("old", "new", "minutes", "gone_at"),
    [
        (DAY, 30 * DAY, 5 * HOUR, None),
        (DAY, 2 * DAY, 5 * HOUR, 10),
        (30 * DAY, DAY, 5 * HOUR, 5),
        # Who was signed in for longer than that already.
        (30 * DAY, DAY, 2 * DAY, 1),
        (DAY, 30 * DAY, DAY, 1),
    ],
)
@pytest.mark.parametrize("of_transport", [False, True])
def test_a_changed_absolute_timeout_counts_from_the_next_use(
    open_session: OpenSession,
    clock: Clock,
    settings: Any,
    alice: User,
    old: int,
    new: int,
    minutes: int,
    gone_at: int | None,
    of_transport: bool,
):
    def apply(age: timedelta) -> None:
        if of_transport:
            settings.SESSIONS_PLUS_LIFETIMES = {"cookie": {"absolute": age}}
        else:
            settings.SESSIONS_PLUS_ABSOLUTE_AGE = age

    apply(timedelta(minutes=old))
    token = start(open_session, TIMEOUTS["SESSION_COOKIE_AGE"], alice)
    signed_in_at = clock.moment
    apply(limit := timedelta(minutes=new))
    until = timedelta(days=7)
    found = use_every(minutes, token, until=until, open_session=open_session, clock=clock)
    assert found == gone_at
    assert found == 1 or Session.objects.get().expires_at <= signed_in_at + limit


@pytest.mark.parametrize(("old", "new", "minutes", "gone_at"), TABLE)
def test_seconds_given_anew_to_an_old_session_count_at_once(
    open_session: OpenSession,
    clock: Clock,
    alice: User,
    old: int,
    new: int,
    minutes: int,
    gone_at: int | None,
):
    """By a deployment whose pages call ``set_expiry()`` with another number than before."""
    session = open_session()
    sign_in(session, alice)
    session.set_expiry(old * 60)
    session.save()
    end, number, found = clock.moment + timedelta(minutes=4 * max(old, new)), 0, None
    while found is None and clock.moment < end and number < 60:
        number += 1
        clock.advance(minutes=minutes)
        session = open_session(session.token)
        if session.load() == {}:
            found = number
            break
        session.set_expiry(new * 60)
        session.save()
    assert found == gone_at


def test_a_moment_that_the_absolute_timeout_had_cut_off_is_reached_under_a_longer_one(
    open_session: OpenSession, clock: Clock, settings: Any, alice: User
):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(days=1)
    session = open_session()
    sign_in(session, alice)
    wish = clock.moment + timedelta(days=20)
    session.set_expiry(wish)
    session.save()
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(days=30)
    clock.advance(minutes=5)
    assert load(open_session, session.token).touch()
    assert Session.objects.get().expires_at == wish
