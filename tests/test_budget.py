"""What requests cost in queries and writes, through the real middleware, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import AsyncClient, Client

from django_sessions_plus.models import Session
from tests.conftest import Clock, Statements

Record = Callable[[], AbstractContextManager[Statements]]

pytestmark = pytest.mark.urls("tests.backends.urls")


class Browser:
    """Django's test client in one mode, and what its last request cost."""

    def __init__(self, mode: str, record: Record) -> None:
        self.mode = mode
        self.client: Any = Client() if mode == "sync" else AsyncClient()
        self.cost = Statements()
        self._record = record

    def get(self, view: str, **headers: Any) -> HttpResponse:
        get = self.client.get if self.mode == "sync" else async_to_sync(self.client.get)
        with self._record() as self.cost:
            response: HttpResponse = get(f"/{self.mode}/{view}", **headers)
        assert response.status_code == 200
        return response

    def sign_in_by_force(self, user: User) -> None:
        if self.mode == "sync":
            self.client.force_login(user)
        else:
            async_to_sync(self.client.aforce_login)(user)

    @property
    def cookie(self) -> str:
        value: str = self.client.cookies[settings.SESSION_COOKIE_NAME].value
        return value

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.client.cookies[settings.SESSION_COOKIE_NAME] = value


@pytest.fixture(params=["sync", "async"])
def browser(request: pytest.FixtureRequest, db: None, statements: Record) -> Browser:
    return Browser(request.param, statements)


@pytest.fixture
def signed_in(browser: Browser, alice: User, clock: Clock) -> Browser:
    browser.get("sign-in")
    return browser


@pytest.mark.parametrize("view", ["untouched", "who", "read"])
def test_anonymous_without_a_cookie_costs_nothing(browser: Browser, view: str):
    response = browser.get(view)
    assert browser.cost == []
    assert not response.cookies


def test_a_request_that_touches_nothing_costs_nothing(signed_in: Browser, clock: Clock):
    clock.advance(days=1)
    response = signed_in.get("untouched")
    assert signed_in.cost == []
    assert not response.cookies
    assert not response.has_header("Vary")


def test_an_authenticated_request_is_one_query(signed_in: Browser):
    response = signed_in.get("who")
    assert response.content == b"alice"
    assert len(signed_in.cost.reads) == len(signed_in.cost) == 1


@pytest.mark.db_engine
def test_an_anonymous_request_with_a_session_is_one_query(browser: Browser):
    browser.get("write?value=1")
    assert browser.get("read").content == b"1"
    assert len(browser.cost) == 1


def test_an_unknown_cookie_is_one_query_and_no_row(browser: Browser):
    browser.cookie = "a" * 32
    assert browser.get("who").content == b""
    assert len(browser.cost.reads) == len(browser.cost) == 1
    assert not Session.objects.exists()


@pytest.mark.parametrize("cookie", ["short", "A" * 32, "a" * 33, "ä" * 32, "a" * 5000])
def test_a_malformed_cookie_costs_nothing(browser: Browser, cookie: str):
    browser.cookie = cookie
    assert browser.get("who").content == b""
    assert browser.cost == []
    assert not Session.objects.exists()


def test_the_first_key_of_a_visitor_is_one_insert(browser: Browser):
    browser.get("write?value=1")
    (sql,) = browser.cost
    assert sql.startswith("INSERT")


def test_to_write_a_key_is_one_read_and_one_update(signed_in: Browser, clock: Clock):
    clock.advance(seconds=1)
    signed_in.get("write?value=1")
    assert len(signed_in.cost.reads) == 1
    assert signed_in.cost.written_columns == {"session_data", "version"}


def test_a_sign_in_without_a_session_inserts_and_updates(browser: Browser, alice: User):
    browser.get("sign-in")
    kinds = [sql.split()[0] for sql in browser.cost if "session" in sql.split("WHERE")[0]]
    assert kinds == ["INSERT", "UPDATE"]
    # And those of Django: to find the user, and to note the time of the sign-in.
    assert len(browser.cost) == 4


@pytest.mark.db_engine
def test_a_sign_in_on_a_session_reads_and_updates_twice(browser: Browser, alice: User):
    browser.get("write?value=1")
    browser.get("sign-in")
    kinds = [sql.split()[0] for sql in browser.cost if "session" in sql.split("WHERE")[0]]
    assert kinds == ["SELECT", "UPDATE", "UPDATE"]
    assert len(browser.cost) == 5


# In a test's own transaction the end would look uncommitted, and be made sure of once more.
@pytest.mark.django_db(transaction=True)
@pytest.mark.db_engine
def test_a_sign_out_reads_and_updates_once(signed_in: Browser, clock: Clock):
    signed_in.get("sign-out")
    assert len(signed_in.cost.reads) == 1
    assert "ended_at" in signed_in.cost.written_columns
    assert Session.objects.get().end_reason == "signed_out"
    signed_in.get("who")
    assert signed_in.cost == []


def test_a_slide_is_one_update_and_moves_the_cookie(signed_in: Browser, clock: Clock):
    clock.advance(days=1)
    response = signed_in.get("who")
    assert len(signed_in.cost.reads) == 1
    moved = {"updated_at", "last_seen_at", "expires_at", "cookie_expires_at"}
    assert signed_in.cost.written_columns == moved
    assert response.cookies[settings.SESSION_COOKIE_NAME]["max-age"] == 14 * 86400


def test_last_activity_is_one_update_and_no_cookie(signed_in: Browser, clock: Clock):
    clock.advance(minutes=5)
    response = signed_in.get("who")
    assert len(signed_in.cost.reads) == 1
    assert signed_in.cost.written_columns == {"last_seen_at"}
    assert not response.cookies


@pytest.mark.parametrize("passed", [{"days": 1}, {"minutes": 5}], ids=["slide", "activity"])
def test_the_second_request_in_the_interval_writes_nothing(
    signed_in: Browser, clock: Clock, passed: dict[str, float]
):
    clock.advance(**passed)
    signed_in.get("who")
    clock.advance(minutes=4)
    signed_in.get("who")
    assert len(signed_in.cost) == 1


def test_the_first_request_after_force_login_costs_no_extra(browser: Browser, alice: User):
    browser.sign_in_by_force(alice)
    assert browser.get("who").content == b"alice"
    assert len(browser.cost) == 1
    assert Session.objects.count() == 1
