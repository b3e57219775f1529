"""Sessions that Django's ``signed_cookies`` engine has left in the browsers: the cookie is the session."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core import signing
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import override_settings
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.models import Session
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.named import source_of
from tests.conftest import Clock
from tests.switching.conftest import APPS, Browser, after_switch, before_switch, browser, key_of
from tests.switching.test_attacks import identity, with_cookie
from tests.switching.test_undone import ask, sign_out, undo

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.site"),
]

ENGINE = "django.contrib.sessions.backends.signed_cookies"
NAME = django_settings.SESSION_COOKIE_NAME
PICKLE = f"{__name__}.PickleSerializer"

before = partial(before_switch, SESSION_ENGINE=ENGINE)
after = partial(after_switch, "signed_cookies")


@contextmanager
def prepared(**settings: Any) -> Iterator[None]:
    """A process of the first deployment: our middleware, the setting, and Django's engine."""
    with override_settings(
        INSTALLED_APPS=APPS,
        SESSION_ENGINE=ENGINE,
        SESSIONS_PLUS_IMPORT_FROM=["signed_cookies"],
        **settings,
    ):
        yield


class PickleSerializer:
    """The serializer of a site that pickles, as Django's own did until 5.0."""

    def dumps(self, value: Any) -> bytes:
        return pickle.dumps(value)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)


