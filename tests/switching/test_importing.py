"""A browser's session of Django's own engine goes on in ours, once, and nothing that ended comes back."""

from __future__ import annotations

import asyncio
import logging
import pickle
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core import signing
from django.core.cache import cache
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest
from django.test import AsyncClient, Client
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.models import Session
from django_sessions_plus.switching import asking, importing, mirroring
from django_sessions_plus.switching.models import ImportBarrier, ImportedKey
from django_sessions_plus.switching.sources.rows import RowSource
from tests.custom.engine import DeviceSession
from tests.switching.conftest import Browser, after_switch, before_switch, browser, key_of, old_rows

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.site"),
]

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
SECRET = "another secret, as long as they are meant to be, and of no use elsewhere"


def who(client: Client) -> str:
    return client.get("/who", headers={"user-agent": CHROME}).content.decode()


def test_whoever_was_signed_in_stays_signed_in_as_the_same_user_by_the_same_cookie(alice, before):
    with before:
        client = browser(alice, basket=["tea", 3])
        expires_at = old_rows().get().expire_date
        key = key_of(client)
    with after_switch():
        assert who(client) == "alice"
        assert client.session["basket"] == ["tea", 3]
        assert key_of(client) == key
        row = Session.objects.get()
        assert row.user == alice
        assert row.token_digest == tokens.digest(key)
        assert row.imported_at is not None
        assert row.expires_at <= expires_at
        assert row.user_agent == CHROME
        assert not old_rows().exists()
    # The setting is only needed for the first request.
    assert who(client) == "alice"


def test_the_same_under_asgi(alice, before):
    with before:
        client = browser(alice)

    async def ask() -> str:
        asking_client = AsyncClient()
        asking_client.cookies = client.cookies
        return (await asking_client.get("/awho")).content.decode()

    with after_switch():
        assert asyncio.run(ask()) == "alice"
    assert Session.objects.get().user == alice


def test_a_session_of_nobody_comes_along_with_its_data(db, before):
    with before:
        client = browser(basket=["tea"])
    with after_switch():
        assert client.get("/count").content == b"1"
        assert client.session["basket"] == ["tea"]
    row = Session.objects.get()
    assert row.user is None
    assert row.authenticated_at is None


def test_a_session_of_nobody_is_not_new_when_it_is_imported(db, before):
    with before:
        client = browser(basket=["tea"])
    with after_switch(SESSIONS_PLUS_ANONYMOUS_AGE=timedelta(hours=1)):
        client.get("/count")
    assert Session.objects.get().expires_at > timezone.now() + timedelta(days=13)


def test_nobody_knows_when_the_user_authenticated_so_the_session_is_not_fresh(alice, before):
    with before:
        client = browser(alice)
    with after_switch():
        assert client.get("/sensitive").status_code == 302
    row = Session.objects.get()
    assert not row.is_fresh()
    assert row.access == "browser"


def test_a_cookie_that_ended_with_the_browser_still_does(alice, before):
    with before:
        client = browser(alice, _session_expiry=0)
    with after_switch(SESSIONS_PLUS_LAST_SEEN_INTERVAL=timedelta(0)):
        client.get("/count")
    row = Session.objects.get()
    assert row.remember is False
    assert row.expires_at <= timezone.now() + timedelta(days=1)
    cookie = client.cookies[django_settings.SESSION_COOKIE_NAME]
    assert not cookie["max-age"]
    assert not cookie["expires"]


def test_the_expiry_is_never_beyond_ours(alice, before):
    with before_switch(SESSION_COOKIE_AGE=400 * 86400):
        client = browser(alice)
    with after_switch():
        who(client)
    assert Session.objects.get().expires_at <= timezone.now() + timedelta(days=14)


def test_the_absolute_timeout_begins_with_the_import(alice, before, clock):
    with before:
        client = browser(alice)
    with after_switch(SESSIONS_PLUS_ABSOLUTE_AGE=timedelta(days=2)):
        who(client)
        clock.advance(days=1)
        assert who(client) == "alice"
        clock.advance(days=1)
        assert who(client) == ""


@pytest.mark.parametrize("page", ["/untouched", "/who"])
def test_a_request_that_does_not_use_its_session_imports_nothing(alice, before, page):
    with before:
        client = browser(alice)
    with after_switch():
        client.get(page)
    assert Session.objects.exists() == (page == "/who")


