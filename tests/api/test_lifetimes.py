"""Lifetimes per transport, from sign-in to the last request: a cookie for 7 days, a bearer token for 90."""

from datetime import timedelta

import pytest

from django_sessions_plus import sessions
from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient, code

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _lifetimes(settings):
    settings.SESSIONS_PLUS_LIFETIMES = {
        "cookie": {"idle": 7 * DAY, "absolute": 30 * DAY},
        "bearer": {"idle": 90 * DAY, "absolute": 90 * DAY},
        "jwt": {"idle": 60 * DAY, "absolute": 60 * DAY},
    }


def days_left(clock):
    return (Session.objects.get().expires_at - clock.moment) / DAY


def holding(token):
    """Return a client that sends the token in its header."""
    client = ApiClient()
    client.token = token
    return client


def is_signed_in(client):
    return client.send("get", "session").json()["user"] is not None


@pytest.mark.parametrize(("transport", "days"), [("cookie", 7), ("bearer", 90), ("jwt", 60)])
def test_a_sign_in_lasts_as_its_transport(clock, client, transport, days):
    answer = client.sign_in(transport=transport)
    assert answer.status_code == 200
    row = Session.objects.get()
    assert (row.transport, days_left(clock)) == (transport, days)
    assert answer.json()["session"]["expires_in"] == days * 86_400
    if transport == "cookie":
        assert answer.cookies["sessionid"]["max-age"] == days * 86_400


def test_a_bearer_token_is_good_for_its_days_and_no_longer(clock, client):
    token = client.sign_in(transport="bearer").json()["token"]
    app = holding(token)
    clock.advance(days=89)
    assert is_signed_in(app)
    clock.advance(days=1)
    assert code(app.send("get", "session")) == "session_ended"


def test_a_cookie_is_good_for_its_days_and_no_longer(clock, client):
    client.sign_in()
    clock.advance(days=6)
    assert is_signed_in(client)
    clock.advance(days=7)
    assert not is_signed_in(client)


def test_a_bearer_token_in_a_cookie_lasts_no_longer(clock, client):
    token = client.sign_in(transport="bearer").json()["token"]
    browser = ApiClient()
    browser.cookies["sessionid"] = token
    clock.advance(days=30)
    assert is_signed_in(browser)
    assert (Session.objects.get().transport, days_left(clock)) == ("bearer", 60)


def test_a_cookie_in_a_header_lasts_no_longer(clock, client):
    client.sign_in()
    app = holding(client.cookies["sessionid"].value)
    clock.advance(days=3)
    assert is_signed_in(app)
    assert (Session.objects.get().transport, days_left(clock)) == ("cookie", 7)
    clock.advance(days=7)
    assert code(app.send("get", "session")) == "session_ended"


def test_a_pair_of_a_cookie_s_session_never_slides_the_cookie(clock, client):
    client.sign_in()
    pair = sessions.issue_tokens(Session.objects.get())
    tokens, app = pair.refresh, ApiClient()
    for _ in range(2):
        clock.advance(days=3)
        answer = app.send("post", "token/refresh", {"refresh": tokens})
        assert answer.status_code == 200
        tokens, access = answer.json()["refresh"], answer.json()["access"]
        assert is_signed_in(holding(access))
    assert days_left(clock) == 1
    clock.advance(days=1)
    assert code(app.send("post", "token/refresh", {"refresh": tokens})) == "session_ended"
    assert not is_signed_in(client)


def test_a_refresh_cookie_lasts_as_the_pair(clock, client):
    answer = client.sign_in(transport="jwt", refresh_cookie=True)
    assert answer.cookies["refresh_token"]["max-age"] == 60 * 86_400


def test_a_refresh_cookie_lasts_no_longer_than_the_session_of_another_cookie(clock, client):
    client.sign_in()
    browser = ApiClient()
    browser.cookies["refresh_token"] = sessions.issue_tokens(Session.objects.get()).refresh
    clock.advance(days=3)
    answer = browser.send("post", "token/refresh")
    assert answer.cookies["refresh_token"]["max-age"] == 4 * 86_400
