"""Tokens are fetched, kept, renewed in time and given up, in both modes."""

import json
import re
from inspect import signature
from pathlib import Path
from re import findall

import httpx
import pytest

from django_sessions_plus import client
from django_sessions_plus.client import (
    SessionAuth,
    SessionAuthError,
    SignInError,
    Tokens,
    UnavailableError,
)
from tests.client.conftest import BASE, PASSWORD, THINGS, ok, refused

LOST = httpx.ReadTimeout("no answer")
BUSY = httpx.Response(503)


def body(request):
    return json.loads(request.content)


# Signing in


def test_the_first_request_signs_in_and_the_next_do_not(program, server):
    running = program()
    assert [running.send().status_code for _ in range(3)] == [200] * 3
    assert server.paths == ["sign-in", "things", "things", "things"]
    assert body(server.seen[0]) == {
        "username": "ada",
        "password": PASSWORD,
        "transport": "jwt",
        "remember": True,
    }


def test_the_sign_in_is_asked_for_as_it_is_wanted(program, server):
    server.next["/auth/sign-in"] = [ok(token="access-1")]
    server.issued = 1
    running = program(transport="bearer", remember=False)
    assert running.send().status_code == 200
    assert body(server.seen[0]) | {"transport": "bearer", "remember": False} == body(server.seen[0])
    assert running.told == [Tokens("access-1")]


def test_the_list_of_sessions_shows_the_program_that_uses_the_tokens(program, server):
    running = program()
    running.send(headers={"User-Agent": "nightly export"})
    assert {request.headers["User-Agent"] for request in server.seen} == {"nightly export"}


@pytest.mark.parametrize("code", ["invalid_credentials", "csrf_failed", "invalid"])
def test_a_refused_sign_in_has_the_code_of_the_server(program, server, code):
    server.next["/auth/sign-in"] = [refused(code)]
    with pytest.raises(SignInError) as caught:
        program().send()
    assert caught.value.code == code == str(caught.value)
    assert server.paths == ["sign-in"]


def test_wrong_credentials_are_not_tried_again(program, server):
    server.next["/auth/sign-in"] = [refused("invalid_credentials")]
    running = program()
    for _ in range(3):
        with pytest.raises(SignInError, match="invalid_credentials"):
            running.send()
    assert server.paths == ["sign-in"]


def test_another_refusal_is_for_now(program, server):
    server.next["/auth/sign-in"] = [refused("csrf_failed", 403)]
    running = program()
    with pytest.raises(SignInError, match="csrf_failed"):
        running.send()
    assert running.send().status_code == 200


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="<h1>Not found</h1>"),
        httpx.Response(301, headers={"Location": "https://elsewhere.test/"}),
        httpx.Response(200, text="<h1>Welcome to our Wi-Fi</h1>"),
        ok(session={}),
        ok(access=7),
        ok(access="a b"),
        ok(access="a\r\nX-Evil: 1"),
        ok(access="ä"),
        ok(access=""),
        ok(access="a", refresh=7),
        httpx.Response(200, json=["access"]),
        httpx.Response(200, text="[" * 100_000),
    ],
)
def test_what_is_no_answer_of_the_api_is_a_clear_error(program, server, answer):
    server.next["/auth/sign-in"] = [answer]
    with pytest.raises(SignInError, match="unexpected_answer"):
        program().send()
    assert [request.url.host for request in server.seen] == ["api.test"]


@pytest.mark.parametrize(
    "answer", [LOST, httpx.ConnectError("refused"), BUSY, refused("throttled", 429)]
)
def test_a_sign_in_that_fails_for_now_can_be_tried_again(program, server, answer):
    server.next["/auth/sign-in"] = [answer]
    running = program()
    with pytest.raises(UnavailableError) as caught:
        running.send()
    assert isinstance(caught.value, httpx.TransportError)
    assert caught.value.request.url == THINGS
    assert running.send().status_code == 200