@pytest.mark.parametrize("token", ["x" * 31, "A" * 32, "../../etc/passwd" * 2, ""])
def test_junk_costs_no_query(db, token, django_assert_num_queries):
    client = Browser()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = token
    with after_switch(), django_assert_num_queries(0):
        assert who(client) == ""


def test_an_unknown_token_costs_two_queries_more_and_for_a_while_none(db, statements):
    client = Browser()
    with after_switch():
        for expected in (3, 1):
            client.cookies[django_settings.SESSION_COOKIE_NAME] = "z" * 32
            cache.clear()
            with statements() as found:
                assert who(client) == ""
            assert len(found) == expected
        assert not Session.objects.exists()


def test_a_cookie_is_not_looked_for_among_tokens_of_other_packages(db, statements):
    client = Browser()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = "z" * 32
    with after_switch("authtoken"), statements() as found:
        assert who(client) == ""
    assert len(found) == 1


def test_only_so_many_unknown_tokens_are_remembered_and_only_so_long(monkeypatch):
    monkeypatch.setattr(asking, "MAX_UNKNOWN", 2)
    now = [0.0]
    monkeypatch.setattr(asking, "monotonic", lambda: now[0])
    known = asking.UnknownTokens()
    for digest in "abc":
        known.add(digest)
    assert [each in known for each in "abc"] == [False, True, True]
    now[0] = asking.UNKNOWN_AGE
    assert "c" not in known


# Nothing dead comes back


@pytest.mark.parametrize("keep", [False, True])
def test_a_session_that_was_signed_out_here_stays_ended(alice, before, keep):
    with before:
        client = browser(alice)
        kept = list(old_rows().values())
        cookie = client.cookies.copy()
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep):
        client.post("/sign-out")
        # Somebody of the previous deployment saves it once more.
        old_rows().model.objects.update_or_create(
            session_key=kept[0]["session_key"], defaults=kept[0]
        )
        client.cookies = cookie
        assert who(client) == ""
        asking.unknown_tokens.clear()
        Session.objects.all().delete()
        assert who(client) == ""


@pytest.mark.parametrize("keep", [False, True])
def test_an_old_key_whose_token_was_rotated_here_opens_nothing(alice, before, keep):
    with before:
        client = browser(basket=["tea"])
        kept = old_rows().values().get()
        cookie = client.cookies.copy()
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep):
        client.post("/sign-in", {"user": "alice"})
        assert who(client) == "alice"
        assert client.session["basket"] == ["tea"]
        old_rows().model.objects.update_or_create(session_key=kept["session_key"], defaults=kept)
        thief = Browser()
        thief.cookies = cookie
        assert who(thief) == ""
        assert "basket" not in thief.session
        assert who(client) == "alice"


def test_a_session_that_was_flushed_before_anybody_read_it_is_not_imported_later(alice, before):
    with before:
        client = browser(alice)
        cookie = client.cookies.copy()
    with after_switch():
        sessions.new_store(key_of(client)).flush()
        assert not old_rows().exists()
        client.cookies = cookie
        assert who(client) == ""


def test_an_expired_session_is_not_imported(alice, before, clock):
    with before:
        client = browser(alice)
    clock.advance(days=15)
    with after_switch():
        assert who(client) == ""
    assert not Session.objects.exists()


def test_a_session_is_not_imported_once_the_password_has_changed(alice, before):
    with before:
        client = browser(alice)
    # By SQL, so that nothing here hears of it.
    User.objects.filter(pk=alice.pk).update(password="another")
    with after_switch():
        assert who(client) == ""
    assert not Session.objects.exists()
    assert old_rows().exists()


@pytest.mark.parametrize("loss", ["inactive", "deleted", "backend"])
def test_a_session_whose_user_may_not_sign_in_is_not_imported(alice, before, settings, loss):
    with before:
        client = browser(alice)
    if loss == "inactive":
        User.objects.filter(pk=alice.pk).update(is_active=False)
    elif loss == "deleted":
        User.objects.filter(pk=alice.pk).delete()
    else:
        settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    with after_switch():
        assert who(client) == ""
    assert not Session.objects.exists()


def test_after_a_change_of_the_secret_key_the_fallback_still_opens_it(alice, before, settings):
    with before:
        client = browser(alice)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = SECRET
    with after_switch():
        assert who(client) == "alice"


