"""GET session."""

from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy

from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient, code

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

SESSION_KEYS = {
    "id",
    "user_id",
    "created_at",
    "updated_at",
    "authenticated_at",
    "reauthentication_required",
    "last_seen_at",
    "expires_at",
    "expires_in",
    "ip_address",
    "user_agent",
    "device",
    "remember",
    "name",
    "is_current",
}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


def test_an_anonymous_visitor_has_no_session_and_no_row(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = client.send("get", "session")
    assert answer.status_code == 200
    assert answer.json() == {"session": None, "user": None}
    assert not Session.objects.exists()


def test_it_tells_that_there_is_a_refresh_cookie_and_not_whether_it_is_good(
    browser: ApiClient, by_cookie: ApiClient, app: ApiClient, service: ApiClient
):
    for each in (browser, by_cookie, app, service):
        each.cookies["refresh_token"] = "anything"
    told = browser.send("get", "session").json()
    assert told == {"session": None, "user": None, "refresh_cookie": True}
    assert by_cookie.send("get", "session").json()["refresh_cookie"] is True
    for each in (app, service):
        assert "refresh_cookie" not in each.send("get", "session").json()


def test_a_visitor_with_data_but_no_user_has_no_session(client):
    session = client.session
    session["cart"] = [1]
    session.save()
    assert client.send("get", "session").json() == {"session": None, "user": None}


def test_an_anonymous_visitor_gets_the_csrf_cookie(browser):
    answer = browser.send("get", "session")
    assert answer.cookies["csrftoken"].value


def test_it_tells_the_session_and_its_user(signed_in: ApiClient, ada: User):
    answer = signed_in.send("get", "session")
    assert answer.status_code == 200
    assert answer.json().keys() == {"session", "user"}
    assert answer.json()["user"] == {"id": ada.pk, "username": "ada", "email": "ada@example.com"}
    session, row = answer.json()["session"], Session.objects.get()
    assert session.keys() == SESSION_KEYS
    assert session["id"] == str(row.pk)
    assert session["user_id"] == ada.pk
    assert row.updated_at is not None
    assert datetime.fromisoformat(session["updated_at"]) == row.updated_at
    assert session["is_current"] is True
    assert session["remember"] is True
    assert session["ip_address"] == "127.0.0.1"


def test_moments_are_iso_8601_in_utc(by_cookie, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    session = by_cookie.send("get", "session").json()["session"]
    row = Session.objects.get()
    for name in ("created_at", "authenticated_at", "last_seen_at", "expires_at"):
        assert session[name].endswith("Z")
        assert datetime.fromisoformat(session[name]) == getattr(row, name)


def test_the_device_is_named(client):
    client.defaults["HTTP_USER_AGENT"] = FIREFOX
    session = client.sign_in().json()["session"]
    assert session["user_agent"] == FIREFOX
    assert session["device"] == {
        "label": "Firefox on Linux",
        "browser": "Firefox",
        "os": "Linux",
        "kind": "desktop",
        "version": "",
    }


def test_it_costs_one_query(signed_in, django_assert_num_queries):
    with django_assert_num_queries(1):
        signed_in.send("get", "session")


def test_the_user_fields_are_a_setting_and_unknown_ones_are_left_out(by_cookie, settings, ada):
    settings.SESSIONS_PLUS_USER_FIELDS = ["first_name", "nickname", "is_staff", "groups"]
    user = by_cookie.send("get", "session").json()["user"]
    assert user == {"id": ada.pk, "first_name": "", "is_staff": False}


def test_the_password_is_never_told(by_cookie, settings, ada):
    settings.SESSIONS_PLUS_USER_FIELDS = ["password"]
    assert by_cookie.send("get", "session").json()["user"] == {"id": ada.pk}


def card(user):
    return {
        "name": user.get_full_name() or user.username,
        "joined": user.date_joined,
        "tags": [{"a": gettext_lazy("yes")}],
    }


@pytest.mark.parametrize("source", [card, "tests.api.test_session.card"])
def test_computed_fields_are_told_wherever_the_user_is(signed_in, settings, ada, source):
    settings.SESSIONS_PLUS_USER_FIELDS = source
    user = signed_in.send("get", "session").json()["user"]
    joined = ada.date_joined.isoformat().replace("+00:00", "Z")
    assert user == {"id": ada.pk, "name": "ada", "joined": joined, "tags": [{"a": "yes"}]}


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!"}])
def test_a_user_who_may_no_longer_be_signed_in_is_not(signed_in, change):
    # By a statement no receiver hears of.
    User.objects.update(**change)
    answer = signed_in.send("get", "session")
    if signed_in.token:
        assert (answer.status_code, code(answer)) == (401, "session_ended")
    else:
        ended = {"ended": {"reason": "password_changed"}} if "password" in change else {}
        assert answer.json() == {"session": None, "user": None, **ended}


def test_head_is_answered(by_cookie):
    assert by_cookie.send("head", "session").status_code == 200
