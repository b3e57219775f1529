"""The sign-in page of allauth as it is: "remember me", a page that sends back, and why somebody was signed out.

Run with the package installed::

    python -m pytest -m neighbours --ds tests.neighbours.second_factor_settings tests/neighbours/test_allauth_pages.py
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.decorators import fresh_session_required
from django_sessions_plus.models import Session

if not apps.is_installed("allauth.account"):
    pytest.skip("needs tests.neighbours.second_factor_settings", allow_module_level=True)

from tests.neighbours.second_factor_urls import urlpatterns as of_the_site

pytestmark = [
    pytest.mark.neighbours,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
]

PASSWORD = "flow-matic-1955"
DEVICES = "/account/devices/"


@fresh_session_required
def sensitive(request: HttpRequest) -> HttpResponse:
    return HttpResponse("in")


urlpatterns = [*of_the_site, path("sensitive", sensitive)]


@pytest.fixture(autouse=True)
def ada(db: None, settings: Any) -> User:
    settings.ACCOUNT_EMAIL_VERIFICATION = "none"
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


def sign_in(**more: str) -> Client:
    browser = Client()
    answer = browser.post("/accounts/login/", {"login": "ada", "password": PASSWORD, **more})
    assert answer.status_code == 302
    return browser


@pytest.mark.parametrize(
    ("ticked", "lasts"), [({"remember": "on"}, timedelta(days=14)), ({}, timedelta(days=1))]
)
def test_remember_me_is_what_its_box_says(ticked: dict[str, str], lasts: timedelta):
    browser = sign_in(**ticked)
    row = Session.objects.get()
    assert row.remember is bool(ticked)
    assert lasts - timedelta(hours=1) < row.expires_at - timezone.now() <= lasts
    assert bool(browser.cookies["sessionid"]["max-age"]) is bool(ticked)


def test_who_is_sent_back_by_its_sign_in_page_is_asked_by_ours():
    browser = sign_in()
    Session.objects.update(authenticated_at=timezone.now() - timedelta(hours=2))
    answer = browser.get("/sensitive", follow=True)
    assert [url.partition("?")[0] for url, _ in answer.redirect_chain] == [
        "/accounts/login/",
        "/sensitive",
        f"{DEVICES}confirm-password/",
    ]
    body = {"password": PASSWORD, "next": "/sensitive"}
    answer = browser.post(answer.redirect_chain[-1][0], body, follow=True)
    assert answer.content == b"in"


def test_who_was_signed_out_reads_why_on_its_sign_in_page(ada: User):
    browser = sign_in()
    sessions.revoke_all(ada)
    answer = browser.get(DEVICES, follow=True)
    assert answer.redirect_chain[-1][0].startswith("/accounts/login/")
    said = [str(message) for message in answer.context["messages"]]
    assert "Your session was ended. Sign in again." in said