def test_damaged_and_forged_data_is_refused_with_a_line_in_the_log(alice, before, caplog):
    with before:
        client = browser(alice)
        row = old_rows().get()
    forged = signing.dumps(
        {"_auth_user_id": str(alice.pk)}, key=SECRET, salt="django.contrib.sessions.SessionStore"
    )
    for text in (forged, row.session_data[:-4], "", "ä" * 50):
        old_rows().update(session_data=text)
        asking.unknown_tokens.clear()
        with after_switch(), caplog.at_level(logging.WARNING):
            assert who(client) == ""
        assert "was not imported: its data is damaged" in caplog.text
        assert key_of(client) not in caplog.text
        caplog.clear()
    assert not Session.objects.exists()
    assert old_rows().exists()


def test_pickles_are_not_opened(alice, before, caplog):
    class Bomb:
        def __reduce__(self) -> Any:
            return (exec, ("raise SystemExit",))

    class Pickler:
        def dumps(self, value: Any) -> bytes:
            return pickle.dumps(Bomb())

    with before:
        client = browser(alice)
    text = signing.dumps(
        {}, salt="django.contrib.sessions.SessionStore", serializer=Pickler, compress=True
    )
    old_rows().update(session_data=text)
    with after_switch(), caplog.at_level(logging.WARNING):
        assert who(client) == ""
    assert "SESSION_SERIALIZER cannot read its data" in caplog.text


# All sessions of a user


@pytest.mark.parametrize(
    "end",
    [
        sessions.revoke_all,
        lambda user: sessions.revoke_others(user, keep=None),
        lambda user: sessions.revoke_everyone(),
    ],
    ids=["all", "others", "everyone"],
)
def test_whoever_ends_all_sessions_ends_those_that_were_not_imported_yet(alice, bob, before, end):
    with before:
        client, other = browser(alice), browser(bob)
    with after_switch():
        everyone = end(alice) is None or ImportBarrier.objects.get().user_key == ""
        assert who(client) == ""
        assert who(other) == ("" if everyone else "bob")
    assert Session.objects.active().count() == (0 if everyone else 1)


def test_a_deactivated_user_who_is_activated_again_stays_signed_out(alice, before):
    with before:
        client = browser(alice)
    with after_switch():
        alice.is_active = False
        alice.save()
        alice.is_active = True
        alice.save()
        assert who(client) == ""


def test_all_end_while_one_is_imported(alice, before):
    """The barrier is written, and the rows end, between the first look at the barriers and the insert."""
    with before:
        client = browser(alice)
    write = importing.write

    def write_late(*args: Any) -> bool:
        sessions.revoke_all(alice)
        return bool(write(*args))

    with after_switch(), patch.object(importing, "write", write_late):
        who(client)
        assert who(client) == ""
    assert not Session.objects.active().exists()


@pytest.mark.parametrize("seconds", [0, 5], ids=["imports one", "imports many"])
@pytest.mark.parametrize(
    "end", [sessions.revoke_all, lambda user: sessions.revoke_everyone()], ids=["all", "everyone"]
)
def test_all_end_in_a_transaction_while_another_process_imports(alice, before, end, seconds):
    """The other process does not see the barrier before the commit, and has made its rows before."""
    with before:
        browser(alice)
    with after_switch():
        with transaction.atomic():
            end(alice)
            # As if it had been inserted by another connection, which is not held up by this one.
            row = Session(
                token_digest="f" * 64,
                user=alice,
                imported_at=timezone.now() - timedelta(seconds=seconds),
                expires_at=timezone.now() + timedelta(1),
            )
            row.save()
        row.refresh_from_db()
        assert row.ended_at is not None


def test_whoever_ends_all_sessions_and_then_signs_in_by_an_imported_one_stays_signed_in(
    alice, before
):
    with before:
        key = key_of(browser(basket=1))
    with after_switch(), transaction.atomic():
        store = sessions.new_store(key)
        assert store["basket"] == 1
        sessions.revoke_all(alice)
        request = HttpRequest()
        request.session = store
        login(request, alice, backend="django.contrib.auth.backends.ModelBackend")
        store.save()
    row = Session.objects.get()
    assert row.user == alice
    assert row.ended_at is None


