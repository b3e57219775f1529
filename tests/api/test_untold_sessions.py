"""A sign-in or re-authentication whose answer cannot be made leaves no active session that nobody can use."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.api import responses
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.jwt.issuing import IssuedTokens
from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, ApiClient, code
from tests.api.test_reauthenticate import reauthenticate
from tests.api.test_sign_in import csrf_token

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.urls")]

BY_TOKENS = [{"transport": "jwt"}, {"transport": "jwt", "refresh_cookie": True}]
BY_ALL = [{}, {"transport": "bearer"}, *BY_TOKENS]


def fail(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("the project's own function")


def active() -> Any:
    return Session.objects.active().filter(user__isnull=False)


def sign_in(client: ApiClient, **more: Any) -> Any:
    client.raise_request_exception = False
    body = {"username": "ada", "password": PASSWORD, **more}
    return client.send("post", "sign-in", body, headers=csrf_token(client))


@pytest.mark.parametrize("is_atomic", [False, True], ids=["", "ATOMIC_REQUESTS"])
@pytest.mark.parametrize("wanted", BY_TOKENS, ids=str)
@pytest.mark.parametrize(
    "broken",
    [
        {"SESSIONS_PLUS_JWT_CLAIMS": fail},
        {"SESSIONS_PLUS_JWT_CLAIMS": lambda user, session: {"odd": object()}},
        {"SESSIONS_PLUS_JWT_ISSUER": fail},
        {"SESSIONS_PLUS_JWT_KEYS": [{"algorithm": "RS256", "file": "/nowhere/key.pem"}]},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_a_pair_that_cannot_be_issued(browser, settings, monkeypatch, wanted, broken, is_atomic):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    for name, value in broken.items():
        setattr(settings, name, value)
    assert sign_in(browser, **wanted).status_code == 500
    assert not active().exists()


@pytest.mark.parametrize("wanted", BY_ALL, ids=str)
def test_a_body_that_cannot_be_made(browser, monkeypatch, wanted):
    monkeypatch.setattr(responses, "session_body", fail)
    answer = sign_in(browser, **wanted)
    assert answer.status_code == 500
    assert "sessionid" not in answer.cookies
    assert not active().exists()


def test_other_sessions_of_the_person_stay(app, browser, settings):
    settings.SESSIONS_PLUS_JWT_CLAIMS = fail
    sign_in(browser, transport="jwt")
    assert active().count() == 1
    assert app.send("get", "sessions").status_code == 200


def test_a_new_pair_after_the_password_that_cannot_be_issued(service, settings):
    settings.SESSIONS_PLUS_JWT_CLAIMS = fail
    service.raise_request_exception = False
    assert reauthenticate(service).status_code == 500
    assert not active().exists()


@pytest.mark.parametrize("kind", ["by_cookie", "app", "service"])
def test_a_body_after_the_password_that_cannot_be_made(request, monkeypatch, kind):
    client = request.getfixturevalue(kind)
    monkeypatch.setattr(responses, "session_body", fail)
    client.raise_request_exception = False
    assert reauthenticate(client).status_code == 500
    assert not active().exists()


@pytest.mark.parametrize("kind", ["by_cookie", "app", "service"])
def test_what_a_rollback_undoes_is_usable_as_before(request, monkeypatch, kind):
    client = request.getfixturevalue(kind)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    with monkeypatch.context() as broken:
        broken.setattr(responses, "session_body", fail)
        client.raise_request_exception = False
        assert reauthenticate(client).status_code == 500
    assert client.send("get", "sessions").status_code == 200


# Parallel re-authentications of one session by access token


@pytest.fixture
def _within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything happen in one second: an access token names the second of the authentication it is from."""
    start, ticks = timezone.now().replace(microsecond=0), count()
    monkeypatch.setattr(timezone, "now", lambda: start + timedelta(microseconds=next(ticks)))


@pytest.fixture
def before_issue(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that has another function called before the next issue, once."""

    def arrange(act: Any) -> None:
        pending, issue = [act], sessions.issue_tokens

        def issue_tokens(*args: Any, **kwargs: Any) -> IssuedTokens:
            while pending:
                pending.pop()()
            return issue(*args, **kwargs)

        monkeypatch.setattr(sessions, "issue_tokens", issue_tokens)

    return arrange


@pytest.mark.usefixtures("_within_a_second")
def test_one_that_another_has_overtaken_gets_a_pair_that_can_be_refreshed(request, before_issue):
    # Signed in after the clock was set.
    service = request.getfixturevalue("service")
    other = ApiClient()
    other.token = service.token
    before_issue(lambda: other.take(reauthenticate(other)))
    assert service.take(reauthenticate(service)).status_code == 200
    assert service.refresh().status_code == 200
    # As documented: of two pairs the one that was issued last.
    assert code(other.refresh()) == "invalid_token"
    assert active().count() == 1


def test_one_whose_session_has_ended_meanwhile_gets_none(service, before_issue):
    before_issue(lambda: Session.objects.all().end(reason="revoked"))
    answer = reauthenticate(service)
    assert (answer.status_code, code(answer)) == (400, "session_interrupted")
    assert Session.objects.get().end_reason == "revoked"


def test_one_that_is_overtaken_again_and_again_ends_nothing_of_the_others(service, monkeypatch):
    def overtaken(*args: Any, **kwargs: Any) -> Any:
        Session.objects.update(token_digest="0" * 64, refresh_digest="1" * 64)
        raise StaleSessionError

    monkeypatch.setattr(sessions, "issue_tokens", overtaken)
    assert code(reauthenticate(service)) == "session_interrupted"
    assert active().count() == 1
