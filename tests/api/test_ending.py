"""DELETE sessions/{id} and POST sessions/revoke."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.signals import user_logged_out
from django.utils import timezone

from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from tests.api.conftest import code, connected, grow_stale
from tests.api.test_sign_in import csrf_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]


def end(client, session):
    return client.send("delete", f"sessions/{getattr(session, 'pk', session)}")


def test_one_of_ones_own_can_be_ended(signed_in, ada, make_session):
    other = make_session(ada)
    answer = end(signed_in, other)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "sessionid" not in answer.cookies
    other.refresh_from_db()
    assert (other.end_reason, other.ended_by) == (EndReason.REVOKED, ada)
    assert signed_in.send("get", "session").json()["user"]["id"] == ada.pk


def test_an_ended_device_is_signed_out_at_its_next_request(by_cookie, app):
    mine = by_cookie.send("get", "session").json()["session"]["id"]
    assert end(app, mine).status_code == 204
    assert by_cookie.get("/plain").json() == {"user": ""}
    assert by_cookie.cookies["sessionid"].value == ""


def test_the_current_one_can_be_ended_and_its_cookie_goes(by_cookie, ada):
    seen = []

    def listen(user, **kwargs):
        seen.append(user)

    with connected(user_logged_out, listen):
        answer = end(by_cookie, Session.objects.get())
    assert answer.status_code == 204
    assert answer.cookies["sessionid"].value == ""
    assert Session.objects.get().end_reason == EndReason.SIGNED_OUT
    assert seen == [ada]


def test_the_current_one_can_be_ended_by_bearer(app):
    answer = end(app, Session.objects.get())
    assert (answer.status_code, len(answer.cookies)) == (204, 0)
    assert code(app.send("get", "session")) == "session_ended"


def test_the_current_one_needs_no_fresh_session(signed_in):
    grow_stale()
    assert end(signed_in, Session.objects.get()).status_code == 204


def wrong_ids(make_session, ada, eve):
    now = timezone.now()
    own = make_session(ada)
    return [
        uuid.uuid4(),
        make_session(eve),
        make_session(eve, ended_at=now),
        make_session(ada, ended_at=now, end_reason="revoked"),
        make_session(ada, expires_at=now - timedelta(seconds=1)),
        own.pk.hex,
        str(own.pk).upper(),
        "{" + str(own.pk) + "}",
        f"urn:uuid:{own.pk}",
        "x",
        "%00",
        "%F0%9F",
        "x" * 5000,
        "1",
        "' OR 1=1 --",
        "..",
    ]


def test_every_wrong_id_gets_the_same_404(signed_in, ada, eve, make_session):
    answers = [end(signed_in, wrong) for wrong in wrong_ids(make_session, ada, eve)]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, answers[0].content)
    }
    assert code(answers[0]) == "not_found"
    assert Session.objects.for_user(eve).active().count() == 1


def test_to_a_stale_session_every_other_id_looks_the_same(signed_in, ada, eve, make_session):
    wrong = [*wrong_ids(make_session, ada, eve), make_session(ada)]
    grow_stale()
    answers = [end(signed_in, session) for session in wrong]
    assert {(answer.status_code, code(answer)) for answer in answers} == {
        (403, "reauthentication_required")
    }
    assert Session.objects.for_user(ada).active().count() == 3


def test_ending_others_of_a_stale_session_is_a_setting(signed_in, ada, make_session, settings):
    settings.SESSIONS_PLUS_FRESH_FOR_ENDING_OTHERS = False
    other = make_session(ada)
    grow_stale()
    assert end(signed_in, other).status_code == 204
    revoked = signed_in.send("post", "sessions/revoke", {"scope": "others"})
    assert revoked.json() == {"revoked": 0}


def test_a_session_that_ends_in_between_is_not_found(signed_in, ada, make_session, monkeypatch):
    other = make_session(ada)
    monkeypatch.setattr("django_sessions_plus.sessions.revoke", lambda session, **kwargs: False)
    assert code(end(signed_in, other)) == "not_found"


@pytest.mark.parametrize(
    ("method", "address"),
    [("delete", "sessions/01890000-0000-7000-8000-000000000000"), ("post", "sessions/revoke")],
)
def test_anonymous_visitors_end_nothing(client, method, address):
    answer = client.send(method, address, {"scope": "all"} if method == "post" else None)
    assert (answer.status_code, code(answer)) == (401, "not_authenticated")


def test_by_cookie_ending_needs_the_csrf_token(browser, by_cookie, ada, make_session):
    other = make_session(ada)
    browser.cookies["sessionid"] = by_cookie.cookies["sessionid"].value
    assert code(end(browser, other)) == "csrf_failed"
    assert code(browser.send("post", "sessions/revoke", {"scope": "all"})) == "csrf_failed"
    assert Session.objects.active().count() == 2
    headers = csrf_token(browser)
    assert browser.send("delete", f"sessions/{other.pk}", headers=headers).status_code == 204


def test_others_ends_all_but_the_current_one(signed_in, ada, eve, make_session):
    current = Session.objects.get()
    for user in (ada, ada, eve):
        make_session(user)
    answer = signed_in.send("post", "sessions/revoke", {"scope": "others"})
    assert (answer.status_code, answer.json()) == (200, {"revoked": 2})
    assert Session.objects.for_user(ada).active().get() == current
    assert Session.objects.for_user(eve).active().count() == 1
    assert {row.ended_by for row in Session.objects.ended()} == {ada}
    assert signed_in.send("get", "session").json()["session"]["id"] == str(current.pk)


def test_all_ends_the_current_one_too(signed_in, ada, make_session):
    make_session(ada)
    answer = signed_in.send("post", "sessions/revoke", {"scope": "all"})
    assert (answer.status_code, answer.json()) == (200, {"revoked": 2})
    assert not Session.objects.active().exists()
    if signed_in.token:
        assert "sessionid" not in answer.cookies
        assert code(signed_in.send("get", "session")) == "session_ended"
    else:
        assert answer.cookies["sessionid"].value == ""


@pytest.mark.parametrize("scope", ["others", "all"])
def test_revoking_needs_a_fresh_session(signed_in, ada, make_session, scope):
    make_session(ada)
    grow_stale()
    answer = signed_in.send("post", "sessions/revoke", {"scope": scope})
    assert (answer.status_code, code(answer)) == (403, "reauthentication_required")
    assert Session.objects.active().count() == 2


@pytest.mark.parametrize("body", [{}, {"scope": "mine"}, {"scope": ["all"]}, {"scope": None}, []])
def test_an_unknown_scope_is_refused(signed_in, body):
    answer = signed_in.send("post", "sessions/revoke", body)
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert Session.objects.active().count() == 1


@pytest.mark.db_engine
def test_ending_costs_the_same_however_many_sessions_there_are(
    signed_in, ada, make_session, django_assert_max_num_queries
):
    for _ in range(20):
        make_session(ada)
    with django_assert_max_num_queries(6):
        end(signed_in, make_session(ada))
    with django_assert_max_num_queries(6):
        signed_in.send("post", "sessions/revoke", {"scope": "others"})
