"""The bearer header, and how it and the cookie keep out of each other's way."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.test import AsyncClient
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from django_sessions_plus import sessions
from django_sessions_plus.api.authentication import SessionTokenAuthentication
from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, ApiClient, code

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
CHALLENGE = 'Bearer realm="api"'


def ask(client, header, name="session", method="get"):
    return client.send(method, name, headers={"Authorization": header})


def test_a_token_opens_the_projects_own_views_at_one_query(app, django_assert_num_queries):
    with django_assert_num_queries(1):
        answer = app.send("get", "/mine")
    assert answer.json() == {"user": "ada", "session": str(Session.objects.get().pk)}
    assert answer["Vary"].split(", ").count("Authorization") == 1


def test_the_row_is_what_the_cookie_authentication_answers_too(by_cookie):
    assert by_cookie.get("/mine").json()["session"] == str(Session.objects.get().pk)


def test_by_bearer_a_view_keeps_data_in_the_session_without_csrf(app):
    assert [app.send("post", "/mine").json()["visits"] for _ in range(3)] == [1, 2, 3]


def test_by_cookie_a_projects_view_asks_for_csrf(browser, by_cookie):
    browser.cookies["sessionid"] = by_cookie.cookies["sessionid"].value
    answer = browser.post("/mine")
    assert answer.status_code == 403
    assert answer.json()["code"] == "csrf_failed"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "  Bearer", "Bearer  "])
def test_the_scheme_is_read_as_http_has_it(app, scheme):
    token, app.token = app.token, None
    for header in (f"{scheme} {token}", f"{scheme} {token}  "):
        assert ask(app, header).json()["user"]["username"] == "ada"


@pytest.mark.parametrize(
    "header", ["", "Basic YTpi", "Token abc", "Bear er", "Bearers abc", "\u00e9", '"Bearer" x']
)
def test_another_scheme_is_no_bearer_credential(by_cookie, header):
    assert ask(by_cookie, header).json()["user"]["username"] == "ada"


def test_the_session_slides_with_use(app):
    old = timezone.now() - timedelta(days=2)
    expires_at = Session.objects.get().expires_at - timedelta(days=2)
    Session.objects.update(last_seen_at=old, updated_at=old, expires_at=expires_at)
    app.send("get", "/mine", REMOTE_ADDR="192.0.2.9", headers={"User-Agent": "App/2"})
    row = Session.objects.get()
    assert row.updated_at > old
    assert row.last_seen_at > old
    assert (row.ip_address, row.user_agent) == ("192.0.2.9", "App/2")


@pytest.mark.parametrize("state", ["unknown", "ended", "expired", "anonymous", "deleted user"])
def test_a_token_that_opens_nothing_is_refused_all_alike(app, state):
    if state == "unknown":
        app.token = "x" * 32
    if state == "ended":
        Session.objects.all().end(reason="revoked")
    if state == "expired":
        Session.objects.update(expires_at=timezone.now())
    if state == "anonymous":
        Session.objects.update(user=None, session_data="{}")
    if state == "deleted user":
        User.objects.all()._raw_delete("default")
    count = Session.objects.count()
    answers = [app.send("get", name) for name in ("session", "sessions", "/mine")]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json()["code"] == "session_ended"
        assert answer["WWW-Authenticate"].startswith(CHALLENGE + ', error="invalid_token", ')
        assert not answer.cookies
    assert len({answer["WWW-Authenticate"] for answer in answers}) == 1
    assert Session.objects.count() == count


def test_the_digest_is_no_token(app):
    row = Session.objects.get()
    for stolen in (row.token_digest, row.token_digest[:32], row.pk.hex, str(row.pk)):
        app.token = stolen
        assert app.send("get", "session").status_code == 401


@pytest.mark.parametrize("save_every_request", [False, True])
@pytest.mark.parametrize("token", ["x" * 32, "wrong", "a.b.c", ""])
def test_a_bad_header_never_falls_back_to_the_cookie(
    by_cookie, token, settings, save_every_request
):
    settings.SESSION_SAVE_EVERY_REQUEST = save_every_request
    by_cookie.token = token
    for name in ("session", "sessions"):
        answer = by_cookie.send("get", name)
        assert answer.status_code == 401
        assert not answer.cookies
    by_cookie.token = None
    assert by_cookie.get("/plain").json() == {"user": "ada"}


def test_a_good_header_comes_before_the_cookie(by_cookie, eve):
    other = ApiClient()
    by_cookie.token = other.sign_in("eve", transport="bearer").json()["token"]
    answer = by_cookie.send("get", "session")
    assert answer.json()["user"]["username"] == "eve"
    assert not answer.cookies
    assert by_cookie.send("get", "/mine").json()["user"] == "eve"


def test_a_jwt_is_left_to_the_class_that_knows_it(app):
    app.token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    answer = app.send("get", "session")
    assert (answer.status_code, code(answer)) == (401, "invalid_token")
    # Where no such class is installed, REST framework finds nobody.
    answer = app.send("get", "/mine")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]
    request = Request(APIRequestFactory().get("/", headers={"Authorization": "Bearer a.b.c"}))
    assert SessionTokenAuthentication().authenticate(request) is None


BAD = [
    "",
    "x",
    "x" * 31,
    "x" * 33,
    "x" * 100_000,
    "X" * 32,
    "x" * 31 + "-",
    "x" * 31 + "\n",
    "\x00" * 32,
    "\u0663" * 32,
    "\uff41" * 32,
    "x" * 16 + " " + "x" * 15,
    "x" * 32 + ",Bearer " + "x" * 32,
    "x" * 32 + ", Bearer " + "x" * 32,
    "Bearer " + "x" * 32,
    '"' + "x" * 32 + '"',
    "a.b",
    "a.b.c.d",
    "a.b.\u00e9",
    "<script>alert(1)</script>",
]


@pytest.mark.parametrize("credential", BAD)
def test_what_cannot_be_a_token_is_refused_without_a_query(
    client, credential, django_assert_num_queries
):
    # What WSGI servers make of the bytes.
    value = f"Bearer {credential}".encode().decode("latin-1")
    with django_assert_num_queries(0):
        answer = client.get("/auth/session", HTTP_AUTHORIZATION=value)
    assert (answer.status_code, code(answer)) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]
    assert len(credential) < 3 or credential not in answer.content.decode() + str(answer.headers)


@pytest.mark.parametrize("between", ["\t", "\x0b", "\x00", ",", "=", ":", ";", "\x85", "\xa0"])
def test_odd_separators_are_no_way_to_the_cookie(by_cookie, app, between):
    answer = by_cookie.get("/auth/session", HTTP_AUTHORIZATION=f"Bearer{between}{app.token}")
    assert (answer.status_code, code(answer)) == (401, "invalid_token")


@given(header=st.text(max_size=80).map(lambda text: f"Bearer {text}"))
def test_no_header_breaks_anything(by_cookie, header):
    value = header.encode("utf-8", "surrogatepass").decode("latin-1")
    assert by_cookie.get("/auth/session", HTTP_AUTHORIZATION=value).status_code == 401
    assert by_cookie.get("/mine", HTTP_AUTHORIZATION=value).status_code == 401


def test_revoking_by_bearer_makes_the_rest_of_the_request_anonymous(app, ada, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.after"]
    again(app).send("post", "sessions/revoke", {"scope": "all"})
    assert SEEN.pop() == (True, True)


def test_whoever_the_cookie_stands_for_has_no_part_in_a_request_by_header(by_cookie, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.after"]
    client = ApiClient()
    client.cookies["sessionid"] = by_cookie.cookies["sessionid"].value
    client.token = "x" * 32
    client.send("get", "session")
    assert SEEN.pop() == (True, True)
    client.token = None
    client.sign_in(password="wrong", transport="bearer")
    assert SEEN.pop() == (True, True)


def test_both_transports_work_in_async_mode(ada):
    client = AsyncClient()
    body = {"username": "ada", "password": PASSWORD, "transport": "bearer"}
    post, get = async_to_sync(client.post), async_to_sync(client.get)
    token = post("/auth/sign-in", body, "application/json").json()["token"]
    post("/auth/sign-in", body | {"transport": "cookie"}, "application/json")
    headers = {"Authorization": f"Bearer {token}"}
    by_header, by_cookie = get("/auth/session", headers=headers), get("/auth/session")
    sessions_told = {answer.json()["session"]["id"] for answer in (by_header, by_cookie)}
    assert sessions_told == {str(row.pk) for row in Session.objects.all()}
    answer = post("/auth/sessions/revoke", {"scope": "all"}, "application/json", headers=headers)
    assert answer.json() == {"revoked": 2}
    assert not answer.cookies
    assert get("/auth/session", headers=headers).status_code == 401
    assert sessions.current() is None


def again(app):
    """Return another client with the same token; one that has asked keeps its middleware."""
    client = ApiClient()
    client.token = app.token
    return client


SEEN: list[tuple[bool, bool]] = []


def after(get_response):
    def middleware(request):
        # Asked before the view, both remember whom the cookie stands for.
        assert request.user.is_authenticated == async_to_sync(request.auser)().is_authenticated
        response = get_response(request)
        users = {request.user, async_to_sync(request.auser)()}
        SEEN.append((users == {AnonymousUser()}, request.session.is_empty()))
        return response

    return middleware


def test_a_token_still_works_where_djangos_own_authentication_middleware_is_used(app, settings):
    settings.MIDDLEWARE = [
        entry.replace("django_sessions_plus.middleware.Auth", "django.contrib.auth.middleware.Auth")
        for entry in settings.MIDDLEWARE
    ]
    assert again(app).send("get", "/mine").json()["user"] == "ada"
    assert again(app).send("get", "session").json()["user"]["username"] == "ada"
