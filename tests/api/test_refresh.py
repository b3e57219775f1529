"""POST token/refresh."""

import logging
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.db import connections
from django.http import HttpResponse
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.api.token_views import RefreshView
from django_sessions_plus.jwt import access, refresh_token
from django_sessions_plus.models import Session
from django_sessions_plus.signals import refresh_token_reused
from tests.api.conftest import PASSWORD, ApiClient, code, connected
from tests.api.test_sign_in import csrf_token
from tests.api.test_sign_in_jwt import PATH, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

PAIR = {"access", "refresh", "expires_in", "refresh_expires_at"}
ENDED = 'Bearer realm="api", error="invalid_token", error_description='


def grow_old():
    """Let the last rotation be longer ago than the grace."""
    Session.objects.update(refreshed_at=timezone.now() - timedelta(minutes=2))


def test_it_gives_the_next_pair(clock, service):
    answer = service.refresh()
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == PAIR
    assert body["refresh"] != service.refresh_token
    assert 840 <= body["expires_in"] <= 900
    assert not answer.cookies
    assert answer["Cache-Control"] == "no-store"
    service.take(answer)
    assert service.send("get", "session").status_code == 200
    assert service.refresh().status_code == 200
    assert Session.objects.count() == 1


def test_it_tells_when_the_refresh_token_expires(service, settings):
    settings.SESSION_COOKIE_AGE = 3600
    Session.objects.update(expires_at=timezone.now() + timedelta(minutes=30))
    expires = service.refresh().json()["refresh_expires_at"]
    assert expires == Session.objects.get().expires_at.isoformat().replace("+00:00", "Z")


@pytest.mark.db_engine
def test_it_costs_two_statements(service, statements):
    with statements() as executed:
        assert service.refresh().status_code == 200
    assert (len(executed.reads), len(executed.writes)) == (1, 1)


@pytest.mark.db_engine
def test_within_the_grace_it_only_reads(service, statements):
    service.refresh()
    with statements() as executed:
        assert service.refresh().status_code == 200
    assert (len(executed.reads), len(executed.writes)) == (1, 0)


@pytest.mark.db_engine
def test_after_a_change_of_the_secret_key_it_writes_once_more(service, settings, statements):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one, of which nobody has heard before"
    with statements() as executed:
        assert service.take(service.refresh()).status_code == 200
    assert (len(executed.reads), len(executed.writes)) == (1, 2)
    settings.SECRET_KEY_FALLBACKS = []
    assert service.send("get", "session").status_code == 200
    assert service.refresh().status_code == 200


def test_the_use_is_recorded(service):
    answer = service.refresh(headers={"User-Agent": "Service/3"}, REMOTE_ADDR="192.0.2.77")
    assert answer.status_code == 200
    row = Session.objects.get()
    assert (row.ip_address, row.user_agent) == ("192.0.2.77", "Service/3")


@pytest.mark.parametrize("header", ["expired", "x" * 32, "a.b.c", "odd", ""])
def test_no_header_hinders_it(service, header):
    moment = timezone.now() - timedelta(hours=1)
    expired = access.issue(Session.objects.get(), now=moment).token
    service.token = expired if header == "expired" else header
    assert service.refresh().status_code == 200


def test_the_cookies_session_has_no_part_in_it(by_cookie, service):
    mine = by_cookie.send("get", "session").json()["session"]
    answer = by_cookie.refresh(service.refresh_token)
    assert answer.status_code == 200
    assert not answer.cookies
    assert by_cookie.send("get", "session").json()["session"]["id"] == mine["id"]


def test_retries_get_the_same_successor_and_a_working_access_token(service):
    answers = [service.refresh() for _ in range(5)]
    assert {answer.json()["refresh"] for answer in answers} == {answers[0].json()["refresh"]}
    for answer in answers:
        service.token = answer.json()["access"]
        assert service.send("get", "session").status_code == 200


def test_reuse_ends_the_session_and_tells(
    service, told, caplog, django_capture_on_commit_callbacks
):
    first = service.refresh_token
    service.take(service.refresh())
    grow_old()
    with django_capture_on_commit_callbacks(execute=True), caplog.at_level(logging.WARNING):
        answer = service.refresh(first, REMOTE_ADDR="198.51.100.1")
    assert (answer.status_code, code(answer)) == (401, "session_ended")
    assert answer["WWW-Authenticate"].startswith(ENDED)
    assert not answer.cookies
    assert Session.objects.get().end_reason == "refresh_reused"
    (said,) = told.of(refresh_token_reused)
    assert said["context_changed"] is True
    assert "used again" in caplog.text
    for token in (first, service.refresh_token, service.token):
        assert token not in caplog.text
    assert code(service.refresh()) == "session_ended"
    assert code(service.send("get", "session")) == "session_ended"


