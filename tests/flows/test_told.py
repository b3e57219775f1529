"""What the rows and signals say when several things happen at once, or something is broken."""

import logging
from typing import Any, cast

import pytest
from django.contrib.auth import get_user_model, login, logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from django_sessions_plus.signals import new_device_signed_in, session_ended

User = get_user_model()
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]
DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"
OURS = "django_sessions_plus.middleware.AuthenticationMiddleware"


def new_password_for_bob(request: HttpRequest) -> HttpResponse:
    request.session.get("x")
    bob = cast(Any, User.objects.get(username="bob"))
    bob.set_password("another")
    bob.save()
    return HttpResponse()


def new_password_and_sign_in(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        new_password_for_bob(request)
        login(request, User.objects.get(username="bob"))
        request.session.save()
    return HttpResponse()


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


urlpatterns = [
    path("new-password", new_password_for_bob),
    path("new-password-and-sign-in", new_password_and_sign_in),
    path("sign-out", sign_out),
]


@pytest.fixture(autouse=True)
def _bob():
    User.objects.create_user("bob")


def test_a_session_whose_user_is_gone_keeps_nobody_from_changing_a_password(settings):
    settings.MIDDLEWARE = [DJANGOS if name == OURS else name for name in settings.MIDDLEWARE]
    ada = User.objects.create_user("ada")
    client = Client()
    client.force_login(ada)
    User.objects.filter(pk=ada.pk)._raw_delete("default")
    assert client.get("/new-password").status_code == 200


def test_who_changes_the_password_and_signs_in_within_one_transaction_stays_signed_in():
    Client().get("/new-password-and-sign-in")
    assert Session.objects.active().count() == 1


def test_a_visitor_who_flushes_ends_no_sign_in_that_came_meanwhile():
    visit = SessionStore()
    visit["basket"] = 1
    visit.save()
    late = SessionStore(visit.session_key)
    late.get("basket")
    winner = SessionStore(visit.session_key)
    winner["_auth_user_id"] = str(User.objects.get().pk)
    winner.cycle_key()
    winner.save()
    late.flush()
    assert Session.objects.get().is_active()


def test_the_row_that_is_told_of_as_ended_has_ended_and_bears_no_data(told):
    client = Client()
    client.force_login(User.objects.get())
    client.post("/sign-out")
    (said,) = told.of(session_ended)
    row = said["session"]
    assert (row.ended_at is not None, row.end_reason, row.session_data) == (True, "signed_out", "")
    assert row.ended_by == said["actor"] == said["user"]


@pytest.mark.parametrize("stored", ["{broken", "z:AAAA", "nonsense"])
def test_bad_data_is_logged_whatever_its_form(stored, caplog):
    with caplog.at_level(logging.WARNING):
        assert SessionStore().decode(stored) == {}
    assert [record.name for record in caplog.records] == ["django.security.SuspiciousSession"]


class TestNewDevice:
    FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
    NEWER = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"
    CURL = "curl/8.6.0"

    @staticmethod
    def sign_in(agent):
        store = SessionStore()
        store.meta = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": agent}
        store["_auth_user_id"] = str(User.objects.get().pk)
        store.save()
        return store

    def test_a_browser_not_seen_before_is_told_of_once(self, told):
        for agent in (self.FIREFOX, self.NEWER, self.CURL, self.CURL):
            last = self.sign_in(agent)
        (said,) = told.of(new_device_signed_in)
        assert said["user"] == User.objects.get()
        assert said["session"].user_agent == self.CURL
        assert said["session"].pk != last.row.pk

    def test_the_first_sign_in_and_an_unknown_device_are_no_news(self, told):
        for agent in (self.FIREFOX, None, ""):
            self.sign_in(agent)
        assert told.of(new_device_signed_in) == []

    def test_it_costs_no_query_where_nobody_listens(self, statements):
        self.sign_in(self.FIREFOX)
        with statements() as executed:
            self.sign_in(self.CURL)
        assert not [sql for sql in executed if "LIMIT 200" in sql]
