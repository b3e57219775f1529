"""Passwords and tokens go to the server they are for, and nowhere else."""

import traceback
import warnings

import httpx
import pytest

from django_sessions_plus.client import (
    SessionAuth,
    SignInError,
    Tokens,
    UnavailableError,
)
from tests.client.conftest import BASE, PASSWORD, THINGS, Wire, ok, refused

ELSEWHERE = [
    "https://evil.test/things",
    "https://api.test.evil.test/things",
    "https://api.test:8443/things",
    "http://api.test/things",
    "https://sub.api.test/things",
    "https://api.test@evil.test/things",
    "https://evil.test/auth/sign-in",
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_request_to_another_origin_carries_nothing_and_signs_nobody_in(program, server, url):
    server.next = {"/things": [ok()], "/auth/sign-in": [ok()]}
    assert program().send(url=url).status_code == 200
    (seen,) = server.seen
    assert "ada" not in seen.headers.get("Authorization", "")
    assert "Bearer" not in seen.headers.get("Authorization", "")


@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_401_from_another_origin_renews_nothing(program, server, url):
    server.next = {path: [refused("token_expired")] for path in ("/things", "/auth/sign-in")}
    assert program(tokens=Tokens("a", "r")).send(url=url).status_code == 401
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "url",
    ["https://api.test:443/things", "https://API.test/things", "https://api.test/auth/session"],
)
def test_the_same_origin_written_otherwise_is_the_same(program, server, url):
    program().send(url=url)
    assert server.seen[1].headers["Authorization"] == "Bearer access-1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["https://evil.test/things", "//evil.test/things"])
def test_a_redirect_to_another_origin_takes_no_token_along(program, server, status, target):
    server.next["/things"] = [
        httpx.Response(status, headers={"Location": target}),
        refused("token_expired"),
    ]
    answer = program().send(follow_redirects=True)
    assert (answer.status_code, answer.url.host) == (401, "evil.test")
    assert [request.url.host for request in server.seen] == ["api.test", "api.test", "evil.test"]
    assert "Authorization" not in server.seen[-1].headers


@pytest.mark.parametrize(
    "answer",
    [refused("token_expired"), httpx.Response(200, headers={"Session-Token": "foreign"})],
)
@pytest.mark.parametrize("transport", ["jwt", "bearer"])
def test_what_another_origin_answers_to_a_redirect_changes_no_tokens(
    program, server, transport, answer
):
    if transport == "bearer":
        server.next["/auth/sign-in"] = [ok(token="access-1")]
        server.issued = 1
    running = program(transport=transport)
    running.send()
    before = running.auth.tokens
    redirect = httpx.Response(307, headers={"Location": "https://evil.test/things"})
    server.next["/things"] = [redirect, answer]
    assert running.send(follow_redirects=True).url.host == "evil.test"
    assert running.auth.tokens == before
    assert server.paths == ["sign-in", "things", "things", "things"]


@pytest.mark.parametrize("path", ["/auth/sign-in", "/auth/token/refresh", "/auth/sign-out"])
@pytest.mark.parametrize("status", [302, 307, 308])
def test_requests_for_tokens_follow_no_redirect(program, server, path, status):
    redirect = httpx.Response(status, headers={"Location": "https://evil.test/steal"})
    server.next[path] = [redirect]
    tokens = {} if path.endswith("sign-in") else {"tokens": Tokens("expired", "refresh-0")}
    running = program(**tokens)
    act = running.sign_out if path.endswith("sign-out") else running.send
    with pytest.raises((SignInError, UnavailableError)):
        act()
    assert {request.url.host for request in server.seen} == {"api.test"}


def test_a_client_that_follows_redirects_does_not_for_tokens(server):
    server.next["/auth/sign-in"] = [
        httpx.Response(308, headers={"Location": "https://evil.test/steal"})
    ]
    asking = httpx.Client(transport=Wire(server), follow_redirects=True, auth=("x", "y"))
    auth = SessionAuth(BASE, "ada", PASSWORD, client=asking)
    with (
        httpx.Client(transport=Wire(server), auth=auth) as client,
        pytest.raises(SignInError, match="unexpected_answer"),
    ):
        client.get(THINGS)
    assert [request.url.path for request in server.seen] == ["/auth/sign-in"]
    assert "Authorization" not in server.seen[0].headers


def test_hooks_and_history_of_the_callers_client_see_no_request_for_tokens(server):
    seen = []
    asking = httpx.Client(transport=Wire(server))
    auth = SessionAuth(BASE, "ada", PASSWORD, client=asking)
    hooks = {"request": [seen.append], "response": [lambda response: seen.append(response.request)]}
    with httpx.Client(transport=Wire(server), auth=auth, event_hooks=hooks) as client:
        client.get(THINGS)
        server.expire()
        answer = client.get(THINGS)
    assert {request.url.path for request in [*seen, *(r.request for r in answer.history)]} == {
        "/things"
    }


