"""POST sign-in and POST reauthenticate with the transport ``jwt``: a pair of tokens, in the body or half a cookie."""

from datetime import datetime, timedelta

import pytest
from django.test import override_settings
from django.urls import include, path, set_script_prefix
from django.utils import timezone

from django_sessions_plus.jwt import access
from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, ApiClient, code
from tests.api.test_sign_in import csrf_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

PAIR = {"access", "refresh", "expires_in", "refresh_expires_at"}
PATH = "/auth"

urlpatterns = [
    path("v1/", include(([path("auth/", include("django_sessions_plus.api.urls"))], "v1"))),
]


def sign_in(client, **more):
    """Sign in as a browser does, which has the CSRF token."""
    body = {"username": "ada", "password": PASSWORD, "transport": "jwt", **more}
    return client.send("post", "sign-in", body, headers=csrf_token(client))


def seconds_until(text):
    return (datetime.fromisoformat(text) - timezone.now()).total_seconds()


def test_it_tells_a_pair_and_sets_no_cookie(clock, browser, ada):
    answer = browser.sign_in(transport="jwt")
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"session", "user"} | PAIR
    assert not answer.cookies
    assert body["user"]["id"] == ada.pk
    row = Session.objects.get()
    claims = access.verify(body["access"])
    assert (str(claims.session_id), claims.user_id) == (body["session"]["id"], str(ada.pk))
    assert claims.session_id == row.pk
    assert 840 <= body["expires_in"] <= 900
    assert seconds_until(body["refresh_expires_at"]) == 14 * 86400
    assert body["refresh_expires_at"].endswith("Z")


def test_no_session_token_leaves_the_server(browser, monkeypatch):
    made = []

    def make_token():
        made.append(f"{len(made):032d}")
        return made[-1]

    monkeypatch.setattr("django_sessions_plus.tokens.make_token", make_token)
    answer = browser.sign_in(transport="jwt")
    assert made
    assert not [token for token in made if token in answer.content.decode() + str(answer.headers)]
    browser.token = made[-1]


@pytest.mark.db_engine
def test_it_costs_one_statement_more_than_by_bearer(client, ada, statements):
    def count(transport):
        with statements() as executed:
            assert client.sign_in(transport=transport).status_code == 200
        return len(executed)

    count("bearer")
    # The user; the row; the time of the last login; who is signed in.
    assert count("bearer") == 4
    assert count("jwt") == 5


def test_it_leaves_the_cookies_session_alone(by_cookie):
    first = by_cookie.send("get", "session").json()["session"]["id"]
    answer = by_cookie.sign_in(transport="jwt")
    assert not answer.cookies
    assert answer.json()["session"]["id"] != first
    assert by_cookie.send("get", "session").json()["session"]["id"] == first


def test_a_session_not_to_be_remembered_is_short(client, settings):
    settings.SESSIONS_PLUS_UNREMEMBERED_AGE = timedelta(hours=1)
    body = client.sign_in(transport="jwt", remember=False).json()
    assert body["session"]["remember"] is False
    assert 3500 < seconds_until(body["refresh_expires_at"]) <= 3600


def test_wrong_credentials_are_refused_as_by_any_transport(client):
    answer = client.sign_in(password="wrong", transport="jwt")
    assert (answer.status_code, code(answer)) == (401, "invalid_credentials")
    assert not answer.cookies
    assert not Session.objects.exists()


def test_it_needs_no_csrf_token_and_no_header_hinders_it(browser):
    for token in ("x" * 32, "a.b.c", "odd"):
        browser.token = token
        assert browser.sign_in(transport="jwt").status_code == 200


# The refresh token as a cookie


def test_as_a_cookie_the_refresh_token_is_not_in_the_body(clock, browser):
    answer = sign_in(browser, refresh_cookie=True)
    assert answer.status_code == 200
    assert answer.json().keys() == {"session", "user"} | PAIR - {"refresh"}
    cookie = answer.cookies["refresh_token"]
    assert cookie.value.startswith("rt1.")
    assert cookie.value not in answer.content.decode()
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (PATH, True, "Lax")
    assert (cookie["domain"], cookie["secure"]) == ("", "")
    assert cookie["max-age"] == 14 * 86400
    assert "sessionid" not in answer.cookies


