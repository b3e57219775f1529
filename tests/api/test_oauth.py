"""Introspection and revocation: what they tell, to whom, and what they leave alone."""

import logging
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import caches
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from django.views.debug import ExceptionReporter
from rest_framework.exceptions import APIException

from django_sessions_plus import sessions
from django_sessions_plus.api import oauth
from django_sessions_plus.api.oauth_urls import urlpatterns
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.exceptions import InactiveSessionError
from django_sessions_plus.jwt import access, inspecting
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.signals import refresh_token_reused, session_ended
from django_sessions_plus.tokens import make_token
from tests.api import conformance
from tests.backends.drivers import SessionStore
from tests.jwt.forging import parts, signed

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.oauth_urls")]

FORM = "application/x-www-form-urlencoded"
KINDS = ("session", "access", "refresh")
INACTIVE = {"active": False}


class Caller(Client):
    """A service, or anybody: it sends forms, and a token of its own if it has one."""

    own = None

    def request(self, **request):
        answer = super().request(**request)
        conformance.check(answer)
        return answer

    def ask(self, path, body="", content_type=FORM, **extra):
        headers = {"Authorization": f"Bearer {self.own}"} if self.own else {}
        sent = body if isinstance(body, (str, bytes)) else urlencode(body)
        headers |= extra.pop("headers", {})
        return self.generic(
            "POST", f"/oauth/{path}", sent, content_type=content_type, headers=headers, **extra
        )

    def introspect(self, token, **more):
        answer = self.ask("introspect", {"token": token, **more})
        assert answer.status_code == 200, answer.content
        return answer.json()

    def revoke(self, token, **more):
        answer = self.ask("revoke", {"token": token, **more})
        assert (answer.status_code, answer.json()) == (200, {})


def tokens_of(user):
    """Sign somebody in and return the tokens of the one session, by kind."""
    store = sessions.start(user)
    store.mark_authenticated(user)
    store.save()
    pair = sessions.issue_tokens(store.row)
    return {"session": store.session_key, "access": pair.access, "refresh": pair.refresh}


@pytest.fixture
def anybody(db):
    return Caller(enforce_csrf_checks=True)


@pytest.fixture
def service(anybody):
    user = User.objects.create_user("service")
    user.user_permissions.set(Permission.objects.filter(codename="introspect_token"))
    anybody.own = sessions.start(user).session_key
    return anybody


@pytest.fixture
def hers(ada):
    return tokens_of(ada)


@pytest.fixture
def row(ada, hers):
    return Session.objects.get(user=ada)


@pytest.fixture
def unchanged(row):
    """See to it that a test has written nothing to the row."""
    before = Session.objects.filter(pk=row.pk).values().get()
    yield
    assert Session.objects.filter(pk=row.pk).values().get() == before


def error(answer):
    """Return the status and the code of a refusal, having seen that it is one of OAuth's."""
    body = answer.json()
    assert body == {"error": body["error"], "error_description": oauth.ERRORS[body["error"]]}
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Type"] == "application/json"
    return answer.status_code, body["error"]


# What introspection tells


@pytest.mark.usefixtures("unchanged")
def test_an_access_token_is_described(service, hers, row, ada):
    claims = access.verify(hers["access"]).all
    assert service.introspect(hers["access"]) == {
        "active": True,
        "token_type": "Bearer",
        "sub": str(ada.pk),
        "username": "ada",
        "sid": str(row.pk),
        **{name: claims[name] for name in ("iss", "aud", "iat", "nbf", "exp", "jti")},
    }


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("kind", "type_"), [("session", "Bearer"), ("refresh", "refresh_token")])
def test_other_tokens_are_described_by_their_session(service, hers, row, ada, kind, type_):
    started_at = row.authenticated_at if kind == "session" else row.refresh_started_at
    assert service.introspect(hers[kind]) == {
        "active": True,
        "token_type": type_,
        "sub": str(ada.pk),
        "username": "ada",
        "sid": str(row.pk),
        "iss": "django-sessions-plus",
        "iat": int(started_at.timestamp()),
        "exp": int(row.expires_at.timestamp()),
    }