@pytest.mark.parametrize(
    "url",
    [
        "api.test/auth/",
        "/auth/",
        "",
        "ftp://api.test/",
        "https://",
        "https://ada:secret@api.test/auth/",
        "https://api.test/auth/?next=x",
    ],
)
def test_a_base_that_is_no_address_is_refused(url):
    with pytest.raises((ValueError, httpx.InvalidURL)) as caught:
        SessionAuth(url, "ada", PASSWORD)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://api.test/auth", "https://api.test/auth/", "https://api.test/auth//#x"]
)
def test_the_base_is_a_folder_however_it_is_written(server, url):
    auth = SessionAuth(url, "ada", PASSWORD, client=httpx.Client(transport=Wire(server)))
    with httpx.Client(transport=Wire(server), auth=auth) as client:
        assert client.get(THINGS).status_code == 200
    assert server.seen[0].url == "https://api.test/auth/sign-in"


def test_without_a_client_of_its_own_one_is_made_with_a_timeout(monkeypatch, server, program):
    made = []

    class Made(httpx.Client):
        def __init__(self, **options):
            made.append(self)
            super().__init__(transport=Wire(server), **options)

    class AsyncMade(httpx.AsyncClient):
        def __init__(self, **options):
            made.append(self)
            super().__init__(transport=Wire(server), **options)

    running = program(client=None, async_client=None, timeout=1.5)
    with monkeypatch.context() as patch:
        patch.setattr("django_sessions_plus.client.runner.httpx.Client", Made)
        patch.setattr("django_sessions_plus.client.runner.httpx.AsyncClient", AsyncMade)
        auth = running.auth
        held = (
            auth._ready(httpx.Request("GET", THINGS))
            if type(running).__name__ == "Program"
            else __import__("asyncio").run(auth._aready(httpx.Request("GET", THINGS)))
        )
    assert held.tokens.access == "access-1"
    assert [client.is_closed for client in made] == [True]
    assert server.seen[0].extensions["timeout"]["read"] == 1.5


# Secrets

SECRETS = (PASSWORD, "access-1", "access-2", "refresh-1", "refresh-2", "refresh-0")


def everything_told(error):
    """Return what an error report could show: every chained error, with the variables of each frame."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(report.format()) + repr(error) + str(vars(error))


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/auth/sign-in", httpx.ConnectError("down")),
        ("/auth/sign-in", httpx.Response(503)),
        ("/auth/sign-in", refused("invalid_credentials")),
        ("/auth/sign-in", httpx.Response(200, text="<h1>")),
        ("/auth/token/refresh", httpx.ReadError("cut")),
        ("/auth/token/refresh", httpx.Response(502)),
        ("/auth/token/refresh", refused("session_ended")),
    ],
)
def test_no_error_holds_a_password_or_a_token(program, server, path, answer):
    stored = {"tokens": Tokens("access-2", "refresh-0")} if path.endswith("refresh") else {}
    running = program(**stored)
    server.next[path] = [answer, answer]
    auth = running.auth
    with pytest.raises((SignInError, UnavailableError)) as caught:
        running.send()
    # The frames of these tests hold them: their own business.
    shown = everything_told(caught.value)
    ours = [frame for frame in shown.split('  File "') if "django_sessions_plus/client" in frame]
    assert ours
    for secret in SECRETS:
        assert secret not in "".join(ours)
        assert secret not in str(caught.value) + repr(caught.value) + repr(auth)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_no_repr_shows_a_secret(program, server):
    running = program()
    running.send()
    auth = running.auth
    server.expire()
    server.next["/auth/token/refresh"] = [httpx.ReadError("lost")] * 2
    with pytest.raises(UnavailableError):
        running.send()
    kept = [auth.tokens, *running.pending, *running.told]
    told = repr([auth, auth._manager, auth._manager.held, auth._runner, *kept])
    for secret in (*SECRETS, auth.tokens.attempt):
        assert secret not in told
    assert repr(auth) == "<SessionAuth as 'ada' at https://api.test/auth/>"
    assert repr(SessionAuth(BASE)) == "<SessionAuth at https://api.test/auth/>"


@pytest.mark.parametrize(
    ("url", "is_warned_of"),
    [
        ("http://api.example.com/auth/", True),
        ("http://192.0.2.1/auth/", True),
        ("https://api.example.com/auth/", False),
        ("http://localhost:8000/auth/", False),
        ("http://app.localhost/auth/", False),
        ("http://127.0.0.1/auth/", False),
        ("http://[::1]/auth/", False),
    ],
)
def test_plain_http_to_another_machine_is_warned_of(url, is_warned_of):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SessionAuth(url)
    assert [each.filename for each in caught] == [__file__] * is_warned_of
    assert all("plain HTTP" in str(each.message) for each in caught)