@pytest.mark.parametrize("path", ["sign-in", "token/refresh"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (BUSY, "api.test/auth/{} answered 503"),
        (refused("throttled", 429), "api.test/auth/{} answered 429"),
        (LOST, "no answer from api.test/auth/{} in time"),
        (httpx.ReadError("b'Bearer secret'"), "no answer from api.test/auth/{} (ReadError)"),
        (
            httpx.ConnectError("[Errno -2] Name or service not known"),
            "no connection to api.test/auth/{}: [Errno -2] Name or service not known",
        ),
    ],
)
def test_what_failed_is_named(program, server, path, answer, reason):
    server.next[f"/auth/{path}"] = [answer] * 2
    running = program() if path == "sign-in" else program(tokens=Tokens(refresh="refresh-0"))
    with pytest.raises(UnavailableError) as caught:
        running.send()
    assert caught.value.reason == reason.format(path)
    assert str(caught.value) == f"Tokens could not be had just now: {caught.value.reason}."


# Refreshing


def test_an_expired_token_is_refreshed_and_the_request_sent_again(program, server):
    running = program()
    running.send()
    server.expire()
    answer = running.send("POST", content="body")
    assert (answer.status_code, answer.json()) == (200, {"thing": "body"})
    assert server.paths[2:] == ["things", "token/refresh", "things"]
    sent = body(server.seen[3])
    assert sent["refresh"] == "refresh-1"
    assert re.fullmatch("[0-9a-f]{32}", sent["attempt"])


def test_each_refresh_uses_the_newest_token(program, server):
    running = program()
    for _ in range(3):
        server.expire()
        assert running.send().status_code == 200
    sent = [body(r)["refresh"] for r in server.seen if r.url.path.endswith("refresh")]
    assert sent == ["refresh-2", "refresh-4"]


def test_a_request_is_sent_again_once(program, server):
    running = program()
    running.send()
    server.next["/things"] = [refused("token_expired")] * 5
    assert running.send().status_code == 401
    assert server.paths[2:] == ["things", "token/refresh", "things"]


def test_it_is_refreshed_shortly_before_it_expires(program, server, ticks):
    running = program()
    running.send()
    ticks.now += 869
    running.send()
    assert "token/refresh" not in server.paths
    ticks.now += 1
    running.send()
    assert server.paths[3:] == ["token/refresh", "things"]


def test_of_a_short_life_a_tenth_is_shortly_before(program, server, ticks):
    server.age = 10
    running = program()
    running.send()
    ticks.now += 8.9
    running.send()
    ticks.now += 0.1
    running.send()
    assert server.paths == ["sign-in", "things", "things", "token/refresh", "things"]


def test_its_life_counts_from_when_it_was_asked_for(program, server, ticks):
    def slow(request):
        ticks.now += 100
        return server.usual(request)

    server.next["/auth/sign-in"] = [slow]
    running = program()
    running.send()
    ticks.now += 770
    running.send()
    assert server.paths == ["sign-in", "things", "token/refresh", "things"]


@pytest.mark.parametrize("age", [None, 0, -1, "900", True])
def test_without_a_usable_age_it_is_refreshed_when_the_server_says_so(program, server, ticks, age):
    server.age = age
    running = program()
    running.send()
    ticks.now += 10**6
    running.send()
    assert server.paths == ["sign-in", "things", "things"]


@pytest.mark.parametrize("answer", [LOST, BUSY, refused("throttled", 429), httpx.Response(200)])
def test_an_early_refresh_that_fails_costs_nothing_while_the_token_is_good(
    program, server, ticks, answer
):
    running = program()
    running.send()
    ticks.now += 880
    server.next["/auth/token/refresh"] = [answer, answer]
    assert running.send().status_code == 200
    attempts = server.paths.count("token/refresh")
    ticks.now += 4.9
    assert running.send().status_code == 200
    assert server.paths.count("token/refresh") == attempts
    ticks.now += 0.1
    del server.next["/auth/token/refresh"]
    assert running.send().status_code == 200
    assert server.paths.count("token/refresh") == attempts + 1


