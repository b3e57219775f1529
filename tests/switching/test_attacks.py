"""What somebody could try with a session of the previous engine, and that it opens nothing."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django import VERSION
from django.conf import settings as django_settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.core import mail, signing
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest
from django.test import Client, override_settings
from django.utils.log import AdminEmailHandler

from django_sessions_plus import sessions
from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.models import Session
from django_sessions_plus.switching import asking
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.named import source_of
from tests.backends.racing import racers, shared_database
from tests.failing import FailingAt
from tests.switching.conftest import after_switch, before_switch, browser, key_of, old_rows

# Django 6.0 deprecates pairs of name and address, which 5.2 demands.
ADMINS = ["admin@example.com"] if VERSION >= (6, 0) else [("Admin", "admin@example.com")]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.site"),
]

SALT = "django.contrib.sessions.SessionStore"


def with_cookie(key: str) -> Client:
    """Return another browser with this cookie."""
    client = Client()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = key
    return client


def who(key: str) -> str:
    """Return who is signed in to a browser with this cookie, in a process that has never seen it."""
    asking.unknown_tokens.clear()
    return with_cookie(key).get("/who").content.decode()


def forge(key: str, **data: Any) -> None:
    """Have the previous engine store this data, signed as it signs."""
    with before_switch():
        text = signing.dumps(data, salt=SALT, compress=True)
    old_rows().filter(session_key=key).update(session_data=text)


def identity(user: User, **data: Any) -> dict[str, Any]:
    return {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
        **data,
    }


# What ended here


@pytest.mark.parametrize("keep", [False, True, "data"])
def test_an_old_cookie_opens_nothing_once_its_row_was_revoked_nor_after_the_purge(
    alice, clock, keep
):
    with before_switch(SESSION_COOKIE_AGE=400 * 86400):
        key = key_of(browser(alice, basket=1))
    kept = old_rows().values().get()
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep):
        assert who(key) == "alice"
        assert sessions.revoke(Session.objects.get())
        assert not old_rows().exists()
        assert who(key) == ""
        # A process of the previous deployment saves it once more.
        old_rows().create(**kept)
        assert who(key) == ""
        clock.advance(days=200)
        sessions.new_store().clear_expired()
        assert not Session.objects.exists()
        assert old_rows().exists()
        assert who(key) == ""
        assert not Session.objects.exists()


def test_a_session_of_ours_opens_nothing_in_the_previous_engine(alice):
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE="data"):
        client = Client()
        client.post("/sign-in", {"user": "alice"})
        assert client.get("/who").content == b"alice"
        row = Session.objects.get()
    with before_switch():
        for value in (key_of(client), row.token_digest, row.token_digest[:32], row.pk.hex):
            assert who(value) == ""
        assert not old_rows().exists()


def test_the_digest_of_an_imported_key_opens_nothing(alice):
    with before_switch():
        key = key_of(browser(alice))
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True):
        assert who(key) == "alice"
        imported = ImportedKey.objects.get()
        values = (imported.digest, imported.digest[:32], imported.sealed_key[:32])
        assert [who(value) for value in values] == ["", "", ""]
    with before_switch():
        assert [who(value) for value in values] == ["", "", ""]


# Forged sessions


@pytest.mark.parametrize(
    "key",
    [
        *(None, [], ["1"], {}, {"pk": 1}, "", "x", "-1", -1, "1.5", 10**400, "9" * 400, "1" * 19),
        *("\x00", "1\x00", "\ud800", " ", "1; DROP TABLE auth_user", float("inf")),
    ],
    ids=ascii,
)
def test_a_user_that_cannot_be_one_is_nobody(alice, key, caplog):
    with before_switch():
        old = key_of(browser(alice))
    forge(old, **identity(alice, **{SESSION_KEY: key}))
    with after_switch(), caplog.at_level(logging.WARNING):
        assert who(old) == ""
    assert "A session of django was not imported: its user" in caplog.text
    assert not Session.objects.exists()
    assert not ImportedKey.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {HASH_SESSION_KEY: ""},
        {HASH_SESSION_KEY: None},
        {HASH_SESSION_KEY: ["a"]},
        {HASH_SESSION_KEY: "é"},
        {BACKEND_SESSION_KEY: None},
        {BACKEND_SESSION_KEY: ["django.contrib.auth.backends.ModelBackend"]},
        {BACKEND_SESSION_KEY: {}},
        {BACKEND_SESSION_KEY: "os.system"},
    ],
    ids=str,
)
def test_data_that_names_a_user_without_the_proof_signs_nobody_in(alice, change):
    with before_switch():
        old = key_of(browser(alice))
    forge(old, **identity(alice, **change))
    with after_switch():
        assert who(old) == ""
    assert not Session.objects.exists()


def test_data_that_the_site_has_signed_for_something_else_is_refused(alice):
    with before_switch():
        old = key_of(browser(alice))
    text = signing.dumps(identity(alice), salt="an unsubscribe link", compress=True)
    old_rows().update(session_data=text)
    with after_switch():
        assert who(old) == ""
    assert not Session.objects.exists()


@pytest.mark.parametrize("expiry", [10**18, -(10**18), "soon", ["x"], -5, 0.5], ids=str)
def test_an_odd_expiry_in_the_data_is_no_error(alice, expiry, caplog):
    with before_switch():
        old = key_of(browser(alice))
    forge(old, **identity(alice, _session_expiry=expiry))
    with after_switch(), caplog.at_level(logging.WARNING):
        is_usable = expiry == 0.5
        assert who(old) == ("alice" if is_usable else "")
    assert Session.objects.exists() is is_usable
    if expiry not in (-5, 0.5):
        assert "its data has an expiry that is none" in caplog.text


class Moved:
    """A class of the site that a deployment has moved while sessions had instances of it."""


def test_what_cannot_be_unpickled_is_refused_and_signs_nobody_else_out(alice, bob, caplog):
    with before_switch(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        unreadable, other = key_of(browser(alice)), key_of(browser(bob))
    cache.set(f"django.contrib.sessions.cache{unreadable}", {"moved": Moved()})
    with after_switch("cache"), pytest.MonkeyPatch.context() as patch:
        patch.delattr(f"{__name__}.Moved")
        with caplog.at_level(logging.WARNING):
            assert who(unreadable) == ""
        # The cache has not failed: it can be asked for others.
        assert who(other) == "bob"
    assert "the cache cannot read its data (AttributeError)" in caplog.text


def test_an_engine_that_cannot_read_one_session_signs_nobody_else_out(alice, bob, caplog):
    with before_switch():
        unreadable, other = key_of(browser(alice)), key_of(browser(bob))
    old_rows().filter(session_key=unreadable).update(session_data="no session")
    store_class: Any = source_of("django").store_class

    def decode(store: Any, text: str) -> Any:
        # An engine of the site's own, which lets errors of its encryption out.
        return signing.loads(text, salt=SALT)

    with after_switch(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_class, "decode", decode)
        with caplog.at_level(logging.WARNING):
            assert who(unreadable) == ""
        assert who(other) == "bob"
    assert "its engine cannot read its data (BadSignature)" in caplog.text


# Session fixation


@pytest.mark.parametrize("keep", [False, True, "data"])
@pytest.mark.parametrize("is_imported", [False, True])
def test_a_key_that_was_planted_does_not_open_the_session_of_who_signs_in_with_it(
    alice, keep, is_imported
):
    with before_switch():
        planted = key_of(browser(basket=["planted"]))
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep):
        if is_imported:
            who(planted)
        victim = with_cookie(planted)
        victim.post("/sign-in", {"user": "alice"})
        assert victim.get("/who").content == b"alice"
        assert key_of(victim) != planted
        assert who(planted) == ""
        victim.get("/count")
        assert who(planted) == ""
        assert sessions.new_store(planted).load() == {}
    with before_switch():
        assert who(planted) == ""
        assert who(key_of(victim)) == ""


# Many at once


@pytest.fixture
def shared(stock_table: None, tmp_path: Path) -> Iterator[None]:
    with shared_database(tmp_path):
        yield


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.usefixtures("shared")
def test_of_20_parallel_requests_one_signs_out_and_afterwards_nothing_opens(alice, keep):
    with before_switch():
        keys = [key_of(browser(alice, basket=1)) for _ in range(5)]
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep), racers(20) as racing:
        for key in keys:
            reads: list[Callable[[], Any]] = [partial(who, key)] * 10
            writes: list[Callable[[], Any]] = [partial(with_cookie(key).get, "/count")] * 9
            answers = racing.run(*reads, *writes, partial(with_cookie(key).post, "/sign-out"))
            assert {answer for answer in answers if isinstance(answer, str)} <= {"alice", ""}
            assert who(key) == ""
        assert not Session.objects.active().filter(user=alice).exists()
        assert not old_rows().filter(session_key__in=keys).exists()
    with before_switch():
        assert [who(key) for key in keys] == [""] * len(keys)


@pytest.mark.parametrize(
    ("flood", "limit"),
    [(100, 50), pytest.param(10_000, 5_000, marks=pytest.mark.thorough)],
)
def test_a_flood_of_unknown_tokens_takes_no_more_memory_than_that(alice, monkeypatch, flood, limit):
    monkeypatch.setattr(asking, "MAX_UNKNOWN", limit)
    with before_switch():
        key = key_of(browser(alice))
    with after_switch():
        for number in range(flood):
            assert sessions.new_store(f"{number:032d}").load() == {}
        assert len(asking.unknown_tokens._until) == limit
        assert not Session.objects.exists()
        assert not ImportedKey.objects.exists()
        assert not circuit._circuits or all(each.is_healthy for each in circuit._circuits.values())
        assert with_cookie(key).get("/who").content == b"alice"


# Secrets


def responses_of_failures(key: str, path: str) -> Iterator[Any]:
    """Yield the answers to a request of which each statement fails in turn, and to the one of which none does."""
    kept = list(old_rows().values())
    for number in range(1, 100):
        asking.unknown_tokens.clear()
        circuit._circuits.clear()
        failing = FailingAt(number)
        client = with_cookie(key)
        client.raise_request_exception = False
        with connection.execute_wrapper(failing):
            yield client.get(path)
        if failing.remaining > 0:
            return
        # As it was before the request.
        for rows in (Session.objects.all(), ImportedKey.objects.all(), old_rows()):
            rows.delete()
        old_rows().bulk_create([old_rows().model(**row) for row in kept])
    raise AssertionError("the request has no end of statements")


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("keep", [False, True, "data"])
def test_no_key_is_in_an_error_page_a_mail_or_a_log_whichever_statement_fails(
    alice, caplog, keep, debug
):
    with before_switch():
        key = key_of(browser(alice, basket=1))
    # What Django logs of statements has their parameters: those of the previous engine are keys.
    caplog.set_level(logging.DEBUG, logger="django_sessions_plus")
    handler = AdminEmailHandler(include_html=True)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    failed = total = 0
    try:
        with (
            after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep, DEBUG=debug),
            override_settings(ADMINS=ADMINS),
        ):
            for response in responses_of_failures(key, "/count"):
                total += 1
                page = response.content.decode()
                failed += response.status_code == 500
                assert key not in page
                assert "Traceback" in page or response.status_code == 200 or not debug
                if response.status_code == 500:
                    assert_frames_without(key, response.exc_info[1])
    finally:
        logger.removeHandler(handler)
    assert 0 < failed < total
    mails = [each.message().as_string() for each in mail.outbox]
    assert len(mails) >= failed
    for text in (*mails, *map(logging.Formatter().format, caplog.records)):
        assert key not in text


def assert_frames_without(key: str, error: BaseException) -> None:
    """Fail if a variable of a frame has the key, but for the request, which has the cookie."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        shown = {n: v for n, v in frame.f_locals.items() if not isinstance(v, HttpRequest)}
        assert key not in repr(shown), frame.f_code.co_qualname
