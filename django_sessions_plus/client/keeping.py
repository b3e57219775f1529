"""The tokens of a session, and which request to send next. No I/O.

The steps are generators, so that sync and async code can share them. They yield requests, and receive
the response or why there was none; and they yield ``News``, which is passed to ``on_tokens``.
Longer than other modules, because every step changes the same few things that are known of the tokens.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import httpx

from django_sessions_plus.client.answers import (
    EXPIRED,
    OVER,
    TOKEN_HEADER,
    Held,
    Reply,
    SignInError,
    Tokens,
    UnavailableError,
    code_of,
    held_of,
    is_answer,
    is_token,
    refusal,
    unavailable,
)

RESPITE = 5.0
"""Seconds. An early refresh that failed, or a question to the server, is not repeated within this time."""


@dataclass(frozen=True, slots=True)
class News:
    """New tokens; None if the present ones have become invalid."""

    tokens: Tokens | None


Step = httpx.Request | News
Steps = Generator[Step, Reply, None]
Failure = SignInError | UnavailableError


class Keeper:
    """Keep one session's tokens. Only one thread or task at a time may run its generators."""

    def __init__(
        self, base: httpx.URL, credentials: dict[str, Any] | None, *, timeout: float
    ) -> None:
        self.base = base
        self.held = Held()
        self.failures = 0
        """How many requests for tokens have failed."""
        self._credentials = credentials
        self._timeout = timeout
        self._attempt: str | None = None
        """The attempt of the refresh that is being sent; None after its response has arrived."""
        self._failure: Failure = UnavailableError(None, "nobody was asked")
        self._is_doubtful = False
        """Whether a view has refused tokens that the server had just issued."""

    @property
    def tokens(self) -> Tokens | None:
        """The tokens, with the attempt of a running refresh, so that another process can continue."""
        tokens = self.held.tokens
        if not (tokens.access or tokens.refresh):
            return None
        return replace(tokens, attempt=self._attempt)

    def adopt(self, tokens: Tokens) -> None:
        """Continue with stored tokens, whose age is unknown."""
        self._attempt = tokens.attempt
        self.held = Held(replace(tokens, expires_in=None, attempt=None))

    def good(self, refused: Held | None) -> Held | None:
        """Return the tokens if no request is needed first; ``refused`` were not accepted."""
        held, now = self.held, monotonic()
        if held.over is not None or not held.tokens.access or now >= held.due_at:
            return None
        is_refused = refused is not None and held.tokens is refused.tokens
        return None if is_refused and now >= held.vouched_until else held

    def helpful_code(self, answer: httpx.Response, before: Held, held: Held) -> str | None:
        """Return the code of a refusal if other tokens may help; else None.

        ``before`` are the tokens before the request. If a view refuses tokens that were just issued, its
        code cannot be trusted: from then on the server is asked about each refusal.
        """
        code = refusal(answer)
        if code is not None and held.tokens is not before.tokens:
            self._is_doubtful = True
            return None
        return code

    def renewing(
        self, request: httpx.Request, refused: Held | None, code: str, failures: int
    ) -> Generator[Step, Reply, Held]:
        """Return valid tokens for ``request``: new ones, unless another thread has got them meanwhile.

        ``refused`` were refused with ``code``. ``failures`` is the count before waiting for the lock: if a
        request failed meanwhile, its failure is raised here too.

        Raises:
            SignInError: nobody is signed in, and trying again does not help.
            UnavailableError: the server could not be reached; trying again may help.
        """
        held = self.good(refused)
        if held is not None:
            return held
        if self.failures != failures:
            raise _again(self._failure, request)
        if refused is not None and self.held.tokens is not refused.tokens:
            # The refusal concerned other tokens than the present ones.
            refused, code = None, ""
        try:
            yield from self._renewal(request, refused, code)
        except (SignInError, UnavailableError) as error:
            self._failure = _again(error, None)
            self.failures += 1
            raise
        return self.held

    def replacing(self, answer: httpx.Response, held: Held) -> Steps:
        """Store the session token with which a view, such as that of a new password, has replaced ``held``."""
        token = answer.headers.get(TOKEN_HEADER)
        if is_token(token) and held.tokens.refresh is None and self.held.tokens is held.tokens:
            yield from self._hold(Held(replace(held.tokens, access=token)))

    def leaving(self) -> Steps:
        """Sign out.

        Raises:
            UnavailableError: it is not certain that the session has ended; the tokens are kept.
        """
        code, held = EXPIRED, self.held
        if held.tokens.access and monotonic() < held.expires_at:
            code = yield from self._sign_out(held)
        if code == EXPIRED and held.tokens.refresh is not None:
            renewed = yield from self._refresh(held, None)
            if isinstance(renewed, UnavailableError):
                raise renewed
            if isinstance(renewed, Held):
                yield from self._hold(renewed)
                yield from self._sign_out(renewed)
        was_in = held.tokens.access or held.tokens.refresh
        self.held, self._attempt = Held(over="signed_out"), None
        if was_in:
            yield News(None)

    def _renewal(self, request: httpx.Request, refused: Held | None, code: str) -> Steps:
        held = self.held
        if held.over is not None:
            raise SignInError(held.over)
        if refused is not None and self._has_to_ask(held, code):
            code = yield from self._verdict(request, held)
            if not code:
                self.held = replace(held, vouched_until=monotonic() + RESPITE)
                return
        if _is_refreshable(held, code):
            renewed = yield from self._refresh(held, request)
            if isinstance(renewed, Held):
                yield from self._hold(renewed)
                return
            if isinstance(renewed, UnavailableError):
                self._make_do(renewed, held, is_refused=refused is not None)
                return
            code = renewed
        if held.tokens.access or held.tokens.refresh:
            yield from self._hold(Held())
        yield from self._sign_in(request, code or "not_authenticated")

    def _has_to_ask(self, held: Held, code: str) -> bool:
        """Return whether a view's refusal must be checked: it was wrong before, or the tokens cannot be replaced."""
        return self._is_doubtful or (self._credentials is None and not _is_refreshable(held, code))

    def _verdict(self, request: httpx.Request, held: Held) -> Generator[httpx.Request, Reply, str]:
        """Return the code with which the API itself refuses the tokens; "" if it accepts them."""
        reply = yield carrying(self._request("GET", "session", None, request), held)
        if not is_answer(reply):
            raise unavailable(request, reply)
        return refusal(reply) or "" if reply.status_code == 401 else ""

    def _make_do(self, error: UnavailableError, held: Held, *, is_refused: bool) -> None:
        """Continue with the present token as long as it is valid.

        Raises:
            UnavailableError: it is not.
        """
        now = monotonic()
        if is_refused or not held.tokens.access or now >= held.expires_at:
            raise error
        respite = max(RESPITE, error.retry_after or 0.0)
        self.held = replace(held, due_at=min(held.expires_at, now + respite))

    def _refresh(
        self, held: Held, cause: httpx.Request | None
    ) -> Generator[Step, Reply, Held | str | UnavailableError]:
        """Return new tokens, the code of a refusal, or the error if there was no response.

        The attempt is made and stored just before it is sent. If it were stored earlier, a thief with a copy
        of the stored tokens could send it first, as a retry.
        """
        if self._attempt is None:
            attempt = secrets.token_hex(16)
            yield News(replace(held.tokens, attempt=attempt))
            self._attempt = attempt
        body = {"refresh": held.tokens.refresh, "attempt": self._attempt}
        began = monotonic()
        reply = yield self._request("POST", "token/refresh", body, cause)
        if not isinstance(reply, httpx.Response):
            # The server may have rotated the token; then it returns the same successor again.
            reply = yield self._request("POST", "token/refresh", body, cause, patience=2)
        found: Held | str | None = None
        if isinstance(reply, httpx.Response):
            code = code_of(reply)
            if reply.status_code == 200:
                found = held_of(reply, began)
            # "invalid": the stored token is malformed, such as cut off.
            elif code in (*OVER, "invalid"):
                found = code
        return found or unavailable(cause, reply)

    def _sign_in(self, request: httpx.Request, code: str) -> Steps:
        if self._credentials is None:
            self.held = Held(over=code)
            raise SignInError(code)
        began = monotonic()
        reply = yield self._request("POST", "sign-in", self._credentials, request)
        if not is_answer(reply):
            raise unavailable(request, reply)
        held = held_of(reply, began) if reply.status_code == 200 else None
        if held is not None:
            yield from self._hold(held)
            return
        error = SignInError(code_of(reply) or "unexpected_answer")
        if error.code == "invalid_credentials":
            # Wrong credentials stay wrong, and each try counts toward a lockout.
            self.held = Held(over=error.code)
        raise error

    def _sign_out(self, held: Held) -> Generator[httpx.Request, Reply, str]:
        """Sign out and return "", or the code of a token that is refused."""
        reply = yield carrying(self._request("POST", "sign-out", None, None), held)
        code = None
        if isinstance(reply, httpx.Response):
            if reply.is_success:
                return ""
            code = refusal(reply) if reply.status_code == 401 else None
        if code is None:
            raise unavailable(None, reply)
        return code

    def _hold(self, held: Held) -> Steps:
        self.held, self._attempt = held, None
        yield News(held.tokens if held.tokens.access else None)

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        cause: httpx.Request | None,
        patience: float = 1,
    ) -> httpx.Request:
        return httpx.Request(
            method,
            self.base.join(path),
            json=body,
            headers={"Accept": "application/json", **_agent(cause)},
            extensions={"timeout": httpx.Timeout(self._timeout * patience).as_dict()},
        )


def carrying(request: httpx.Request, held: Held) -> httpx.Request:
    """Return the request, with the token attached."""
    request.headers["Authorization"] = f"Bearer {held.tokens.access}"
    return request


def _is_refreshable(held: Held, code: str) -> bool:
    return held.tokens.refresh is not None and code not in OVER


def _agent(cause: httpx.Request | None) -> dict[str, str]:
    # So that the list of sessions shows the program that uses the tokens.
    agent = None if cause is None else cause.headers.get("User-Agent")
    return {} if agent is None else {"User-Agent": agent}


def _again(error: Failure, request: httpx.Request | None) -> Failure:
    if isinstance(error, SignInError):
        return SignInError(error.code)
    return UnavailableError(request, error.reason, error.retry_after)
