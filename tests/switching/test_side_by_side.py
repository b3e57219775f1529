"""A deployment that takes a while: some processes have made the switch, others have not, and a browser meets both."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore as DjangoStore
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import override_settings

from django_sessions_plus import sessions
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from django_sessions_plus.switching.models import ImportBarrier
from tests.switching.conftest import APPS, Browser, after_switch, before_switch, browser, key_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]

Process = Callable[[], AbstractContextManager[None]]


@contextmanager
def prepared() -> Iterator[None]:
    """A process of the first deployment: our middleware, the setting, and Django's engine."""
    engine = "django.contrib.sessions.backends.db"
    with override_settings(
        INSTALLED_APPS=APPS, SESSION_ENGINE=engine, SESSIONS_PLUS_IMPORT_FROM=["django"]
    ):
        yield


OURS = django_settings.SESSION_ENGINE


def who(client: Client) -> str:
    return client.get("/who").content.decode()


ORDERS = [(prepared, after_switch), (after_switch, prepared)]


@pytest.mark.parametrize(("first", "second"), ORDERS, ids=["old first", "new first"])
def test_a_browser_that_meets_both_stays_signed_in_and_loses_nothing(
    alice: User, first: Process, second: Process
):
    client = Browser()
    with first():
        client.get("/count")
    with second():
        assert client.get("/count").content == b"2"
        client.post("/sign-in", {"user": "alice"})
    for number, process in enumerate((first, second) * 3, 3):
        with process():
            assert who(client) == "alice"
            assert client.get("/count").content == str(number).encode()


@pytest.mark.parametrize(("first", "second"), ORDERS, ids=["old first", "new first"])
def test_whoever_signs_out_in_one_is_signed_out_in_both(
    alice: User, first: Process, second: Process
):
    client = Browser()
    with first():
        client.post("/sign-in", {"user": "alice"})
    with second():
        assert who(client) == "alice"
        stolen = key_of(client)
        client.post("/sign-out")
    for process in (first, second):
        with process():
            client.cookies["sessionid"] = stolen
            assert who(client) == ""


@pytest.mark.parametrize(("first", "second"), ORDERS, ids=["old first", "new first"])
def test_a_new_password_ends_the_others_and_not_this_one(
    alice: User, first: Process, second: Process
):
    client, other = Browser(), Browser()
    with first():
        client.post("/sign-in", {"user": "alice"})
        other.post("/sign-in", {"user": "alice"})
    with second():
        client.post("/password", {"new": "something else"})
        assert who(client) == "alice"
    with first():
        assert who(other) == ""
        assert who(client) == "alice"
    with second():
        assert who(client) == "alice"


def test_before_the_switch_the_other_engine_decides(alice: User):
    with prepared():
        client = browser(alice)
        assert sessions.revoke_all(alice) == 0
        assert not ImportBarrier.objects.exists()
        assert who(client) == "alice"
        assert not Session.objects.exists()


def test_going_back_signs_nobody_out_either(alice: User, bob: User):
    """Nobody whose session came from there, nor those whose session has begun here."""
    with before_switch():
        came = browser(alice)
    with after_switch():
        assert who(came) == "alice"
        began = browser(bob)
    with prepared():
        assert who(came) == "alice"
        assert who(began) == "bob"
        assert began.get("/count").content == b"1"
        assert began.post("/sign-out").status_code == 200
    assert Session.objects.active().get().user == alice


def test_the_same_under_asgi(alice: User):
    client = AsyncClient()
    with after_switch():
        client.cookies = browser(alice).cookies

    async def visit() -> tuple[str, bytes]:
        user = (await client.get("/awho")).content.decode()
        return user, (await client.get("/acount")).content

    with prepared():
        assert asyncio.run(visit()) == ("alice", b"1")


def test_a_session_that_moves_during_a_request_keeps_its_cookie(alice: User):
    """A parallel request imports it after this one has looked for it here, and before it looks there."""
    with before_switch():
        client = browser(alice)
        key = key_of(client)
    load = DjangoStore.load

    def load_late(store: Any) -> Any:
        with after_switch(SESSION_ENGINE=OURS):
            parallel = Browser()
            parallel.cookies["sessionid"] = key
            assert who(parallel) == "alice"
        return load(store)

    with prepared():
        with patch.object(DjangoStore, "load", load_late):
            assert who(client) == ""
        assert key_of(client) == key
        assert who(client) == "alice"


def test_a_cookie_that_nobody_knows_is_deleted_as_ever(db: None):
    client = Browser()
    client.cookies["sessionid"] = "z" * 32
    with prepared():
        assert who(client) == ""
    assert client.cookies["sessionid"].value == ""


@pytest.mark.parametrize(("cookie", "extra"), [("z" * 32, 1), ("junk", 0)])
def test_before_the_switch_a_cookie_costs_one_query_more(
    db: None, cookie: str, extra: int, django_assert_num_queries: Any
):
    client = Browser()
    client.cookies["sessionid"] = cookie
    with prepared(), django_assert_num_queries(extra):
        client.get("/untouched")


def test_a_session_of_ours_that_no_view_reads_is_not_touched(alice: User, clock: Any):
    with after_switch():
        client = browser(alice)
        key = key_of(client)
    before = Session.objects.values().get()
    clock.advance(days=3)
    with prepared():
        response = client.get("/untouched")
    assert Session.objects.values().get() == before
    assert "Vary" not in response.headers
    assert key_of(client) == key


def test_a_session_of_ours_and_its_user_take_one_query(alice: User, django_assert_num_queries: Any):
    with after_switch():
        client = browser(alice)
    with prepared(), django_assert_num_queries(1):
        assert who(client) == "alice"


def test_the_policy_for_another_network_holds_before_the_switch_too(alice: User):
    with after_switch():
        client = browser()
        client.post("/sign-in", {"user": "alice"}, REMOTE_ADDR="192.0.2.1")
    with prepared(), override_settings(SESSIONS_PLUS_CONTEXT_POLICY="end"):
        assert client.get("/who", REMOTE_ADDR="192.0.2.1").content == b"alice"
        assert client.get("/who", REMOTE_ADDR="198.51.100.1").content == b""
    assert not Session.objects.active().exists()


class StoreOfDevices(DjangoStore):
    """An engine whose middleware tells it the device, as those of django-user-sessions and django-qsessions."""

    def __init__(
        self, session_key: str | None = None, user_agent: str = "", ip: Any = None
    ) -> None:
        super().__init__(session_key)
        self.device = user_agent, ip


def test_an_engine_that_records_devices_is_told_them(
    db: None, monkeypatch: pytest.MonkeyPatch, rf: RequestFactory
):
    engine = ModuleType("engine_of_devices")
    engine.SessionStore = StoreOfDevices  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, engine.__name__, engine)
    request = rf.get("/", headers={"user-agent": "Firefox"}, REMOTE_ADDR="192.0.2.1")
    request.COOKIES["sessionid"] = "k" * 32
    with prepared(), override_settings(SESSION_ENGINE=engine.__name__):
        SessionMiddleware(lambda request: HttpResponse()).process_request(request)
    session: Any = request.session
    assert session.session_key == "k" * 32
    assert session.device == ("Firefox", "192.0.2.1")