def test_times_are_right_also_without_time_zones(service, ada, settings, monkeypatch):
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Tokyo"
    now = timezone.now().replace(microsecond=0)
    monkeypatch.setattr(timezone, "now", lambda: now)
    hers = tokens_of(ada)
    service.own = sessions.start(User.objects.get(username="service")).session_key
    told = [service.introspect(hers[kind]) for kind in KINDS]
    assert {each["iat"] for each in told} == {int(now.timestamp())}


def test_the_absolute_limit_caps_what_is_told(service, hers, row, settings):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(days=3)
    limit = int((row.authenticated_at + timedelta(days=3)).timestamp())
    assert service.introspect(hers["session"])["exp"] == limit
    assert service.introspect(hers["refresh"])["exp"] == limit


def test_of_several_audiences_all_are_told(service, ada, settings):
    settings.SESSIONS_PLUS_JWT_AUDIENCE = ["https://one.example", "https://two.example"]
    told = service.introspect(tokens_of(ada)["access"])
    assert told["aud"] == ["https://one.example", "https://two.example"]


@pytest.mark.usefixtures("unchanged")
def test_the_hint_is_a_hint(service, hers):
    for kind in KINDS:
        for hint in ("access_token", "refresh_token", "nonsense", "", "x" * 5000):
            assert service.introspect(hers[kind], token_type_hint=hint)["active"]


def test_device_and_address_are_not_told(service, ada):
    store = sessions.start(ada, user_agent="Netscape 4", ip_address="192.0.2.7")
    told = str(service.introspect(store.session_key))
    assert "Netscape" not in told
    assert "192.0.2.7" not in told


def test_a_token_may_be_asked_about_by_each_header_transport(service, hers):
    mine = tokens_of(User.objects.get(username="service"))
    for kind in ("session", "access"):
        service.own = mine[kind]
        assert service.introspect(hers["access"])["active"]
        assert service.introspect(mine[kind])["username"] == "service"


# What is not active


def malformed(hers):
    return {
        "unknown": make_token(),
        "nonsense": "nonsense",
        "cut off": hers["refresh"][:-4],
        "one bit": hers["access"][:-5]
        + ("A" if hers["access"][-5] != "A" else "B")
        + hers["access"][-4:],
        "bearer": f"Bearer {hers['access']}",
        "upper": hers["session"].upper(),
        "twice": hers["session"] * 2,
        "dots": "a.b.c",
        "none": "eyJhbGciOiJub25lIn0.e30.",
        "long": "x" * 100_000,
        "unicode": "ä" * 32,
        "nul": "a\0b",
        "surrogate": "\udcff".encode("utf-8", "surrogatepass"),
        "space": f" {hers['session']}",
        "digest": Session.objects.get(user__username="ada").token_digest,
        "id": str(Session.objects.get(user__username="ada").pk),
    }


@pytest.mark.usefixtures("unchanged")
def test_what_is_none_of_ours_is_not_active_and_ends_nothing(service, hers):
    for name, token in malformed(hers).items():
        assert service.introspect(token) == INACTIVE, name
        service.revoke(token)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["ended", "deleted", "idle", "absolute", "wrong user", "anonymous"])
def test_a_session_that_is_over_has_no_active_token(service, hers, row, eve, kind, how):
    past = timezone.now() - timedelta(days=40)
    # So that nothing but the name tells the one from the other.
    User.objects.filter(pk=eve.pk).update(password=row.user.password)
    if how == "ended":
        sessions.revoke(row)
    elif how == "deleted":
        row.delete()
    else:
        columns = {
            "idle": {"expires_at": timezone.now()},
            "absolute": {"authenticated_at": past},
            "wrong user": {"user": eve},
            "anonymous": {"user": None},
        }[how]
        for name, value in columns.items():
            setattr(row, name, value)
        row.save()
    before = list(Session.objects.filter(pk=row.pk).values())
    assert service.introspect(hers[kind]) == INACTIVE
    assert list(Session.objects.filter(pk=row.pk).values()) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["inactive", "password", "backend", "user gone"])
