"""SESSIONS_PLUS_ANONYMOUS_AGE: a new session of nobody is short until its client comes back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from tests.backends.drivers import sign_in
from tests.conftest import Clock, OpenSession

SHORT = timedelta(hours=2)
IDLE = timedelta(weeks=2)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_short")]


@pytest.fixture
def _short() -> Any:
    with override_settings(SESSIONS_PLUS_ANONYMOUS_AGE=SHORT):
        yield


def left(session: Any, clock: Clock) -> timedelta:
    """Return how long the stored row still has."""
    remaining: timedelta = session.stored.expires_at - clock.moment
    return remaining


def visit(view: Callable[[HttpRequest], object], token: str = "") -> HttpResponse:
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = "192.0.2.7"
    if token:
        request.COOKIES["sessionid"] = token

    def answer(request: HttpRequest) -> HttpResponse:
        view(request)
        return HttpResponse()

    response: HttpResponse = SessionMiddleware(answer)(request)  # type: ignore[assignment]
    return response


def put(request: HttpRequest) -> None:
    request.session["cart"] = request.session.get("cart", 0) + 1


def test_a_new_session_of_nobody_is_short(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.set("cart", 1)
    session.save()
    assert left(session, clock) == SHORT
    assert session.get_expiry_age() == session.cookie_age(clock.moment) == SHORT.total_seconds()
    assert session.row.cookie_expires_at in (None, session.row.expires_at)


def test_it_stays_short_as_long_as_only_its_maker_uses_it(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.save()
    clock.advance(minutes=1)
    session.set("cart", 1)
    session.save()
    session.touch()
    assert session.stored.get_decoded() == {"cart": 1}
    assert left(session, clock) == SHORT - timedelta(minutes=1)


@pytest.mark.parametrize("use", ["touch", "save"])
def test_the_first_return_gives_it_the_idle_timeout(
    open_session: OpenSession, clock: Clock, use: str
):
    session = open_session()
    session.save()
    clock.advance(seconds=1)
    again = open_session(session.token)
    again.set("cart", 1)
    getattr(again, use)()
    assert left(again, clock) == IDLE


def test_who_does_not_come_back_in_time_has_none(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.set("cart", 1)
    session.save()
    clock.advance(hours=2)
    assert open_session(session.token).get("cart") is None


def test_a_sign_in_has_the_usual_timeouts_at_once(
    open_session: OpenSession, clock: Clock, alice: User
):
    session = open_session()
    session.save()
    sign_in(session, alice)
    assert left(session, clock) == IDLE
    direct = open_session()
    sign_in(direct, alice)
    assert left(direct, clock) == IDLE


def test_what_follows_a_sign_out_is_new(open_session: OpenSession, clock: Clock, alice: User):
    session = open_session()
    sign_in(session, alice)
    again = open_session(session.token)
    again.get("")
    again.flush()
    again.set("message", "Bye.")
    again.save()
    assert left(again, clock) == SHORT


def test_an_explicit_expiry_outranks_it(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.set_expiry(86400)
    session.save()
    assert left(session, clock) == timedelta(days=1)


def test_a_shorter_idle_timeout_outranks_it(open_session: OpenSession, clock: Clock, settings: Any):
    settings.SESSION_COOKIE_AGE = 600
    session = open_session()
    session.save()
    assert left(session, clock) == timedelta(minutes=10)


def test_rotation_makes_nothing_shorter(open_session: OpenSession, clock: Clock):
    session = open_session()
    session.save()
    again = open_session(session.token)
    again.touch()
    again.set("cart", 1)
    again.save()
    again.cycle_key()
    again.save()
    assert left(again, clock) == IDLE


def test_the_cookie_says_the_same(clock: Clock):
    first = visit(put).cookies["sessionid"]
    assert first["max-age"] == SHORT.total_seconds()
    clock.advance(minutes=5)
    # A visit that only reads.
    second = visit(lambda request: request.session.get("cart"), first.value).cookies["sessionid"]
    assert (second.value, second["max-age"]) == (first.value, IDLE.total_seconds())
    assert Session.objects.get().expires_at == clock.moment + IDLE


@override_settings(SESSIONS_PLUS_ANONYMOUS_AGE=None)
def test_by_default_it_has_the_idle_timeout_from_the_start(clock: Clock):
    assert visit(put).cookies["sessionid"]["max-age"] == IDLE.total_seconds()
