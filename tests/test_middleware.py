"""The two middlewares, through whole requests in both modes."""

from datetime import timedelta
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model, login
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.middleware import AuthenticationMiddleware, SessionMiddleware
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.tokens import digest, make_token

User = get_user_model()
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


class Browser:
    """Django's client, of either mode, behind one synchronous face."""

    def __init__(self, mode: str) -> None:
        self.is_async = mode == "async"
        self.client: Any = AsyncClient() if self.is_async else Client()
        self.cookies = self.client.cookies

    def get(self, path: str, **extra):
        if not self.is_async:
            return self.client.get("/" + path, **extra)
        headers = {"headers": extra["headers"]} if "headers" in extra else {}
        return async_to_sync(self.client.get)("/a" + path, **headers)

    def sign_in(self, user) -> str:
        if self.is_async:
            async_to_sync(self.client.aforce_login)(user)
        else:
            self.client.force_login(user)
        return self.token

    @property
    def token(self) -> str:
        return self.cookies["sessionid"].value


@pytest.fixture(params=["sync", "async"])
def browser(request):
    return Browser(request.param)


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password="lovelace")


@pytest.fixture(autouse=True)
def later(clock):
    """Time passes where a test says so, and nowhere else."""
    return clock.advance


def changes(queries: CaptureQueriesContext) -> list[str]:
    return [q["sql"] for q in queries if q["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]


class TestUser:
    def test_the_user_is_the_same_object_however_often_asked(self, ada):
        client = Client()
        client.force_login(ada)
        request = client.get("/who").wsgi_request
        assert async_to_sync(request.auser)() == request.user == ada


class TestActivity:
    def test_use_within_the_intervals_writes_nothing(self, browser, ada, later):
        browser.sign_in(ada)
        later(minutes=4)
        with CaptureQueriesContext(connection) as queries:
            browser.get("who")
        assert changes(queries) == []

    def test_last_seen_is_written_once_per_interval_and_sets_no_cookie(self, browser, ada, later):
        browser.sign_in(ada)
        before = Session.objects.get()
        later(minutes=6)
        with CaptureQueriesContext(connection) as queries:
            answer = browser.get("who")
            browser.get("who")
        assert len(changes(queries)) == 1
        after = Session.objects.get()
        assert after.last_seen_at > before.last_seen_at
        assert after.expires_at == before.expires_at
        assert not answer.cookies

    def test_the_cookie_follows_the_row_when_the_expiry_moves(self, browser, ada, later, settings):
        settings.SESSION_COOKIE_AGE = 7 * 86400
        browser.sign_in(ada)
        later(days=2)
        answer = browser.get("who")
        assert answer.cookies["sessionid"]["max-age"] == 7 * 86400
        assert answer.cookies["sessionid"].value == browser.token
        row = Session.objects.get()
        assert row.expires_at == row.updated_at + timedelta(days=7)
        assert "sessionid" not in browser.get("who").cookies

    def test_the_absolute_limit_caps_row_and_cookie(self, browser, ada, later, settings):
        settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(days=15)
        browser.sign_in(ada)
        later(days=2)
        answer = browser.get("who")
        assert answer.cookies["sessionid"]["max-age"] == 13 * 86400
        row = Session.objects.get()
        assert row.expires_at == row.authenticated_at + timedelta(days=15)
        later(days=13)
        assert browser.get("who").content == b""

    def test_a_session_not_to_be_remembered_stays_so_while_it_slides(self, ada, later):
        client = Client()
        answer = client.post("/sign-in", {"user": "ada", "forget": "yes"})
        assert answer.cookies["sessionid"]["max-age"] == ""
        later(hours=6)
        answer = client.get("/who")
        assert answer.cookies["sessionid"]["max-age"] == ""
        row = Session.objects.get()
        assert row.remember is False
        assert row.expires_at == row.updated_at + timedelta(days=1)

    def test_polling_does_not_keep_a_session_alive(self, browser, ada, later):
        browser.sign_in(ada)
        before = Session.objects.get()
        later(days=2)
        with CaptureQueriesContext(connection) as queries:
            assert browser.get("poll").content == b"ada"
        assert changes(queries) == []
        assert Session.objects.get().expires_at == before.expires_at

    def test_a_server_error_records_no_activity(self, ada, later):
        client = Client()
        client.force_login(ada)
        later(days=2)
        with CaptureQueriesContext(connection) as queries:
            answer = client.get("/error/503")
        assert changes(queries) == []
        assert not answer.cookies


class TestDevice:
    AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"

    def test_sign_in_records_address_and_user_agent(self, ada):
        client = Client(REMOTE_ADDR="192.0.2.7", headers={"user-agent": self.AGENT})
        client.post("/sign-in", {"user": "ada"})
        row = Session.objects.get()
        assert (row.ip_address, row.user_agent) == ("192.0.2.7", self.AGENT)
        assert row.device.label == "Firefox on Linux"

    def test_a_session_made_without_a_request_learns_them_when_it_is_next_touched(self, ada, later):
        client = Client(REMOTE_ADDR="192.0.2.7", headers={"user-agent": self.AGENT})
        client.force_login(ada)
        with CaptureQueriesContext(connection) as queries:
            client.get("/who")
        assert changes(queries) == []
        later(minutes=6)
        client.get("/who")
        assert Session.objects.get().ip_address == "192.0.2.7"

    def test_recording_can_be_switched_off(self, ada, settings):
        settings.SESSIONS_PLUS_RECORD_IP = "off"
        settings.SESSIONS_PLUS_RECORD_USER_AGENT = "parsed"
        client = Client(REMOTE_ADDR="192.0.2.7", headers={"user-agent": self.AGENT})
        client.post("/sign-in", {"user": "ada"})
        row = Session.objects.get()
        assert row.ip_address is None
        assert row.user_agent.startswith("Firefox on Linux")
        assert "Mozilla" not in row.user_agent


class TestCookie:
    def test_a_write_sets_it_with_every_attribute_django_knows(self, browser, settings):
        settings.SESSION_COOKIE_SECURE = True
        settings.SESSION_COOKIE_SAMESITE = "Strict"
        settings.SESSION_COOKIE_PATH = "/here"
        settings.SESSION_COOKIE_DOMAIN = "example.org"
        cookie = browser.get("count").cookies["sessionid"]
        assert cookie["secure"]
        assert cookie["httponly"]
        assert (cookie["samesite"], cookie["path"]) == ("Strict", "/here")
        assert (cookie["domain"], cookie["max-age"]) == ("example.org", 14 * 86400)
        assert Session.objects.get().token_digest == digest(cookie.value)

    def test_an_ended_session_takes_its_cookie_along(self, browser, ada):
        browser.sign_in(ada)
        sessions.revoke_all(ada)
        answer = browser.get("who")
        assert answer.content == b""
        assert answer.cookies["sessionid"]["max-age"] == 0
        assert answer["Vary"] == "Cookie"

    def test_an_expired_session_takes_its_cookie_along(self, browser, ada, later):
        browser.sign_in(ada)
        later(days=15)
        assert browser.get("who").cookies["sessionid"]["max-age"] == 0

    def test_signing_out_deletes_it(self, ada):
        client = Client()
        client.force_login(ada)
        assert client.post("/sign-out").cookies["sessionid"]["max-age"] == 0
        assert Session.objects.get().end_reason == EndReason.SIGNED_OUT

    def test_a_parallel_request_with_the_rotated_token_does_not_delete_its_successor(self, browser):
        browser.get("count")
        row = SessionStore(stale := browser.token)
        row.cycle_key()
        browser.cookies["sessionid"] = stale
        answer = browser.get("who")
        assert "sessionid" not in answer.cookies

    def test_a_parallel_request_of_a_session_just_signed_out_does_not_delete_the_next_one(
        self, browser, ada, later
    ):
        stale = browser.sign_in(ada)
        SessionStore(stale).flush()
        browser.cookies["sessionid"] = stale
        assert "sessionid" not in browser.get("who").cookies
        later(minutes=2)
        browser.cookies["sessionid"] = stale
        assert browser.get("who").cookies["sessionid"]["max-age"] == 0

    def test_a_malformed_token_is_deleted(self, browser):
        browser.cookies["sessionid"] = "not one of ours"
        assert browser.get("who").cookies["sessionid"]["max-age"] == 0

    def test_a_server_error_saves_nothing_and_sets_none(self, ada):
        client = Client()
        client.force_login(ada)
        answer = client.get("/error/500")
        assert not answer.cookies
        assert "n" not in Session.objects.get().get_decoded()

    def test_a_client_error_saves(self, ada):
        client = Client()
        client.force_login(ada)
        client.get("/error/404")
        assert Session.objects.get().get_decoded()["n"] == "from a failed request"

    def test_saving_every_request_is_honoured_and_creates_no_row(
        self, browser, ada, settings, later
    ):
        settings.SESSION_SAVE_EVERY_REQUEST = True
        browser.cookies["sessionid"] = make_token()
        browser.get("untouched")
        assert not Session.objects.exists()
        browser.sign_in(ada)
        before = Session.objects.get()
        later(seconds=1)
        assert browser.get("untouched").cookies["sessionid"].value == browser.token
        assert Session.objects.get().expires_at == before.expires_at + timedelta(seconds=1)


class TestInterruption:
    def test_a_session_that_ends_during_the_request_is_400_and_never_comes_back(self, ada):
        client = Client()
        client.force_login(ada)

        def view(request):
            request.session["n"] = 1
            Session.objects.end(reason=EndReason.REVOKED)
            return HttpResponse()

        request = client.get("/untouched").wsgi_request
        with pytest.raises(SessionInterrupted):
            SessionMiddleware(view)(request)
        assert Session.objects.get().session_data == ""


class TestEndingTheCurrentSession:
    def test_the_user_is_anonymous_at_once_and_the_cookie_goes(self, browser, ada):
        browser.sign_in(ada)
        answer = browser.get("end-all")
        assert answer.json() == {"ended": 1, "user": ""}
        assert answer.cookies["sessionid"]["max-age"] == 0

    def test_what_the_view_writes_afterwards_goes_to_a_new_anonymous_session(self, ada):
        client = Client()
        client.force_login(ada)
        before = client.cookies["sessionid"].value
        assert client.get("/end-and-write").status_code == 200
        assert client.cookies["sessionid"].value != before
        anonymous = Session.objects.get(user=None)
        assert anonymous.get_decoded() == {"message": "You are signed out."}

    def test_flushing_resets_the_user_of_both_modes(self, ada):
        client = Client()
        client.force_login(ada)
        request = client.get("/who").wsgi_request
        assert async_to_sync(request.auser)() == ada
        request.session.flush()
        assert isinstance(request.user, AnonymousUser)
        assert isinstance(async_to_sync(request.auser)(), AnonymousUser)

    def test_signing_in_replaces_an_anonymous_user_that_was_cached(self, ada):
        client = Client()
        request = client.get("/who").wsgi_request
        assert async_to_sync(request.auser)().is_anonymous
        login(request, ada, backend="django.contrib.auth.backends.ModelBackend")
        assert request.user == async_to_sync(request.auser)() == ada


class TestDropIn:
    def test_other_engines_are_served_as_by_django(self, browser, ada, settings):
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        browser.sign_in(ada)
        assert browser.get("who").content == b"ada"
        assert browser.get("count").content == b"1"
        assert browser.get("count").content == b"2"

    def test_a_bare_request_is_enough(self):
        def view(request):
            request.session["n"] = 1
            return HttpResponse()

        SessionMiddleware(view)(HttpRequest())
        row = Session.objects.get()
        assert (row.ip_address, row.user_agent) == (None, None)

    def test_a_response_without_a_session_passes(self):
        request, response = HttpRequest(), HttpResponse()
        assert SessionMiddleware(lambda r: response).process_response(request, response) is response

    def test_a_view_may_replace_the_session(self, ada):
        other = SessionStore()

        def view(request):
            request.session = other
            other["n"] = 1
            return HttpResponse()

        response = SessionMiddleware(view)(HttpRequest())
        assert response.cookies["sessionid"].value == other.session_key

    def test_a_subclass_that_knows_only_the_sync_method_is_obeyed_in_async(self):
        class Marking(SessionMiddleware):
            def process_response(self, request, response):
                response["X-Marked"] = "yes"
                return super().process_response(request, response)

        async def view(request):
            return HttpResponse()

        response = async_to_sync(Marking(view))(HttpRequest())
        assert response["X-Marked"] == "yes"

    def test_without_our_authentication_middleware_everything_works_with_a_second_query(
        self, browser, ada, settings
    ):
        settings.MIDDLEWARE = [
            name.replace(
                "django_sessions_plus.middleware.Auth", "django.contrib.auth.middleware.Auth"
            )
            for name in settings.MIDDLEWARE
        ]
        browser.sign_in(ada)
        with CaptureQueriesContext(connection) as queries:
            assert browser.get("who").content == b"ada"
        assert len(queries) == 2

    def test_a_header_transport_gets_no_cookie(self):
        def view(request):
            request.session.transport = "bearer"
            request.session["n"] = 1
            return HttpResponse()

        response = SessionMiddleware(view)(HttpRequest())
        assert not response.cookies
        assert response["Vary"] == "Authorization"


class PickyBackend:
    """Not a ModelBackend: only its own get_user may decide."""

    def get_user(self, user_id):
        return None


class OverridingBackend(ModelBackend):
    def get_user(self, user_id):
        return None


class TestWhoMayBeTakenFromTheRow:
    """Wherever Django's answer could differ from the joined row, Django answers."""

    @pytest.mark.parametrize("name", ["PickyBackend", "OverridingBackend"])
    def test_a_backend_with_its_own_get_user_is_asked(self, ada, settings, name):
        path = f"tests.test_middleware.{name}"
        settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", path]
        client = Client()
        client.force_login(ada, backend=path)
        assert client.get("/who").content == b""

    def test_a_backend_that_is_no_longer_configured_knows_nobody(self, browser, ada, settings):
        browser.sign_in(ada)
        settings.AUTHENTICATION_BACKENDS = ["tests.test_middleware.PickyBackend"]
        assert browser.get("who").content == b""

    def test_a_filtering_default_manager_is_asked(self, browser, ada, monkeypatch):
        browser.sign_in(ada)
        manager = type(User._default_manager)
        monkeypatch.setattr(
            manager, "get_queryset", lambda self: super(manager, self).get_queryset().none()
        )
        assert browser.get("who").content == b""

    def test_a_key_that_fits_no_user_is_nobody(self, browser, ada):
        store = SessionStore(browser.sign_in(ada))
        store["_auth_user_id"] = "5e1f0c1e-a1f2-4e5c-9d6c-2b9f6d4b3c2a"
        store.save()
        assert browser.get("who").content == b""

    def test_a_row_whose_user_is_gone_is_nobody(self, browser, ada):
        browser.sign_in(ada)
        User.objects.all()._raw_delete(User.objects.db)
        assert browser.get("who").content == b""

    def test_a_new_secret_key_with_the_old_as_fallback_keeps_everybody_signed_in(
        self, browser, ada, settings
    ):
        token = browser.sign_in(ada)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another one"
        answer = browser.get("who")
        assert answer.content == b"ada"
        assert browser.token != token
        stale = Browser("sync")
        stale.cookies["sessionid"] = token
        assert "sessionid" not in stale.get("who").cookies
        assert browser.get("who").content == b"ada"

    def test_a_new_secret_key_without_a_fallback_ends_the_session(self, browser, ada, settings):
        browser.sign_in(ada)
        settings.SECRET_KEY = "another one"
        assert browser.get("who").content == b""
        assert Session.objects.get().end_reason == EndReason.PASSWORD_CHANGED


def test_the_authentication_middleware_says_what_it_needs():
    with pytest.raises(Exception, match="session middleware"):
        AuthenticationMiddleware(lambda request: HttpResponse())(HttpRequest())


@pytest.mark.db_engine
def test_what_the_view_has_touched_is_not_touched_again_after_the_response(ada, later, rf):
    token = Browser("sync").sign_in(ada)
    later(days=1)

    def view(request: HttpRequest) -> HttpResponse:
        request.session.get("key")
        # As a parallel request would, so that the row is not as it was loaded and no touch can succeed.
        Session.objects.update(last_seen_at=timezone.now())
        assert cast(Any, request.session).touch() is False
        return HttpResponse()

    request = rf.get("/", headers={"cookie": f"sessionid={token}"})
    with CaptureQueriesContext(connection) as queries:
        SessionMiddleware(view)(request)
    assert len(changes(queries)) == 2