def test_a_person_who_is_not_let_in_has_no_active_token_and_nothing_ends(
    service, hers, row, ada, settings, kind, how
):
    if how == "inactive":
        User.objects.filter(pk=ada.pk).update(is_active=False)
    elif how == "password":
        User.objects.filter(pk=ada.pk).update(password="another")
    elif how == "user gone":
        Session.objects.filter(pk=row.pk).update(user=10**6)
        User.objects.filter(pk=ada.pk)._raw_delete(using="default")
    else:
        store = SessionStore(hers["session"])
        store["_auth_user_backend"] = "nobody.knows"
        store.save()
    before = Session.objects.filter(pk=row.pk).values().get()
    assert service.introspect(hers[kind]) == INACTIVE
    assert Session.objects.filter(pk=row.pk).values().get() == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("kind", KINDS)
def test_after_a_change_of_the_secret_key_what_is_still_good_is_active(
    service, hers, settings, kind
):
    """Django would rotate the session here, and sign out whoever it belongs to."""
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one, known to everybody as well"
    service.own = sessions.start(User.objects.get(username="service")).session_key
    assert service.introspect(hers[kind])["active"]
    settings.SECRET_KEY_FALLBACKS = []
    service.own = sessions.start(User.objects.get(username="service")).session_key
    assert service.introspect(hers[kind]) == INACTIVE


@pytest.mark.usefixtures("unchanged")
def test_an_expired_access_token_is_not_active_and_ends_nothing(service, hers, monkeypatch):
    later = timezone.now() + timedelta(minutes=16)
    monkeypatch.setattr(timezone, "now", lambda: later)
    service.own = None
    service.revoke(hers["access"])
    service.own = sessions.start(User.objects.get(username="service")).session_key
    assert service.introspect(hers["access"]) == INACTIVE
    assert service.introspect(hers["session"])["active"]


@pytest.mark.usefixtures("unchanged")
def test_a_forged_access_token_is_not_active_and_ends_nothing(service, hers):
    header, claims, _ = parts(hers["access"])
    assert service.introspect(signed(header, claims))["active"]
    wrong = [{"type": "refresh"}, {"iss": "elsewhere"}, {"aud": "elsewhere"}, {"sub": "999"}]
    wrong += [{"auth_time": claims["auth_time"] - 1}, {"nbf": claims["exp"]}]
    for change in wrong:
        forged = signed(header, claims | change)
        assert service.introspect(forged) == INACTIVE, change
        service.revoke(forged)


def test_who_has_authenticated_again_has_another_access_token(service, hers, row):
    row.authenticated_at += timedelta(seconds=5)
    row.save()
    assert service.introspect(hers["access"]) == INACTIVE
    service.revoke(hers["access"])
    assert Session.objects.get(pk=row.pk).is_active()


def test_a_refresh_token_is_active_as_long_as_it_yields_another(service, hers, row, settings):
    successor = refresh(hers["refresh"]).refresh
    before = Session.objects.filter(pk=row.pk).values().get()
    assert service.introspect(hers["refresh"])["active"]
    assert service.introspect(successor)["active"]
    settings.SESSIONS_PLUS_REFRESH_GRACE = timedelta(0)
    assert service.introspect(hers["refresh"]) == INACTIVE
    assert Session.objects.filter(pk=row.pk).values().get() == before
    assert refresh(successor)


def test_a_replaced_refresh_token_is_not_active_and_ends_nothing(service, hers, row):
    sessions.issue_tokens(Session.objects.get(pk=row.pk))
    assert service.introspect(hers["refresh"]) == INACTIVE
    service.revoke(hers["refresh"])
    assert Session.objects.get(pk=row.pk).is_active()


def test_a_session_nobody_signed_in_to_has_no_tokens(service, anybody):
    store = SessionStore()
    store["cart"] = [1]
    store.save()
    assert service.introspect(store.session_key) == INACTIVE
    anybody.revoke(store.session_key)
    assert SessionStore(store.session_key)["cart"] == [1]


