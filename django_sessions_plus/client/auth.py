"""``SessionAuth``: the authentication of one request, sync and async."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Literal, TypedDict, Unpack

import httpx

from django_sessions_plus.client.addresses import base_of, is_same_origin, warn_of_plain_http
from django_sessions_plus.client.responses import (
    TOKEN_HEADER,
    Tokens,
    TokenSet,
    is_attempt,
    is_token,
    with_token,
)
from django_sessions_plus.client.runner import Runner
from django_sessions_plus.client.token_manager import TokenManager

Transport = Literal["jwt", "bearer"]


class Options(TypedDict, total=False):
    """The arguments of ``SessionAuth`` besides the base URL."""

    username: str | None
    password: str | None
    transport: Transport
    remember: bool
    on_tokens: Callable[[Tokens | None], Any] | None
    requires_request_body: bool
    timeout: float
    client: httpx.Client | None
    async_client: httpx.AsyncClient | None


class SessionAuth(httpx.Auth):
    """Sign in at the first request, attach the token, refresh it in time, and sign in again if necessary.

    One object can be shared by any number of threads or tasks: in parallel, they cause one sign-in and
    one refresh. Requests to another origin than that of ``base_url`` get no token. A streamed body
    cannot be sent again after a refresh, unless ``requires_request_body`` is set: then every body is
    read into memory.

    ``on_tokens`` is called with each new ``Tokens``, before a refresh with the present ones and their
    ``attempt``, and with None when they become invalid; the request waits until it returns. A
    coroutine function is awaited by ``httpx.AsyncClient``. It must not send requests with this object.
    ``timeout`` is for each part of a request for tokens, in seconds; a refresh without a response is
    sent again, with twice that timeout. ``client`` and ``async_client`` send these requests, with your
    own proxies and certificates.

    Requests raise ``SignInError`` and ``UnavailableError`` besides httpx's own errors, and whatever
    ``on_tokens`` raises.

    Raises:
        ValueError: ``base_url`` is not the URL of an API.
        httpx.InvalidURL: ``base_url`` is no URL.
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
        timeout: float = 30.0,
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
        base = base_of(base_url)
        warn_of_plain_http(base, stacklevel=2)
        self.requires_request_body = requires_request_body
        self._who = "" if username is None else f" as {username!r}"
        self._manager = TokenManager(base, credentials, timeout=timeout)
        self._runner = Runner(on_tokens, client, async_client)

    @classmethod
    def from_tokens(
        cls, base_url: str | httpx.URL, tokens: Tokens, **options: Unpack[Options]
    ) -> SessionAuth:
        """Return an object that continues with stored tokens; of a pair, the refresh token is enough.

        With the stored ``attempt``, it can also repeat a refresh whose response was lost when a process
        stopped. ``expires_in`` is ignored, because the age of stored tokens is unknown: the access token is
        refreshed when the server refuses it. The options are those of the class; with ``username`` and
        ``password`` it signs in again when the session has ended.

        Raises:
            ValueError: a token or the attempt is malformed, or ``base_url`` is not the URL of an API.
            httpx.InvalidURL: ``base_url`` is no URL.
        """
        for token in (tokens.access, tokens.refresh):
            if token is not None and not is_token(token):
                raise ValueError(
                    "A token has no spaces and no line breaks; it may have been cut off."
                )
        if tokens.attempt is not None and not is_attempt(tokens.attempt):
            raise ValueError("An attempt is 32 hexadecimal digits; it may have been cut off.")
        auth = cls(base_url, **options)
        auth._manager.adopt(tokens)
        return auth

    @property
    def tokens(self) -> Tokens | None:
        """The current tokens, to be stored; None if nobody is signed in.

        They may have expired. After a refresh without a response they contain its ``attempt``.
        ``expires_in`` is the value that the server sent.
        """
        return self._manager.tokens

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{self._who} at {self._manager.base}>"

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Authenticate one request of an ``httpx.Client``.

        Raises:
            SignInError: nobody is signed in, and trying again does not help.
            UnavailableError: the server could not be reached; trying again may help.
        """
        if not self._is_own(request.url):
            yield request
            return
        if self.requires_request_body:
            request.read()
        manager = self._manager
        before, held = manager.held, self._ready(request)
        while True:
            response = yield with_token(request, held)
            if self._is_replaced(response):
                with self._runner.lock:
                    self._runner.run(manager.replace_token(response, held))
            if not self._is_refused(response):
                return
            response.read()
            code = manager.code_to_retry(response, before, held)
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
        manager = self._manager
        before, held = manager.held, await self._aready(request)
        while True:
            response = yield with_token(request, held)
            if self._is_replaced(response):
                await self._runner.arun_shielded(manager.replace_token(response, held))
            if not self._is_refused(response):
                return
            await response.aread()
            code = manager.code_to_retry(response, before, held)
            if code is None:
                return
            before, held = held, await self._aready(request, held, code)
            if held.tokens is before.tokens or not _is_replayable(request):
                return

    def sign_out(self) -> None:
        """End the session on the server. Later requests raise ``SignInError`` with the code ``signed_out``.

        Raises:
            UnavailableError: there was no response, or an unexpected one; the tokens are kept.
        """
        with self._runner.lock:
            self._runner.run(self._manager.sign_out())

    async def asign_out(self) -> None:
        """See sign_out()."""
        await self._runner.arun_shielded(self._manager.sign_out())

    def _ready(
        self, request: httpx.Request, refused: TokenSet | None = None, code: str = ""
    ) -> TokenSet:
        """Return tokens that are valid now; ``refused`` were refused with ``code``."""
        manager, failures = self._manager, self._manager.failures
        held = manager.usable(refused)
        if held is None:
            with self._runner.lock:
                held = self._runner.run(manager.ensure_valid(request, refused, code, failures))
        return held

    async def _aready(
        self, request: httpx.Request, refused: TokenSet | None = None, code: str = ""
    ) -> TokenSet:
        """See _ready()."""
        manager, failures = self._manager, self._manager.failures
        held = manager.usable(refused)
        if held is None:
            steps = manager.ensure_valid(request, refused, code, failures)
            held = await self._runner.arun_shielded(steps)
        return held

    def _is_own(self, url: httpx.URL) -> bool:
        return is_same_origin(url, self._manager.base)

    def _is_replaced(self, response: httpx.Response) -> bool:
        return TOKEN_HEADER in response.headers and self._is_own(response.url)

    def _is_refused(self, response: httpx.Response) -> bool:
        # After a redirect to another origin, the token was not sent.
        return response.status_code == 401 and self._is_own(response.url)


def _is_replayable(request: httpx.Request) -> bool:
    # False for a stream, which can be read only once.
    try:
        return request.content is not None
    except httpx.RequestNotRead:
        return False