@pytest.mark.parametrize(
    "answer",
    [
        LOST,
        httpx.ConnectError("down"),
        BUSY,
        httpx.Response(500),
        refused("session_interrupted", 400),
    ],
)
def test_a_refresh_that_fails_keeps_the_tokens(program, server, answer):
    running = program()
    running.send()
    server.expire()
    server.next["/auth/token/refresh"] = [answer, answer]
    with pytest.raises(UnavailableError):
        running.send()
    server.next.clear()
    assert running.send().status_code == 200
    assert "sign-in" not in server.paths[1:]
    assert running.told == [running.told[0], running.told[1]]
    assert None not in running.told


def test_a_token_that_has_expired_is_not_sent_when_it_cannot_be_refreshed(program, server, ticks):
    running = program()
    running.send()
    ticks.now += 900
    server.next["/auth/token/refresh"] = [BUSY]
    with pytest.raises(UnavailableError):
        running.send()
    assert server.paths[2:] == ["token/refresh"]


def test_a_refresh_whose_answer_was_lost_is_sent_once_more(program, server):
    running = program()
    running.send()
    server.expire()
    server.next["/auth/token/refresh"] = [LOST]
    assert running.send().status_code == 200
    assert server.paths[2:] == ["things", "token/refresh", "token/refresh", "things"]
    assert server.seen[3].content == server.seen[4].content


# The end of a session


@pytest.mark.parametrize("code", ["session_ended", "invalid_token"])
@pytest.mark.parametrize("where", ["request", "refresh"])
def test_when_the_session_has_ended_it_signs_in_anew_once(program, server, code, where):
    running = program()
    running.send()
    server.expire()
    server.code = code if where == "request" else "token_expired"
    server.next["/auth/token/refresh"] = [refused(code)]
    assert running.send().status_code == 200
    refresh = [] if where == "request" else ["token/refresh"]
    assert server.paths[2:] == ["things", *refresh, "sign-in", "things"]
    assert [tokens and tokens.access for tokens in running.told] == ["access-1", None, "access-3"]


def test_without_a_password_the_end_of_the_session_is_an_error_for_good(program, server):
    server.code = "session_ended"
    running = program(tokens=Tokens("stored", "stored-refresh"))
    for _ in range(2):
        with pytest.raises(SignInError, match="session_ended"):
            running.send()
    assert server.paths == ["things", "session"]
    assert running.told == [None]


