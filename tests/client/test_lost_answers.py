"""A refresh is one attempt: stored before it is sent, repeated after a lost answer, dropped when one has come."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from inspect import signature
from re import fullmatch
from typing import get_type_hints

import httpx
import pytest

from django_sessions_plus.client import SessionAuth, SignInError, Tokens, UnavailableError
from django_sessions_plus.client.auth import Options
from tests.client.conftest import BASE, refused

LOST = httpx.ReadTimeout("no answer")
ATTEMPT = "0123456789abcdef" * 2


def refreshes(server):
    return [json.loads(each.content) for each in server.seen if each.url.path.endswith("refresh")]


def lose(server, times):
    server.next["/auth/token/refresh"] = [LOST] * times


def test_the_attempt_is_stored_before_it_is_sent(program, server):
    order = []
    running = program(tokens=Tokens("old", "refresh-0"), on_tokens=order.append)
    server.next["/things"] = [refused("token_expired")]
    server.next["/auth/token/refresh"] = [lambda request: order.append("sent") or server.pair()]
    running.send()
    pending, sent, new = order
    assert fullmatch("[0-9a-f]{32}", pending.attempt)
    assert pending == Tokens("old", "refresh-0", attempt=pending.attempt)
    assert refreshes(server) == [{"refresh": "refresh-0", "attempt": pending.attempt}]
    assert (sent, new.attempt) == ("sent", None)


def test_each_refresh_has_an_attempt_of_its_own(program, server):
    running = program()
    for _ in range(3):
        server.expire()
        running.send()
    attempts = [each["attempt"] for each in refreshes(server)]
    assert len(set(attempts)) == len(attempts) == 2
    assert [each.attempt for each in running.pending] == attempts


def test_an_attempt_that_cannot_be_stored_is_not_sent(program, server):
    def fail(tokens):
        raise OSError("disk full")

    running = program(tokens=Tokens(refresh="refresh-0"), on_tokens=fail)
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            running.send()
    assert (server.paths, running.auth.tokens) == ([], Tokens(refresh="refresh-0"))


@pytest.mark.parametrize("lost", [1, 2, 3, 7])
def test_however_often_its_answer_is_lost_it_is_the_same_attempt(program, server, ticks, lost):
    running = program(timeout=4)
    running.send()
    server.expire()
    lose(server, lost)
    failures = 0
    while True:
        try:
            assert running.send().status_code == 200
            break
        except UnavailableError:
            failures += 1
            ticks.now += 3600
    assert failures == lost // 2
    assert len(refreshes(server)) == lost + 1
    assert len({json.dumps(each) for each in refreshes(server)}) == 1
    assert len(running.pending) == 1
    assert None not in running.told


def test_an_answer_that_was_lost_is_waited_for_twice_as_long(program, server):
    running = program(tokens=Tokens(refresh="refresh-0"), timeout=4)
    lose(server, 1)
    running.send()
    timeouts = [each.extensions["timeout"]["read"] for each in server.seen]
    assert timeouts[:2] == [4, 8]


@pytest.mark.parametrize("answer", [httpx.Response(504), httpx.Response(500), httpx.Response(200)])
def test_what_a_gateway_says_is_no_answer_to_the_attempt(program, server, answer):
    running = program(tokens=Tokens(refresh="refresh-0"))
    server.next["/auth/token/refresh"] = [answer]
    with pytest.raises(UnavailableError):
        running.send()
    assert running.auth.tokens.attempt is not None
    assert running.send().status_code == 200
    first, second = refreshes(server)
    assert first == second


def test_another_process_goes_on_with_what_was_stored(program, server):
    first = program(tokens=Tokens(refresh="refresh-0"))
    lose(server, 2)
    with pytest.raises(UnavailableError):
        first.send()
    assert first.auth.tokens == first.pending[-1]
    second = program(tokens=first.pending[-1])
    assert second.send().status_code == 200
    assert len({json.dumps(each) for each in refreshes(server)}) == 1
    # It is stored already.
    assert second.pending == []
    assert second.auth.tokens.attempt is None


def test_an_attempt_is_not_used_for_other_tokens(program, server):
    """The stored pair is over, and somebody signs in anew."""
    server.next["/auth/token/refresh"] = [refused("session_ended")]
    stored = Tokens(refresh="refresh-0", attempt=ATTEMPT)
    running = program(tokens=stored, username="ada", password="correct horse")
    running.send()
    server.expire()
    running.send()
    first, second = refreshes(server)
    assert first["attempt"] == ATTEMPT != second["attempt"]


def test_signing_out_sends_the_attempt_as_well(program, server):
    running = program(tokens=Tokens(refresh="refresh-0", attempt=ATTEMPT))
    running.sign_out()
    assert refreshes(server) == [{"refresh": "refresh-0", "attempt": ATTEMPT}]
    assert running.auth.tokens is None


@pytest.mark.parametrize("attempt", ["", "0" * 31, "0" * 33, "A" * 32, "0" * 31 + "\n", "g" * 32])
def test_what_cannot_be_an_attempt_is_refused(attempt):
    """The server would refuse the request for its form, which is said of tokens that are no good."""
    with pytest.raises(ValueError, match="An attempt is 32 hexadecimal digits"):
        SessionAuth.from_tokens(BASE, Tokens(refresh="refresh-0", attempt=attempt))


def test_the_tokens_can_be_asked_for(program, server):
    running = program()
    assert running.auth.tokens is None
    running.send()
    assert running.auth.tokens == running.told[-1]
    server.expire()
    running.send()
    assert running.auth.tokens == running.told[-1] == running.auth.tokens
    running.sign_out()
    assert running.auth.tokens is None


def test_after_wrong_credentials_there_are_none(program, server):
    server.next["/auth/sign-in"] = [refused("invalid_credentials")]
    running = program()
    with pytest.raises(SignInError):
        running.send()
    assert running.auth.tokens is None


# Retry-After


@pytest.mark.parametrize("path", ["sign-in", "token/refresh"])
@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "17", 17.0),
        (503, "0", 0.0),
        (429, "soon", None),
        (429, "-1", None),
        (429, "1.5", None),
        (429, "²", None),
        (503, None, None),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (503, "Thu, 01 Jan 1970 00:00:00", 0.0),
        (503, "Thu, 41 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_an_error_says_for_how_long_to_leave_the_server_alone(
    program, server, path, status, header, seconds
):
    headers = [] if header is None else [(b"Retry-After", header.encode("latin1"))]
    server.next[f"/auth/{path}"] = [httpx.Response(status, headers=headers)]
    running = program() if path == "sign-in" else program(tokens=Tokens(refresh="refresh-0"))
    with pytest.raises(UnavailableError) as caught:
        running.send()
    assert caught.value.retry_after == seconds


def test_a_moment_is_told_in_seconds_from_now(program, server):
    in_a_day = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    server.next["/auth/sign-in"] = [httpx.Response(503, headers={"Retry-After": in_a_day})]
    with pytest.raises(UnavailableError) as caught:
        program().send()
    assert 0 < caught.value.retry_after <= 86400


def test_an_early_refresh_leaves_the_server_alone_for_as_long(program, server, ticks):
    running = program()
    running.send()
    ticks.now += 871
    busy = httpx.Response(429, headers={"Retry-After": "20"})
    server.next["/auth/token/refresh"] = [busy]
    for _ in range(3):
        assert running.send().status_code == 200
        ticks.now += 6
    assert len(refreshes(server)) == 1
    ticks.now += 2
    assert running.send().status_code == 200
    assert len(refreshes(server)) == 2


def test_the_options_of_stored_tokens_are_those_of_the_class():
    arguments = get_type_hints(SessionAuth.__init__)
    arguments.pop("return")
    arguments.pop("base_url")
    assert get_type_hints(Options) == arguments
    assert list(get_type_hints(Options)) == list(signature(SessionAuth).parameters)[1:]