def test_the_cookie_has_the_attributes_of_the_session_cookie(browser, settings):
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_DOMAIN = "example.com"
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    settings.SESSION_COOKIE_PATH = "/app/"
    settings.SESSION_COOKIE_HTTPONLY = False
    settings.SESSIONS_PLUS_REFRESH_COOKIE_NAME = "again"
    cookie = sign_in(browser, refresh_cookie=True).cookies["again"]
    assert (cookie["secure"], cookie["domain"], cookie["samesite"]) == (
        True,
        "example.com",
        "Strict",
    )
    # But for these two: only scripts of the site use it, and only at one address.
    assert (cookie["httponly"], cookie["path"]) == (True, PATH)


@pytest.mark.parametrize("configured", ["None", False, None])
def test_other_sites_never_send_the_cookie(browser, settings, configured):
    settings.SESSION_COOKIE_SAMESITE = configured
    settings.SESSION_COOKIE_SECURE = True
    assert sign_in(browser, refresh_cookie=True).cookies["refresh_token"]["samesite"] == "Lax"


@pytest.mark.parametrize("how", ["not remembered", "by setting"])
def test_a_cookie_that_is_not_to_last_ends_with_the_browser(browser, settings, how):
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = how == "by setting"
    answer = sign_in(browser, refresh_cookie=True, remember=how == "by setting")
    assert answer.cookies["refresh_token"]["max-age"] == ""


def test_the_cookie_lasts_no_longer_than_the_absolute_timeout(clock, browser, settings):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(hours=1)
    cookie = sign_in(browser, refresh_cookie=True).cookies["refresh_token"]
    assert cookie["max-age"] == 3600


def test_the_path_is_that_of_the_endpoints_which_answered(browser):
    body = {"username": "ada", "password": PASSWORD, "transport": "jwt", "refresh_cookie": True}
    address = "/deep/er/v1/sign-in"
    answer = browser.send("post", address, body, headers=csrf_token(browser))
    assert answer.cookies["refresh_token"]["path"] == "/deep/er/v1"


def test_the_path_begins_with_the_name_of_the_script(browser):
    body = {"username": "ada", "password": PASSWORD, "transport": "jwt", "refresh_cookie": True}
    headers = csrf_token(browser)
    # As the handlers of WSGI and ASGI do; the test client's does not.
    set_script_prefix("/app/")
    try:
        answer = browser.send("post", "sign-in", body, headers=headers)
    finally:
        set_script_prefix("/")
    assert answer.cookies["refresh_token"]["path"] == "/app" + PATH


def test_the_path_is_found_however_deep_the_endpoints_are_included(ada):
    with override_settings(ROOT_URLCONF=__name__):
        client = ApiClient()
        body = {"username": "ada", "password": PASSWORD, "transport": "jwt", "refresh_cookie": True}
        answer = client.send("post", "/v1/auth/sign-in", body)
        assert answer.cookies["refresh_token"]["path"] == "/v1/auth"


def test_a_site_that_sets_a_cookie_in_ones_name_is_refused(browser):
    """Another site could sign a browser in as somebody of its own choice."""
    answer = browser.sign_in(transport="jwt", refresh_cookie=True)
    assert (answer.status_code, code(answer)) == (403, "csrf_failed")
    assert not answer.cookies
    assert not Session.objects.exists()


def test_the_csrf_cookie_is_renewed_where_a_cookie_is_set_and_nowhere_else(browser):
    headers = csrf_token(browser)
    body = {"username": "ada", "password": PASSWORD, "transport": "jwt"}
    assert not browser.send("post", "sign-in", body, headers=headers).cookies
    answer = browser.send("post", "sign-in", body | {"refresh_cookie": True}, headers=headers)
    assert answer.cookies.keys() == {"refresh_token", "csrftoken"}
    assert answer.cookies["csrftoken"].value != headers["X-CSRFToken"]