CHALLENGE = httpx.Response(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
REFUSALS = [refused(code) for code in ("session_ended", "invalid_token", "token_expired")]


def test_without_a_password_a_views_word_does_not_cost_the_tokens(program, server):
    server.issued = 1
    server.next["/things"] = [refused("session_ended")]
    running = program(tokens=Tokens("access-1", "refresh-1"))
    assert running.send().status_code == 401
    assert running.send().status_code == 200
    assert (server.paths, running.told) == (["things", "session", "things"], [])


@pytest.mark.parametrize("answer", [*REFUSALS, CHALLENGE])
@pytest.mark.parametrize("transport", ["jwt", "bearer"])
def test_a_view_that_refuses_every_token_is_answered_to_the_caller_and_renews_nothing(
    program, server, ticks, answer, transport
):
    server.next["/broken"] = [answer] * 99
    if transport == "bearer":
        server.next["/auth/sign-in"] = [ok(token="access-1")]
        server.issued = 1
    running = program(transport=transport)
    for _ in range(3):
        assert running.send(url="https://api.test/broken").status_code == 401
        assert running.send().status_code == 200
    # The server is asked once, and its word counts for a while.
    assert server.paths == [
        *("sign-in", "broken", "things"),
        *("broken", "session", "things"),
        *("broken", "things"),
    ]
    ticks.now += 5
    del server.seen[:]
    assert running.send(url="https://api.test/broken").status_code == 401
    assert server.paths == ["broken", "session"]
    assert len(running.told) == 1


def test_a_view_that_refuses_also_what_was_renewed_renews_nothing_more(program, server):
    running = program()
    running.send()
    server.next["/broken"] = [refused("session_ended")] * 9
    for _ in range(3):
        assert running.send(url="https://api.test/broken").status_code == 401
    assert server.paths[2:] == ["broken", "sign-in", "broken", "broken", "session", "broken"]


def test_a_session_that_does_end_is_signed_in_to_anew_whatever_a_view_said_before(
    program, server, ticks
):
    server.next["/broken"] = [refused("session_ended")] * 2
    running = program()
    for _ in range(2):
        running.send(url="https://api.test/broken")
    server.expire()
    server.code = "session_ended"
    ticks.now += 5
    del server.seen[:]
    assert running.send().status_code == 200
    assert server.paths == ["things", "session", "sign-in", "things"]


@pytest.mark.parametrize("answer", [LOST, BUSY])
def test_when_the_server_cannot_be_asked_the_tokens_are_kept(program, server, answer):
    server.next["/broken"] = [refused("session_ended")] * 2
    server.next["/auth/session"] = [answer]
    running = program()
    running.send(url="https://api.test/broken")
    with pytest.raises(UnavailableError, match=r"api\.test/auth/session"):
        running.send(url="https://api.test/broken")
    assert running.send().status_code == 200
    assert server.paths.count("sign-in") == 1


def test_a_bearer_session_that_has_ended_is_signed_in_to_anew(program, server):
    server.code = "session_ended"
    server.next["/auth/sign-in"] = [ok(token="gone"), ok(token="access-1")]
    running = program(transport="bearer")
    server.issued = 1
    server.next["/things"] = [ok()]
    running.send()
    assert running.send().status_code == 200
    assert server.paths == ["sign-in", "things", "things", "sign-in", "things"]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401),
        httpx.Response(401, json={"code": "not_authenticated"}),
        httpx.Response(
            401,
            json={"code": "mfa_required"},
            headers={"WWW-Authenticate": 'error="invalid_token"'},
        ),
        httpx.Response(401, json=["token_expired"]),
        httpx.Response(401, json={"code": ["token_expired"]}),
        httpx.Response(403, json={"code": "token_expired"}),
        httpx.Response(200, json={"code": "session_ended"}),
    ],
)
def test_other_answers_are_the_callers(program, server, answer):
    running = program()
    server.next["/things"] = [answer]
    assert running.send().status_code == answer.status_code
    assert server.paths == ["sign-in", "things"]


def test_a_view_that_says_it_by_its_challenge_alone_is_understood(program, server):
    running = program()
    running.send()
    challenge = {"WWW-Authenticate": 'Bearer realm="api", error="invalid_token"'}
    server.next["/things"] = [httpx.Response(401, headers=challenge, text="<h1>401</h1>")]
    assert running.send().status_code == 200
    assert server.paths[2:] == ["things", "token/refresh", "things"]


# Stored tokens


def test_stored_tokens_are_used_without_a_sign_in(program, server):
    running = program(tokens=Tokens("access-0", "refresh-0", expires_in=0.001))
    assert running.send().status_code == 200
    assert (server.paths, running.told) == (["things"], [])


def test_a_stored_refresh_token_is_enough(program, server):
    running = program(tokens=Tokens(refresh="refresh-0"))
    assert running.send().status_code == 200
    assert server.paths == ["token/refresh", "things"]
    assert running.told == [Tokens("access-1", "refresh-1", 900, "2030-01-15T12:00:00Z")]


def test_stored_tokens_with_a_password_sign_in_when_they_are_no_good(program, server):
    server.next["/auth/token/refresh"] = [refused("invalid")]
    running = program(tokens=Tokens(refresh="cut-of"), username="ada", password=PASSWORD)
    assert running.send().status_code == 200
    assert server.paths == ["token/refresh", "sign-in", "things"]
    assert running.told[0] is None


