"""POST sign-out."""

import pytest
from django.contrib.auth.signals import user_logged_out

from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from tests.api.conftest import ApiClient, code, connected
from tests.api.test_sign_in import csrf_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]


def test_it_ends_the_session(signed_in: ApiClient):
    answer = signed_in.send("post", "sign-out")
    assert (answer.status_code, answer.content) == (204, b"")
    row = Session.objects.get()
    assert (row.end_reason, row.session_data) == (EndReason.SIGNED_OUT, "")


def test_it_clears_the_cookie(by_cookie):
    token = by_cookie.cookies["sessionid"].value
    answer = by_cookie.send("post", "sign-out")
    assert answer.cookies["sessionid"].value == ""
    assert answer.cookies["sessionid"]["max-age"] == 0
    by_cookie.cookies["sessionid"] = token
    assert by_cookie.send("get", "session").json()["ended"] == {"reason": "signed_out"}


def test_by_bearer_no_cookie_is_touched(app):
    app.cookies["sessionid"] = "c" * 32
    assert not app.send("post", "sign-out").cookies
    assert code(app.send("get", "session")) == "session_ended"


def test_by_bearer_the_cookies_session_stays(by_cookie, app):
    by_cookie.token = app.token
    assert by_cookie.send("post", "sign-out").status_code == 204
    by_cookie.token = None
    assert by_cookie.get("/plain").json() == {"user": "ada"}


def test_it_can_be_repeated(signed_in):
    for _ in range(3):
        assert signed_in.send("post", "sign-out").status_code == 204


@pytest.mark.parametrize("token", ["x" * 32])
def test_a_dead_token_never_ends_the_cookies_session(by_cookie, token):
    by_cookie.token = token
    assert by_cookie.send("post", "sign-out").status_code == 204
    by_cookie.token = "not a token"
    assert code(by_cookie.send("post", "sign-out")) == "invalid_token"
    by_cookie.token = None
    assert by_cookie.get("/plain").json() == {"user": "ada"}


def test_nobody_can_sign_out(client):
    assert client.send("post", "sign-out").status_code == 204
    assert not Session.objects.exists()


def test_a_visitors_data_goes_too(client):
    session = client.session
    session["cart"] = [1]
    session.save()
    client.send("post", "sign-out")
    assert not Session.objects.exists()


def test_by_cookie_it_needs_the_csrf_token(browser, by_cookie):
    browser.cookies["sessionid"] = by_cookie.cookies["sessionid"].value
    answer = browser.send("post", "sign-out")
    assert (answer.status_code, code(answer)) == (403, "csrf_failed")
    assert browser.get("/plain").json() == {"user": "ada"}
    assert browser.send("post", "sign-out", headers=csrf_token(browser)).status_code == 204


def test_an_anonymous_visitor_needs_the_csrf_token_as_well(browser):
    assert code(browser.send("post", "sign-out")) == "csrf_failed"


def test_django_says_who_signed_out(signed_in, ada):
    seen: list[object] = []

    def listen(user: object, **kwargs: object) -> None:
        seen.append(user)

    with connected(user_logged_out, listen):
        signed_in.send("post", "sign-out")
    assert seen == [ada]


def test_get_does_not_sign_anybody_out(by_cookie):
    answer = by_cookie.send("get", "sign-out")
    assert (answer.status_code, code(answer)) == (405, "method_not_allowed")
    assert answer["Allow"] == "POST"
