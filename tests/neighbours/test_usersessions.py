"""allauth's ``usersessions`` beside Django's engine: what it has recorded comes along when its sessions are imported.

Run with the package installed::

    python -m pytest -m neighbours --ds tests.neighbours.usersessions_settings tests/neighbours/test_usersessions.py
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone
from django.views.debug import ExceptionReporter

from django_sessions_plus import bookkeeping, sessions, tokens
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.models import Session
from django_sessions_plus.switching.asking import unknown_tokens
from tests.switching.conftest import Browser, after_switch, key_of

if not apps.is_installed("allauth.usersessions"):
    pytest.skip("needs tests.neighbours.usersessions_settings", allow_module_level=True)

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session as DjangoSession

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db(transaction=True)]

PASSWORD = "flow-matic-1955"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
ADDRESS = "203.0.113.9"
PAGE = "/accounts/sessions/"
STOCK = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
]


@contextmanager
def before_switch() -> Iterator[None]:
    engine = "django.contrib.sessions.backends.db"
    with override_settings(SESSION_ENGINE=engine, MIDDLEWARE=STOCK):
        yield


def sign_in(agent: str = CHROME) -> Browser:
    """Sign in on allauth's page, while the site is on Django's engine."""
    browser = Browser(REMOTE_ADDR=ADDRESS, HTTP_USER_AGENT=agent)
    with before_switch():
        answer = browser.post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    assert answer.status_code == 302
    return browser


def by_its_cookie(browser: Browser) -> None:
    # Not by a request, which would record its own address and browser.
    new_store(key_of(browser)).load()


def in_bulk(browser: Browser) -> None:
    call_command("import_sessions", verbosity=0)


BOTH = pytest.mark.parametrize("bring", [by_its_cookie, in_bulk])
Bring = Callable[[Browser], None]


def row_of(browser: Browser) -> Session | None:
    return Session.objects.filter(token_digest=tokens.digest(key_of(browser))).first()


def ago(**units: int) -> datetime:
    return timezone.now() - timedelta(**units)


@pytest.fixture(autouse=True)
def ada(db: None) -> Iterator[User]:
    yield User.objects.create_user("ada", "ada@example.com", PASSWORD)
    cache.clear()
    unknown_tokens.clear()


@BOTH
def test_a_session_comes_along_with_its_device_its_address_and_its_beginning(bring: Bring):
    browser, began = sign_in(), ago(days=3)
    UserSession.objects.update(created_at=began, last_seen_at=began)
    with after_switch():
        bring(browser)
    row = row_of(browser)
    assert row is not None
    assert (row.ip_address, row.user_agent, row.created_at) == (ADDRESS, CHROME, began)
    # Without TRACK_ACTIVITY, allauth has only recorded when the user signed in.
    assert ago(minutes=5) < row.last_seen_at


def test_the_last_use_is_not_estimated_to_be_before_the_beginning():
    browser, began = sign_in(), ago(days=3)
    UserSession.objects.update(created_at=began)
    DjangoSession.objects.update(expire_date=timezone.now() + timedelta(days=1))
    with after_switch():
        in_bulk(browser)
    row = row_of(browser)
    assert row is not None
    assert row.last_seen_at == row.created_at == began


@BOTH
def test_the_last_activity_comes_along_where_it_was_tracked(bring: Bring, settings: Any):
    settings.USERSESSIONS_TRACK_ACTIVITY = True
    browser, began, seen = sign_in(), ago(days=3), ago(hours=3)
    UserSession.objects.update(created_at=began, last_seen_at=seen)
    with after_switch():
        bring(browser)
    row = row_of(browser)
    assert row is not None
    assert (row.created_at, row.last_seen_at) == (began, seen)


@BOTH
def test_a_user_agent_that_was_cut_off_is_not_taken_for_a_browser(bring: Bring):
    browser = sign_in(CHROME * 3)
    with after_switch():
        bring(browser)
    row = row_of(browser)
    assert row is not None
    assert (row.ip_address, row.user_agent) == (ADDRESS, None)


@BOTH
def test_one_that_began_after_all_of_its_user_have_ended_is_imported(bring: Bring, ada: User):
    older, newer = sign_in(), sign_in()
    with after_switch():
        sessions.revoke_all(ada)
        later = UserSession.objects.get(session_key=key_of(newer))
        later.created_at = timezone.now() + timedelta(seconds=1)
        later.save()
        bring(newer)
        bring(older)
    assert row_of(older) is None
    row = row_of(newer)
    assert row is not None
    # The barriers are read a second time after the import.
    assert row.is_active()


@BOTH
def test_where_any_request_makes_its_row_a_late_one_proves_no_late_beginning(
    bring: Bring, ada: User, settings: Any
):
    """A process of the previous deployment still serves the session, and would make it look new."""
    settings.USERSESSIONS_TRACK_ACTIVITY = True
    browser = sign_in()
    UserSession.objects.all().delete()
    with after_switch():
        sessions.revoke_all(ada)
    with before_switch():
        assert browser.get("/who").content == b"ada"
        assert UserSession.objects.exists()
    with after_switch():
        bring(browser)
    assert row_of(browser) is None


def test_a_batch_asks_for_all_of_its_sessions_at_once():
    for _ in range(3):
        sign_in()
    with after_switch(), CaptureQueriesContext(connection) as captured:
        call_command("import_sessions", verbosity=0)
    asked = [each["sql"] for each in captured if "usersessions_usersession" in each["sql"]]
    assert len(asked) == 1
    assert set(Session.objects.values_list("ip_address", flat=True)) == {ADDRESS}


def test_a_session_of_nobody_is_not_asked_for():
    browser = Browser()
    with before_switch():
        store: Any = browser.session
        store["basket"] = ["tea"]
        store.save()
    browser.cookies["sessionid"] = store.session_key
    with after_switch(), CaptureQueriesContext(connection) as captured:
        by_its_cookie(browser)
    assert row_of(browser) is not None
    assert not any("usersessions_usersession" in each["sql"] for each in captured)


@BOTH
def test_what_allauth_has_recorded_is_not_needed_to_go_on(
    bring: Bring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    browser = sign_in()
    monkeypatch.setattr(bookkeeping, "_logged_at", {})
    monkeypatch.setattr(UserSession._meta, "db_table", "no_such_table")
    caplog.set_level(logging.DEBUG, logger="django_sessions_plus")
    with after_switch(), transaction.atomic():
        bring(browser)
        # Whatever else the transaction has to do is not lost.
        assert User.objects.exists()
    row = row_of(browser)
    assert row is not None
    assert (row.user_agent, row.is_active()) == (None, True)
    assert "Could not read what allauth has recorded of sessions" in caplog.text
    (failure,) = [each.exc_info for each in caplog.records if each.exc_info]
    frames = ExceptionReporter(None, *failure).get_traceback_frames()
    ours = [each for each in frames if "/django_sessions_plus/" in each["filename"]]
    assert ours
    assert key_of(browser) not in str([each["vars"] for each in ours])


@BOTH
def test_its_page_still_lists_an_imported_session_and_ends_it(bring: Bring):
    here, other = sign_in(), sign_in("another")
    with after_switch():
        bring(here)
        bring(other)
        assert not DjangoSession.objects.exists()
        assert here.get("/who").content == b"ada"
        page = here.get(PAGE)
        assert page.context["session_count"] == 2
        here.post(PAGE)
        assert here.get(PAGE).context["session_count"] == 1
        assert other.get("/who").content == b""
        assert here.get("/who").content == b"ada"
    assert UserSession.objects.count() == 1


def test_its_row_of_a_session_that_has_ended_goes_when_its_page_is_opened(ada: User):
    here, other = sign_in(), sign_in("another")
    with after_switch():
        for each in (here, other):
            by_its_cookie(each)
        row = row_of(other)
        assert row is not None
        sessions.revoke(row)
        assert here.get(PAGE).context["session_count"] == 1
    assert [each.session_key for each in UserSession.objects.all()] == [key_of(here)]
