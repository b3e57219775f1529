"""A site with ``ATOMIC_REQUESTS``: a view signs somebody in or out, and then its transaction fails.

Django REST framework does that with every error it answers.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_sessions_plus.models import Session

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


def failed(request: HttpRequest) -> HttpResponse:
    transaction.set_rollback(True)
    return HttpResponse('{"detail": "invalid"}', status=400)


def sign_in_and_fail(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get())
    return failed(request)


def sign_out_and_fail(request: HttpRequest) -> HttpResponse:
    logout(request)
    return failed(request)


def write_and_fail(request: HttpRequest) -> HttpResponse:
    request.session["key"] = "value"
    request.session.save()
    return failed(request)


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user.get_username()} {request.session.get('key', '')}".strip())


def write(request: HttpRequest) -> HttpResponse:
    request.session["key"] = "before"
    return HttpResponse()


urlpatterns: list[Any] = [
    path("sign-in-and-fail", sign_in_and_fail),
    path("sign-out-and-fail", sign_out_and_fail),
    path("write-and-fail", write_and_fail),
    path("write", write),
    path("who", who),
]


@pytest.fixture
def site(alice: User, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    return Client()


@pytest.mark.parametrize("has_session", [False, True], ids=["no session", "a session"])
def test_a_sign_in_counts_and_the_answer_is_the_views(site: Client, has_session: bool):
    if has_session:
        site.get("/write")
    response = site.get("/sign-in-and-fail")
    assert (response.status_code, response.content) == (400, b'{"detail": "invalid"}')
    assert site.get("/who").content == (b"alice before" if has_session else b"alice")
    assert Session.objects.count() == 1


def test_a_second_sign_in_counts_and_rotates(site: Client, alice: User):
    site.force_login(alice)
    old = site.cookies["sessionid"].value
    assert site.get("/sign-in-and-fail").content == b'{"detail": "invalid"}'
    assert site.get("/who").content == b"alice"
    assert site.cookies["sessionid"].value != old
    thief = Client()
    thief.cookies["sessionid"] = old
    assert thief.get("/who").content == b""


def test_a_sign_out_counts(site: Client, alice: User):
    site.force_login(alice)
    token = site.cookies["sessionid"].value
    assert site.get("/sign-out-and-fail").content == b'{"detail": "invalid"}'
    thief = Client()
    thief.cookies["sessionid"] = token
    assert thief.get("/who").content == b""
    assert Session.objects.get().end_reason == "signed_out"


@pytest.mark.parametrize("has_session", [False, True], ids=["no session", "a session"])
def test_what_the_view_stored_counts(site: Client, has_session: bool):
    if has_session:
        site.get("/write")
    assert site.get("/write-and-fail").content == b'{"detail": "invalid"}'
    assert site.get("/who").content == b"value"
