"""Access tokens by the issuer's word of a moment ago: whom a service without our database lets in, and for how long."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.utils import timezone
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus import sessions, tokens
from django_sessions_plus.api import leased
from django_sessions_plus.api.leased import Answers, LeasedAccessTokenAuthentication
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.jwt import access
from django_sessions_plus.models import Session

pytestmark = pytest.mark.django_db
CREDENTIAL = "token-of-the-service"


class Issuer:
    """A server that answers as a test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: Callable[[str], tuple[int, Any]] = lambda token: (200, {"active": False})
        self.hold = threading.Event()
        self.hold.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                token = parse_qs(body)["token"][0]
                issuer.asked.append((str(self.headers["Authorization"]), token))
                issuer.hold.wait(30)
                status, answer = issuer.answer(token)
                sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", issuer.address)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/introspect"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget all answers, and close the connections over which they came."""
    clients: list[Any] = []
    real = leased._httpx().Client

    def client(**arguments: Any) -> Any:
        clients.append(real(**arguments))
        return clients[-1]

    monkeypatch.setattr(leased, "_httpx", lambda: SimpleNamespace(Client=client))
    leased._answers_of.cache_clear()
    yield
    leased._answers_of.cache_clear()
    for each in clients:
        each.close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.stop()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the clock, as a list of one number that a test may change."""
    moment = [1000.0]
    monkeypatch.setattr(leased, "now", lambda: moment[0])
    return moment


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="lovelace")


@pytest.fixture
def row(ada: User) -> Session:
    found = sessions.start(ada).row
    assert found is not None
    return found  # type: ignore[return-value]


@pytest.fixture
def token(row: Session) -> str:
    return access.issue(row).token


@pytest.fixture
def active(issuer: Issuer, row: Session) -> Issuer:
    issuer.answer = lambda token: (200, {"active": True, "sid": str(row.pk)})
    return issuer


def view_of(**attributes: Any) -> Callable[..., HttpResponse]:
    values = {"credential": CREDENTIAL, **attributes}
    cls = type("Tokens", (LeasedAccessTokenAuthentication,), values)

    class View(APIView):
        authentication_classes = [cls]
        permission_classes = [IsAuthenticated]

        def get(self, request: Request) -> Response:
            return Response(str(request.user.pk))

    return View.as_view()


def ask(view: Any, token: str) -> Any:
    request = RequestFactory().get("/", headers={"authorization": f"Bearer {token}"})
    response = view(request)
    response.render()
    return response


def code(response: Any) -> Any:
    return response.data["code"]


def test_one_question_and_no_query_for_all_requests_of_a_lease(
    at, active, token, ada, django_assert_num_queries
):
    view = view_of(issuer=active.address)
    with django_assert_num_queries(0):
        for _ in range(3):
            assert ask(view, token).data == str(ada.pk)
    assert active.asked == [(f"Bearer {CREDENTIAL}", token)]
    at[0] += 1.99
    assert ask(view, token).status_code == 200
    assert len(active.asked) == 1
    at[0] += 0.02
    assert ask(view, token).status_code == 200
    assert len(active.asked) == 2


def test_an_end_takes_effect_when_the_lease_is_over(at, active, token):
    view = view_of(issuer=active.address, lease=timedelta(seconds=5))
    assert ask(view, token).status_code == 200
    active.answer = lambda token: (200, {"active": False})
    at[0] += 4.9
    assert ask(view, token).status_code == 200
    at[0] += 0.2
    response = ask(view, token)
    assert (response.status_code, code(response)) == (401, "session_ended")
    assert "error" in response["WWW-Authenticate"]
    # That is believed for as long.
    assert ask(view, token).status_code == 401
    assert len(active.asked) == 2


def test_the_lease_counts_from_the_question_and_not_from_the_answer(at, active, token):
    view = view_of(issuer=active.address)

    def late(token: str) -> tuple[int, Any]:
        at[0] += 3.0
        return 200, {"active": True, "sid": access.verify(token).all["sid"]}

    active.answer = late
    assert code(ask(view, token)) == "unavailable"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, b"oops"),
        (401, {"error": "invalid_token"}),
        (429, {"error": "temporarily_unavailable"}),
        (307, {"active": True}),
        (200, b"not json"),
        (200, b"[]"),
        (200, {"active": "yes"}),
        (200, {}),
        (200, b'{"active": false}' + b" " * 70_000),
    ],
    ids=range(9),
)
def test_what_is_no_answer_lets_nobody_in_and_signs_nobody_out(issuer, token, status, answer):
    issuer.answer = lambda token: (status, answer)
    response = ask(view_of(issuer=issuer.address), token)
    assert (response.status_code, code(response)) == (503, "unavailable")
    assert len(issuer.asked) == 1


def test_an_answer_about_another_session_is_none(issuer, token):
    issuer.answer = lambda token: (200, {"active": True, "sid": "another"})
    assert code(ask(view_of(issuer=issuer.address), token)) == "session_ended"


def test_after_a_failure_nobody_waits_for_the_next_one(at, active, token):
    view = view_of(issuer=active.address)
    good, active.answer = active.answer, lambda token: (500, b"")
    assert ask(view, token).status_code == 503
    active.answer = good
    assert ask(view, token).status_code == 503
    assert len(active.asked) == 1
    at[0] += leased.PAUSE
    assert ask(view, token).status_code == 200


