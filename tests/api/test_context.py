"""``SESSIONS_PLUS_CONTEXT_POLICY``, by each transport."""

from datetime import timedelta

import pytest
from django.utils import timezone

from django_sessions_plus.jwt import inspecting
from django_sessions_plus.models import Session
from django_sessions_plus.signals import refresh_token_reused, session_context_changed
from tests.api.conftest import code
from tests.api.test_reauthenticate import reauthenticate

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

ELSEWHERE = {"REMOTE_ADDR": "198.51.100.7"}


def test_from_elsewhere_a_sensitive_act_asks_for_the_password_first(
    signed_in, ada, make_session, settings
):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "reauthenticate"
    other = f"sessions/{make_session(ada).pk}"
    refusal = signed_in.send("delete", other, **ELSEWHERE)
    assert (refusal.status_code, code(refusal)) == (403, "reauthentication_required")
    # What is not sensitive goes on.
    assert signed_in.send("get", "sessions", **ELSEWHERE).status_code == 200
    signed_in.take(reauthenticate(signed_in, **ELSEWHERE))
    assert signed_in.send("delete", other, **ELSEWHERE).status_code == 204


def test_tokens_are_refreshed_from_elsewhere_and_are_not_fresh(
    service, ada, make_session, settings
):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "reauthenticate"
    other = f"sessions/{make_session(ada).pk}"
    first = service.refresh_token
    assert service.take(service.refresh(**ELSEWHERE)).status_code == 200
    assert code(service.send("delete", other, **ELSEWHERE)) == "reauthentication_required"
    # A retry within the grace is answered in the same way.
    assert service.take(service.refresh(first, **ELSEWHERE)).status_code == 200
    assert code(service.send("delete", other, **ELSEWHERE)) == "reauthentication_required"
    assert code(service.send("delete", other)) == "reauthentication_required"
    service.take(reauthenticate(service, **ELSEWHERE))
    assert service.send("delete", other, **ELSEWHERE).status_code == 204


def test_a_passive_refresh_from_elsewhere_makes_that_no_usual_place(
    service, ada, make_session, settings
):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "reauthenticate"
    other = f"sessions/{make_session(ada).pk}"
    sent = {"refresh": service.refresh_token, "passive": True}
    assert service.take(service.send("post", "token/refresh", sent, **ELSEWHERE)).status_code == 200
    for place in (ELSEWHERE, {}):
        refusal = service.send("delete", other, **place)
        assert (refusal.status_code, code(refusal)) == (403, "reauthentication_required")
    service.take(reauthenticate(service, **ELSEWHERE))
    assert service.send("delete", other, **ELSEWHERE).status_code == 204


@pytest.mark.parametrize("kind", ["app", "service"])
def test_a_token_that_is_used_from_elsewhere_ends_its_session(request, settings, kind):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
    client = request.getfixturevalue(kind)
    for _ in range(2):
        answer = client.send("get", "sessions", **ELSEWHERE)
        assert (answer.status_code, code(answer)) == (401, "session_ended")
    assert Session.objects.get().end_reason == "context_changed"
    assert code(client.send("get", "sessions")) == "session_ended"


def test_a_cookie_that_is_used_from_elsewhere_ends_its_session(by_cookie, settings):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
    answer = by_cookie.send("get", "session", **ELSEWHERE)
    assert answer.json() == {
        "session": None,
        "user": None,
        "ended": {"reason": "suspicious"},
    }
    assert answer.cookies["sessionid"].value == ""
    assert Session.objects.get().end_reason == "context_changed"


def test_a_refresh_from_elsewhere_ends_the_session(
    service, settings, told, django_capture_on_commit_callbacks
):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
    with django_capture_on_commit_callbacks(execute=True):
        answer = service.refresh(**ELSEWHERE)
    assert (answer.status_code, code(answer)) == (401, "session_ended")
    assert Session.objects.get().end_reason == "context_changed"
    assert len(told.of(session_context_changed)) == 1


def test_a_refresh_from_elsewhere_is_written_down_as_any_use_is(service):
    before = Session.objects.get()
    service.take(service.refresh(**ELSEWHERE))
    row = Session.objects.get()
    assert row.previous_ip_address == before.ip_address
    assert row.ip_address == "198.51.100.7"
    assert row.context_changed_at == row.last_seen_at
    service.take(service.refresh(**ELSEWHERE))
    assert Session.objects.get().context_changed_at == row.context_changed_at


def test_a_replay_from_elsewhere_is_told_as_a_replay(
    service, settings, told, django_capture_on_commit_callbacks
):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
    first = service.refresh_token
    service.take(service.refresh())
    Session.objects.update(refreshed_at=timezone.now() - timedelta(minutes=2))
    with django_capture_on_commit_callbacks(execute=True):
        assert code(service.refresh(first, **ELSEWHERE)) == "session_ended"
    assert Session.objects.get().end_reason == "refresh_reused"
    assert told.of(refresh_token_reused)[0]["context_changed"] is True


def test_who_asks_about_a_token_of_somebody_elsewhere_ends_nothing(app, settings):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
    assert inspecting.find(app.token) is not None
    assert Session.objects.get().is_active()


def test_forged_headers_end_nothing(signed_in, settings):
    """Whoever can make a browser send headers must not be able to sign its owner out."""
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
    forged = {
        "HTTP_X_FORWARDED_FOR": "198.51.100.7",
        "HTTP_X_REAL_IP": "198.51.100.7",
        "HTTP_FORWARDED": "for=198.51.100.7",
        "HTTP_CLIENT_IP": "198.51.100.7",
    }
    assert signed_in.send("get", "sessions", **forged).status_code == 200
    settings.SESSIONS_PLUS_TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert signed_in.send("get", "sessions", **forged).status_code == 200
    # Behind the proxy: what stands left of what it wrote is hearsay.
    behind = {"REMOTE_ADDR": "10.0.0.1"}
    for forwarded in ("198.51.100.7, 127.0.0.1", "garbage, 127.0.0.1", "127.0.0.1, garbage"):
        answer = signed_in.send("get", "sessions", HTTP_X_FORWARDED_FOR=forwarded, **behind)
        assert answer.status_code == 200