def test_asking_costs_one_query_for_the_token_and_none_for_nonsense(
    service, hers, row, django_assert_num_queries
):
    for kind in KINDS:
        with django_assert_num_queries(1):
            found = inspecting.find(hers[kind])
            assert inspecting.active_user(found).username == "ada"
    with django_assert_num_queries(0):
        assert inspecting.find("nonsense") is None
        assert inspecting.find(hers["refresh"][:-1] + "!") is None
        assert inspecting.find(None) is None


# Who may ask


@pytest.mark.usefixtures("unchanged")
def test_without_a_token_of_ones_own_nobody_is_told(anybody, hers):
    answer = anybody.ask("introspect", {"token": hers["access"]})
    assert error(answer) == (401, "invalid_token")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("own", ["nonsense", "a.b.c", "a" * 32, ""])
def test_with_a_token_that_is_no_good_nobody_is_told(anybody, hers, own):
    answer = anybody.ask(
        "introspect", {"token": hers["access"]}, headers={"Authorization": f"Bearer {own}"}
    )
    assert error(answer) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]


@pytest.mark.parametrize("kind", ["session", "access"])
def test_without_the_permission_nobody_is_told_not_even_of_ones_own(anybody, hers, kind):
    anybody.own = hers[kind]
    for token in (hers[kind], "nonsense"):
        answer = anybody.ask("introspect", {"token": token})
        assert error(answer) == (403, "insufficient_scope")
        assert answer["WWW-Authenticate"] == 'Bearer realm="api", error="insufficient_scope"'


def test_a_refresh_token_authenticates_nobody(service, hers):
    service.own = tokens_of(User.objects.get(username="service"))["refresh"]
    assert error(service.ask("introspect", {"token": hers["access"]})) == (401, "invalid_token")


def test_a_cookie_authenticates_nobody(hers):
    client = Caller()
    client.force_login(User.objects.create_superuser("boss"))
    assert error(client.ask("introspect", {"token": hers["access"]})) == (401, "invalid_token")


def test_a_password_in_the_header_authenticates_nobody(anybody, hers):
    headers = {"Authorization": "Basic YWRhOmNvcnJlY3QgaG9yc2U="}
    answer = anybody.ask("introspect", {"token": hers["access"]}, headers=headers)
    assert error(answer) == (401, "invalid_token")


def test_a_superuser_may_ask(anybody, hers):
    anybody.own = sessions.start(User.objects.create_superuser("boss")).session_key
    assert anybody.introspect(hers["access"])["active"]


def test_the_session_of_the_service_is_in_use(service, hers, row, monkeypatch):
    before = Session.objects.get(user__username="service").last_seen_at
    later = timezone.now() + timedelta(minutes=10)
    monkeypatch.setattr(timezone, "now", lambda: later)
    service.introspect(hers["session"])
    assert Session.objects.get(user__username="service").last_seen_at > before
    assert Session.objects.get(pk=row.pk).last_seen_at == row.last_seen_at