def test_an_issuer_that_is_away_is_no_error_of_the_client(token):
    assert code(ask(view_of(issuer="http://127.0.0.1:9/introspect"), token)) == "unavailable"


def test_threads_with_one_token_ask_once(active, token):
    active.hold.clear()
    answers, claims = Answers(active.address, CREDENTIAL, 60.0, 30.0, 10), access.verify(token)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(answers.is_active(token, claims)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    active.hold.set()
    for thread in threads:
        thread.join()
    assert found == [True] * 5
    assert len(active.asked) == 1


def test_it_remembers_a_limited_number(issuer, token):
    answers, claims = Answers(issuer.address, CREDENTIAL, 60.0, 30.0, 2), access.verify(token)
    for name in ("a", "b", "c", "a"):
        assert answers.is_active(name, claims) is False
    assert [asked for _, asked in issuer.asked] == ["a", "b", "c", "a"]
    assert answers.is_active("c", claims) is False
    assert len(issuer.asked) == 4
    assert CREDENTIAL not in repr(answers)


def test_the_tokens_of_a_session_cost_one_question(at, active, row):
    view = view_of(issuer=active.address)
    first, second = (access.issue(row).token for _ in range(2))
    assert first != second
    assert [ask(view, each).status_code for each in (first, second)] == [200, 200]
    assert len(active.asked) == 1
    row.authenticated_at = timezone.now()
    third = access.issue(row).token
    assert ask(view, third).status_code == 200
    assert len(active.asked) == 2


def test_one_that_is_refused_does_not_speak_for_the_others(at, active, row):
    view = view_of(issuer=active.address)
    old, new = (access.issue(row).token for _ in range(2))
    good = active.answer
    # It has just expired there.
    active.answer = lambda token: (200, {"active": False}) if token == old else good(token)
    assert code(ask(view, old)) == "session_ended"
    assert ask(view, new).status_code == 200


def test_who_waits_for_the_question_of_another_thread_waits_no_longer_than_that(active, token):
    active.hold.clear()
    answers, claims = Answers(active.address, CREDENTIAL, 60.0, 0.2, 10), access.verify(token)
    answers._asked[tokens.digest(token)] = Future()
    assert answers.is_active(token, claims) is None
    assert active.asked == []


def test_an_answer_that_trickles_is_given_up(active, token, monkeypatch):
    times = iter([0.0, 31.0, 62.0])
    monkeypatch.setattr(leased, "monotonic", lambda: next(times))
    answers, claims = Answers(active.address, CREDENTIAL, 60.0, 30.0, 10), access.verify(token)
    assert answers.is_active(token, claims) is None


def test_a_token_that_is_not_valid_is_not_asked_about(issuer, token):
    view = view_of(issuer=issuer.address)
    for bad in (token[:-3] + "xyz", "a.b.c", "x" * 32):
        assert code(ask(view, bad)) == "invalid_token"
    assert issuer.asked == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_another_process_has_answers_of_its_own(active, token):
    cls: Any = type(
        "Tokens",
        (LeasedAccessTokenAuthentication,),
        {"issuer": active.address, "credential": CREDENTIAL},
    )
    here = cls._answers()
    assert cls._answers() is here
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writing, b"1" if cls._answers() is here else b"0")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 1) == b"0"


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"issuer": ""}, "needs issuer"),
        ({"issuer": "ftp://id.example.com/"}, "needs issuer"),
        ({"issuer": "https://id.example.com/", "credential": ""}, "needs issuer"),
        ({"issuer": "http://id.example.com/"}, "plain HTTP"),
        ({"issuer": "https://id.example.com/", "lease": timedelta(0)}, "above zero"),
    ],
)
def test_what_cannot_be_asked_is_said(token, attributes, words):
    with pytest.raises(ConfigurationError, match=words):
        ask(view_of(**attributes), token)


def test_plain_http_is_for_development():
    cls: Any = type(
        "Tokens",
        (LeasedAccessTokenAuthentication,),
        {"issuer": "http://id:8000/", "credential": CREDENTIAL},
    )
    with override_settings(DEBUG=True):
        assert cls._answers().issuer == "http://id:8000/"


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.api.oauth_urls")
def test_with_a_real_issuer(live_server, ada, row, token, at):
    service = User.objects.create_user("service")
    service.user_permissions.set(Permission.objects.filter(codename="introspect_token"))
    own = sessions.start(service)
    view = view_of(issuer=f"{live_server.url}/oauth/introspect", credential=str(own.session_key))
    assert ask(view, token).data == str(ada.pk)
    sessions.revoke(row)
    assert ask(view, token).status_code == 200
    at[0] += 2.0
    assert code(ask(view, token)) == "session_ended"

    other = access.issue(sessions.start(ada).row).token
    assert ask(view, other).status_code == 200
    User.objects.filter(pk=ada.pk).update(is_active=False)
    at[0] += 2.0
    assert code(ask(view, other)) == "session_ended"

    sessions.revoke(own.row)
    at[0] += 2.0
    assert code(ask(view, other)) == "unavailable"