def test_nothing_stored_and_no_password_is_an_error(program, server):
    with pytest.raises(SignInError, match="not_authenticated"):
        program(tokens=Tokens()).send()
    assert server.paths == []


@pytest.mark.parametrize(
    "text", ["", " ", "stored\n", "sto red", "sto\tred", "störed", "sto\x00red"]
)
def test_what_cannot_be_a_token_is_refused_without_quoting_it(text):
    for tokens in (Tokens(text), Tokens(refresh=text)):
        with pytest.raises(ValueError, match="A token has no spaces") as caught:
            SessionAuth.from_tokens(BASE, tokens)
        assert not text.strip() or text.strip() not in str(caught.value)


def test_new_tokens_are_told_before_the_request_goes_on(program, server):
    order = []
    running = program(on_tokens=lambda tokens: order.append(tokens.access))
    server.next["/things"] = [lambda request: order.append("request") or ok()]
    running.send()
    assert order == ["access-1", "request"]


def test_a_coroutine_that_stores_tokens_is_awaited(program, server):
    told = []

    async def store(tokens):
        told.append(tokens.access)

    running = program(on_tokens=store)
    if type(running).__name__ == "AsyncProgram":
        running.send()
        assert told == ["access-1"]


def test_when_tokens_cannot_be_stored_the_caller_hears_of_it_and_they_are_kept(program, server):
    def fail(tokens):
        raise OSError("disk full")

    running = program(on_tokens=fail)
    with pytest.raises(OSError, match="disk full"):
        running.send()
    assert running.send().status_code == 200
    assert server.paths == ["sign-in", "things"]


def test_without_a_callback_nothing_is_told(program):
    assert program(on_tokens=None).send().status_code == 200


# Bodies


def test_a_stream_is_not_sent_again_but_the_token_is_renewed(program, server):
    running = program()
    running.send()
    server.expire()
    answer = running.send("POST", content=running.stream(b"once"))
    assert answer.status_code == 401
    assert server.paths[2:] == ["things", "token/refresh"]
    assert running.send("POST", content=running.stream(b"once")).status_code == 200


def test_a_stream_that_is_read_beforehand_is_sent_again(program, server):
    running = program(requires_request_body=True)
    running.send()
    server.expire()
    answer = running.send("POST", content=running.stream(b"tw", b"ice"))
    assert answer.json() == {"thing": "twice"}


@pytest.mark.parametrize(
    "options", [{}, {"json": {"a": 1}}, {"data": {"a": "1"}}, {"content": b"a"}]
)
def test_bodies_given_whole_are_sent_again(program, server, options):
    running = program()
    running.send()
    server.expire()
    assert running.send("POST", **options).status_code == 200
    assert server.seen[2].content == server.seen[4].content


# Signing out


def test_signing_out_ends_the_session_and_refuses_what_comes_after(program, server):
    running = program()
    running.send()
    running.sign_out()
    assert server.paths[2:] == ["sign-out"]
    assert server.seen[2].headers["Authorization"] == "Bearer access-1"
    assert running.told[-1] is None
    with pytest.raises(SignInError, match="signed_out"):
        running.send()
    running.sign_out()
    assert server.paths[3:] == []


def test_signing_out_with_an_expired_token_refreshes_first(program, server, ticks):
    running = program()
    running.send()
    ticks.now += 1000
    running.sign_out()
    assert server.paths[2:] == ["token/refresh", "sign-out"]
    assert server.seen[-1].headers["Authorization"] == "Bearer access-2"


def test_signing_out_with_a_token_the_server_calls_expired_refreshes_as_well(program, server):
    running = program(tokens=Tokens("old", "refresh-0"))
    server.next["/auth/sign-out"] = [refused("token_expired")]
    running.sign_out()
    assert server.paths == ["sign-out", "token/refresh", "sign-out"]


