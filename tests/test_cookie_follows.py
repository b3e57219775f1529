"""The browser's cookie lasts as long as its session, whatever has moved the expiry."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model, login
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from django_sessions_plus import sessions
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.jwt import refresh
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from tests.conftest import Clock

User = get_user_model()
pytestmark = pytest.mark.django_db(transaction=True)

COOKIE = "sessionid"
WEEKS = timedelta(days=14)


class Browser:
    """Sends its cookie as long as that lasts, and reads the session in its view; in both modes."""

    def __init__(self, mode: str, clock: Clock) -> None:
        self.mode = mode
        self.clock = clock
        self.token = ""
        self.expires: Any = None

    def get(
        self, view: Callable[[HttpRequest], None] | None = None, status: int = 200
    ) -> HttpResponse:
        request = HttpRequest()
        request.META["REMOTE_ADDR"] = "192.0.2.7"
        if self.token and (self.expires is None or self.clock.now() < self.expires):
            request.COOKIES[COOKIE] = self.token

        def answer(request: HttpRequest) -> HttpResponse:
            if view is not None:
                view(request)
            return HttpResponse(request.session.get("_auth_user_id", ""), status=status)

        async def aanswer(request: HttpRequest) -> HttpResponse:
            return HttpResponse(await request.session.aget("_auth_user_id", ""), status=status)

        response: Any
        if self.mode == "sync" or view is not None:
            response = SessionMiddleware(answer)(request)
        else:
            response = async_to_sync(SessionMiddleware(aanswer))(request)  # type: ignore[arg-type]
        return response  # type: ignore[no-any-return]

    def take(self, response: HttpResponse) -> HttpResponse:
        """Keep the cookie of a response that has arrived."""
        if COOKIE in response.cookies:
            cookie = response.cookies[COOKIE]
            age = cookie["max-age"]
            self.token = cookie.value
            self.expires = None if age == "" else self.clock.now() + timedelta(seconds=int(age))
        return response

    @property
    def row(self) -> Session:
        return Session.objects.get()


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password="lovelace")


@pytest.fixture(params=["sync", "async"])
def browser(request, ada, clock):
    browser = Browser(request.param, clock)

    def sign_in(request: HttpRequest) -> None:
        login(request, ada, backend="django.contrib.auth.backends.ModelBackend")

    browser.take(browser.get(sign_in))
    assert browser.expires == browser.row.expires_at
    return browser


def by_refresh(browser: Browser) -> None:
    """The same session's refresh token is used."""
    tokens = sessions.issue_tokens(browser.row)
    browser.clock.advance(days=6)
    refresh.refresh(tokens.refresh)


def by_bearer(browser: Browser) -> None:
    """An app uses the same token in a header."""
    browser.clock.advance(days=6)
    store = new_store(browser.token)
    store.transport = "bearer"
    store.meta = {}
    assert store["_auth_user_id"]
    assert store.touch()


def by_socket(browser: Browser) -> None:
    """A consumer uses the session, in which no cookie can be set."""
    browser.clock.advance(days=6)
    store = new_store(browser.token)
    assert store["_auth_user_id"]
    assert store.touch()


def by_lost_answer(browser: Browser) -> None:
    """The answer that moved the expiry, with its cookie, never arrives."""
    browser.clock.advance(days=6)
    assert COOKIE in browser.get().cookies
    browser.clock.advance(hours=1)


MOVED = [by_refresh, by_bearer, by_socket, by_lost_answer]


@pytest.mark.parametrize("move", MOVED, ids=lambda move: move.__name__)
def test_the_next_request_brings_the_cookie_in_line_with_the_row(browser, move, clock):
    before = browser.expires
    move(browser)
    response = browser.take(browser.get())
    assert response.content
    assert browser.row.expires_at > before
    assert browser.expires == browser.row.expires_at


