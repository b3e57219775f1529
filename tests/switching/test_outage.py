"""The previous store cannot be asked for a while, and a session ends in that time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client

from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.models import Session
from django_sessions_plus.switching import mirroring
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.rows import RowSource
from tests.switching.conftest import after_switch, before_switch, browser, key_of, old_rows
from tests.switching.test_importing import who

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


@contextmanager
def outage() -> Iterator[None]:
    with patch.object(RowSource, "find", side_effect=OperationalError("gone")):
        yield
    circuit._circuits.clear()


@pytest.mark.parametrize(
    "end",
    [
        lambda client: client.post("/sign-out"),
        lambda client: client.post("/sign-in", {"user": "alice"}),
        lambda client: new_store(key_of(client)).flush(),
        lambda client: new_store().delete(key_of(client)),
    ],
    ids=["sign-out", "sign-in", "flush", "delete"],
)
def test_a_session_that_ends_while_its_store_cannot_be_asked_is_not_imported_later(
    alice: User, end: Callable[[Client], object]
):
    with before_switch():
        client = browser(alice)
        key = key_of(client)
    with after_switch():
        with outage():
            end(client)
        thief = Client()
        thief.cookies["sessionid"] = key
        assert who(thief) == ""
        assert ImportedKey.objects.count() == 1
        mirroring.delete_ended(using="default")
        mirroring.delete_ended(using="default")
    assert not old_rows().filter(session_key=key).exists()


def test_what_could_not_be_deleted_after_the_import_is_deleted_when_it_ends(alice: User):
    with before_switch():
        client = browser(alice)
        key = key_of(client)
    with after_switch():
        with patch.object(RowSource, "delete", side_effect=OperationalError("gone")):
            assert who(client) == "alice"
        assert key not in ImportedKey.objects.get().sealed_key
        assert mirroring.delete_ended(using="default") == 0
        client.post("/sign-out")
    assert not old_rows().filter(session_key=key).exists()


def test_whoever_only_reads_in_that_time_is_signed_in_afterwards(alice: User):
    with before_switch():
        client = browser(alice)
    with after_switch():
        with outage():
            assert who(client) == ""
        assert not ImportedKey.objects.exists()
        assert who(client) == "alice"
    assert Session.objects.count() == 1


def test_a_token_that_is_forbidden_twice_or_that_no_store_has(db: None):
    with after_switch():
        with outage():
            for _ in range(2):
                new_store("z" * 32).delete()
        assert ImportedKey.objects.count() == 1
        new_store("y" * 32).delete()
        assert ImportedKey.objects.count() == 1
