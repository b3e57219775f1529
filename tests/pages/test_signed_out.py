"""Whoever was signed out learns why at the site's own sign-in: by a message, or by a template tag."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client, override_settings
from django.urls import include, path
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from tests import site

SIGN_IN = """{% load sessions_plus_devices %}
{% for message in messages %}<i>{{ message }}</i>{% endfor %}
{% sign_out_reason as reason %}{% if reason %}<b>{{ reason }}</b>{% endif %}"""


def sign_in_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(engines["django"].from_string(SIGN_IN).render({}, request))


urlpatterns = [
    path("account/devices/", include("django_sessions_plus.urls")),
    path("accounts/login/", sign_in_page),
    path("private", login_required(site.who)),
    *site.urlpatterns,
]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

DEVICES, TAG_ALONE = "/account/devices/", "/private"
WITHOUT_MESSAGES = override_settings(
    MIDDLEWARE=[each for each in settings.MIDDLEWARE if "messages" not in each]
)
TOLD = {
    EndReason.REVOKED: "Your session was ended. Sign in again.",
    EndReason.LIMIT: "Your session was ended to make room for a newer sign-in. Sign in again.",
    EndReason.PASSWORD_CHANGED: (
        "Your session was ended because the password was changed. Sign in again."
    ),
    EndReason.REFRESH_REUSED: "Your session was ended for your safety. Sign in again.",
    EndReason.USER_DEACTIVATED: "Your session was ended. Sign in again.",
    "of_the_project": "Your session was ended. Sign in again.",
}


@pytest.fixture
def browser() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("ada"))
    return client


def shown(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


@pytest.mark.parametrize(("reason", "text"), TOLD.items())
def test_the_tag_tells_after_any_redirect(browser, reason, text):
    sessions.revoke_all(User.objects.get(), reason=reason)
    assert shown(browser.get(TAG_ALONE, follow=True)) == f"<b>{text}</b>"
    # And no more, once it was told.
    assert shown(browser.get("/accounts/login/")) == ""


@pytest.mark.parametrize("address", [DEVICES, "/sensitive", "/asensitive"])
def test_what_leads_there_from_here_leaves_a_message_and_that_alone(browser, address):
    sessions.revoke_all(User.objects.get())
    answer = browser.get(address, follow=True)
    assert shown(answer) == f"<i>{TOLD[EndReason.REVOKED]}</i>"


@WITHOUT_MESSAGES
def test_without_messages_it_is_the_tag_there_too(browser):
    sessions.revoke_all(User.objects.get())
    assert shown(browser.get(DEVICES, follow=True)) == f"<b>{TOLD[EndReason.REVOKED]}</b>"


def test_an_expired_session_has_expired(browser):
    Session.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    expired = "<b>Your session has expired. Sign in again.</b>"
    assert shown(browser.get(TAG_ALONE, follow=True)) == expired


def test_who_signed_out_and_who_never_was_in_are_told_nothing(browser):
    token = browser.cookies[settings.SESSION_COOKIE_NAME].value
    browser.get("/sign-out")
    browser.cookies[settings.SESSION_COOKIE_NAME] = token
    strangers = Client()
    strangers.cookies[settings.SESSION_COOKIE_NAME] = tokens.make_token()
    for client in (browser, strangers, Client()):
        assert shown(client.get(TAG_ALONE, follow=True)) == ""


def test_the_cookie_goes_with_the_page_that_tells_and_with_every_answer_that_leads_nowhere(browser):
    sessions.revoke_all(User.objects.get())
    assert settings.SESSION_COOKIE_NAME not in browser.get(TAG_ALONE).cookies
    assert browser.get("/accounts/login/").cookies[settings.SESSION_COOKIE_NAME].value == ""