@pytest.mark.parametrize("code", ["session_ended", "invalid_token"])
def test_a_session_that_has_ended_is_signed_out(program, server, code):
    running = program(tokens=Tokens("old", "refresh-0"))
    server.next["/auth/sign-out"] = [refused(code)]
    running.sign_out()
    assert server.paths == ["sign-out"]
    assert running.told == [None]


def test_a_refresh_token_that_is_over_is_signed_out(program, server):
    running = program(tokens=Tokens(refresh="refresh-0"))
    server.next["/auth/token/refresh"] = [refused("session_ended")]
    running.sign_out()
    assert server.paths == ["token/refresh"]


@pytest.mark.parametrize("answer", [LOST, BUSY, httpx.Response(404), httpx.Response(401)])
def test_a_sign_out_that_fails_keeps_the_tokens(program, server, answer):
    running = program()
    running.send()
    server.next["/auth/sign-out"] = [answer]
    with pytest.raises(UnavailableError):
        running.sign_out()
    assert running.send().status_code == 200
    running.sign_out()
    assert server.paths[2:] == ["sign-out", "things", "sign-out"]


def test_a_sign_out_whose_refresh_fails_keeps_the_tokens(program, server):
    running = program(tokens=Tokens(refresh="refresh-0"))
    server.next["/auth/token/refresh"] = [BUSY]
    with pytest.raises(UnavailableError):
        running.sign_out()
    assert running.send().status_code == 200


def test_signing_out_before_anybody_signed_in_asks_nobody(program, server):
    running = program()
    running.sign_out()
    assert (server.paths, running.told) == ([], [])
    with pytest.raises(SignInError, match="signed_out"):
        running.send()


def test_every_error_is_of_one_root():
    assert issubclass(SignInError, SessionAuthError)
    assert issubclass(UnavailableError, SessionAuthError)


def test_the_package_offers_what_the_page_describes():
    assert set(client.__all__) == {
        *("SessionAuth", "SessionAuthError", "SignInError", "Tokens", "UnavailableError")
    }
    page = (Path(__file__).parents[2] / "docs/client.md").read_text()
    parameters = [name for name in signature(SessionAuth).parameters if name != "base_url"]
    table = page.partition("| argument |")[2].partition("\n\n")[0]
    described = [
        name for row in table.splitlines()[2:] for name in findall(r"`(\w+)`", row.split("|")[1])
    ]
    assert described == parameters


# A view that replaces the session token


def test_the_token_that_a_view_puts_in_its_place_is_used_from_then_on(program, server):
    server.next["/auth/sign-in"] = [ok(token="access-1")]
    server.issued = 1
    running = program(transport="bearer")
    running.send()
    server.next["/things"] = [httpx.Response(200, headers={"Session-Token": "access-2"})]
    assert running.send().status_code == 200
    server.next["/things"] = [httpx.Response(200)]
    running.send()
    assert server.seen[-1].headers["Authorization"] == "Bearer access-2"
    assert running.told == [Tokens("access-1"), Tokens("access-2")]
    assert server.paths.count("sign-in") == 1


@pytest.mark.parametrize("token", ["", "with a space", "\u00e9"])
def test_what_can_be_no_token_is_not_taken(program, server, token):
    server.next["/auth/sign-in"] = [ok(token="access-1")]
    server.issued = 1
    running = program(transport="bearer")
    running.send()
    server.next["/things"] = [
        httpx.Response(200, headers=[(b"Session-Token", token.encode("latin1"))])
    ]
    running.send()
    assert running.told == [Tokens("access-1")]


def test_a_pair_is_replaced_by_no_header(program, server):
    running = program()
    running.send()
    server.next["/things"] = [httpx.Response(200, headers={"Session-Token": "x" * 32})]
    running.send()
    assert len(running.told) == 1
