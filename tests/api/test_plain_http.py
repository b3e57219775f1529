"""Tokens over plain HTTP: logged, or refused before anything is done for them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, code
from tests.api.test_sign_in import csrf_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

PROXY = ("HTTP_X_FORWARDED_PROTO", "https")


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        vars(record)["transport"]
        for record in caplog.records
        if getattr(record, "event", "") == "tokens_over_plain_http"
    ]


@pytest.fixture
def _required(settings: Any) -> None:
    settings.SESSIONS_PLUS_REQUIRE_HTTPS = True


def test_in_production_it_is_logged_for_tokens_and_not_for_the_cookie(client, caplog, settings):
    settings.SESSIONS_PLUS_TOKEN_AUDIENCES = ["reports"]
    with caplog.at_level(logging.WARNING, logger="django_sessions_plus"):
        client.sign_in()
        assert logged(caplog) == []
        client.send("post", "token", {"audience": "reports"})
        client.sign_in(transport="bearer")
        client.take(client.sign_in(transport="jwt"))
        client.refresh()
        client.send("post", "reauthenticate", {"password": PASSWORD})
    assert logged(caplog) == ["cookie", "bearer", "jwt", "jwt", "jwt"]
    assert str(client.token) not in caplog.text


def test_it_is_not_logged_over_https_nor_in_development(client, caplog, settings):
    with caplog.at_level(logging.WARNING, logger="django_sessions_plus"):
        body = {"username": "ada", "password": PASSWORD, "transport": "jwt"}
        client.send("post", "sign-in", body, secure=True)
        settings.DEBUG = True
        client.sign_in(transport="jwt")
    assert logged(caplog) == []


@pytest.mark.usefixtures("_required")
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"transport": "bearer"},
        {"transport": "jwt"},
        {"transport": "jwt", "refresh_cookie": True},
    ],
)
def test_a_sign_in_is_refused_before_the_password_is_looked_at(browser, wanted):
    for password in (PASSWORD, "wrong"):
        body = {"username": "ada", "password": password, **wanted}
        answer = browser.send("post", "sign-in", body, headers=csrf_token(browser))
        assert (answer.status_code, code(answer)) == (403, "https_required")
    assert not Session.objects.filter(user__isnull=False).exists()


def test_a_refresh_is_refused_before_it_rotates(service, settings):
    settings.SESSIONS_PLUS_REQUIRE_HTTPS = True
    before = Session.objects.get().refresh_digest
    assert code(service.refresh()) == "https_required"
    assert Session.objects.get().refresh_digest == before
    assert service.refresh(secure=True).status_code == 200


def test_a_reauthentication_is_refused_before_the_password_is_looked_at(signed_in, settings):
    settings.SESSIONS_PLUS_REQUIRE_HTTPS = True
    before = Session.objects.get()
    for password in (PASSWORD, "wrong"):
        answer = signed_in.send("post", "reauthenticate", {"password": password})
        assert (answer.status_code, code(answer)) == (403, "https_required")
    assert Session.objects.get().token_digest == before.token_digest
    answer = signed_in.send("post", "reauthenticate", {"password": PASSWORD}, secure=True)
    assert answer.status_code == 200


def test_a_token_for_another_service_is_refused(by_cookie, settings):
    settings.SESSIONS_PLUS_REQUIRE_HTTPS = True
    settings.SESSIONS_PLUS_TOKEN_AUDIENCES = ["reports"]
    answer = by_cookie.send("post", "token", {"audience": "reports"})
    assert (answer.status_code, code(answer)) == (403, "https_required")
    answer = by_cookie.send("post", "token", {"audience": "reports"}, secure=True)
    assert answer.status_code == 200


def test_a_new_token_in_a_header_is_logged_too(app, caplog):
    with caplog.at_level(logging.WARNING, logger="django_sessions_plus"):
        answer = app.send("post", "/password")
    assert answer["Session-Token"] not in caplog.text
    assert logged(caplog) == ["bearer"]


def test_a_new_token_in_a_header_is_withheld_and_its_session_is_over(app, settings):
    settings.SESSIONS_PLUS_REQUIRE_HTTPS = True
    answer = app.send("post", "/password")
    assert answer.status_code == 200
    assert "Session-Token" not in answer
    assert not Session.objects.active().exists()
    assert code(app.send("get", "session")) == "session_ended"


def test_a_new_token_in_a_header_is_told_over_https(app, settings):
    settings.SESSIONS_PLUS_REQUIRE_HTTPS = True
    app.token = app.send("post", "/password", secure=True)["Session-Token"]
    assert app.send("get", "session").status_code == 200


@pytest.mark.usefixtures("_required")
def test_a_proxy_that_ends_tls_is_believed_as_django_is_told(client, settings):
    body = {"username": "ada", "password": PASSWORD, "transport": "jwt"}
    headers = {"X-Forwarded-Proto": "https"}
    assert code(client.send("post", "sign-in", body, headers=headers)) == "https_required"
    settings.SECURE_PROXY_SSL_HEADER = PROXY
    assert client.send("post", "sign-in", body, headers=headers).status_code == 200


def test_what_tells_no_token_is_answered_over_plain_http_as_well(signed_in, settings):
    settings.SESSIONS_PLUS_REQUIRE_HTTPS = True
    assert signed_in.send("get", "session").json()["user"]["username"] == "ada"
    assert signed_in.send("post", "sign-out").status_code == 204


# Clear-Site-Data


def test_by_default_no_data_is_cleared(by_cookie):
    assert "Clear-Site-Data" not in by_cookie.send("post", "sign-out")


@pytest.mark.parametrize("how", ["sign-out", "current", "all"])
def test_a_sign_out_has_the_browser_clear_what_the_setting_says(by_cookie, settings, how):
    settings.SESSIONS_PLUS_CLEAR_SITE_DATA = ["cache", "storage"]
    if how == "sign-out":
        answer = by_cookie.send("post", "sign-out")
    elif how == "current":
        answer = by_cookie.send("delete", f"sessions/{Session.objects.get().pk}")
    else:
        answer = by_cookie.send("post", "sessions/revoke", {"scope": "all"})
    assert answer["Clear-Site-Data"] == '"cache", "storage"'


def test_to_end_others_clears_nothing(by_cookie, settings):
    settings.SESSIONS_PLUS_CLEAR_SITE_DATA = ["*"]
    answer = by_cookie.send("post", "sessions/revoke", {"scope": "others"})
    assert "Clear-Site-Data" not in answer
