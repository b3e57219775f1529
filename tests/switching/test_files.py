"""Sessions that Django's ``file`` engine has left in a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.backends.file import SessionStore as FileStore
from django.test import override_settings
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.models import Session
from django_sessions_plus.switching.sources.named import source_of
from tests.switching.conftest import after_switch, before_switch, browser, key_of
from tests.switching.test_attacks import who, with_cookie

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.site"),
]

before = partial(before_switch, SESSION_ENGINE="django.contrib.sessions.backends.file")
after = partial(after_switch, "file")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the sessions; Django remembers the one of the first test."""
    monkeypatch.delattr(FileStore, "_storage_path", raising=False)
    with override_settings(SESSION_FILE_PATH=str(tmp_path)):
        yield tmp_path
    store: Any = FileStore
    if "_storage_path" in vars(store):
        del store._storage_path


def test_whoever_was_signed_in_stays_so_and_the_file_is_deleted(alice, folder):
    with before():
        client = browser(alice, basket=["tea", "é"])
        key = key_of(client)
    with after():
        assert client.get("/who").content == b"alice"
        assert client.session["basket"] == ["tea", "é"]
    assert key_of(client) == key
    assert not list(folder.iterdir())
    row = Session.objects.get()
    assert row.user == alice
    assert row.expires_at <= timezone.now() + timedelta(days=14)


def test_it_was_last_seen_when_it_was_saved_and_expires_from_then(alice, clock, folder):
    with before():
        keys = [key_of(browser(alice)), key_of(browser(alice, _session_expiry=300))]
        saved_at = FileStore(keys[0])._last_modification()
    clock.moment = saved_at + timedelta(days=2)
    with after():
        sessions.new_store(keys[0]).load()
        assert sessions.new_store(keys[1]).load() == {}
        assert source_of("file").find(keys[1]) is None
    row = Session.objects.get()
    assert row.last_seen_at == row.created_at == saved_at
    assert row.expires_at == saved_at + timedelta(days=14)


def test_what_has_ended_here_stays_ended(alice, folder):
    with before():
        key = key_of(browser(alice))
    (path,) = folder.iterdir()
    text = path.read_text()
    with after():
        assert who(key) == "alice"
        sessions.revoke(Session.objects.get())
        # A process of the previous deployment saves it once more.
        path.write_text(text)
        assert who(key) == ""


def test_sign_out_everywhere_reaches_the_files(alice):
    with before():
        key = key_of(browser(alice))
    with after():
        sessions.revoke_all(alice)
        assert who(key) == ""


@pytest.mark.parametrize("keep", [True, "data"])
def test_a_file_that_is_kept_follows(alice, clock, keep, folder):
    # Files have the time of the system.
    clock.moment = datetime.now(UTC)
    with before():
        key = key_of(browser(alice))
    with after(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep):
        client = with_cookie(key)
        client.get("/who")
        clock.advance(days=7)
        client.get("/count")
        expires_at = Session.objects.get().expires_at
    with before():
        store = FileStore(key)
        data = store.load()
        assert data.get("n") == (1 if keep == "data" else None)
        expected = expires_at.replace(microsecond=0)
        assert store._expiry_date({}).replace(microsecond=0) == expected
        assert who(key) == "alice"
    with after(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep):
        client.post("/sign-out")
    assert not list(folder.iterdir())


def test_an_empty_file_is_no_session_and_a_damaged_one_is_refused(alice, bob, folder, caplog):
    with before():
        key = key_of(browser(alice))
        (path,) = folder.iterdir()
        other = key_of(browser(bob))
    path.write_text("")
    with after(), caplog.at_level(logging.WARNING):
        assert who(key) == ""
        assert not caplog.records
        for content in (b"no session", b"\xff"):
            path.write_bytes(content)
            assert who(key) == ""
        assert len(caplog.records) == 2
        # The store has not failed: it can be asked for others.
        assert who(other) == "bob"


@pytest.mark.parametrize("key", ["../../../../../../etc/hostname", "a/../" + "a" * 27, "\x00" * 32])
def test_no_file_outside_is_read(key):
    with after():
        assert sessions.new_store(key).load() == {}
    assert not circuit._circuits


def test_a_file_that_is_gone_is_not_made_again(alice, folder):
    source = source_of("file")
    source.update("k" * 32, timezone.now(), {"n": 1})
    source.update("k" * 32, timezone.now(), None)
    source.delete("k" * 32)
    assert not list(folder.iterdir())