@pytest.fixture
def clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock, for signatures too."""
    monkeypatch.setattr(signing, "time", SimpleNamespace(time=lambda: clock.now().timestamp()))
    return clock


def who(value: str) -> str:
    """Return who is signed in to a browser that has this cookie."""
    return with_cookie(value).get("/who").content.decode()


def signed(data: Any, **arguments: Any) -> str:
    return signing.dumps(data, **{"salt": ENGINE, "compress": True, **arguments})


# The import


@pytest.mark.parametrize("size", [0, 45])
def test_whoever_was_signed_in_stays_so_and_gets_a_token_in_place_of_the_data(alice, clock, size):
    with before():
        client = browser(alice, basket=[sha256(b"%d" % n).hexdigest() for n in range(size)])
        signed_at = timezone.now().replace(microsecond=0)
        value, data = key_of(client), dict(client.session)
    clock.advance(days=3)
    with after():
        sessions.new_store(value).load()
        row = Session.objects.get()
        assert row.created_at == row.last_seen_at == signed_at
        assert row.expires_at == signed_at + timedelta(days=14)
        assert row.authenticated_at is None
        assert client.get("/who").content == b"alice"
        token = key_of(client)
        assert tokens.is_well_formed(token)
        assert client.cookies[NAME]["httponly"]
        assert dict(client.session) == data
        assert row.user == alice
        assert row.token_digest == tokens.digest(token)
    # The setting is only needed for the first request.
    assert client.get("/who").content == b"alice"
    assert who(value) == ""


def test_the_same_under_asgi(alice):
    with before():
        client = browser(alice)

    async def ask() -> tuple[str, str]:
        asking = AsyncClient()
        asking.cookies = client.cookies
        user = (await asking.get("/awho")).content.decode()
        return user, asking.cookies[NAME].value

    with after():
        user, token = asyncio.run(ask())
    assert user == "alice"
    assert Session.objects.get().token_digest == tokens.digest(token)


def test_a_basket_of_nobody_comes_along(db):
    with before():
        client = browser(n=4)
    with after():
        assert client.get("/count").content == b"5"
        assert client.get("/count").content == b"6"
    assert Session.objects.get().user is None


def test_requests_that_still_have_the_old_cookie_use_the_same_row(alice):
    with before():
        value = key_of(browser(alice))
    with after():
        clients = [with_cookie(value) for _ in range(3)]
        for number, client in enumerate(clients, 1):
            assert client.get("/count").content == str(number).encode()
        assert len({key_of(client) for client in clients}) == 1
    assert Session.objects.count() == 1


def test_the_sign_in_rotates_the_token_and_the_planted_cookie_opens_nothing(alice):
    with before():
        planted = key_of(browser(basket=["planted"]))
    with after():
        victim = with_cookie(planted)
        victim.post("/sign-in", {"user": "alice"})
        assert victim.get("/who").content == b"alice"
        assert who(planted) == ""
        client = with_cookie(planted)
        client.get("/who")
        # The browser may have the new cookie already.
        assert key_of(client) == planted


def test_a_cookie_with_an_earlier_name_is_read_and_renamed(alice):
    with before():
        value = key_of(browser(alice))
    client = Browser()
    client.cookies["before"] = value
    with after(SESSIONS_PLUS_FALLBACK_COOKIE_NAMES=["before"]):
        assert client.get("/who").content == b"alice"
    assert client.cookies["before"].value == ""
    assert tokens.is_well_formed(key_of(client))


def test_a_store_that_other_code_opens_with_the_cookie_is_that_session(alice):
    with before():
        value = key_of(browser(alice))
    with after():
        assert sessions.new_store(value).get("_auth_user_id") == str(alice.pk)
        assert who(value) == "alice"


@pytest.mark.parametrize(
    ("expiry", "age"),
    [(300, 300), (0, 14 * 86400), (30 * 86400, 14 * 86400), (None, 14 * 86400)],
)
def test_it_expires_as_it_would_have(alice, clock, expiry, age):
    with before():
        value = key_of(browser(alice, **({} if expiry is None else {"_session_expiry": expiry})))
    clock.advance(seconds=age - 2)
    with after():
        assert who(value) == "alice"
        Session.objects.all().delete()
        ImportedKey.objects.all().delete()
        clock.advance(seconds=3)
        assert who(value) == ""
        assert not Session.objects.exists()


def test_an_expiry_date_in_the_data_holds(alice, clock):
    until = timezone.now() + timedelta(days=2)
    with before():
        value = key_of(browser(alice, _session_expiry=until.isoformat()))
    with after():
        assert who(value) == "alice"
    assert abs(Session.objects.get().expires_at - until) < timedelta(seconds=1)


# What is refused


@pytest.mark.parametrize(
    "value",
    [
        "a:b:c",
        "é is no ASCII:1:x",
        "\udc80 is no text:1:x",
        "::",
        ":" * 5000,
        "x" * 5000,
        ".eJx:1abc:" + "A" * 43,
    ],
    ids=ascii,
)
def test_junk_costs_no_query(db, value, django_assert_num_queries):
    with after(), django_assert_num_queries(0):
        assert sessions.new_store(value).load() == {}
        assert sessions.new_store(value).delete() is None
        assert not sessions.new_store(value).exists(value)


def test_what_the_site_has_not_signed_as_a_session_costs_no_query(
    alice, clock, django_assert_num_queries
):
    data = identity(alice)
    values = [
        signed(data, salt="an unsubscribe link"),
        signed(data, salt=f"{NAME}{ENGINE}"),
        signed(data, key="another secret key that this site does not have"),
        signed(data)[:-1] + "_",
        signed(data) + " ",
        signed({**data, "long": [sha256(b"%d" % n).hexdigest() for n in range(99)]}),
    ]
    expired = signed(data)
    clock.advance(days=14, seconds=2)
    with after(), django_assert_num_queries(0):
        assert [who(each) for each in (*values, expired)] == [""] * 7


def test_without_the_name_in_the_setting_nothing_is_looked_at(alice, django_assert_num_queries):
    with before():
        value = key_of(browser(alice))
    for names in ([], ["cache"]):
        with override_settings(SESSIONS_PLUS_IMPORT_FROM=names), django_assert_num_queries(0):
            assert who(value) == ""


@pytest.mark.parametrize("data", [[1], "text", None, {"_session_expiry": ["x"]}], ids=str)
def test_signed_data_that_is_no_session_is_refused_with_a_line_in_the_log(db, data, caplog):
    with after(), caplog.at_level(logging.WARNING):
        assert who(signed(data)) == ""
    assert "A session of signed_cookies was not imported" in caplog.text
    assert not Session.objects.exists()


def test_pickled_data_is_read_only_if_the_site_pickles(alice, caplog):
    with before(SESSION_SERIALIZER=PICKLE):
        value = key_of(browser(alice))
    with after(), caplog.at_level(logging.WARNING):
        assert who(value) == ""
    assert "SESSION_SERIALIZER cannot read its data" in caplog.text
    with after(SESSION_SERIALIZER=PICKLE):
        assert who(value) == "alice"


def test_a_user_who_could_not_go_on_with_it_is_refused(alice, bob):
    with before():
        changed, inactive = key_of(browser(alice)), key_of(browser(bob))
    alice.set_password("another")
    alice.save()
    User.objects.filter(pk=bob.pk).update(is_active=False)
    with after():
        assert who(changed) == who(inactive) == ""
    assert not Session.objects.exists()


def test_an_engine_that_reads_its_cookies_in_a_way_of_its_own_is_no_source(monkeypatch):
    store_class = source_of("signed_cookies").store_class
    source_of.cache_clear()
    own = type("SessionStore", (store_class,), {"load": lambda self: {}})
    monkeypatch.setattr(f"{ENGINE}.SessionStore", own)
    with pytest.raises(ConfigurationError, match="nothing can be imported"):
        source_of("signed_cookies")


# Nothing that ended comes back


@pytest.mark.parametrize("is_purged", [False, True])
@pytest.mark.parametrize("is_loaded", [False, True])
def test_the_cookie_opens_nothing_after_the_sign_out(alice, is_purged, is_loaded):
    with before():
        value = key_of(browser(alice))
    with after():
        if is_loaded:
            assert who(value) == "alice"
        sessions.new_store(value).flush()
        if is_purged:
            Session.objects.all().delete()
        assert who(value) == ""
        assert not Session.objects.active().exists()


def test_not_even_after_the_secret_key_has_changed(db):
    with before():
        value = key_of(browser(basket=1))
    fallbacks = [django_settings.SECRET_KEY]
    with after():
        assert sessions.new_store(value)["basket"] == 1
        sessions.new_store(value).flush()
    for keys in (fallbacks, []):
        with after(SECRET_KEY="the next one, " * 4, SECRET_KEY_FALLBACKS=keys):
            assert sessions.new_store(value).load() == {}
    assert not Session.objects.exists()


def test_the_secret_key_may_change_meanwhile(alice):
    with before():
        value = key_of(browser(alice))
    with after(SECRET_KEY="the next one, " * 4, SECRET_KEY_FALLBACKS=[django_settings.SECRET_KEY]):
        client = with_cookie(value)
        assert client.get("/who").content == b"alice"
        # That has rotated the token, as Django does.
        assert client.get("/who").content == b"alice"
        assert who(value) == ""
    assert Session.objects.count() == 1


@pytest.mark.parametrize("end", [sessions.revoke, lambda row: sessions.revoke_many([row.pk])])
def test_an_earlier_copy_opens_nothing_once_the_session_has_ended(alice, clock, end):
    """A copy from before the last change of the session: another value of the cookie."""
    with before():
        client = browser(alice, n=1)
        copy = key_of(client)
        clock.advance(minutes=1)
        client.get("/count")
        latest = key_of(client)
        clock.advance(minutes=1)
        elsewhere = key_of(browser(alice, n=3))
    assert len({copy, latest, elsewhere}) == 3
    with after():
        assert who(latest) == "alice"
        end(Session.objects.get())
        assert who(copy) == who(latest) == ""
        # In another browser the user has signed in later than that.
        assert who(elsewhere) == "alice"


def test_an_earlier_copy_opens_a_session_until_then_as_it_did_before(alice, clock):
    with before():
        client = browser(alice, n=1)
        copy = key_of(client)
        clock.advance(minutes=1)
        client.get("/count")
    with after():
        assert client.get("/who").content == b"alice"
        assert who(copy) == "alice"
        # And the user can see and end it.
        assert len(sessions.list_for(alice)) == 2


def test_a_session_that_ended_at_the_limit_refuses_no_other(alice, clock):
    with before():
        values = []
        for number in range(3):
            clock.advance(minutes=1)
            values.append(key_of(browser(alice, n=number)))
    with after(SESSIONS_PLUS_MAX_PER_USER=1):
        assert [who(value) for value in (values[1], values[2])] == ["alice", "alice"]
        Session.objects.active().delete()
        assert who(values[0]) == "alice"


def test_sign_out_everywhere_reaches_the_cookies_that_were_signed_before(alice, bob, clock):
    with before():
        values = [key_of(browser(alice)), key_of(browser(bob)), key_of(browser(n=1))]
    clock.advance(minutes=1)
    with after():
        sessions.revoke_all(alice)
    clock.advance(minutes=1)
    with before():
        # A process of the previous deployment signs the user in again.
        later = key_of(browser(alice))
    with after():
        assert [who(value) for value in values] == ["", "bob", ""]
        assert who(later) == "alice"
        clock.advance(minutes=1)
        sessions.revoke_everyone()
        assert who(later) == ""


# Failures


def test_a_database_that_cannot_be_written_to_signs_nobody_out(alice):
    with before():
        value = key_of(browser(alice))
    client = with_cookie(value)
    with after():
        with patch.object(Rows, "insert", side_effect=DatabaseError("read-only")):
            assert client.get("/who").content == b"alice"
            # The token that would replace it opens nothing yet.
            assert key_of(client) == value
        assert client.get("/who").content == b"alice"
        assert key_of(client) != value
        assert client.get("/who").content == b"alice"


def _count_after_undo(request: HttpRequest) -> HttpResponse:
    undo(request)
    request.session["n"] = 1
    return HttpResponse()


def _undo_only(request: HttpRequest) -> HttpResponse:
    undo(request)
    return HttpResponse()


def _sign_out_after_undo(request: HttpRequest) -> HttpResponse:
    undo(request)
    return sign_out(request)


@pytest.mark.urls("tests.switching.test_undone")
def test_an_import_that_is_rolled_back_keeps_the_cookie(alice):
    with before():
        value = key_of(browser(alice, basket="tea"))
    client = with_cookie(value)
    with after():
        assert ask(client, _undo_only) == 200
        assert key_of(client) == value
        assert not Session.objects.exists()
        assert ask(client, _count_after_undo) == 200
        token = key_of(client)
        assert token != value
        assert sessions.new_store(token)["n"] == 1
        assert sessions.new_store(token)["_auth_user_id"] == str(alice.pk)


@pytest.mark.urls("tests.switching.test_undone")
def test_a_sign_out_after_the_import_was_rolled_back_ends_the_session(alice):
    with before():
        value = key_of(browser(alice, basket="tea"))
    with after():
        assert ask(with_cookie(value), _sign_out_after_undo) == 200
        assert sessions.new_store(value).load() == {}
    assert Session.objects.get().ended_at is not None


# Side by side with processes before the switch


@pytest.mark.parametrize(("first", "second"), [(prepared, after), (after, prepared)])
def test_a_browser_that_meets_both_stays_signed_in_and_loses_nothing(alice, first, second):
    client = Browser()
    with first():
        client.get("/count")
    with second():
        assert client.get("/count").content == b"2"
        client.post("/sign-in", {"user": "alice"})
    for number, process in enumerate((first, second) * 3, 3):
        with process():
            assert client.get("/who").content == b"alice"
            assert client.get("/count").content == str(number).encode()
    assert Session.objects.active().count() == 1


@pytest.mark.parametrize("is_purged", [False, True])
def test_a_cookie_whose_session_has_ended_here_opens_nothing_in_a_process_before_the_switch(
    alice, is_purged
):
    with before():
        value = key_of(browser(alice))
    with after():
        client = with_cookie(value)
        client.get("/who")
        client.post("/sign-out")
        if is_purged:
            Session.objects.all().delete()
    with prepared():
        assert who(value) == ""
        assert asyncio.run(_awho(value)) == ""


async def _awho(value: str) -> str:
    client = AsyncClient()
    client.cookies[NAME] = value
    return (await client.get("/awho")).content.decode()


def test_before_the_switch_a_cookie_costs_two_queries_more(alice, django_assert_num_queries):
    with before():
        client = browser(alice)
    with prepared(), django_assert_num_queries(2):
        assert client.get("/untouched").status_code == 200


# Settings that have no effect


def test_nothing_is_kept_of_a_cookie(alice):
    with before():
        value = key_of(browser(alice))
    with after(SESSIONS_PLUS_IMPORT_KEEP_SOURCE="data"):
        client = with_cookie(value)
        client.get("/count")
        client.get("/count")
        assert ImportedKey.objects.get().sealed_key == ""
        client.post("/sign-out")
        assert who(value) == ""


# Secrets


def test_neither_the_cookie_nor_the_token_is_in_a_log_or_the_database(alice, caplog):
    with before():
        value = key_of(browser(alice))
    caplog.set_level(logging.DEBUG, logger="django_sessions_plus")
    with after():
        client: Client = with_cookie(value)
        client.get("/who")
    shown = [caplog.text, repr(Session.objects.values().get()), repr(ImportedKey.objects.values())]
    for secret in (value, key_of(client)):
        assert all(secret not in each for each in shown)
