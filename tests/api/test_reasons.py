"""Why a session is over: told to whoever holds its very token, in a few words, and to nobody else."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.jwt import access
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason, InactiveReason
from tests.api.conftest import PASSWORD, ApiClient, code

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

NOBODY = {"session": None, "user": None}
TOLD = {
    EndReason.SIGNED_OUT: "signed_out",
    EndReason.REVOKED: "revoked",
    EndReason.LIMIT: "limit",
    EndReason.PASSWORD_CHANGED: "password_changed",
    EndReason.USER_DEACTIVATED: "revoked",
    EndReason.USER_DELETED: "revoked",
    EndReason.REFRESH_REUSED: "suspicious",
    EndReason.CONTEXT_CHANGED: "suspicious",
    "of_the_project": "revoked",
}


def end(reason: str = EndReason.REVOKED) -> None:
    Session.objects.all().end(reason=reason)


def told(answer: Any) -> Any:
    """Return the reason an answer gives, by whichever way, having seen that nobody is signed in."""
    if answer.status_code == 200:
        body = answer.json()
        assert body | NOBODY == body
        return body.get("ended", {}).get("reason")
    assert (answer.status_code, code(answer)) == (401, "session_ended")
    return answer.json().get("reason")


def ask(client: ApiClient, name: str = "session") -> Any:
    return told(client.send("get", name))


# The very token


@pytest.mark.parametrize(("reason", "word"), TOLD.items())
def test_whoever_holds_the_token_is_told(signed_in: ApiClient, reason: str, word: str):
    end(reason)
    assert ask(signed_in) == word


def test_every_word_can_be_told_and_no_other():
    assert {*TOLD.values(), "expired"} == set(InactiveReason)
    assert TOLD.keys() > set(EndReason)


@pytest.mark.parametrize(("reason", "word"), TOLD.items())
def test_a_refresh_is_told_as_well(service: ApiClient, reason: str, word: str):
    end(reason)
    assert told(service.refresh()) == word


def test_a_session_that_time_has_stopped_has_expired(signed_in: ApiClient):
    Session.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert ask(signed_in) == "expired"
    if signed_in.refresh_token:
        assert told(signed_in.refresh()) == "expired"


def test_so_has_one_that_has_reached_its_absolute_limit(app: ApiClient, settings: Any):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(days=1)
    Session.objects.update(authenticated_at=timezone.now() - timedelta(days=2))
    assert ask(app) == "expired"


def test_by_cookie_what_needs_somebody_tells_it_too(by_cookie: ApiClient):
    """The answer also takes the cookie away, so that no later one could."""
    end()
    answer = by_cookie.send("get", "sessions")
    assert told(answer) == "revoked"
    assert answer.cookies["sessionid"].value == ""
    assert code(by_cookie.send("get", "sessions")) == "not_authenticated"


def test_under_a_projects_own_handler_the_body_is_the_same(app: ApiClient):
    end(EndReason.LIMIT)
    answer = app.send("get", "/mine")
    assert answer.json()["reason"] == "limit"
    assert answer.json()["code"] == "session_ended"


def test_a_password_that_was_changed_past_all_receivers_is_told_by_who_notices(
    signed_in: ApiClient,
):
    User.objects.update(password="!")
    assert ask(signed_in) == "password_changed"


def test_a_use_from_elsewhere_that_ends_the_session_says_so(signed_in: ApiClient, settings: Any):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
    elsewhere = {"REMOTE_ADDR": "198.51.100.7"}
    assert told(signed_in.send("get", "session", **elsewhere)) == "suspicious"


def test_a_refresh_token_that_is_used_again_says_so_to_who_uses_it(service: ApiClient):
    service.refresh()
    Session.objects.update(refreshed_at=timezone.now() - timedelta(minutes=2))
    assert told(service.refresh()) == "suspicious"


def test_within_the_grace_both_tokens_are_the_holders(service: ApiClient):
    successor = service.refresh().json()["refresh"]
    end()
    assert told(service.refresh()) == told(service.refresh(successor)) == "revoked"


@pytest.mark.db_engine
@pytest.mark.parametrize("name", ["by_cookie", "app", "service"])
def test_it_costs_no_query_more(
    name: str, request: pytest.FixtureRequest, django_assert_num_queries: Any
):
    client: ApiClient = request.getfixturevalue(name)
    end()
    with django_assert_num_queries(1):
        assert ask(client) == "revoked"


# Anybody else


def test_a_token_that_was_rotated_away_tells_nothing(signed_in: ApiClient):
    old = ApiClient()
    old.token = signed_in.token
    old.cookies.load({name: each.value for name, each in signed_in.cookies.items()})
    assert signed_in.send("post", "reauthenticate", {"password": PASSWORD}).status_code == 200
    # The claims of an access token have whole seconds.
    Session.objects.update(authenticated_at=timezone.now() + timedelta(seconds=1))
    end()
    answer = old.send("get", "session")
    assert told(answer) is None
    if old.token is None:
        # The browser may have its successor by now.
        assert not answer.cookies.get("sessionid")


def test_nor_does_a_refresh_token_of_before(service: ApiClient):
    service.refresh()
    Session.objects.update(refreshed_at=timezone.now() - timedelta(minutes=2))
    end()
    assert told(service.refresh()) is None


def test_nor_does_one_of_a_line_that_another_has_replaced(service: ApiClient):
    assert service.send("post", "reauthenticate", {"password": PASSWORD}).status_code == 200
    end()
    assert told(service.refresh()) is None


@pytest.mark.parametrize("token", ["x" * 32, "short", "", "x" * 5000])
def test_a_token_nobody_has_looks_as_before(client: ApiClient, token: str):
    end()
    client.cookies["sessionid"] = token
    assert client.send("get", "session").json() == NOBODY
    if len(token) == 32:
        refused = client.get("/auth/session", headers={"Authorization": f"Bearer {token}"})
        assert told(refused) is None


def test_the_id_of_a_session_tells_nothing(signed_in: ApiClient, eve: User, make_session: Any):
    ended = make_session(eve, ended_at=timezone.now(), end_reason=EndReason.LIMIT)
    own = make_session(eve, ended_at=timezone.now(), end_reason=EndReason.LIMIT)
    Session.objects.filter(pk=own.pk).update(user=Session.objects.earliest("created_at").user)
    for row in (ended, own):
        answer = signed_in.send("delete", f"sessions/{row.pk}")
        assert (answer.status_code, code(answer)) == (404, "not_found")
        assert "reason" not in answer.json()


def test_an_access_token_of_somebody_else_who_had_the_session_tells_nothing(
    service: ApiClient, eve: User
):
    Session.objects.update(user=eve)
    end()
    assert ask(service) is None


def test_an_access_token_that_has_expired_tells_nothing(service: ApiClient):
    moment = timezone.now() - timedelta(hours=1)
    service.token = access.issue(Session.objects.get(), now=moment).token
    end()
    answer = service.send("get", "session")
    assert code(answer) == "token_expired"
    assert "reason" not in answer.json()


def test_a_visit_that_was_nobodys_tells_nothing(client: ApiClient):
    session = client.session
    session["cart"] = [1]
    session.save()
    Session.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.send("get", "session").json() == NOBODY


def test_a_session_that_was_purged_tells_nothing(signed_in: ApiClient):
    Session.objects.all().delete()
    assert ask(signed_in) is None


def test_a_user_who_is_not_let_in_is_told_nothing(signed_in: ApiClient):
    """Nor does sign-in say that an account is not active."""
    User.objects.update(is_active=False)
    assert ask(signed_in) is None


def test_a_sign_in_with_the_cookie_of_a_session_that_is_over_is_one_like_any_other(
    by_cookie: ApiClient,
):
    end()
    assert by_cookie.sign_in(password="wrong").json().keys() == {"code", "detail"}
    assert by_cookie.sign_in().json().keys() == {"session", "user"}
    assert by_cookie.send("get", "session").json()["user"]["username"] == "ada"


# The store


def test_a_store_knows_from_loading_why_nobody_is_signed_in(by_cookie: ApiClient):
    token = by_cookie.cookies["sessionid"].value

    def opened() -> Any:
        store: SessionBase = new_store(token)
        store.load()
        return store

    assert opened().inactive_reason is None
    session = Session.objects.get()
    sessions.revoke(session, reason=EndReason.LIMIT)
    assert opened().inactive_reason is InactiveReason.LIMIT
