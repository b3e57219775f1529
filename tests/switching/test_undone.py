"""An import that a rollback has undone, or that could not be written, and what the same request does then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth import SESSION_KEY, login, logout
from django.db import OperationalError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.models import Session
from django_sessions_plus.switching import importing
from tests.switching.conftest import after_switch, browser, key_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
]

work: dict[str, Callable[[HttpRequest], HttpResponse]] = {}


def view(request: HttpRequest) -> HttpResponse:
    return work["view"](request)


urlpatterns = [path("", view)]


@pytest.fixture(params=[False, True], ids=["autocommit", "atomic"])
def atomic_requests(request: Any, monkeypatch: Any) -> bool:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", request.param)
    return bool(request.param)


def user_of(key: str) -> str | None:
    found: str | None = new_store(key).get(SESSION_KEY)
    return found


def undo(request: HttpRequest) -> None:
    """Load the session in a block that is rolled back."""
    with transaction.atomic():
        assert request.session.get("basket") == "tea"
        transaction.set_rollback(True)


def ask(client: Client, what: Callable[[HttpRequest], HttpResponse]) -> int:
    work["view"] = what
    client.raise_request_exception = False
    return client.get("/").status_code


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def test_a_sign_out_after_the_import_was_rolled_back(alice, before, atomic_requests):
    def both(request: HttpRequest) -> HttpResponse:
        undo(request)
        return sign_out(request)

    with before:
        client = browser(alice, basket="tea")
        key = key_of(client)
    with after_switch():
        assert ask(client, both) == 200
        assert user_of(key) is None
    assert Session.objects.get().ended_at is not None


@pytest.mark.parametrize("error", [Http404, RuntimeError])
def test_a_sign_out_that_is_rolled_back_together_with_the_import(
    alice, before, atomic_requests, error
):
    def failing(request: HttpRequest) -> HttpResponse:
        logout(request)
        raise error

    with before:
        client = browser(alice, basket="tea")
        key = key_of(client)
    with after_switch():
        assert ask(client, failing) == (404 if error is Http404 else 500)
        assert user_of(key) is None
    assert Session.objects.get().end_reason == "signed_out"


def test_a_sign_in_that_is_rolled_back_together_with_the_import(bob, before, monkeypatch):
    """As without an import: who has signed in is signed in after the response."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    def failing(request: HttpRequest) -> HttpResponse:
        login(request, bob)
        request.session.save()
        raise Http404

    with before:
        client = browser(basket="tea")
        key = key_of(client)
    with after_switch():
        assert ask(client, failing) == 404
        assert user_of(key_of(client)) == str(bob.pk)
        assert new_store(key_of(client))["basket"] == "tea"
        assert user_of(key) is None
        assert "basket" not in new_store(key)
    assert Session.objects.get().user == bob


def test_a_rotation_after_the_import_was_rolled_back(alice, before, atomic_requests):
    def both(request: HttpRequest) -> HttpResponse:
        undo(request)
        request.session.cycle_key()
        return HttpResponse()

    with before:
        client = browser(alice, basket="tea")
        key = key_of(client)
    with after_switch():
        assert ask(client, both) == 200
        assert key_of(client) != key
        assert user_of(key) is None
        assert user_of(key_of(client)) == str(alice.pk)


def test_a_value_that_is_set_after_the_import_was_rolled_back(alice, before, atomic_requests):
    def both(request: HttpRequest) -> HttpResponse:
        undo(request)
        request.session["n"] = 1
        return HttpResponse()

    with before:
        client = browser(alice, basket="tea")
    with after_switch():
        assert ask(client, both) == 200
        store = new_store(key_of(client))
        assert (store["basket"], store["n"]) == ("tea", 1)


@pytest.mark.parametrize("what", ["sign out", "set", "rotate"])
def test_an_import_that_failed_once_is_done_by_what_needs_it(alice, before, what):
    def failing_once(request: HttpRequest) -> HttpResponse:
        with patch.object(importing, "write", side_effect=OperationalError("deadlock")):
            assert request.session["basket"] == "tea"
        if what == "sign out":
            return sign_out(request)
        if what == "rotate":
            request.session.cycle_key()
        request.session["n"] = 1
        return HttpResponse()

    with before:
        client = browser(alice, basket="tea")
        key = key_of(client)
    with after_switch():
        assert ask(client, failing_once) == 200
        if what == "sign out":
            assert user_of(key) is None
        else:
            assert new_store(key_of(client))["n"] == 1
            assert (user_of(key) is None) == (what == "rotate")
    assert Session.objects.count() == 1


def test_one_that_other_code_has_opened(alice, before):
    with before:
        key = key_of(browser(alice, basket="tea"))
    with after_switch():
        with transaction.atomic():
            store = new_store(key)
            assert store.get("basket") == "tea"
            transaction.set_rollback(True)
        store.delete()
        assert user_of(key) is None
