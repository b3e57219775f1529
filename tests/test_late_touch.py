"""A touch that the answer does not depend on is written after the server has sent the answer, and not lost.

``Site.answer()`` stops where a server has written the last byte; ``close()`` of the response is what it calls next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import OperationalError, close_old_connections, connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, sign_in
from tests.conftest import Clock, Statements

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

Record = Callable[[], AbstractContextManager[Statements]]

SENDER: dict[str, Any] = {"REMOTE_ADDR": "127.0.0.1", "HTTP_USER_AGENT": "Firefox"}


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def bearer(request: HttpRequest) -> HttpResponse:
    session: Any = request.session
    session.transport, session.can_set_cookie = "bearer", False
    return who(request)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse([request.user.get_username()])


def failing(request: HttpRequest) -> HttpResponse:
    raise ValueError(who(request))


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    assert request.FILES
    return who(request)


urlpatterns = [
    path("who", who),
    path("bearer", bearer),
    path("stream", stream),
    path("failing", failing),
    path("upload", upload),
]


class Site:
    """The WSGI application, and a browser that is signed in."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.rf = RequestFactory(**SENDER)
        self.rf.cookies[django_settings.SESSION_COOKIE_NAME] = token
        self.application: Any = WSGIHandler()

    def answer(self, name: str = "who", request: Any = None, **headers: str) -> Any:
        """Return the response as it is when its last byte was written, and before ``close()``."""
        request = request or self.rf.get(f"/{name}", headers=headers)
        response: Any = self.application(request.environ, lambda *args: None)
        response.body = b"".join(response)
        return response


@pytest.fixture
def site(alice: User, clock: Clock) -> Iterator[Site]:
    session = SyncSession(None, SENDER)
    session.store.can_set_cookie = True
    sign_in(session, alice)
    # They would close the connection of the test.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield Site(session.token)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def seen_at() -> datetime:
    return Session.objects.get().last_seen_at


@pytest.mark.parametrize("view", ["who", "bearer"])
def test_the_last_activity_is_written_after_the_response(
    site: Site, clock: Clock, statements: Record, view: str
):
    before, now = clock.moment, clock.advance(minutes=5)
    with statements() as cost:
        response = site.answer(view)
    assert response.body == b"alice"
    assert (cost.writes, seen_at()) == ([], before)
    with statements() as cost:
        response.close()
    assert cost.written_columns == {"last_seen_at"}
    assert (len(cost), seen_at()) == (1, now)


def test_a_slide_that_sets_the_cookie_is_written_before_it(
    site: Site, clock: Clock, statements: Record
):
    clock.advance(days=1)
    response = site.answer()
    assert Session.objects.get().expires_at == clock.moment + timedelta(days=14)
    assert response.cookies[django_settings.SESSION_COOKIE_NAME].value == site.token
    with statements() as cost:
        response.close()
    assert cost == []


def test_the_use_that_sends_the_cookie_once_more_is_written_before_it(site: Site, clock: Clock):
    clock.advance(days=1)
    site.answer().close()
    now = clock.advance(minutes=5)
    response = site.answer()
    assert seen_at() == now
    assert response.cookies[django_settings.SESSION_COOKIE_NAME].value == site.token


def test_a_slide_by_header_is_written_after_the_response(site: Site, clock: Clock):
    expires_at = Session.objects.get().expires_at
    clock.advance(days=1)
    response = site.answer("bearer")
    assert Session.objects.get().expires_at == expires_at
    response.close()
    assert Session.objects.get().expires_at == expires_at + timedelta(days=1)


def test_a_changed_device_is_written_before_the_response_because_signals_report_it(
    site: Site, clock: Clock
):
    clock.advance(minutes=5)
    response = site.answer(**{"User-Agent": "Safari"})
    assert Session.objects.get().user_agent == "Safari"
    response.close()


def test_a_response_in_pieces_is_not_waited_for(site: Site, clock: Clock):
    now = clock.advance(minutes=5)
    request = site.rf.get("/stream")
    response: Any = site.application(request.environ, lambda *args: None)
    assert seen_at() == now
    response.close()