@pytest.mark.parametrize("rollback", [False, True])
def test_reuse_ends_the_session_for_good_also_within_the_requests_transaction(
    transactional_db, service, monkeypatch, settings, rollback
):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    settings.SESSIONS_PLUS_REFRESH_GRACE = timedelta(0)
    if rollback:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.failing"]
    client = ApiClient(raise_request_exception=False)
    first = service.refresh_token
    assert client.refresh(first).status_code in (200, 500)
    assert client.refresh(first).status_code in (401, 500)
    assert Session.objects.get().end_reason == "refresh_reused"


def failing(get_response):
    """A middleware that fails once the view has answered."""

    def middleware(request):
        get_response(request)
        return HttpResponse(status=500)

    return middleware


def test_the_view_is_in_no_transaction_of_the_request(monkeypatch):
    aliases = set(RefreshView.as_view()._non_atomic_requests)
    assert aliases == set(connections)


@pytest.mark.parametrize(
    "end",
    [
        lambda: Session.objects.all().end(reason="revoked"),
        lambda: Session.objects.update(expires_at=timezone.now()),
        lambda: Session.objects.all().delete(),
        lambda: User.objects.update(is_active=False),
        lambda: User.objects.update(password="!another"),
        lambda: User.objects.all()._raw_delete("default"),
    ],
    ids=["ended", "expired", "deleted", "inactive", "password", "user deleted"],
)
def test_a_token_of_a_session_that_is_over_is_refused(service, end):
    end()
    answer = service.refresh()
    assert (answer.status_code, code(answer)) == (401, "session_ended")
    assert answer["WWW-Authenticate"].startswith(ENDED)
    assert not answer.cookies


def replaced(service):
    first = service.refresh_token
    sessions.issue_tokens(Session.objects.get())
    return first


NOT_OURS = {
    "access token": lambda service: service.token,
    "session token": lambda service: "x" * 32,
    "of an earlier family": replaced,
    "tampered": lambda service: (
        service.refresh_token[:-1] + ("A" if service.refresh_token[-1] != "A" else "B")
    ),
    "spelled otherwise": lambda service: service.refresh_token + "=",
    "with a space": lambda service: " " + service.refresh_token,
    "id": lambda service: str(Session.objects.get().pk),
    "digest": lambda service: Session.objects.get().refresh_digest,
    "unicode": lambda service: "rt1." + "\u0663" * 128,
    "long": lambda service: "rt1." + "A" * 100_000,
    "nothing much": lambda service: "x",
    "a space": lambda service: " ",
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_what_is_no_refresh_token_is_refused_and_ends_nothing(service, what):
    answer = service.refresh(NOT_OURS[what](service))
    assert (answer.status_code, code(answer)) == (401, "invalid_token")
    assert answer["WWW-Authenticate"].startswith(ENDED)
    assert Session.objects.get().ended_at is None


def test_what_this_site_never_issued_costs_no_query(service, django_assert_num_queries):
    with django_assert_num_queries(0):
        service.refresh("rt1." + "A" * 128)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"refresh": None},
        {"refresh": ""},
        {"refresh": 5},
        {"refresh": ["x"]},
        {"refresh": {}},
        {"refresh": True},
        {"refresh": "\x00"},
        {"refresh": "\ud800"},
        {"token": "x"},
        {"refresh_token": "x"},
    ],
)
def test_a_body_without_a_text_for_it_is_invalid(client, body):
    answer = client.send("post", "token/refresh", body)
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert answer.json()["fields"].keys() == {"refresh"}


@pytest.mark.parametrize("body", ["[]", '"text"', "5", "null", '[{"refresh": "x"}]'])
def test_a_body_that_is_no_object_is_invalid(client, body):
    answer = client.post("/auth/token/refresh", body, "application/json")
    assert (answer.status_code, code(answer)) == (400, "invalid")


def test_without_any_body_the_field_is_missing(client):
    answer = client.send("post", "token/refresh")
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert answer.json()["fields"] == {"refresh": ["This field is required."]}


def test_a_form_is_not_read(client, service):
    answer = client.post("/auth/token/refresh", {"refresh": service.refresh_token})
    assert (answer.status_code, code(answer)) == (415, "unsupported_media_type")


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_other_methods_do_nothing(client, method):
    assert code(client.send(method, "token/refresh")) == "method_not_allowed"