# Revocation


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_has_a_token_ends_its_session(
    anybody, hers, row, ada, told, kind, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        anybody.revoke(hers[kind])
    ended = Session.objects.get(pk=row.pk)
    assert (ended.end_reason, ended.ended_by) == (EndReason.SIGNED_OUT, ada)
    assert [said["reason"] for said in told.of(session_ended)] == [EndReason.SIGNED_OUT]
    for other in KINDS:
        assert inspecting.find(hers[other]) is None
    with pytest.raises(InactiveSessionError):
        refresh(hers["refresh"])
    anybody.revoke(hers[kind])
    assert Session.objects.get(pk=row.pk).ended_at == ended.ended_at


def test_only_that_session_ends(anybody, hers, ada):
    other = tokens_of(ada)
    anybody.revoke(hers["refresh"])
    assert inspecting.find(other["session"])


def test_a_refresh_token_that_was_used_before_ends_the_session_with_an_alarm(
    anybody, hers, row, ada, told, caplog, settings, django_capture_on_commit_callbacks
):
    refresh(hers["refresh"])
    settings.SESSIONS_PLUS_REFRESH_GRACE = timedelta(0)
    with (
        caplog.at_level("WARNING", logger="django_sessions_plus"),
        django_capture_on_commit_callbacks(execute=True),
    ):
        for _ in range(2):
            anybody.revoke(hers["refresh"])
    assert Session.objects.get(pk=row.pk).end_reason == EndReason.REFRESH_REUSED
    (said,) = told.of(refresh_token_reused)
    assert (said["session"].pk, said["user"]) == (row.pk, ada)
    (record,) = (each for each in caplog.records if each.name == "django_sessions_plus")
    assert vars(record)["event"] == "refresh_token_reused"


def test_within_the_grace_a_rotated_refresh_token_signs_out_without_an_alarm(
    anybody, hers, row, told, django_capture_on_commit_callbacks
):
    refresh(hers["refresh"])
    with django_capture_on_commit_callbacks(execute=True):
        anybody.revoke(hers["refresh"])
    assert Session.objects.get(pk=row.pk).end_reason == EndReason.SIGNED_OUT
    assert told.of(refresh_token_reused) == []


def test_a_person_who_is_not_let_in_any_more_signs_out_without_an_alarm(
    anybody, hers, row, ada, told, settings, django_capture_on_commit_callbacks
):
    refresh(hers["refresh"])
    settings.SESSIONS_PLUS_REFRESH_GRACE = timedelta(0)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    with django_capture_on_commit_callbacks(execute=True):
        anybody.revoke(hers["refresh"])
    assert Session.objects.get(pk=row.pk).end_reason == EndReason.SIGNED_OUT
    assert told.of(refresh_token_reused) == []


def test_an_access_token_from_before_a_new_password_is_not_active_and_ends_nothing(
    service, anybody, hers, row, ada
):
    ada.set_password("another")
    User.objects.filter(pk=ada.pk).update(password=ada.password)
    store = SessionStore(hers["session"])
    store["_auth_user_hash"] = ada.get_session_auth_hash()
    store.save()
    assert service.introspect(hers["access"]) == INACTIVE
    anybody.revoke(hers["access"])
    assert Session.objects.get(pk=row.pk).is_active()
    assert service.introspect(hers["session"])["active"] is True


def test_a_person_who_is_not_let_in_any_more_may_sign_out(anybody, hers, row, ada):
    User.objects.filter(pk=ada.pk).update(is_active=False)
    anybody.revoke(hers["access"])
    assert Session.objects.get(pk=row.pk).end_reason == EndReason.SIGNED_OUT


def test_whose_cookie_comes_along_makes_no_difference(hers, row, eve):
    client = Caller(enforce_csrf_checks=True)
    client.force_login(eve)
    client.revoke(hers["session"])
    assert not Session.objects.get(pk=row.pk).is_active()
    assert Session.objects.active().filter(user=eve).count() == 1
    assert client.cookies["sessionid"].value


def test_the_header_of_the_caller_is_not_read(anybody, hers, row):
    headers = {"Authorization": f"Bearer {hers['session']}"}
    answer = anybody.ask("revoke", {"token": "nonsense"}, headers=headers)
    assert answer.status_code == 200
    assert Session.objects.get(pk=row.pk).is_active()


# How they are asked


@pytest.fixture(params=["introspect", "revoke"])
def ask(request, service):
    def ask(body="", **options):
        return service.ask(request.param, body, **options)

    return ask


@pytest.mark.parametrize(
    "body", ["", "token=", "token", "tok=x", "token=a&token=b", "token_type_hint=x"]
)
def test_a_request_without_just_one_token_is_invalid(ask, body):
    assert error(ask(body)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain"]
)
def test_anything_but_a_form_is_refused(ask, content_type):
    assert error(ask('{"token": "x"}', content_type=content_type)) == (415, "invalid_request")


def test_a_body_without_a_type_is_no_form(ask):
    assert error(ask("token=x", content_type="")) in {
        (415, "invalid_request"),
        (400, "invalid_request"),
    }


def test_a_token_in_the_address_is_not_read(service, hers, row):
    for path in ("introspect", "revoke"):
        answer = service.ask(f"{path}?token={hers['session']}", "")
        assert error(answer) == (400, "invalid_request")
    assert Session.objects.get(pk=row.pk).is_active()


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_post_is_taken(service, method):
    for path in ("introspect", "revoke"):
        answer = getattr(service, method)(
            f"/oauth/{path}", headers={"Authorization": f"Bearer {service.own}"}
        )
        assert answer.status_code == 405


def test_a_body_that_is_too_large_is_not_read(ask, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert error(ask({"token": "x" * 1000})) == (413, "invalid_request")


def test_a_body_of_too_many_parameters_is_refused(ask, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 5
    assert error(ask("&".join(f"a{n}=1" for n in range(6)) + "&token=x")) == (
        400,
        "invalid_request",
    )


@pytest.mark.parametrize("body", [b"token=\xff\xfe", b"token=%FF%FE", b"token=%00", b"token=%"])
def test_bytes_that_are_no_text_are_no_token(ask, body):
    assert ask(body).status_code == 200


def test_answers_are_kept_nowhere(ask):
    for body in ("token=x", ""):
        answer = ask(body)
        assert answer["Cache-Control"] == "no-store"
        assert not answer.cookies


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*"])
def test_answers_are_json_whatever_is_asked_for(ask, accept):
    assert ask("token=x", headers={"Accept": accept})["Content-Type"] == "application/json"


def test_introspection_is_limited_for_each_service(service, hers, settings):
    settings.SESSIONS_PLUS_RATES = {"introspect": "2/min"}
    other = Caller()
    other.own = sessions.start(User.objects.get(username="service")).session_key
    for _ in range(2):
        service.introspect(hers["access"])
    answer = service.ask("introspect", {"token": hers["access"]})
    assert error(answer) == (429, "temporarily_unavailable")
    assert int(answer["Retry-After"]) > 0
    assert other.introspect(hers["access"])["active"]


def test_revocation_is_limited_for_each_address(anybody, hers, row, settings):
    settings.SESSIONS_PLUS_RATES = {"revoke_token": "2/min"}
    for _ in range(2):
        anybody.revoke("nonsense")
    answer = anybody.ask("revoke", {"token": hers["session"]})
    assert error(answer) == (429, "temporarily_unavailable")
    assert Session.objects.get(pk=row.pk).is_active()
    answer = anybody.ask("revoke", {"token": hers["session"]}, REMOTE_ADDR="192.0.2.99")
    assert answer.status_code == 200
    assert not Session.objects.get(pk=row.pk).is_active()


def test_counts_tell_no_token(service, hers):
    for kind in KINDS:
        service.introspect(hers[kind])
        service.revoke(hers[kind])
    kept = str(vars(caches["default"]))
    assert "introspect" in kept
    assert not [token for token in hers.values() if token in kept]


# Secrets


def test_neither_logs_nor_answers_repeat_a_token(service, hers, caplog):
    caplog.set_level(logging.DEBUG)
    told = []
    for kind in KINDS:
        told.append(service.ask("introspect", {"token": hers[kind]}))
        told.append(
            service.ask("introspect", {"token": hers[kind], "x": "y"}, content_type="text/plain")
        )
    told.append(service.ask("revoke", {"token": hers["refresh"]}))
    everything = caplog.text + "".join(f"{a.content!r}{a.headers}" for a in told)
    for secret in (*hers.values(), service.own):
        assert secret not in everything


# How rows are found that a token names by their id.
BY_ID = ("find_by_id", "find_for_refresh")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["introspect", "revoke"])
def test_error_reports_show_no_token_when_the_database_fails(
    service, hers, monkeypatch, settings, caplog, kind, path
):
    def fail(*args, **kwargs):
        raise OperationalError("gone away")

    settings.DEBUG = False
    service.raise_request_exception = False
    real = inspecting.find

    def find_without_database(token, **options):
        with monkeypatch.context() as patch:
            patch.setattr(SessionStore, "_find_row", fail)
            for name in BY_ID:
                patch.setattr(Rows, name, fail)
            return real(token, **options)

    monkeypatch.setattr(inspecting, "find", find_without_database)
    answer = service.ask(path, {"token": hers[kind]})
    assert answer.status_code == 503
    (logged,) = [record.exc_info for record in caplog.records if record.exc_info]
    reporter = ExceptionReporter(answer.wsgi_request, *logged)
    frames = reporter.get_traceback_frames()
    ours = [frame["vars"] for frame in frames if "django_sessions_plus" in frame["filename"]]
    assert len(ours) > 2
    assert hers[kind] not in str(ours)
    posted = reporter.filter.get_post_parameters(answer.wsgi_request)
    assert posted["token"] == reporter.filter.cleansed_substitute


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_looks_for_a_token_has_it_in_no_report_either(hers, monkeypatch, kind):
    def fail(*args, **kwargs):
        raise OperationalError("gone away")

    monkeypatch.setattr(SessionStore, "_find_row", fail)
    for name in BY_ID:
        monkeypatch.setattr(Rows, name, fail)
    with pytest.raises(OperationalError) as caught:
        inspecting.find(hers[kind])
    reporter = ExceptionReporter(None, caught.type, caught.value, caught.tb)
    frames = reporter.get_traceback_frames()
    ours = [frame for frame in frames if "django_sessions_plus" in frame["filename"]]
    assert "find" in {frame["function"] for frame in ours}
    assert hers[kind] not in str([frame["vars"] for frame in ours])


def test_refresh_tokens_are_judged_by_the_primary(hers, monkeypatch):
    asked = []
    real = SessionStore.open_by_id

    def note(self, session_id, *, from_primary=False):
        asked.append(from_primary)
        return real(self, session_id, from_primary=from_primary)

    monkeypatch.setattr(SessionStore, "open_by_id", note)
    for kind in KINDS:
        inspecting.find(hers[kind])
    assert asked == [False, True]


def test_what_is_found_does_not_show_the_token(hers, row):
    for kind in KINDS:
        shown = repr(inspecting.find(hers[kind]))
        assert hers[kind] not in shown
        assert row.token_digest not in shown


class Refused(APIException):
    """A refusal of a project's own code."""

    def __init__(self, status):
        super().__init__()
        self.status_code = status


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "invalid_request"),
        (418, "invalid_request"),
        (500, "server_error"),
        (503, "temporarily_unavailable"),
        (429, "temporarily_unavailable"),
    ],
)
def test_refusals_of_a_projects_own_code_are_told_in_the_same_words(ask, monkeypatch, status, name):
    def refuse(token, **options):
        raise Refused(status)

    monkeypatch.setattr(inspecting, "find", refuse)
    # What a project's own code refuses with is not in the schema.
    monkeypatch.setattr(conformance, "check", lambda answer: None)
    assert error(ask("token=x")) == (status, name)


def test_defects_are_no_refusals():
    assert oauth.exception_handler(RuntimeError(), {}) is None


def test_the_page_lists_every_endpoint_error_and_token_type():
    page = (Path(__file__).parents[2] / "docs/oauth.md").read_text()
    served = {(name.upper(), str(pattern.pattern)) for pattern in urlpatterns for name in ("post",)}
    assert set(re.findall(r"^\| (POST) `(\w+)` \|", page, re.MULTILINE)) == served
    errors = page.partition("| `error` |")[2]
    assert re.findall(r"^\| `(\w+)` \|", errors, re.MULTILINE) == list(oauth.ERRORS)
    types = re.findall(r"^\| (\w+) token \| `(\w+)` \|", page, re.MULTILINE)
    assert dict(types) == oauth.TOKEN_TYPES
    permission = oauth.PERMISSION.partition(".")[2]
    assert f"`{permission}`" in page


def test_descriptions_are_what_oauth_allows():
    """RFC 6749 section 5.2: printable ASCII without the quotation mark and the backslash."""
    for description in oauth.ERRORS.values():
        assert description.isascii()
        assert description.isprintable()
        assert not {'"', "\\"} & set(description)