@pytest.mark.parametrize("move", MOVED, ids=lambda move: move.__name__)
def test_the_person_is_signed_in_until_the_row_expires(browser, move, clock):
    move(browser)
    browser.take(browser.get())
    clock.advance(seconds=(browser.row.expires_at - clock.now()).total_seconds() - 1)
    assert browser.take(browser.get()).content


@pytest.mark.parametrize("move", [by_refresh, by_bearer, by_socket], ids=lambda move: move.__name__)
def test_that_is_one_write_and_then_none(browser, move, clock, statements):
    move(browser)
    with statements() as found:
        browser.take(browser.get())
    assert found.written_columns == {"cookie_expires_at", "last_seen_at"}
    with statements() as found:
        response = browser.get()
    assert not found.writes
    assert not response.cookies


def test_a_slide_by_cookie_needs_no_write_of_its_own(browser, clock, statements):
    clock.advance(days=2)
    with statements() as found:
        browser.take(browser.get())
    assert found.written_columns >= {"expires_at", "updated_at", "cookie_expires_at"}
    assert browser.expires == browser.row.expires_at == browser.row.cookie_expires_at
    with statements() as found:
        assert not browser.get().cookies
    assert not found.writes


def test_the_cookie_is_sent_once_more_with_the_next_write_after_a_slide(browser, clock, statements):
    """The browser may never have got the first answer, and nobody would know."""
    clock.advance(days=2)
    browser.get()
    clock.advance(hours=1)
    with statements() as found:
        assert COOKIE in browser.get().cookies
    assert "last_seen_at" in found.written_columns
    clock.advance(hours=1)
    assert not browser.get().cookies


def test_a_row_that_was_shortened_by_another_transport_shortens_the_cookie(browser, clock):
    store = new_store(browser.token)
    store.set_expiry(3600)
    store.save()
    browser.take(browser.get())
    assert browser.expires == browser.row.expires_at == clock.now() + timedelta(hours=1)


def test_a_cookie_that_ends_with_the_browser_is_left_alone(browser, clock, statements):
    def forget(request: HttpRequest) -> None:
        store: Any = request.session
        store.remember = False

    browser.take(browser.get(forget))
    assert browser.expires is None
    clock.advance(hours=20)
    by_socket_now = new_store(browser.token)
    assert by_socket_now["_auth_user_id"]
    assert by_socket_now.touch()
    with statements() as found:
        assert not browser.get().cookies
    assert not found.writes


def test_a_poll_follows_without_being_activity(browser, clock):
    by_socket(browser)
    seen = browser.row.last_seen_at

    def poll(request: HttpRequest) -> None:
        store: Any = request.session
        store.counts_as_activity = False

    clock.advance(minutes=30)
    browser.take(browser.get(poll))
    assert browser.expires == browser.row.expires_at
    assert browser.row.last_seen_at == seen


def test_a_response_of_500_neither_sets_nor_records_it(browser, clock):
    by_socket(browser)
    recorded = browser.row.cookie_expires_at
    assert not browser.get(status=500).cookies
    assert browser.row.cookie_expires_at == recorded


def test_a_write_that_fails_changes_no_answer(browser, clock, monkeypatch):
    by_socket(browser)

    def fail(*args: Any, **kwargs: Any) -> bool:
        raise DatabaseError("read only")

    monkeypatch.setattr(Rows, "update", fail)
    response = browser.take(browser.get())
    assert (response.status_code, bool(response.content)) == (200, True)
    # What it says is what the row says, whoever has noted it.
    assert browser.expires == browser.row.expires_at


def test_no_other_transport_records_or_sets_it(browser, clock):
    recorded = browser.row.cookie_expires_at
    by_bearer(browser)
    assert browser.row.cookie_expires_at == recorded


def test_a_row_of_which_no_cookie_is_known_is_left_alone(ada, clock, statements):
    """Started for an app, or by a test client, which makes its cookie itself."""
    store = sessions.start(ada)
    assert Session.objects.get().cookie_expires_at is None
    browser = Browser("sync", clock)
    browser.token = str(store.session_key)
    with statements() as found:
        assert not browser.get().cookies
    assert not found.writes
