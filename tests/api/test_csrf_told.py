"""The CSRF token in a header of the answers that hand it out, for scripts that cannot read the cookie."""

from typing import Any

import pytest

from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, ApiClient, code

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]


@pytest.fixture(params=["CSRF_COOKIE_NAME", "CSRF_COOKIE_HTTPONLY", "CSRF_USE_SESSIONS"])
def kept(request: pytest.FixtureRequest, settings: Any) -> str:
    """Where the token is kept: in the usual cookie, in one no script can read, in the session."""
    if request.param != "CSRF_COOKIE_NAME":
        setattr(settings, request.param, True)
    return str(request.param)


def post(browser: ApiClient, name: str, data: Any, answer: Any) -> Any:
    """Send something with the token that an answer has told."""
    return browser.send("post", name, data, headers={"X-CSRFToken": answer["X-CSRFToken"]})


def test_the_header_alone_is_enough_from_the_first_question_to_the_last(
    browser: ApiClient, kept: str
):
    asked = browser.send("get", "session?passive=true")
    body = {"username": "ada", "password": PASSWORD}
    signed_in = post(browser, "sign-in", body, asked)
    assert signed_in.status_code == 200
    again = post(browser, "reauthenticate", {"password": PASSWORD}, signed_in)
    assert again.status_code == 200
    told = again if again.has_header("X-CSRFToken") else signed_in
    assert post(browser, "sessions/revoke", {"scope": "others"}, told).status_code == 200
    asked = browser.send("get", "session")
    assert asked.json()["user"]["username"] == "ada"
    assert post(browser, "sign-out", None, asked).status_code == 204


def test_a_token_from_before_the_sign_in_is_none_afterwards(browser: ApiClient, kept: str):
    asked = browser.send("get", "session")
    signed_in = post(browser, "sign-in", {"username": "ada", "password": PASSWORD}, asked)
    assert code(post(browser, "sessions/revoke", {"scope": "all"}, asked)) == "csrf_failed"
    assert post(browser, "sessions/revoke", {"scope": "all"}, signed_in).status_code == 200


def test_its_name_is_that_of_the_setting(client: ApiClient, settings: Any):
    settings.CSRF_HEADER_NAME = "HTTP_X_OWN_TOKEN"
    assert client.send("get", "session").has_header("X-Own-Token")


@pytest.mark.parametrize("name", ["app", "service"])
def test_who_needs_none_is_told_none(name: str, request: pytest.FixtureRequest):
    client: ApiClient = request.getfixturevalue(name)
    assert not client.send("get", "session").has_header("X-CSRFToken")
    fresh = ApiClient()
    transport = {"app": "bearer", "service": "jwt"}[name]
    assert not fresh.sign_in(transport=transport).has_header("X-CSRFToken")


def test_what_hands_out_no_token_tells_none(by_cookie: ApiClient):
    assert not by_cookie.send("get", "sessions").has_header("X-CSRFToken")
    assert not by_cookie.sign_in(password="wrong").has_header("X-CSRFToken")
    assert Session.objects.count() == 1