def test_the_limit_holds_for_what_is_imported(alice, before):
    with before:
        clients = [browser(alice) for _ in range(4)]
    with after_switch(SESSIONS_PLUS_MAX_PER_USER=2):
        for client in clients:
            assert who(client) == "alice"
    assert Session.objects.active().count() == 2


def test_a_model_of_ones_own_gets_its_columns(alice, before):
    with before:
        client = browser(alice, tenant="acme", account=7)
    with after_switch(SESSION_ENGINE="tests.custom.engine"):
        assert who(client) == "alice"
        row = DeviceSession.objects.get()
        assert (row.user, row.tenant, row.account_id) == (alice, "acme", 7)


def test_an_expiry_in_the_data_that_has_passed_counts(alice, before):
    with before:
        client = browser(alice, _session_expiry="2020-01-01T00:00:00+00:00")
        old_rows().update(expire_date=timezone.now() + timedelta(days=1))
    with after_switch():
        assert who(client) == ""
    assert not Session.objects.exists()


def test_nobody_asks_what_has_ended_while_the_other_engine_is_set(alice, before):
    with before:
        client = browser(alice)
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True, SESSION_ENGINE="tests.custom.engine"):
        who(client)
        assert mirroring.delete_ended(using="default") == 0
    with before_switch(), pytest.raises(ConfigurationError, match="before you go back"):
        mirroring.delete_ended(using="default")
    assert old_rows().exists()


# Many at once, and failures


@pytest.mark.parametrize("transactions", [False, True])
def test_a_view_that_fails_imports_nothing_and_loses_nothing(
    alice, before, transactions, monkeypatch
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", transactions)
    with before:
        client = browser(alice)
    client.raise_request_exception = False
    with after_switch(), patch("tests.site.who", side_effect=RuntimeError):
        client.get("/error/500")
    with after_switch():
        assert who(client) == "alice"
        assert Session.objects.count() == 1


def test_a_rolled_back_import_is_done_again_when_the_session_is_saved(alice, before):
    with before:
        key = key_of(browser(alice, basket=1))
    with after_switch():
        store = sessions.new_store(key)
        with transaction.atomic():
            assert store["basket"] == 1
            transaction.set_rollback(True)
        assert old_rows().exists()
        store["basket"] = 2
        store.save()
        assert not old_rows().exists()
        row = Session.objects.get()
        assert row.get_decoded()["basket"] == 2
        assert row.authenticated_at is None
        assert ImportedKey.objects.get().digest == row.token_digest == tokens.digest(key)


def test_a_store_that_fails_signs_nobody_out_for_good(alice, before, caplog):
    with before:
        client = browser(alice)
    cookie = client.cookies.copy()
    with after_switch():
        with patch.object(RowSource, "find", side_effect=OperationalError("gone")) as find:
            assert who(client) == ""
            assert who(client) == ""
            # The circuit is open.
            assert find.call_count == 1
        # Its cookie was left alone.
        assert client.cookies == cookie
        circuit._circuits.clear()
        assert who(client) == "alice"


def test_a_store_that_is_slow_is_left_alone_for_a_while(alice, bob, before, monkeypatch):
    with before:
        first, second = browser(alice), browser(bob)
    monkeypatch.setattr(asking, "SLOW", -1.0)
    with after_switch():
        assert who(first) == "alice"
        assert who(second) == ""


def test_while_nothing_can_be_written_everybody_stays_signed_in(alice, before):
    with before:
        client = browser(alice)
    with after_switch():
        with patch.object(importing, "write", side_effect=OperationalError("read-only")):
            assert who(client) == "alice"
            assert who(client) == "alice"
        assert not Session.objects.exists()
        assert old_rows().exists()
        assert who(client) == "alice"
        assert Session.objects.count() == 1


# The way back


def test_a_source_that_is_kept_lets_everybody_go_back_but_those_whose_session_has_ended(
    alice, bob, before
):
    with before:
        stays, leaves, ended = browser(alice), browser(bob), browser(bob)
        keys = {
            name: key_of(each)
            for name, each in (("stays", stays), ("leaves", leaves), ("ended", ended))
        }
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True):
        for client in (stays, leaves, ended):
            who(client)
        assert old_rows().count() == 3
        assert all(len(each.sealed_key) == 64 for each in ImportedKey.objects.all())
        assert not [key for key in keys.values() if key in str(list(ImportedKey.objects.values()))]
        leaves.post("/sign-out")
        sessions.revoke(Session.objects.get(token_digest=tokens.digest(keys["ended"])))
    with before_switch():
        assert who(stays) == "alice"
        for name in ("leaves", "ended"):
            client = Browser()
            client.cookies[django_settings.SESSION_COOKIE_NAME] = keys[name]
            assert who(client) == ""


