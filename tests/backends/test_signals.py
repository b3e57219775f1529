"""What is told: each start, end and change of device once, and only when it is committed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from django_sessions_plus.conf import config
from django_sessions_plus.signals import session_context_changed, session_ended, session_started
from tests.backends.drivers import SyncSession, sign_in
from tests.conftest import Clock, OpenSession, Told

pytestmark = pytest.mark.django_db(transaction=True)

META = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "Firefox"}


def test_a_sign_in_is_told_once(open_session: OpenSession, alice: User, told: Told):
    session = open_session()
    session.set("basket", "full")
    session.save()
    assert told == []
    sign_in(session, alice)
    session.set("basket", "empty")
    session.save()
    ((signal, said),) = told
    assert signal is session_started
    assert (said["session"].pk, said["user"]) == (session.row.pk, alice)


def test_a_sign_in_without_a_session_before_is_told_once(
    open_session: OpenSession, alice: User, told: Told
):
    sign_in(open_session(), alice)
    assert len(told.of(session_started)) == len(told) == 1


def test_authenticating_again_starts_no_session(open_session: OpenSession, alice: User, told: Told):
    session = open_session()
    sign_in(session, alice)
    told.clear()
    sign_in(session, alice)
    assert told == []


def test_an_anonymous_session_is_not_told(open_session: OpenSession, told: Told):
    session = open_session()
    session.set("colour", "red")
    session.save()
    session.cycle_key()
    session.flush()
    assert told == []


def test_a_sign_out_is_told_once(open_session: OpenSession, alice: User, told: Told):
    session = open_session()
    sign_in(session, alice)
    key = session.row.pk
    late = open_session(session.token)
    late.get("")
    told.clear()
    session.flush()
    late.flush()
    session.flush()
    ((signal, said),) = told
    assert signal is session_ended
    assert (said["session"].pk, said["user"], said["reason"]) == (key, alice, "signed_out")
    assert said["actor"] == alice


def test_a_change_of_device_is_told_with_old_and_new(
    open_session: OpenSession, alice: User, told: Told, clock: Clock
):
    session = open_session(None, META)
    sign_in(session, alice)
    told.clear()
    for _ in range(2):
        clock.advance(minutes=5)
        again = open_session(session.token, META | {"HTTP_USER_AGENT": "Safari"})
        again.get("")
        again.touch()
    ((signal, said),) = told
    assert signal is session_context_changed
    assert (said["session"].pk, said["user"]) == (session.row.pk, alice)
    assert said["changes"] == {"user_agent": ("Firefox", "Safari")}


def test_a_change_of_device_is_told_also_when_the_session_is_saved(
    open_session: OpenSession, alice: User, told: Told, clock: Clock
):
    session = open_session(None, META)
    sign_in(session, alice)
    told.clear()
    clock.advance(seconds=config.LAST_SEEN_INTERVAL.total_seconds())
    for colour in ("red", "blue"):
        again = open_session(session.token, META | {"REMOTE_ADDR": "198.51.100.2"})
        again.set("colour", colour)
        again.save()
    ((signal, said),) = told
    assert signal is session_context_changed
    assert said["changes"] == {"ip_address": ("192.0.2.1", "198.51.100.2")}
    assert session.stored.ip_address == "198.51.100.2"


def test_signing_in_again_from_elsewhere_is_no_change_of_device(
    open_session: OpenSession, alice: User, told: Told
):
    session = open_session(None, META)
    sign_in(session, alice)
    told.clear()
    again = open_session(session.token, META | {"REMOTE_ADDR": "198.51.100.2"})
    again.get("")
    again.store.mark_authenticated()
    again.save()
    assert told == []
    assert session.stored.ip_address == "198.51.100.2"


def test_to_learn_what_was_not_known_is_no_change(
    open_session: OpenSession, alice: User, told: Told, clock: Clock
):
    session = open_session()
    sign_in(session, alice)
    told.clear()
    clock.advance(minutes=5)
    again = open_session(session.token, META)
    again.get("")
    again.touch()
    assert again.stored.user_agent == "Firefox"
    assert told == []


def test_who_lost_the_race_to_touch_tells_nothing(
    open_session: OpenSession, alice: User, told: Told, clock: Clock
):
    session = open_session(None, META)
    sign_in(session, alice)
    told.clear()
    clock.advance(minutes=5)
    stores = [open_session(session.token, META | {"REMOTE_ADDR": "198.51.100.9"}) for _ in "ab"]
    for store in stores:
        store.get("")
    for store in stores:
        store.touch()
    assert len(told) == 1


def test_a_start_and_an_end_are_told_after_the_commit(
    open_session: OpenSession, alice: User, told: Told
):
    session = open_session()
    with transaction.atomic():
        sign_in(session, alice)
        assert told == []
    assert [signal for signal, _ in told] == [session_started]
    told.clear()
    with transaction.atomic():
        session.flush()
        assert told == []
    assert [signal for signal, _ in told] == [session_ended]


@pytest.fixture
def _failing_receivers() -> Iterator[None]:
    def fail(**said: Any) -> None:
        raise RuntimeError("a receiver of the project fails")

    signals = [session_started, session_ended, session_context_changed]
    for signal in signals:
        signal.connect(fail)
    yield
    for signal in signals:
        signal.disconnect(fail)


@pytest.mark.usefixtures("_failing_receivers")
def test_a_failing_receiver_undoes_nothing(open_session: OpenSession, alice: User, clock: Clock):
    session: SyncSession = open_session(None, META)
    sign_in(session, alice)
    assert session.stored.user == alice
    clock.advance(minutes=5)
    again = open_session(session.token, {"HTTP_USER_AGENT": "Safari"})
    again.get("")
    again.touch()
    assert again.stored.user_agent == "Safari"
    again.flush()
    assert session.stored.ended_at is not None


def test_nothing_that_is_told_carries_the_token(
    open_session: OpenSession, alice: User, told: Told, clock: Clock
):
    session = open_session(None, META)
    sign_in(session, alice)
    token = session.token
    clock.advance(minutes=5)
    again = open_session(token, {"HTTP_USER_AGENT": "Safari"})
    again.get("")
    again.touch()
    again.flush()
    assert len(told) == 3
    assert token not in repr([(said, vars(said["session"])) for _, said in told])
