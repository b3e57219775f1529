"""With a source that keeps its sessions: what ends here ends there, and nothing else does."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore as DjangoStore
from django.db import OperationalError
from django.test import Client
from django.test.utils import override_settings

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.switching import mirroring
from django_sessions_plus.switching.sources.rows import RowSource
from tests.switching.conftest import APPS, after_switch, before_switch, browser, key_of, old_rows
from tests.switching.test_importing import who

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]

PREPARED = {
    "INSTALLED_APPS": APPS,
    "SESSION_ENGINE": "django.contrib.sessions.backends.db",
    "SESSIONS_PLUS_IMPORT_FROM": ["django"],
    "SESSIONS_PLUS_IMPORT_KEEP_SOURCE": True,
}


def kept() -> Any:
    return after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True)


def prepared() -> Any:
    """A process that has not made the switch yet, or that has gone back."""
    return override_settings(**PREPARED)


def with_key(key: str) -> Client:
    client = Client()
    client.cookies["sessionid"] = key
    return client


@pytest.fixture
def client(alice: User) -> Client:
    """A browser whose session was imported, and is still in its source."""
    with before_switch():
        client = browser(alice, basket="tea")
    with kept():
        assert who(client) == "alice"
    return client


def end_by_verb(client: Client) -> None:
    sessions.revoke_many(Session.objects.all())


# A process before the switch does not know of the cache: docs/switching.md has the switch to db come first.
@pytest.mark.db_engine
@pytest.mark.parametrize("process", [kept, prepared])
@pytest.mark.parametrize(
    "end",
    [
        lambda client: client.post("/sign-out"),
        lambda client: client.post("/sign-in", {"user": "alice"}),
        lambda client: client.post("/sign-in", {"user": "bob"}),
        end_by_verb,
    ],
    ids=["sign-out", "sign-in again", "sign-in of another", "verb"],
)
def test_what_ends_or_gets_a_new_token_is_deleted_there_whichever_process_does_it(
    client, bob, process, end
):
    key = key_of(client)
    with process():
        end(client)
    assert not old_rows().exists()
    for process_after in (kept, prepared, before_switch):
        with process_after():
            assert who(with_key(key)) == ""


def test_one_that_could_not_be_deleted_there_is_not_opened_by_a_process_that_has_gone_back(client):
    key = key_of(client)
    with kept(), patch.object(RowSource, "delete", side_effect=OperationalError("gone")):
        client.post("/sign-out")
    assert old_rows().exists()
    with prepared():
        assert who(with_key(key)) == ""


def test_an_end_that_finds_the_session_changed_deletes_nothing_there(client):
    """A parallel request has stored the hash of a new password, so that the session goes on."""
    with kept():
        store = new_store(key_of(client))
        store.load()
        Session.objects.update(version=7)
        assert store.end_as(EndReason.PASSWORD_CHANGED) is None
        assert Session.objects.active().exists()
        assert old_rows().exists()
        assert mirroring.delete_ended(using="default") == 0


def test_a_sign_out_in_a_process_before_the_switch_while_the_session_is_imported(alice):
    """A parallel request imports it after this one has looked for it here, and before the view signs out."""
    with before_switch():
        client = browser(alice)
        key = key_of(client)
    engine = PREPARED["SESSION_ENGINE"]
    delete = DjangoStore.delete

    def delete_late(store: Any, *args: Any) -> None:
        with after_switch(SESSION_ENGINE="django_sessions_plus.backends.db"):
            assert who(with_key(key)) == "alice"
        delete(store, *args)

    with override_settings(
        INSTALLED_APPS=APPS, SESSION_ENGINE=engine, SESSIONS_PLUS_IMPORT_FROM=["django"]
    ):
        with patch.object(DjangoStore, "delete", delete_late):
            client.post("/sign-out")
        assert client.cookies["sessionid"].value == ""
        assert who(with_key(key)) == ""
    with after_switch():
        assert who(with_key(key)) == ""
    assert Session.objects.get().token_digest == tokens.digest(key)
