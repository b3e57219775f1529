"""What went wrong elsewhere and concerns several parts at once: keys, cookies, replicas, other code.

Most mistakes of other packages have their test beside the part they concern. These are
told as stories: what a site does, and what must come of it.
"""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware as DjangoAuthentication
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessions
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.utils.connection import ConnectionDoesNotExist
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus import sessions
from django_sessions_plus.api.authentication import SessionTokenAuthentication
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.decorators import no_activity
from django_sessions_plus.middleware import AuthenticationMiddleware, SessionMiddleware
from django_sessions_plus.models import Session
from django_sessions_plus.tokens import digest

User = get_user_model()
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


class Poll(APIView):
    authentication_classes = [SessionTokenAuthentication]

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.get_username()})


class PollAndKeep(Poll):
    def get(self, request: Request) -> Response:
        request.session["n"] = 1
        return super().get(request)


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def untouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nothing read")


def rotate_and_fail(request: HttpRequest) -> HttpResponse:
    request.session.cycle_key()
    return HttpResponse(status=500)


urlpatterns = [
    path("who", who),
    path("untouched", untouched),
    path("rotate-and-fail", rotate_and_fail),
    path("poll", no_activity(Poll.as_view())),
    path("poll-and-keep", no_activity(PollAndKeep.as_view())),
]


class FromReplica:
    """Reads of sessions go to a database that is not there: whoever goes to it is found out."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "replica" if model is Session else None


class UsersElsewhere:
    """Users are read from a database that is not there; no join must reach for them."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere" if model is User else None


@pytest.fixture
def ada() -> Any:
    return User.objects.create_user("ada", password="lovelace")


@pytest.fixture
def client(ada: Any) -> Client:
    client = Client()
    client.force_login(ada)
    return client


def token_of(client: Client) -> str:
    return client.cookies["sessionid"].value


def with_token(token: str) -> Client:
    client = Client()
    client.cookies["sessionid"] = token
    return client


def test_the_middleware_are_djangos_own_with_something_added():
    # Forks go without what Django repairs in its own.
    assert issubclass(SessionMiddleware, DjangoSessions)
    assert issubclass(AuthenticationMiddleware, DjangoAuthentication)


def test_a_new_secret_key_signs_no_tab_out_that_loads_at_the_same_time(client, settings):
    old = token_of(client)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key than before"
    first = client.get("/who")
    assert (first.content, token_of(client) != old) == (b"ada", True)
    parallel = with_token(old).get("/who")
    # Anonymous, but it must not take away the cookie the first has just brought.
    assert (parallel.content, "sessionid" in parallel.cookies) == (b"", False)
    assert client.get("/who").content == b"ada"


def test_a_replica_is_neither_asked_for_a_session_nor_for_a_list_of_them(client, ada, settings):
    settings.DATABASE_ROUTERS = [FromReplica()]
    assert client.get("/who").content == b"ada"
    assert SessionStore().exists(token_of(client))
    assert len(sessions.list_for(ada)) == 1
    SessionStore.clear_expired()
    assert sessions.revoke_all(ada) == 1
    assert client.get("/who").content == b""


@pytest.mark.db_engine
def test_a_replica_is_asked_where_the_project_says_so(client, settings):
    settings.DATABASE_ROUTERS = [FromReplica()]
    settings.SESSIONS_PLUS_READ_FROM_REPLICA = True
    with pytest.raises(ConnectionDoesNotExist):
        client.get("/who")


def test_users_of_another_database_are_not_joined(client, settings):
    settings.DATABASE_ROUTERS = [UsersElsewhere()]
    store = SessionStore(token_of(client))
    store.wants_user = True
    assert store["_auth_user_id"] == str(store.row.user_id)
    assert "user" not in store.row._state.fields_cache


def test_no_foreign_key_ties_the_table_to_the_database_of_the_users():
    keys = [field for field in Session._meta.get_fields() if field.many_to_one]
    assert {key.name for key in keys} == {"user", "ended_by"}
    assert not any(key.db_constraint for key in keys)


def test_a_cookie_is_deleted_where_it_was_set(ada, settings):
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    settings.SESSION_COOKIE_PATH = "/here"
    settings.SESSION_COOKIE_DOMAIN = "example.org"
    client = Client()
    client.force_login(ada)
    sessions.revoke_all(ada)
    gone = client.get("/who").cookies["sessionid"]
    assert (gone.value, gone["max-age"]) == ("", 0)
    assert (gone["samesite"], gone["path"], gone["domain"]) == ("Strict", "/here", "example.org")


def test_a_cookie_that_is_deleted_keeps_the_answer_out_of_shared_caches():
    # Also where the view never looked at the session: the answer depends on what was sent.
    answer = with_token("short").get("/untouched")
    assert answer.cookies["sessionid"]["max-age"] == 0
    assert answer["Vary"] == "Cookie"


def test_a_rotation_before_a_server_error_is_written_and_sets_no_cookie(client):
    old = token_of(client)
    client.raise_request_exception = False
    answer = client.get("/rotate-and-fail")
    assert (answer.status_code, "sessionid" in answer.cookies) == (500, False)
    assert Session.objects.get().token_digest != digest(old)
    assert with_token(old).get("/who").content == b""


def test_the_session_of_the_test_client_can_be_saved_and_is_the_requests(client):
    session = client.session
    session["basket"] = [1]
    session.save()
    assert token_of(client) == session.session_key
    assert client.get("/who").wsgi_request.session["basket"] == [1]
    assert Session.objects.count() == 1


def test_what_is_no_activity_is_none_by_header_either(client, clock):
    seen = Session.objects.get().last_seen_at
    clock.moment = seen
    clock.advance(days=2)
    header = {"Authorization": f"Bearer {token_of(client)}"}
    for address in ("/poll", "/poll-and-keep"):
        assert Client().get(address, headers=header).json() == {"user": "ada"}
        assert Session.objects.get().last_seen_at == seen
