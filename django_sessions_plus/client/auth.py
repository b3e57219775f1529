"""``SessionAuth``: the flow of one request, and what drives the keeper of the tokens, in both modes.

Requests for tokens are sent by a client of their own, apart from the requests that need
them: neither redirects nor event hooks of the caller's client see a password.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing, suppress
from dataclasses import replace
from threading import Lock
from typing import Any, Literal
from weakref import WeakKeyDictionary

import httpx

from django_sessions_plus.client.answers import (
    Held,
    Reply,
    SessionAuthError,
    Tokens,
    is_token,
    why_none,
)
from django_sessions_plus.client.keeping import Keeper, Step, Steps, carrying

Transport = Literal["jwt", "bearer"]


class SessionAuth(httpx.Auth):
    """Sign in at the first request, attach the token, refresh it in time, and sign in anew when it must be.

    One object serves any number of threads, or of tasks: whatever they do at once, there is
    one sign-in and one refresh. Requests to another origin than that of ``base_url`` carry
    nothing. What is streamed cannot be sent again after a refresh, unless
    ``requires_request_body`` is set: then every body is read into memory.

    ``on_tokens`` is called with each new ``Tokens``, and with None when they are good no more,
    before the request goes on; a coroutine function is awaited by ``httpx.AsyncClient``. It
    must not send requests with this object. ``grace`` is the server's
    ``SESSIONS_PLUS_REFRESH_GRACE`` in seconds: in its first half a refresh whose answer was
    lost is sent once more. ``timeout`` is for each part of a request for tokens, in seconds.
    ``client`` and ``async_client`` send those, for proxies and certificates of your own.

    Requests raise ``SignInError`` and ``UnavailableError`` beside httpx's own errors.
    """

    def __init__(
        self,
        base_url: str | httpx.URL,
        username: str | None = None,
        password: str | None = None,
        *,
        transport: Transport = "jwt",
        remember: bool = True,
        on_tokens: Callable[[Tokens | None], Any] | None = None,
        requires_request_body: bool = False,
        grace: float = 10.0,
        timeout: float = 4.0,
        client: httpx.Client | None = None,
        async_client: httpx.AsyncClient | None = None,
    ) -> None:
        credentials = None
        if username is not None and password is not None:
            credentials = {
                "username": username,
                "password": password,
                "transport": transport,
                "remember": remember,
            }
        self.requires_request_body = requires_request_body
        self._who = "" if username is None else f" as {username!r}"
        self._keeper = Keeper(_base(base_url), credentials, grace=grace, timeout=timeout)
        self._on_tokens = on_tokens
        self._client = client
        self._async_client = async_client
        self._driving: set[asyncio.Task[Held | SessionAuthError]] = set()
        self._lock = Lock()
        # A lock of asyncio belongs to the loop it was first waited for in.
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    @classmethod
    def from_tokens(cls, base_url: str | httpx.URL, tokens: Tokens, **options: Any) -> SessionAuth:
        """Go on with tokens that were stored: of a pair the refresh token is enough.

        How long a stored access token is still good nobody knows: ``expires_in`` is not
        believed, and it is refreshed when the server says so. Options are those of the class;
        with ``username`` and ``password`` it signs in anew when the session has ended.

        Raises:
            ValueError: one of them cannot be a token.
        """
        for token in (tokens.access, tokens.refresh):
            if token is not None and not is_token(token):
                raise ValueError(
                    "A token has no spaces and no line breaks; it may have been cut off."
                )
        auth = cls(base_url, **options)
        auth._keeper.held = Held(replace(tokens, expires_in=None))
        return auth

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{self._who} at {self._keeper.base}>"

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Serve one request of an ``httpx.Client``."""
        if not self._is_own(request.url):
            yield request
            return
        if self.requires_request_body:
            request.read()
        keeper = self._keeper
        before, held = keeper.held, self._ready(request)
        while True:
            response = yield carrying(request, held)
            if not self._is_refused(response):
                return
            response.read()
            code = keeper.helpful_code(response, before, held)
            if code is None:
                return
            before, held = held, self._ready(request, held, code)
            if held.tokens is before.tokens or not _is_replayable(request):
                return

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """See sync_auth_flow()."""
        if not self._is_own(request.url):
            yield request
            return
        if self.requires_request_body:
            await request.aread()
        keeper = self._keeper
        before, held = keeper.held, await self._aready(request)
        while True:
            response = yield carrying(request, held)
            if not self._is_refused(response):
                return
            await response.aread()
            code = keeper.helpful_code(response, before, held)
            if code is None:
                return
            before, held = held, await self._aready(request, held, code)
            if held.tokens is before.tokens or not _is_replayable(request):
                return

    def sign_out(self) -> None:
        """End the session on the server. Requests are refused from then on, with ``signed_out``.

        Raises:
            UnavailableError: the server did not answer, or not as it should; the tokens are kept.
        """
        with self._lock:
            self._drive(self._keeper.leaving())

    async def asign_out(self) -> None:
        """See sign_out()."""
        await self._adrive_apart(self._keeper.leaving())

    def _ready(self, request: httpx.Request, refused: Held | None = None, code: str = "") -> Held:
        """Return tokens that are good now; ``refused`` are not, for the reason of ``code``."""
        keeper, failures = self._keeper, self._keeper.failures
        held = keeper.good(refused)
        if held is None:
            with self._lock:
                self._drive(keeper.renewing(request, refused, code, failures))
                held = keeper.held
        return held

    async def _aready(
        self, request: httpx.Request, refused: Held | None = None, code: str = ""
    ) -> Held:
        """See _ready()."""
        keeper, failures = self._keeper, self._keeper.failures
        held = keeper.good(refused)
        if held is None:
            held = await self._adrive_apart(keeper.renewing(request, refused, code, failures))
        return held

    async def _adrive_apart(self, steps: Steps) -> Held:
        """Drive to the end, also if whoever waits for it is cancelled, and return the tokens.

        The server rotates the refresh token when it is asked: who gave up then would have
        lost the successor, for the others as well.
        """
        task = asyncio.create_task(self._adrive_in_turn(steps))
        # Of tasks asyncio itself keeps weak references.
        self._driving.add(task)
        task.add_done_callback(self._driving.discard)
        await asyncio.wait((task,))
        outcome = task.result()
        if isinstance(outcome, SessionAuthError):
            raise outcome
        return outcome

    async def _adrive_in_turn(self, steps: Steps) -> Held | SessionAuthError:
        async with self._own_lock():
            try:
                await self._adrive(steps)
            except SessionAuthError as error:
                # Not raised: there may be nobody left to hear of it.
                return error
            return self._keeper.held

    def _own_lock(self) -> asyncio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def _drive(self, steps: Steps) -> None:
        reply: Reply = None
        with closing(steps), suppress(StopIteration):
            while True:
                reply = self._take(steps.send(reply))

    async def _adrive(self, steps: Steps) -> None:
        """See _drive()."""
        reply: Reply = None
        with closing(steps), suppress(StopIteration):
            while True:
                reply = await self._atake(steps.send(reply))

    def _take(self, step: Step) -> Reply:
        """Take one step; return the answer to a request, read, or why there was none."""
        if not isinstance(step, httpx.Request):
            if self._on_tokens is not None:
                self._on_tokens(step.tokens)
            return None
        try:
            if self._client is not None:
                return self._client.send(step, auth=None, follow_redirects=False)
            with httpx.Client() as client:
                return client.send(step)
        except httpx.RequestError as error:
            # It holds the request, and that a password: it goes no further.
            return why_none(error, step)

    async def _atake(self, step: Step) -> Reply:
        """See _take()."""
        if not isinstance(step, httpx.Request):
            told = None if self._on_tokens is None else self._on_tokens(step.tokens)
            if inspect.isawaitable(told):
                await told
            return None
        try:
            if self._async_client is not None:
                return await self._async_client.send(step, auth=None, follow_redirects=False)
            async with httpx.AsyncClient() as client:
                return await client.send(step)
        except httpx.RequestError as error:
            return why_none(error, step)

    def _is_own(self, url: httpx.URL) -> bool:
        return _origin(url) == _origin(self._keeper.base)

    def _is_refused(self, response: httpx.Response) -> bool:
        # After a redirect to somebody else the token was not even sent.
        return response.status_code == 401 and self._is_own(response.url)


def _base(url: str | httpx.URL) -> httpx.URL:
    base = httpx.URL(url)
    is_plain = base.host and not base.userinfo and not base.query
    if base.scheme not in ("http", "https") or not is_plain:
        raise ValueError("base_url is where the API is, such as https://example.com/auth/")
    return base.copy_with(path=f"{base.path.rstrip('/')}/", fragment=None)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _is_replayable(request: httpx.Request) -> bool:
    # A body that was given whole, or has been read: a stream is used up.
    try:
        return request.content is not None
    except httpx.RequestNotRead:
        return False