# An attempt

MINE, OTHER = "0123456789abcdef" * 2, "f" * 32


def digest(token):
    """Return the digest; the rest of a token tells when it was issued, which ``grow_old()`` has changed."""
    return refresh_token.parse(token).digest()


def retry(client, token, attempt, **extra):
    return client.send("post", "token/refresh", {"refresh": token, "attempt": attempt}, **extra)


def test_a_refresh_is_repeated_with_its_attempt_after_the_grace(service):
    first = service.refresh_token
    lost = retry(service, first, MINE).json()["refresh"]
    grow_old()
    answer = service.take(retry(service, first, MINE))
    assert answer.status_code == 200
    assert digest(service.refresh_token) == digest(lost)
    assert service.send("get", "session").status_code == 200


@pytest.mark.parametrize("attempt", [OTHER, None])
def test_a_copy_of_the_token_without_its_attempt_ends_the_session(service, attempt):
    first = service.refresh_token
    retry(service, first, MINE)
    grow_old()
    answer = service.refresh(first) if attempt is None else retry(service, first, attempt)
    assert (answer.status_code, code(answer)) == (401, "session_ended")
    assert Session.objects.get().end_reason == "refresh_reused"


def test_once_the_access_token_was_used_the_attempt_is_worth_nothing(service, settings):
    settings.SESSIONS_PLUS_LAST_SEEN_INTERVAL = timedelta(0)
    first = service.refresh_token
    service.take(retry(service, first, MINE))
    assert service.send("get", "sessions").status_code == 200
    grow_old()
    Session.objects.update(confirmed_refreshed_at=Session.objects.get().refreshed_at)
    assert code(retry(service, first, MINE)) == "session_ended"


def test_a_request_notes_that_the_answer_has_arrived(service, settings):
    settings.SESSIONS_PLUS_LAST_SEEN_INTERVAL = timedelta(0)
    service.take(retry(service, service.refresh_token, MINE))
    assert service.send("get", "sessions").status_code == 200
    row = Session.objects.get()
    assert row.confirmed_refreshed_at == row.refreshed_at


def test_a_repeated_refresh_does_not_move_the_expiry_after_the_answer_either(service, settings):
    settings.SESSIONS_PLUS_UPDATE_AGE = settings.SESSIONS_PLUS_LAST_SEEN_INTERVAL = timedelta(0)
    first = service.refresh_token
    retry(service, first, MINE)
    grow_old()
    expires_at = Session.objects.get().expires_at
    assert retry(service, first, MINE).status_code == 200
    assert Session.objects.get().expires_at == expires_at


@pytest.mark.parametrize(
    "attempt", ["", " ", "x", MINE[:-1], MINE + "0", MINE.upper(), f" {MINE}", None, 5, [MINE], {}]
)
def test_a_malformed_attempt_is_invalid_and_rotates_nothing(service, attempt):
    answer = retry(service, service.refresh_token, attempt)
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert answer.json()["fields"].keys() == {"attempt"}
    assert Session.objects.get().refreshed_at is None


# As a cookie


@pytest.fixture
def spa(browser):
    """A page that keeps its refresh token in a cookie."""
    answer = sign_in(browser, refresh_cookie=True)
    assert answer.status_code == 200
    browser.token = answer.json()["access"]
    return browser


def by_cookie(client, headers=None, body=None):
    csrf = {"X-CSRFToken": client.cookies["csrftoken"].value}
    return client.send("post", "token/refresh", body, headers=csrf if headers is None else headers)


def kept(client):
    return client.cookies["refresh_token"].value


def test_by_cookie_the_next_token_is_a_cookie_too(clock, spa):
    first = kept(spa)
    for body in (None, {}):
        answer = by_cookie(spa, body=body)
        assert answer.status_code == 200
        assert answer.json().keys() == PAIR - {"refresh"}
        assert answer.cookies.keys() == {"refresh_token"}
        cookie = answer.cookies["refresh_token"]
        assert cookie.value not in answer.content.decode()
        assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (PATH, True, "Lax")
        assert cookie["max-age"] == 14 * 86400
        assert kept(spa) != first
        spa.token = answer.json()["access"]
        assert spa.send("get", "session").status_code == 200


def test_by_cookie_an_expired_header_does_not_hinder_it(spa):
    moment = timezone.now() - timedelta(hours=1)
    spa.token = access.issue(Session.objects.get(), now=moment).token
    assert by_cookie(spa).status_code == 200