def test_without_a_handler_nothing_runs_later(site: Site, clock: Clock):
    now = clock.advance(minutes=5)

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.session.get("key", ""))

    SessionMiddleware(view)(site.rf.get("/who"))
    assert seen_at() == now


@pytest.mark.parametrize("inner", [[], [f"{__name__}.sync_only"]], ids=["async", "sync"])
def test_under_asgi_it_is_written_before_the_response(
    site: Site, clock: Clock, settings: Any, inner: list[str]
):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, *inner]
    now = clock.advance(minutes=5)
    handler: Any = ASGIHandler()
    factory = AsyncRequestFactory()
    factory.cookies[django_settings.SESSION_COOKIE_NAME] = site.token
    request = factory.get("/who")
    response = async_to_sync(handler.get_response_async)(request)
    assert (response.content, seen_at()) == (b"alice", now)
    response.close()


def test_a_middleware_that_replaces_the_response_does_not_lose_it(
    site: Site, clock: Clock, settings: Any
):
    settings.MIDDLEWARE = ["django.middleware.http.ConditionalGetMiddleware", *settings.MIDDLEWARE]
    site.application = WSGIHandler()
    etag = site.answer().headers["ETag"]
    before, now = clock.moment, clock.advance(minutes=5)
    response = site.answer(**{"If-None-Match": etag})
    assert (response.status_code, seen_at()) == (304, before)
    response.close()
    assert seen_at() == now


def test_of_parallel_requests_one_writes(site: Site, clock: Clock):
    first = clock.advance(minutes=5)
    one, another = site.answer(), site.answer()
    one.close()
    clock.advance(seconds=1)
    another.close()
    assert seen_at() == first


def test_a_session_that_ended_meanwhile_stays_as_it_ended(site: Site, clock: Clock, caplog: Any):
    clock.advance(minutes=5)
    response = site.answer()
    Session.objects.all().end(reason="revoked")
    before = list(Session.objects.values())
    response.close()
    assert list(Session.objects.values()) == before
    assert not caplog.records


def test_a_slide_that_is_due_only_after_the_response_has_the_next_one_set_the_cookie(
    site: Site, clock: Clock
):
    clock.advance(hours=23, minutes=59)
    response = site.answer()
    clock.advance(minutes=1)
    response.close()
    row = Session.objects.get()
    assert row.expires_at == clock.moment + timedelta(days=14)
    assert row.cookie_expires_at != row.expires_at
    response = site.answer()
    assert response.cookies[django_settings.SESSION_COOKIE_NAME]["max-age"] == 14 * 86400
    response.close()


def test_a_failure_is_logged_and_files_are_closed(
    site: Site, clock: Clock, caplog: Any, monkeypatch: pytest.MonkeyPatch
):
    before = clock.moment
    clock.advance(minutes=5)
    close = Mock()
    monkeypatch.setattr(HttpRequest, "close", close)
    monkeypatch.setattr("django_sessions_plus.bookkeeping._logged_at", {})
    response = site.answer("upload", site.rf.post("/upload", {"file": BytesIO(b"content")}))

    def fail(*args: Any) -> Any:
        raise OperationalError("read only")

    with connection.execute_wrapper(fail):
        response.close()
    assert response.closed
    close.assert_called_once_with()
    assert [record.event for record in caplog.records] == ["bookkeeping_failed"]
    assert seen_at() == before


def test_a_view_that_fails_touches_nothing(site: Site, clock: Clock):
    before = clock.moment
    clock.advance(minutes=5)
    response = site.answer("failing")
    response.close()
    assert (response.status_code, seen_at()) == (500, before)


def test_what_was_saved_meanwhile_is_not_touched_again(
    site: Site, clock: Clock, statements: Record, settings: Any
):
    settings.MIDDLEWARE = [f"{__name__}.SavingMiddleware", *settings.MIDDLEWARE]
    site.application = WSGIHandler()
    clock.advance(minutes=5)
    response = site.answer()
    assert seen_at() == timezone.now()
    with statements() as cost:
        response.close()
    assert cost == []


class SavingMiddleware:
    """Saves the session once more, outside of the session middleware."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = self.get_response(request)
        request.session.save()
        return response


def sync_only(get_response: Any) -> Any:
    """Make those around it run in sync mode, in a thread."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        return response

    return middleware
