"""Attacks that once worked, or nearly did, each kept as a test."""

import time
import zlib
from base64 import b64encode
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.core.cache import cache
from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone
from django.views.debug import ExceptionReporter
from rest_framework.request import Request

from django_sessions_plus import devices, sessions
from django_sessions_plus.accounts.attempts import _count
from django_sessions_plus.api.content import Utf8JSONParser
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.tokens import make_token

User = get_user_model()
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password="lovelace")


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("path", ["/sensitive", "/asensitive"])
@pytest.mark.parametrize(
    "change",
    [{"is_active": False}, {"password": make_password("byron")}],
    ids=["deactivated", "another password"],
)
def test_a_fresh_session_does_not_let_in_whom_django_refuses(ada, path, change):
    client = signed_in(ada)
    User.objects.update(**change)
    assert client.get(path).status_code == 302


@pytest.mark.urls("tests.api.urls")
def test_an_upgrade_of_the_hash_while_authenticating_again_signs_nobody_out(ada, settings):
    hasher = PBKDF2PasswordHasher()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    User.objects.update(password=hasher.encode("lovelace", "somesaltsomesaltsomesalt", 1000))
    client = signed_in(User.objects.get())
    answer = client.post("/auth/reauthenticate", {"password": "lovelace"}, "application/json")
    assert answer.status_code == 200
    assert client.get("/auth/session").json()["user"] is not None
    assert not Session.objects.ended().exists()


@pytest.mark.urls("tests.api.urls")
def test_what_another_site_can_send_uses_up_nobodys_quota(ada, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "2/hour"}
    cache.clear()
    visitor = Client(enforce_csrf_checks=True, headers={"origin": "https://evil.example"})
    for _ in range(3):
        visitor.get("/auth/sign-in")
        visitor.post("/auth/sign-in", "{}", "text/plain")
        visitor.post("/auth/sign-in", {"username": "ada", "password": "guess"}, "application/json")
    body = {"username": "ada", "password": "lovelace", "transport": "bearer"}
    assert Client().post("/auth/sign-in", body, "application/json").status_code == 200


@pytest.mark.parametrize("backend", ["filebased.FileBasedCache", "locmem.LocMemCache"])
def test_an_attempt_is_remembered_as_long_as_the_rate_says(backend, tmp_path, monkeypatch):
    place = {
        "default": {
            "BACKEND": f"django.core.cache.backends.{backend}",
            "LOCATION": str(tmp_path),
            "TIMEOUT": 1,
        }
    }
    with override_settings(CACHES=place):
        assert [_count("attempts", 3600) for _ in range(2)] == [1, 2]
        later = time.time() + 60
        monkeypatch.setattr(time, "time", lambda: later)
        assert _count("attempts", 3600) == 3


def test_sign_ins_at_once_leave_as_many_sessions_as_the_limit_allows(ada, settings):
    def row() -> Session:
        now = timezone.now()
        return Session.objects.create(
            user=ada,
            token_digest=make_token() * 2,
            authenticated_at=now,
            expires_at=now + timedelta(days=1),
        )

    settings.SESSIONS_PLUS_MAX_PER_USER = 1
    first, second = row(), row()
    # Both were stored before either made room.
    sessions.enforce_limit(ada, keep=first)
    sessions.enforce_limit(ada, keep=second)
    assert [session.pk for session in sessions.list_for(ada)] == [first.pk]


def test_a_visitor_who_leaves_does_not_end_the_sign_in_of_another_on_the_same_row(ada):
    planted = SessionStore()
    planted["x"] = 1
    planted.save()
    attacker = SessionStore(planted.session_key)
    attacker.load_if_needed()
    victim = Client()
    victim.cookies["sessionid"] = planted.session_key
    victim.post("/sign-in", {"user": "ada"})
    attacker.flush()
    assert victim.get("/who").content == b"ada"


def test_a_session_rotated_meanwhile_does_not_get_its_old_cookie_back():
    store = SessionStore()
    store["n"] = 1
    store.save()

    def view(request):
        request.session = SessionStore(store.session_key)
        request.session.counts_as_activity = False
        request.session["n"] = 1
        SessionStore(store.session_key).cycle_key()
        return HttpResponse()

    assert not SessionMiddleware(view)(HttpRequest()).cookies


def test_data_that_inflates_without_end_is_no_session():
    bomb = "z:" + b64encode(zlib.compress(b'{"a":"' + b"a" * 17_000_000 + b'"}')).decode()
    assert SessionStore().decode(bomb) == {}


def test_long_data_of_our_own_is_read_back():
    data = {"a": "x" * 17_000_000}
    store = SessionStore()
    assert store.decode(store.encode(data)) == data


def test_a_user_agent_cannot_name_a_device_of_its_choice():
    sent = "Your bank: call 555 0100 on now (phone)"
    recorded = devices.recorded_user_agent(sent, "full")
    assert "call" not in devices.parse(recorded).label


@pytest.mark.urls("tests.api.urls")
def test_a_bearer_token_stands_in_no_frame_of_a_database_that_fails(ada, monkeypatch, caplog):
    token = make_token()

    def fail(self):
        raise OperationalError("the database is away")

    monkeypatch.setattr(SessionStore, "_find_row", fail)
    Client().get("/auth/session", headers={"authorization": f"Bearer {token}"})
    (logged,) = [record.exc_info for record in caplog.records if record.exc_info]
    frames = ExceptionReporter(None, *logged).get_traceback_frames()
    ours = [frame for frame in frames if "django_sessions_plus" in frame["filename"]]
    assert ours
    assert not [frame["function"] for frame in ours if token in str(frame["vars"])]


def test_the_reason_of_an_end_is_not_changed_by_a_later_sign_out(ada):
    client = signed_in(ada)
    sessions.revoke_all(ada)
    client.post("/sign-out")
    assert Session.objects.get().end_reason == EndReason.REVOKED


@pytest.mark.urls("tests.api.urls")
def test_an_api_sign_in_that_is_rolled_back_is_stored_before_its_cookie_is_set(ada, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.test_attacks.rolling_back"]
    client = Client()
    body = {"username": "ada", "password": "lovelace"}
    assert client.post("/auth/sign-in", body, "application/json").status_code == 200
    assert client.get("/auth/session").json()["user"]["username"] == "ada"


def rolling_back(get_response):
    def middleware(request):
        with transaction.atomic():
            response = get_response(request)
            transaction.set_rollback(True)
        return response

    return middleware


def test_a_body_is_held_to_the_limit_whatever_rest_framework_hands_to_the_parser(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    sent = RequestFactory().post("/", f'["{"x" * 2000}"]', content_type="application/json")
    # Until 3.17 it was the request itself, from which any amount can be read.
    with pytest.raises(RequestDataTooBig):
        Utf8JSONParser().parse(sent, parser_context={"request": Request(sent)})