def test_by_cookie_the_attempt_is_alone_in_the_body(spa):
    first = kept(spa)
    assert by_cookie(spa, body={"attempt": MINE}).status_code == 200
    lost = kept(spa)
    grow_old()
    spa.cookies["refresh_token"] = first
    assert by_cookie(spa, body={"attempt": MINE}).status_code == 200
    assert digest(kept(spa)) == digest(lost)
    assert code(by_cookie(spa, body={"attempt": "x"})) == "invalid"


def test_by_cookie_it_needs_the_csrf_token(spa):
    first = kept(spa)
    for headers in ({}, {"X-CSRFToken": "x" * 32}, {"Authorization": f"Bearer {spa.token}"}):
        answer = by_cookie(spa, headers)
        assert (answer.status_code, code(answer)) == (403, "csrf_failed")
        assert "refresh_token" not in answer.cookies
    origin = {"X-CSRFToken": spa.cookies["csrftoken"].value, "Origin": "https://evil.example"}
    assert code(by_cookie(spa, origin)) == "csrf_failed"
    assert kept(spa) == first
    assert Session.objects.get().refreshed_at is None


def test_the_csrf_token_can_be_had_anew_by_whoever_has_lost_it(spa):
    del spa.cookies["csrftoken"]
    spa.token = None
    headers = csrf_token(spa)
    assert spa.send("post", "token/refresh", headers=headers).status_code == 200


def test_a_token_in_the_body_comes_before_the_cookie_which_stays_as_it_is(spa, eve):
    other = ApiClient()
    other.take(other.sign_in("eve", transport="jwt"))
    first = kept(spa)
    answer = spa.refresh(other.refresh_token)
    assert answer.status_code == 200
    assert answer.json().keys() == PAIR
    assert not answer.cookies
    assert kept(spa) == first
    assert access.verify(answer.json()["access"]).user_id == str(eve.pk)
    # Good or bad: it is the one that counts.
    assert code(spa.refresh("x")) == "invalid_token"
    assert spa.send("post", "token/refresh", {"refresh": None}).status_code == 400
    assert by_cookie(spa).status_code == 200


@pytest.mark.parametrize("value", ["x", "", "rt1.", "\u00e9", "x" * 4000, "a.b.c"])
def test_a_bad_cookie_is_refused(browser, value):
    headers = csrf_token(browser)
    browser.cookies["refresh_token"] = value
    answer = browser.send("post", "token/refresh", headers=headers)
    assert (answer.status_code, code(answer)) == (401, "invalid_token")
    assert not answer.cookies


def test_a_refresh_that_loses_or_fails_clears_no_cookies(spa):
    """It may be late, and the cookie by now another one's (trap 31)."""
    late = kept(spa)
    by_cookie(spa)
    winner = kept(spa)
    grow_old()
    spa.cookies["refresh_token"] = late
    answer = by_cookie(spa)
    assert code(answer) == "session_ended"
    assert not answer.cookies
    assert winner != late
    spa.token = None
    spa.cookies["refresh_token"] = winner
    for _ in range(2):
        answer = by_cookie(spa)
        assert code(answer) == "session_ended"
        assert not answer.cookies


def test_a_cookie_that_ends_with_the_browser_still_does_after_a_refresh(browser):
    sign_in(browser, refresh_cookie=True, remember=False)
    assert by_cookie(browser).cookies["refresh_token"]["max-age"] == ""


def test_signing_out_ends_what_the_cookie_holds(spa):
    last = kept(spa)
    spa.send("post", "sign-out")
    assert kept(spa) == ""
    spa.token = None
    spa.cookies["refresh_token"] = last
    assert code(by_cookie(spa)) == "session_ended"


def test_signing_out_by_the_cookie_alone_ends_its_session(spa, ada):
    seen: list[object] = []
    last, spa.token = kept(spa), None

    def listen(user, **kwargs):
        # Django tells of nobody, too.
        seen.extend([user] if user else [])

    with connected(user_logged_out, listen):
        answer = spa.send("post", "sign-out", headers=csrf_token(spa))
    assert (answer.status_code, seen) == (204, [ada])
    assert answer.cookies["refresh_token"]["max-age"] == 0
    row = Session.objects.get()
    assert (row.end_reason, row.ended_by) == ("signed_out", ada)
    spa.cookies["refresh_token"] = last
    assert code(by_cookie(spa)) == "session_ended"
    # Again, and nobody is left.
    assert spa.send("post", "sign-out", headers=csrf_token(spa)).status_code == 204


