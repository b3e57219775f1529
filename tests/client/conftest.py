"""A server that does as it is told, and programs that use ``SessionAuth`` in either mode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from django_sessions_plus.client import SessionAuth, SessionAuthError, Tokens, token_manager

BASE = "https://api.test/auth/"
THINGS = "https://api.test/things"
PASSWORD = "correct horse"

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def ok(**body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)


def refused(code: str, status: int = 401) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "No."})


class Server:
    """Sign-in and refresh hand out access-1, access-2, ...; things are for whoever has the newest."""

    def __init__(self) -> None:
        self.seen: list[httpx.Request] = []
        self.issued = 0
        self.age = 900
        self.code = "token_expired"
        # What is answered next, by path, in place of the usual.
        self.next: dict[str, list[Answer]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        waiting = self.next.get(request.url.path, [])
        answer = waiting.pop(0) if waiting else self.usual
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(request)
        # A response is of one request.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def usual(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path in ("/auth/sign-in", "/auth/token/refresh"):
            self.issued += 1
            return self.pair()
        if path == "/auth/sign-out":
            return httpx.Response(204)
        if request.headers.get("Authorization") == f"Bearer access-{self.issued}":
            return ok(thing=request.read().decode())
        return refused(self.code)

    def pair(self) -> httpx.Response:
        return ok(
            access=f"access-{self.issued}",
            refresh=f"refresh-{self.issued}",
            expires_in=self.age,
            refresh_expires_at="2030-01-15T12:00:00Z",
        )

    def expire(self) -> None:
        """Let the newest access token be good no more."""
        self.issued += 1

    @property
    def paths(self) -> list[str]:
        return [request.url.path.removeprefix("/auth/").lstrip("/") for request in self.seen]


class Wire(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """What a body goes over once; httpx's own mock reads it beforehand."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        stream: Any = request.stream
        return self._answer(request, b"".join(stream))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        stream: Any = request.stream
        return self._answer(request, b"".join([part async for part in stream]))

    def _answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        headers = [pair for pair in request.headers.raw if pair[0].lower() != b"transfer-encoding"]
        extensions = request.extensions
        sent = httpx.Request(
            request.method, request.url, headers=headers, content=body, extensions=extensions
        )
        return self.server(sent)


class Program:
    """A program with one ``SessionAuth``; here with threads and ``httpx.Client``."""

    def __init__(self, server: Server, **options: Any) -> None:
        self.server = server
        self.told: list[Tokens | None] = []
        # What was told before a refresh, with its attempt.
        self.pending: list[Tokens] = []
        transport = Wire(server)
        options = {
            "client": httpx.Client(transport=transport),
            "async_client": httpx.AsyncClient(transport=transport),
            "on_tokens": self.note,
            **options,
        }
        if "tokens" in options:
            self.auth = SessionAuth.from_tokens(BASE, **options)
        else:
            options = {"username": "ada", "password": PASSWORD, **options}
            self.auth = SessionAuth(BASE, **options)

    def note(self, tokens: Tokens | None) -> None:
        if tokens is not None and tokens.attempt is not None:
            self.pending.append(tokens)
        else:
            self.told.append(tokens)

    def send(self, method: str = "GET", url: str = THINGS, **options: Any) -> httpx.Response:
        with httpx.Client(transport=Wire(self.server), auth=self.auth) as client:
            return client.request(method, url, **options)

    def send_many(self, count: int) -> list[httpx.Response | BaseException]:
        def attempt(_: int) -> httpx.Response | BaseException:
            try:
                return self.send()
            except (httpx.HTTPError, SessionAuthError) as error:
                return error

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(attempt, range(count)))

    def sign_out(self) -> None:
        self.auth.sign_out()

    def stream(self, *parts: bytes) -> Any:
        """A body that can be read once."""
        return iter(parts)


class AsyncProgram(Program):
    """The same with tasks; each call is an event loop of its own."""

    def send(self, method: str = "GET", url: str = THINGS, **options: Any) -> httpx.Response:
        return asyncio.run(self._send(method, url, **options))

    async def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        transport = Wire(self.server)
        async with httpx.AsyncClient(transport=transport, auth=self.auth) as client:
            return await client.request(method, url, **options)

    def send_many(self, count: int) -> list[httpx.Response | BaseException]:
        async def attempts() -> list[httpx.Response | BaseException]:
            sending = (self._send("GET", THINGS) for _ in range(count))
            return await asyncio.gather(*sending, return_exceptions=True)

        return asyncio.run(attempts())

    def sign_out(self) -> None:
        asyncio.run(self.auth.asign_out())

    def stream(self, *parts: bytes) -> Any:
        async def read() -> Any:
            for part in parts:
                yield part

        return read()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture(params=[Program, AsyncProgram], ids=["sync", "async"])
def program(request: pytest.FixtureRequest, server: Server) -> Callable[..., Program]:
    """Make a program in either mode."""

    def make(**options: Any) -> Program:
        made: Program = request.param(server, **options)
        return made

    return make


class Ticks:
    """The client's monotonic clock."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    ticks = Ticks()
    monkeypatch.setattr(token_manager, "monotonic", ticks)
    return ticks
