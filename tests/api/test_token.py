"""POST token: an access token for another service, for a page that is signed in by cookie."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.utils import timezone

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.exceptions import TokenError
from django_sessions_plus.jwt import access
from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient, code, grow_stale
from tests.api.test_context import ELSEWHERE
from tests.api.test_reauthenticate import reauthenticate
from tests.api.test_sign_in import csrf_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

REPORTS = "https://reports.example"
BODY = {"audience": REPORTS}


@pytest.fixture(autouse=True)
def _opted_in(settings: Any) -> None:
    settings.SESSIONS_PLUS_TOKEN_AUDIENCES = [REPORTS, "billing", "django-sessions-plus"]


def claims_of(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(answer.json()["access"], options={"verify_signature": False})
    return found


def test_it_is_for_the_service_alone_and_lasts_five_minutes_at_most(by_cookie):
    answer = by_cookie.send("post", "token", BODY)
    assert answer.status_code == 200
    assert answer.json().keys() == {"access", "expires_in"}
    claims = claims_of(answer)
    assert (claims["aud"], claims["sid"]) == (REPORTS, str(Session.objects.get().pk))
    assert 0 < answer.json()["expires_in"] == claims["exp"] - claims["iat"] <= 300
    assert Session.objects.get().refresh_digest is None
    assert not answer.cookies
    assert answer["Cache-Control"] == "no-store"


def test_this_site_refuses_it(by_cookie):
    token = by_cookie.send("post", "token", BODY).json()["access"]
    with pytest.raises(TokenError):
        access.verify(token)
    service = ApiClient()
    service.token = token
    for address in ("session", "/mine", "/stateless"):
        assert service.send("get", address).status_code == 401


@pytest.mark.parametrize("audience", ["django-sessions-plus", "unknown", "", None, 5, [REPORTS]])
def test_for_this_site_and_for_anybody_else_there_is_none(by_cookie, audience):
    answer = by_cookie.send("post", "token", {"audience": audience})
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert answer.json()["fields"].keys() == {"audience"}


def test_tokens_beget_no_tokens(app, service):
    for client in (app, service):
        answer = client.send("post", "token", BODY)
        assert (answer.status_code, code(answer)) == (401, "not_authenticated")


def test_it_needs_the_csrf_token(browser, by_cookie):
    browser.cookies["sessionid"] = by_cookie.cookies["sessionid"].value
    assert code(browser.send("post", "token", BODY)) == "csrf_failed"
    assert browser.send("post", "token", BODY, headers=csrf_token(browser)).status_code == 200


def test_nobody_gets_one(client):
    assert code(client.send("post", "token", BODY)) == "not_authenticated"


@pytest.mark.parametrize("audiences", [[], ["django-sessions-plus"]])
def test_it_is_an_option(by_cookie, settings, audiences):
    settings.SESSIONS_PLUS_TOKEN_AUDIENCES = audiences
    answer = by_cookie.send("post", "token", BODY)
    assert (answer.status_code, code(answer)) == (404, "not_found")


def test_never_while_impersonated(by_cookie):
    store = SessionStore(by_cookie.cookies["sessionid"].value)
    store["hijack_history"] = ["1"]
    store.save()
    answer = by_cookie.send("post", "token", BODY)
    assert (answer.status_code, code(answer)) == (403, "permission_denied")


def test_from_elsewhere_the_password_comes_first(by_cookie, settings):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "reauthenticate"
    for place in (ELSEWHERE, {}, ELSEWHERE):
        answer = by_cookie.send("post", "token", BODY, **place)
        assert (answer.status_code, code(answer)) == (403, "reauthentication_required")
    assert reauthenticate(by_cookie, **ELSEWHERE).status_code == 200
    assert by_cookie.send("post", "token", BODY, **ELSEWHERE).status_code == 200


def test_a_place_that_is_not_usual_is_no_place_for_it_though_the_session_is_stale(
    by_cookie, settings
):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "reauthenticate"
    grow_stale()
    for place in (ELSEWHERE, ELSEWHERE, {}):
        answer = by_cookie.send("post", "token", BODY, **place)
        assert (answer.status_code, code(answer)) == (403, "reauthentication_required")
        Session.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))


def test_a_session_that_is_only_stale_gets_one(by_cookie):
    grow_stale()
    assert by_cookie.send("post", "token", BODY).status_code == 200


def test_it_does_not_outlive_the_session(by_cookie, settings):
    settings.SESSION_COOKIE_AGE = 60
    Session.objects.update(expires_at=timezone.now() + timedelta(seconds=60))
    assert by_cookie.send("post", "token", BODY).json()["expires_in"] <= 60