def test_signing_out_by_the_cookie_needs_the_csrf_token(spa):
    spa.token = None
    answer = spa.send("post", "sign-out")
    assert (answer.status_code, code(answer)) == (403, "csrf_failed")
    assert Session.objects.get().is_active()
    assert kept(spa)


@pytest.mark.parametrize("forged", ["made up", "tampered", "session token", "access token"])
def test_signing_out_by_a_forged_cookie_ends_nothing(spa, app, forged):
    last = kept(spa)
    spa.cookies["refresh_token"] = {
        "made up": "rt1." + "A" * 128,
        "tampered": last[:-1] + ("A" if last[-1] != "A" else "B"),
        "session token": app.token,
        "access token": spa.token,
    }[forged]
    spa.token = None
    assert spa.send("post", "sign-out", headers=csrf_token(spa)).status_code == 204
    assert all(row.is_active() for row in Session.objects.all())


def test_signing_out_by_a_cookie_that_was_rotated_away_is_reuse(spa):
    first = kept(spa)
    by_cookie(spa)
    grow_old()
    spa.token, spa.cookies["refresh_token"] = None, first
    assert spa.send("post", "sign-out", headers=csrf_token(spa)).status_code == 204
    assert Session.objects.get().end_reason == "refresh_reused"


def test_signing_out_with_a_header_leaves_the_cookie_alone(spa, app):
    last = kept(spa)
    spa.token = app.token
    assert "refresh_token" not in spa.send("post", "sign-out").cookies
    assert kept(spa) == last
    assert by_cookie(spa).status_code == 200


def test_signing_out_by_cookies_ends_the_sessions_of_both(spa):
    spa.token = None
    csrf = csrf_token(spa)
    body = {"username": "ada", "password": PASSWORD}
    assert spa.send("post", "sign-in", body, headers=csrf).status_code == 200
    assert Session.objects.active().count() == 2
    answer = spa.send("post", "sign-out", headers=csrf_token(spa))
    assert {name for name, cookie in answer.cookies.items() if cookie["max-age"] == 0} == {
        *("sessionid", "refresh_token")
    }
    assert not Session.objects.active().exists()


# How often


@pytest.fixture
def _two_a_minute(settings):
    settings.SESSIONS_PLUS_RATES = {"refresh": "2/min"}


@pytest.mark.usefixtures("_two_a_minute")
def test_a_session_is_refreshed_so_often_and_no_more_by_whatever_token(service):
    first = service.refresh_token
    assert service.take(service.refresh()).status_code == 200
    assert service.refresh(first).status_code == 200
    answer = service.refresh()
    assert (answer.status_code, code(answer), answer["Retry-After"]) == (429, "throttled", "50")
    assert code(service.refresh(first)) == "throttled"
    assert Session.objects.get().ended_at is None
    # Behind one address there may be many.
    other = ApiClient()
    other.take(other.sign_in(transport="jwt"))
    assert other.refresh().status_code == 200


@pytest.mark.usefixtures("_two_a_minute")
def test_who_has_a_token_of_an_earlier_line_locks_nobody_out(service):
    earlier = service.refresh_token
    service.take(service.send("post", "reauthenticate", {"password": PASSWORD}))
    for _ in range(4):
        service.refresh(earlier)
    assert code(service.refresh(earlier)) == "throttled"
    assert service.take(service.refresh()).status_code == 200


@pytest.mark.usefixtures("_two_a_minute")
def test_what_this_site_never_issued_and_what_another_site_sends_do_not_count(spa):
    for _ in range(4):
        assert code(spa.refresh("rt1." + "A" * 128)) == "invalid_token"
        assert code(by_cookie(spa, {})) == "csrf_failed"
    assert by_cookie(spa).status_code == 200


def test_there_may_be_no_limit(clock, service, settings):
    settings.SESSIONS_PLUS_RATES = {"refresh": None}
    assert {service.refresh().status_code for _ in range(70)} == {200}


def test_by_default_all_of_many_tabs_are_served(clock, service):
    assert {service.refresh().status_code for _ in range(32)} == {200}


def test_a_count_tells_no_token(service):
    presented = refresh_token.parse(service.refresh_token)
    assert presented is not None
    from django.core.cache import caches  # noqa: PLC0415

    service.refresh()
    kept_there = str(vars(caches["default"]))
    assert str(presented.session_id) in kept_there
    assert service.refresh_token not in kept_there
