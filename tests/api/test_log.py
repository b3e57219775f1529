"""What the log tells of authentication by the API: an event for each (OWASP ASVS 5.0 16.3.1)."""

import logging

import pytest

from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, code

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.urls")]


@pytest.fixture(autouse=True)
def _everything_is_wanted(caplog):
    caplog.set_level(logging.DEBUG, logger="django_sessions_plus")


def events(caplog):
    found = [vars(r) for r in caplog.records if hasattr(r, "event")]
    caplog.clear()
    # Tests speak plain HTTP, which the log has something to say of as well.
    return [event for event in found if "http" not in event["event"]]


def names(caplog):
    return [event["event"] for event in events(caplog)]


def test_a_re_authentication(signed_in, ada, caplog):
    caplog.clear()
    answer = signed_in.send("post", "reauthenticate", {"password": PASSWORD})
    assert signed_in.take(answer).status_code == 200
    (event,) = events(caplog)
    assert event["event"] == "reauthenticated"
    assert event["session_id"] == str(Session.objects.get().pk)
    assert event["user_id"] == str(ada.pk)
    assert event["transport"] in {"cookie", "bearer", "jwt"}
    signed_in.send("post", "reauthenticate", {"password": "wrong"})
    assert names(caplog) == ["sign_in_failed"]


def test_a_sign_in_in_an_open_session(by_cookie, caplog):
    caplog.clear()
    by_cookie.sign_in()
    (event,) = events(caplog)
    assert event["event"] == "signed_in_again"
    assert event["session_id"] == str(Session.objects.get().pk)


def test_a_sign_in_as_somebody_else_is_a_new_session(by_cookie, eve, caplog):
    caplog.clear()
    by_cookie.sign_in("eve")
    assert sorted(names(caplog)) == ["session_ended", "session_started"]


def test_a_refresh_at_debug(service, caplog):
    caplog.clear()
    assert service.refresh().status_code == 200
    (event,) = events(caplog)
    assert (event["event"], event["levelno"]) == ("tokens_refreshed", logging.DEBUG)


@pytest.mark.parametrize(
    ("token", "credential"),
    [("x" * 32, "session_token"), ("aaa.bbb.ccc", "access_token"), ("nonsense!", "unknown")],
)
def test_a_credential_that_is_refused(client, caplog, token, credential):
    client.token = token
    assert client.send("get", "sessions").status_code == 401
    (event,) = events(caplog)
    assert (event["event"], event["credential"]) == ("credential_refused", credential)
    assert event["ip_address"] == "127.0.0.1"
    assert token not in str(event["msg"]) + event["message"]


def test_a_refresh_token_that_is_forged(client, caplog):
    assert code(client.refresh("rt1.forged")) == "invalid_token"
    assert [(e["event"], e["credential"]) for e in events(caplog)] == [
        ("credential_refused", "refresh_token")
    ]


def test_refused_credentials_do_not_fill_the_log(client, caplog):
    client.token = "x" * 32
    for _ in range(15):
        client.send("get", "sessions")
    assert names(caplog) == ["credential_refused"] * 10


def test_a_token_whose_session_is_over_is_no_matter_for_the_log(app, caplog):
    Session.objects.all().end(reason="revoked")
    caplog.clear()
    assert code(app.send("get", "sessions")) == "session_ended"
    assert names(caplog) == []