@pytest.mark.parametrize("transport", ["cookie", "bearer", None])
def test_the_other_transports_have_no_refresh_cookie(client, transport):
    more = {} if transport is None else {"transport": transport}
    answer = client.sign_in(refresh_cookie=True, **more)
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert answer.json()["fields"].keys() == {"refresh_cookie"}
    assert client.sign_in(refresh_cookie=False, **more).status_code == 200


@pytest.mark.parametrize("value", ["true", 1, None, [], {}])
def test_it_is_true_or_false(client, value):
    answer = client.sign_in(transport="jwt", refresh_cookie=value)
    assert (answer.status_code, answer.json()["fields"].keys()) == (400, {"refresh_cookie"})


# Once more


def reauthenticate(client, **more):
    return client.send("post", "reauthenticate", {"password": PASSWORD, **more})


def test_to_authenticate_again_gives_a_new_pair_and_a_fresh_session(service):
    hour_ago = timezone.now() - timedelta(hours=1)
    Session.objects.update(authenticated_at=hour_ago)
    first, row = service.refresh_token, Session.objects.get()
    answer = reauthenticate(service)
    assert answer.status_code == 200
    assert answer.json().keys() == {"session", "user"} | PAIR
    assert not answer.cookies
    assert answer.json()["session"]["id"] == str(row.pk)
    assert access.verify(answer.json()["access"]).auth_time > hour_ago + timedelta(minutes=59)
    service.take(answer)
    assert service.send("get", "/sensitive").status_code == 200
    # Of the earlier line of refresh tokens none is good, and that it was shown ends nothing.
    assert code(service.refresh(first)) == "invalid_token"
    assert service.refresh().status_code == 200


@pytest.mark.db_engine
def test_to_authenticate_again_costs_five_statements(service, statements):
    with statements() as executed:
        reauthenticate(service)
    # Row and user; the user once more for the password; the row under a new token; the refresh token.
    assert len(executed) == 4


def test_to_authenticate_again_can_set_the_cookie(service):
    answer = reauthenticate(service, refresh_cookie=True)
    assert answer.json().keys() == {"session", "user"} | PAIR - {"refresh"}
    assert answer.cookies.keys() == {"refresh_token"}
    assert answer.cookies["refresh_token"]["path"] == PATH


@pytest.mark.parametrize("name", ["by_cookie", "app"])
def test_to_authenticate_again_by_other_transports_sets_no_refresh_cookie(request, name):
    answer = reauthenticate(request.getfixturevalue(name), refresh_cookie=True)
    assert (answer.status_code, answer.json()["fields"].keys()) == (400, {"refresh_cookie"})
    assert "refresh_token" not in answer.cookies


def test_a_wrong_password_leaves_the_pair_as_it_is(service):
    answer = service.send("post", "reauthenticate", {"password": "wrong"})
    assert (answer.status_code, code(answer)) == (403, "invalid_credentials")
    assert service.send("get", "session").status_code == 200
    assert service.refresh().status_code == 200


# The end


@pytest.mark.parametrize(
    ("method", "name", "body"),
    [
        ("post", "sign-out", None),
        ("delete", "sessions/{id}", None),
        ("post", "sessions/revoke", {"scope": "all"}),
    ],
)
def test_to_end_the_session_drops_the_refresh_cookie(service, method, name, body):
    name = name.format(id=Session.objects.get().pk)
    answer = service.send(method, name, body)
    assert answer.cookies.keys() == {"refresh_token"}
    cookie = answer.cookies["refresh_token"]
    assert (cookie.value, cookie["max-age"], cookie["path"]) == ("", 0, PATH)
    assert Session.objects.get().ended_at is not None


def test_to_revoke_the_others_leaves_the_refresh_cookie(service):
    assert not service.send("post", "sessions/revoke", {"scope": "others"}).cookies


def test_to_sign_out_of_what_is_over_leaves_the_refresh_cookie(service):
    """Somebody may have signed in anew since, and it is theirs."""
    service.send("post", "sign-out")
    answer = service.send("post", "sign-out")
    assert (answer.status_code, len(answer.cookies)) == (204, 0)
