"""A sign-in page that sends back at once whoever is signed in already: the redirects come to an end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.cache import cache
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path
from django.utils import timezone

from django_sessions_plus.accounts import reauthentication
from django_sessions_plus.models import Session
from tests import site

PASSWORD = "flow-matic-1955"
CONFIRM = "/account/devices/confirm-password/"

# As allauth's page does by default.
login_view = LoginView.as_view(redirect_authenticated_user=True, template_name="none.html")
without_pages = [path("accounts/login/", login_view, name="login"), *site.urlpatterns]
urlpatterns = [
    path("account/devices/", include("django_sessions_plus.urls")),
    *without_pages,
]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


@pytest.fixture
def ada() -> User:
    cache.clear()
    return User.objects.create_user("ada", password=PASSWORD)


def grow_stale() -> None:
    Session.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))


@pytest.fixture
def browser(ada) -> Client:
    client = Client()
    client.force_login(ada)
    grow_stale()
    return client


@pytest.mark.parametrize("address", ["/sensitive", "/asensitive"])
def test_who_is_sent_back_is_asked_by_the_page_of_ours(browser, address):
    answer = browser.get(address, follow=True)
    assert [url.partition("?")[0] for url, _ in answer.redirect_chain] == [
        "/accounts/login/",
        address,
        CONFIRM,
    ]
    done = browser.post(CONFIRM, {"password": PASSWORD, "next": address})
    assert done["Location"] == address
    assert browser.get(address).content == b"ada"


def test_the_same_in_async_mode(browser):
    client = AsyncClient()
    client.cookies = browser.cookies
    answer = asyncio.run(client.get("/asensitive", follow=True))
    assert answer.redirect_chain[-1][0].startswith(CONFIRM)


def test_after_a_form_it_is_the_second_attempt_that_is_asked(browser):
    form = {"headers": {"referer": "http://testserver/who"}}
    assert browser.post("/sensitive", **form)["Location"] == "/accounts/login/?next=/who"
    assert browser.post("/sensitive", **form)["Location"] == f"{CONFIRM}?next=/who"


@override_settings(SESSIONS_PLUS_REAUTHENTICATE_URL="login")
def test_the_pages_end_it_too(browser):
    session = Session.objects.create(
        user=User.objects.get(), expires_at=timezone.now() + timedelta(1)
    )
    answer = browser.post(f"/account/devices/{session.pk}/end/", follow=True)
    assert answer.redirect_chain[-1][0].startswith(CONFIRM)


def test_another_page_and_a_later_visit_begin_anew(browser, monkeypatch):
    for address in ("/sensitive?page=1", "/sensitive?page=2"):
        assert browser.get(address)["Location"].startswith("/accounts/login/")
    monkeypatch.setattr(reauthentication, "SENT_BACK_WITHIN", -1)
    assert browser.get("/sensitive?page=2")["Location"].startswith("/accounts/login/")


def test_who_has_signed_in_again_comes_through(browser):
    browser.get("/sensitive")
    browser.post("/sign-in", {"user": "ada"})
    assert browser.get("/sensitive").content == b"ada"


def test_without_the_page_it_ends_in_a_refusal(browser, settings):
    settings.ROOT_URLCONF = tuple(without_pages)
    answers = [browser.get("/sensitive").status_code for _ in range(5)]
    assert answers == [302, 302, 302, 302, 403]


def test_nobody_leaves_no_session_behind():
    client = Client()
    client.get("/sensitive", follow=False)
    assert not client.cookies
    assert not Session.objects.exists()