def test_what_could_not_be_deleted_in_the_source_is_tried_again(alice, before):
    with before:
        client = browser(alice)
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True):
        who(client)
        with patch.object(RowSource, "delete", side_effect=OperationalError("gone")):
            assert sessions.revoke_all(alice) == 1
        assert old_rows().exists()
        assert mirroring.delete_ended(using="default") == 1
        assert not old_rows().exists()
        assert mirroring.delete_ended(using="default") == 0


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache"])
@pytest.mark.parametrize("keep", [True, "data"])
def test_what_is_kept_follows_the_expiry_and_if_asked_the_data(alice, clock, engine, keep):
    path = f"django.contrib.sessions.backends.{engine}"
    with before_switch(SESSION_ENGINE=path):
        client = browser(alice, n=1)
    with after_switch(path, SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep):
        clock.advance(days=3)
        assert client.get("/count").content == b"2"
        row = Session.objects.get()
        if engine != "cache":
            assert old_rows().get().expire_date == row.expires_at
    with before_switch(SESSION_ENGINE=path):
        clock.advance(days=12)
        assert who(client) == "alice"
        assert client.session["n"] == (2 if keep == "data" else 1)


def test_what_is_not_kept_does_not_come_into_being_again(alice, before, clock):
    with before:
        client = browser(alice, n=1)
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE="data"):
        who(client)
        old_rows().all().delete()
        clock.advance(days=3)
        client.get("/count")
        assert not old_rows().exists()


def test_a_source_that_cannot_follow_stops_nobody(alice, before, clock):
    with before:
        client = browser(alice, n=1)
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE="data"):
        who(client)
        with patch.object(RowSource, "update", side_effect=OperationalError("gone")) as update:
            assert client.get("/count").content == b"2"
        assert update.called


def test_a_session_that_goes_on_is_not_deleted_in_its_source(alice, before):
    with before:
        client = browser(alice)
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True):
        who(client)
        assert mirroring.delete_ended(using="default") == 0
        assert old_rows().exists()


def test_keys_can_be_read_after_a_change_of_the_secret_key(alice, before, settings):
    with before:
        client = browser(alice)
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True):
        who(client)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = SECRET
        sessions.revoke_all(alice)
        assert not old_rows().exists()


# Other sources


def test_sessions_of_a_cache_come_along(alice, db):
    with before_switch(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        client = browser(alice, basket=["tea"])
        key = key_of(client)
    with after_switch("cache"):
        assert who(client) == "alice"
        assert client.session["basket"] == ["tea"]
        assert f"django.contrib.sessions.cache{key}" not in cache
        assert Session.objects.get().user == alice


def test_a_value_that_no_serializer_here_can_store_is_refused_and_kept(alice, db, caplog):
    with before_switch(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        client = browser(alice, when=timezone.now())
        key = key_of(client)
    with after_switch("cache"), caplog.at_level(logging.WARNING):
        assert who(client) == ""
        assert "SESSION_SERIALIZER cannot store a value of its data" in caplog.text
        assert f"django.contrib.sessions.cache{key}" in cache


def test_copies_in_the_cache_of_the_previous_engine_go_with_its_rows(alice, db):
    with before_switch(SESSION_ENGINE="django.contrib.sessions.backends.cached_db"):
        client = browser(alice)
        name = f"django.contrib.sessions.cached_db{key_of(client)}"
        assert name in cache
    with after_switch():
        assert who(client) == "alice"
        assert name not in cache


def test_an_engine_is_named_by_what_session_engine_was(alice, db):
    path = "django.contrib.sessions.backends.db"
    with before_switch(SESSION_ENGINE=path):
        client = browser(alice)
    with after_switch(path):
        assert who(client) == "alice"


def test_a_token_is_importable_until_it_was_imported(alice, before):
    with before:
        client = browser(alice)
        key = key_of(client)
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True):
        store = sessions.new_store()
        assert store.exists(key)
        client.post("/sign-out")
        assert not store.exists(key)
        assert not store.exists("y" * 32)
