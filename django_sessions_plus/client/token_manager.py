"""Keep the tokens of a session, and decide which request for tokens is needed next. No I/O.

The steps are generators, so that sync and async code can share them. They yield requests, and receive
the response or the reason why there was none. They also yield ``TokensChange``.
Longer than other modules, because every step changes the same few things that are known of the tokens.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import httpx

from django_sessions_plus.client.responses import (
    EXPIRED,
    NOT_REFRESHABLE,
    TOKEN_HEADER,
    Reply,
    SignInError,
    Tokens,
    TokenSet,
    UnavailableError,
    code_of,
    is_final,
    is_token,
    refusal_code,
    tokens_of,
    unavailable,
    with_token,
)

RETRY_INTERVAL = 5.0
"""Seconds. After an early refresh that failed, or after the API has accepted the tokens, wait this long."""


@dataclass(frozen=True, slots=True)
class TokensChange:
    """Passed to ``on_tokens``: new tokens, or None if the present ones have become invalid."""

    tokens: Tokens | None


Step = httpx.Request | TokensChange
Steps = Generator[Step, Reply, None]
Failure = SignInError | UnavailableError


class TokenManager:
    """Keep one session's tokens. Only one thread or task at a time may run its generators."""

    def __init__(
        self, base: httpx.URL, credentials: dict[str, Any] | None, *, timeout: float
    ) -> None:
        self.base = base
        self.held = TokenSet()
        self.failures = 0
        """How many requests for tokens have failed."""
        self._credentials = credentials
        self._timeout = timeout
        self._attempt: str | None = None
        """The attempt of the refresh that is being sent; None after its response has arrived."""
        self._failure: Failure = UnavailableError(None, "nobody was asked")
        self._is_view_wrong = False
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
        self.held = TokenSet(replace(tokens, expires_in=None, attempt=None))

    def usable(self, refused: TokenSet | None) -> TokenSet | None:
        """Return the tokens if no request is needed first; ``refused`` were not accepted."""
        held, now = self.held, monotonic()
        if held.ended_code is not None or not held.tokens.access or now >= held.due_at:
            return None
        is_refused = refused is not None and held.tokens is refused.tokens
        return None if is_refused and now >= held.accepted_until else held

    def code_to_retry(self, answer: httpx.Response, before: TokenSet, held: TokenSet) -> str | None:
        """Return the code of a refusal if the request may succeed with other tokens; else None.

        ``before`` are the tokens before the request. If a view refuses tokens that were just issued, its
        code cannot be trusted: from then on the API is asked about each refusal.
        """
        code = refusal_code(answer)
        if code is not None and held.tokens is not before.tokens:
            self._is_view_wrong = True
            return None
        return code

    def ensure_valid(
        self, request: httpx.Request, refused: TokenSet | None, code: str, failures: int
    ) -> Generator[Step, Reply, TokenSet]:
        """Return valid tokens for ``request``: new ones, unless another thread has got them meanwhile.

        ``refused`` were refused with ``code``. ``failures`` is the count before waiting for the lock: if a
        request failed meanwhile, its failure is raised here too.

        Raises:
            SignInError: nobody is signed in, and trying again does not help.
            UnavailableError: the server could not be reached; trying again may help.
        """
        held = self.usable(refused)
        if held is not None:
            return held
        if self.failures != failures:
            raise _copy_of(self._failure, request)
        if refused is not None and self.held.tokens is not refused.tokens:
            # The refusal concerned other tokens than the present ones.
            refused, code = None, ""
        try:
            yield from self._renew(request, refused, code)
        except (SignInError, UnavailableError) as error:
            self._failure = _copy_of(error, None)
            self.failures += 1
            raise
        return self.held

    def replace_token(self, answer: httpx.Response, held: TokenSet) -> Steps:
        """Store the session token of the response, if a view, such as that of a new password, has replaced ``held``."""
        token = answer.headers.get(TOKEN_HEADER)
        if is_token(token) and held.tokens.refresh is None and self.held.tokens is held.tokens:
            yield from self._store(TokenSet(replace(held.tokens, access=token)))

    def sign_out(self) -> Steps:
        """Sign out.

        Raises:
            UnavailableError: it is not certain that the session has ended; the tokens are kept.
        """
        code, held = EXPIRED, self.held
        if held.tokens.access and monotonic() < held.expires_at:
            code = yield from self._send_sign_out(held)
        if code == EXPIRED and held.tokens.refresh is not None:
            renewed = yield from self._refresh(held, None)
            if isinstance(renewed, UnavailableError):
                raise renewed
            if isinstance(renewed, TokenSet):
                yield from self._store(renewed)
                yield from self._send_sign_out(renewed)
        had_tokens = held.tokens.access or held.tokens.refresh
        self.held, self._attempt = TokenSet(ended_code="signed_out"), None
        if had_tokens:
            yield TokensChange(None)

    def _renew(self, request: httpx.Request, refused: TokenSet | None, code: str) -> Steps:
        held = self.held
        if held.ended_code is not None:
            raise SignInError(held.ended_code)
        if refused is not None and self._must_ask_api(held, code):
            code = yield from self._ask_api(request, held)
            if not code:
                self.held = replace(held, accepted_until=monotonic() + RETRY_INTERVAL)
                return
        if _can_refresh(held, code):
            renewed = yield from self._refresh(held, request)
            if isinstance(renewed, TokenSet):
                yield from self._store(renewed)
                return
            if isinstance(renewed, UnavailableError):
                self._keep_present(renewed, held, is_refused=refused is not None)
                return
            code = renewed
        if held.tokens.access or held.tokens.refresh:
            yield from self._store(TokenSet())
        yield from self._sign_in(request, code or "not_authenticated")

    def _must_ask_api(self, held: TokenSet, code: str) -> bool:
        """Return whether the API must confirm a refusal: a view was wrong before, or no other tokens can be got."""
        return self._is_view_wrong or (self._credentials is None and not _can_refresh(held, code))

    def _ask_api(
        self, cause: httpx.Request, held: TokenSet
    ) -> Generator[httpx.Request, Reply, str]:
        """Return the code with which the API itself refuses the tokens; "" if it accepts them."""
        reply = yield with_token(self._request("GET", "session", None, cause), held)
        if not is_final(reply):
            raise unavailable(cause, reply)
        return refusal_code(reply) or "" if reply.status_code == 401 else ""

    def _keep_present(self, error: UnavailableError, held: TokenSet, *, is_refused: bool) -> None:
        """Continue with the present token while it is valid, and refresh it a little later.

        Raises:
            UnavailableError: it is not.
        """
        now = monotonic()
        if is_refused or not held.tokens.access or now >= held.expires_at:
            raise error
        interval = max(RETRY_INTERVAL, error.retry_after or 0.0)
        self.held = replace(held, due_at=min(held.expires_at, now + interval))

    def _refresh(
        self, held: TokenSet, cause: httpx.Request | None
    ) -> Generator[Step, Reply, TokenSet | str | UnavailableError]:
        """Return new tokens, the code of a refusal, or the error if there was no response.

        The attempt is made and stored just before it is sent. If it were stored earlier, a thief with a copy
        of the stored tokens could send it first, as a retry.
        """
        if self._attempt is None:
            attempt = secrets.token_hex(16)
            yield TokensChange(replace(held.tokens, attempt=attempt))
            self._attempt = attempt
        body = {"refresh": held.tokens.refresh, "attempt": self._attempt}
        began = monotonic()
        reply = yield self._request("POST", "token/refresh", body, cause)
        if not isinstance(reply, httpx.Response):
            # The server may have rotated the token; then it returns the same successor again.
            reply = yield self._request("POST", "token/refresh", body, cause, patience=2)
        found: TokenSet | str | None = None
        if isinstance(reply, httpx.Response):
            code = code_of(reply)
            if reply.status_code == 200:
                found = tokens_of(reply, began)
            # "invalid": the stored token is malformed, such as cut off.
            elif code in (*NOT_REFRESHABLE, "invalid"):
                found = code
        return found or unavailable(cause, reply)

    def _sign_in(self, request: httpx.Request, code: str) -> Steps:
        if self._credentials is None:
            self.held = TokenSet(ended_code=code)
            raise SignInError(code)
        began = monotonic()
        reply = yield self._request("POST", "sign-in", self._credentials, request)
        if not is_final(reply):
            raise unavailable(request, reply)
        held = tokens_of(reply, began) if reply.status_code == 200 else None
        if held is not None:
            yield from self._store(held)
            return
        error = SignInError(code_of(reply) or "unexpected_answer")
        if error.code == "invalid_credentials":
            # Wrong credentials stay wrong, and each try counts toward a lockout.
            self.held = TokenSet(ended_code=error.code)
        raise error

    def _send_sign_out(self, held: TokenSet) -> Generator[httpx.Request, Reply, str]:
        """Sign out and return "", or the code of a token that is refused."""
        reply = yield with_token(self._request("POST", "sign-out", None, None), held)
        code = None
        if isinstance(reply, httpx.Response):
            if reply.is_success:
                return ""
            code = refusal_code(reply) if reply.status_code == 401 else None
        if code is None:
            raise unavailable(None, reply)
        return code

    def _store(self, held: TokenSet) -> Steps:
        self.held, self._attempt = held, None
        yield TokensChange(held.tokens if held.tokens.access else None)

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
            headers={"Accept": "application/json", **_user_agent_of(cause)},
            extensions={"timeout": httpx.Timeout(self._timeout * patience).as_dict()},
        )


def _can_refresh(held: TokenSet, code: str) -> bool:
    return held.tokens.refresh is not None and code not in NOT_REFRESHABLE


def _user_agent_of(cause: httpx.Request | None) -> dict[str, str]:
    # So that the list of sessions shows the program that uses the tokens.
    agent = None if cause is None else cause.headers.get("User-Agent")
    return {} if agent is None else {"User-Agent": agent}


def _copy_of(error: Failure, request: httpx.Request | None) -> Failure:
    if isinstance(error, SignInError):
        return SignInError(error.code)
    return UnavailableError(request, error.reason, error.retry_after)
