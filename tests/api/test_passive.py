"""Asking by a timer: what does not count as activity of a person."""

from datetime import timedelta
from typing import Any

import pytest

from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient
from tests.api.test_sign_in_jwt import sign_in
from tests.conftest import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

PASSIVE = "session?passive=true"


@pytest.fixture(autouse=True)
def _short_sessions(settings: Any, clock: Clock) -> None:
    settings.SESSION_COOKIE_AGE = 1200


def let_pass(minutes: int) -> Session:
    """Let the session have been used that long ago, and return it."""
    by = timedelta(minutes=minutes)
    row = Session.objects.get()
    for name in ("updated_at", "last_seen_at", "expires_at", "cookie_expires_at"):
        if (moment := getattr(row, name)) is not None:
            setattr(row, name, moment - by)
    row.save()
    row.refresh_from_db()
    return row


def times() -> tuple[Any, ...]:
    return Session.objects.values_list("updated_at", "last_seen_at", "expires_at").get()


def test_to_ask_is_a_use_and_the_answer_knows_what_came_of_it(signed_in: ApiClient):
    let_pass(15)
    session = signed_in.send("get", "session").json()["session"]
    assert session["expires_in"] == 1200
    assert session["expires_at"] == Session.objects.get().expires_at.isoformat().replace(
        "+00:00", "Z"
    )


@pytest.mark.db_engine
def test_a_use_writes_once(signed_in: ApiClient, statements: Any):
    let_pass(15)
    with statements() as executed:
        signed_in.send("get", "session")
    assert (len(executed.reads), len(executed.writes)) == (1, 1)


def test_to_ask_passively_is_none(signed_in: ApiClient):
    row = let_pass(15)
    before = times()
    answer = signed_in.send("get", PASSIVE)
    assert answer.json()["user"]["username"] == "ada"
    assert answer.json()["session"]["expires_in"] == 300
    assert times() == before
    assert "sessionid" not in answer.cookies
    assert row.is_active()


def test_it_can_be_said_that_it_is_one(app: ApiClient):
    let_pass(15)
    before = times()
    assert app.send("get", "session?passive=false").status_code == 200
    assert times() != before


@pytest.mark.parametrize("query", ["", "1", "TRUE", "null", "true&passive=true"])
def test_it_has_to_be_said_in_so_many_words(signed_in: ApiClient, query: str):
    answer = signed_in.send("get", f"session?passive={query}")
    assert answer.status_code == 400
    assert answer.json()["fields"].keys() == {"passive"}


def test_a_tab_that_asks_for_ever_does_not_hold_the_session_open(by_cookie: ApiClient):
    for _ in range(3):
        let_pass(6)
        assert by_cookie.send("get", PASSIVE).json()["session"]
    let_pass(6)
    assert by_cookie.send("get", PASSIVE).json()["ended"] == {"reason": "expired"}


def test_a_passive_refresh_is_no_use_but_is_seen(service: ApiClient):
    let_pass(15)
    before = times()
    sent = {"refresh": service.refresh_token, "passive": True}
    elsewhere = {"REMOTE_ADDR": "198.51.100.7"}
    answer = service.send("post", "token/refresh", sent, **elsewhere)
    assert answer.status_code == 200
    assert times() == before
    row = Session.objects.get()
    assert row.ip_address == "198.51.100.7"
    assert row.refreshed_at is not None
    assert service.take(answer).json()["refresh"] != sent["refresh"]
    assert service.send("get", PASSIVE).json()["session"]
    assert times() == before


def test_a_refresh_is_a_use_unless_it_says_otherwise(service: ApiClient):
    for body in ({}, {"passive": False}):
        let_pass(15)
        before = times()
        answer = service.send("post", "token/refresh", {"refresh": service.refresh_token, **body})
        assert service.take(answer).status_code == 200
        assert times()[1] > before[1]
        assert times()[2] > before[2]


@pytest.mark.parametrize("passive", ["true", 1, None, []])
def test_only_true_and_false_are_taken(service: ApiClient, passive: Any):
    answer = service.send(
        "post", "token/refresh", {"refresh": service.refresh_token, "passive": passive}
    )
    assert answer.status_code == 400
    assert answer.json()["fields"].keys() == {"passive"}


def test_the_refresh_cookie_outlasts_the_use_that_follows_a_passive_refresh(browser: ApiClient):
    """The use moves the session's expiry, and cannot move that of a cookie it is not sent."""
    assert sign_in(browser, refresh_cookie=True).status_code == 200
    let_pass(15)
    headers = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    answer = browser.send("post", "token/refresh", {"passive": True}, headers=headers)
    (cookie,) = (each for name, each in answer.cookies.items() if name != "csrftoken")
    assert cookie["max-age"] == 1200
