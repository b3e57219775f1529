"""The client against the real endpoints, on a real server, in threads and in tasks."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.db import connection
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.client import SessionAuth, SignInError, Tokens, UnavailableError
from django_sessions_plus.jwt import access
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from tests.api.conftest import PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.client.urls")]

MANY = 20
# In seconds: longer than a busy machine takes to serve that many in turn.
PATIENCE = 120
_turns = threading.Lock()


@pytest.fixture
def site(settings, monkeypatch, ada, live_server):
    settings.SESSIONS_PLUS_RATES = {"sign_in": None}
    settings.SESSIONS_PLUS_REFRESH_GRACE = timedelta(minutes=1)
    monkeypatch.setattr(access, "JITTER", 0)
    return live_server.url


@pytest.fixture(autouse=True)
def _in_turns(monkeypatch):
    """One request at a time for the database in memory, whose one connection all threads share."""
    serve = WSGIHandler.get_response

    def in_turn(self, request):
        with _turns:
            return serve(self, request)

    if connection.vendor == "sqlite":
        # Not a middleware: the server is older than this test.
        monkeypatch.setattr(WSGIHandler, "get_response", in_turn)


@pytest.fixture
def ada(django_user_model, transactional_db):
    return django_user_model.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def wire():
    """The paths that were asked for, as the server saw them."""
    paths = []

    def note(environ, **kwargs):
        paths.append(environ["PATH_INFO"].removeprefix("/auth/"))

    request_started.connect(note)
    yield paths
    request_started.disconnect(note)


@pytest.fixture(params=["threads", "tasks"])
def get(request, site):
    """Ask for a page with an ``auth``, as often at once as is wanted."""

    def in_threads(auth, path="/mine", times=1):
        with client_of(site, auth=auth) as client, ThreadPoolExecutor(times) as pool:
            return list(pool.map(lambda _: client.get(path), range(times)))

    def in_tasks(auth, path="/mine", times=1):
        async def ask():
            patient = {"base_url": site, "timeout": PATIENCE}
            async with httpx.AsyncClient(**patient, auth=auth) as client:
                return await asyncio.gather(*(client.get(path) for _ in range(times)))

        return asyncio.run(ask())

    return in_threads if request.param == "threads" else in_tasks


def auth_for(site, **options):
    return SessionAuth(f"{site}/auth/", "ada", PASSWORD, **{"timeout": PATIENCE, **options})


def client_of(site, **options):
    return httpx.Client(base_url=site, timeout=PATIENCE, **options)


def statuses(answers):
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize("transport", ["jwt", "bearer"])
def test_many_at_once_are_one_session(site, get, wire, transport):
    auth = auth_for(site, transport=transport)
    answers = get(auth, times=MANY)
    assert [answer.json()["user"] for answer in answers] == ["ada"] * MANY
    assert wire.count("sign-in") == 1
    assert Session.objects.active().count() == 1


@pytest.mark.thorough
def test_many_with_an_expired_token_are_one_refresh_on_the_wire(site, get, wire, clock):
    told = []
    auth = auth_for(site, on_tokens=told.append)
    get(auth)
    clock.advance(minutes=16)
    del wire[:]
    assert statuses(get(auth, times=MANY)) == [200] * MANY
    assert wire.count("token/refresh") == 1
    assert "sign-in" not in wire
    # The tokens of the sign-in, the attempt before it is sent, and the new tokens.
    assert len(told) == 3
    assert Session.objects.active().count() == 1


def test_what_is_posted_arrives_also_after_a_refresh(site, ada, clock):
    auth = auth_for(site)
    with client_of(site, auth=auth) as client:
        assert client.post("/mine", json={}).json() == {"visits": 1}
        clock.advance(minutes=16)
        assert client.post("/mine", json={}).json() == {"visits": 2}


@pytest.mark.thorough
def test_a_revoked_session_is_signed_in_to_anew(site, get, ada, wire):
    auth = auth_for(site)
    get(auth)
    sessions.revoke_all(ada)
    assert statuses(get(auth, times=MANY)) == [200] * MANY
    assert wire.count("sign-in") == 2
    assert Session.objects.active().count() == 1


@pytest.mark.thorough
@pytest.mark.parametrize("transport", ["jwt", "bearer"])
def test_a_view_that_refuses_every_token_causes_no_sign_in_after_another(
    site, get, wire, transport
):
    auth = auth_for(site, transport=transport)
    for _ in range(3):
        assert statuses(get(auth, "/broken")) == [401]
        assert statuses(get(auth)) == [200]
    assert wire.count("sign-in") == 1
    assert wire.count("session") == 1
    assert Session.objects.active().count() == 1


@pytest.mark.thorough
def test_without_a_password_a_revoked_session_is_an_error(site, get, ada):
    told = []
    get(auth_for(site, on_tokens=told.append))
    sessions.revoke_all(ada)
    auth = SessionAuth.from_tokens(f"{site}/auth/", told[0], timeout=PATIENCE)
    for _ in range(2):
        with pytest.raises(SignInError, match="session_ended"):
            get(auth)


@pytest.mark.thorough
def test_wrong_credentials_are_an_error(site, get, wire):
    auth = SessionAuth(f"{site}/auth/", "ada", "wrong", timeout=PATIENCE)
    for _ in range(2):
        with pytest.raises(SignInError, match="invalid_credentials"):
            get(auth)
    assert wire == ["sign-in"]


@pytest.mark.thorough
def test_stored_tokens_go_on_where_they_were(site, get, clock, wire):
    told = []
    get(auth_for(site, on_tokens=told.append))
    clock.advance(minutes=16)
    stored = Tokens(refresh=told[0].refresh)
    auth = SessionAuth.from_tokens(f"{site}/auth/", stored, timeout=PATIENCE)
    assert statuses(get(auth)) == [200]
    assert wire == ["sign-in", "/mine", "token/refresh", "/mine"]


class Losing(httpx.HTTPTransport):
    """Loses answers on their way back: what was asked for is done."""

    loses = 0

    def handle_request(self, request):
        answer = super().handle_request(request)
        if self.loses:
            self.loses -= 1
            answer.close()
            raise httpx.ReadError("lost")
        return answer


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_lost_answers_cost_no_session(site, ada, wire, clock, lost):
    """The server has rotated; hours later it still answers with the same successor."""
    transport = Losing()
    with httpx.Client(transport=transport, timeout=PATIENCE) as asking:
        auth = auth_for(site, client=asking)
        with client_of(site, auth=auth) as client:
            client.get("/mine")
            clock.advance(minutes=16)
            transport.loses = lost
            for _ in range(lost // 2):
                with pytest.raises(UnavailableError):
                    client.get("/mine")
                clock.advance(hours=2)
            assert client.get("/mine").status_code == 200
    assert wire.count("token/refresh") == lost + 1
    assert Session.objects.active().count() == 1


def test_a_program_that_was_stopped_in_a_refresh_goes_on_from_what_it_had_stored(
    site, ada, wire, clock
):
    stored = []
    transport = Losing()
    with httpx.Client(transport=transport, timeout=PATIENCE) as asking:
        auth = auth_for(site, client=asking, on_tokens=stored.append)
        with client_of(site, auth=auth) as client:
            client.get("/mine")
            clock.advance(minutes=16)
            transport.loses = 2
            with pytest.raises(UnavailableError):
                client.get("/mine")
    clock.advance(hours=2)
    restarted = SessionAuth.from_tokens(f"{site}/auth/", stored[-1], timeout=PATIENCE)
    with client_of(site, auth=restarted) as client:
        assert client.get("/mine").status_code == 200
    assert "sign-in" not in wire[1:]
    assert Session.objects.active().count() == 1


@pytest.mark.parametrize("transport", ["jwt", "bearer"])
def test_signing_out_ends_the_row(site, get, transport):
    auth = auth_for(site, transport=transport)
    get(auth)
    auth.sign_out()
    assert Session.objects.get().end_reason == EndReason.SIGNED_OUT
    with pytest.raises(SignInError, match="signed_out"):
        get(auth)


@pytest.mark.thorough
def test_signing_out_with_an_expired_token_ends_the_row(site, get, clock):
    auth = auth_for(site)
    get(auth)
    clock.advance(minutes=16)
    asyncio.run(auth.asign_out())
    assert Session.objects.get().end_reason == EndReason.SIGNED_OUT


@pytest.mark.thorough
def test_the_row_shows_the_program(site, ada):
    headers = {"User-Agent": "nightly export"}
    with client_of(site, auth=auth_for(site), headers=headers) as client:
        client.get("/mine")
    row = Session.objects.get()
    assert row.user_agent == "nightly export"
    assert row.remember
    assert row.expires_at - timezone.now() > timedelta(days=13)
