"""Which tokens there are, and what is to be asked for next. No I/O.

What has to be done is a generator, so that threads and tasks share it. It yields requests,
and is sent the answer, read, or why there was none; or ``News``, to be told on.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import httpx

from django_sessions_plus.client.answers import (
    EXPIRED,
    OVER,
    Held,
    Reply,
    SignInError,
    Tokens,
    UnavailableError,
    code_of,
    held_of,
    is_answer,
    refusal,
    why_not,
)

RESPITE = 5.0
"""For how many seconds an early refresh that failed is not tried again, and what the server said is not asked again."""


@dataclass(frozen=True, slots=True)
class News:
    """New tokens; None when those there were are good no more."""

    tokens: Tokens | None


Step = httpx.Request | News
Steps = Generator[Step, Reply, None]
Failure = SignInError | UnavailableError


class Keeper:
    """Keep one session's tokens. Generators are run by one thread or task at a time."""

    def __init__(
        self,
        base: httpx.URL,
        credentials: dict[str, Any] | None,
        *,
        grace: float,
        timeout: float,
    ) -> None:
        self.base = base
        self.held = Held()
        self.failures = 0
        """How often tokens were asked for in vain."""
        self._credentials = credentials
        self._grace = grace
        self._timeout = httpx.Timeout(timeout)
        self._failure: Failure = UnavailableError(None, "nobody was asked")
        self._is_doubtful = False
        """Whether a view has refused tokens the server had just handed out."""

    def good(self, refused: Held | None) -> Held | None:
        """Return the tokens, if there is nothing to be done first; ``refused`` were not accepted."""
        held, now = self.held, monotonic()
        if held.over is not None or not held.tokens.access or now >= held.due_at:
            return None
        is_refused = refused is not None and held.tokens is refused.tokens
        return None if is_refused and now >= held.vouched_until else held

    def helpful_code(self, answer: httpx.Response, before: Held, held: Held) -> str | None:
        """Return why tokens were refused; None where no others would be accepted.

        ``before`` were there until a moment ago. A view that refuses what has only just been
        handed out speaks for itself: from then on the server is asked about each refusal.
        """
        code = refusal(answer)
        if code is not None and held.tokens is not before.tokens:
            self._is_doubtful = True
            return None
        return code

    def renewing(
        self, request: httpx.Request, refused: Held | None, code: str, failures: int
    ) -> Steps:
        """Bring about good tokens for ``request``, unless somebody has meanwhile, or they are good.

        ``refused`` were not accepted, for the reason of ``code``. ``failures`` were counted
        before the wait for one's turn: whoever waited for an attempt shares its failure.

        Raises:
            SignInError: there are none to be had.
            UnavailableError: not just now.
        """
        if self.good(refused) is not None:
            return
        if self.failures != failures:
            raise _again(self._failure, request)
        if refused is not None and self.held.tokens is not refused.tokens:
            # What was said of those is not said of these.
            refused, code = None, ""
        try:
            yield from self._renewal(request, refused, code)
        except (SignInError, UnavailableError) as error:
            self._failure = _again(error, None)
            self.failures += 1
            raise

    def leaving(self) -> Steps:
        """Sign out.

        Raises:
            UnavailableError: that is not certain; the tokens are kept.
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
        self.held = Held(over="signed_out")
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
        """Tell whether a view's word is not enough: it was wrong before, or there is no way back."""
        return self._is_doubtful or (self._credentials is None and not _is_refreshable(held, code))

    def _verdict(self, request: httpx.Request, held: Held) -> Generator[httpx.Request, Reply, str]:
        """Return the code with which the server itself refuses the tokens, or ""."""
        reply = yield carrying(self._request("GET", "session", None, request), held)
        if not is_answer(reply):
            raise UnavailableError(request, why_not(reply))
        return refusal(reply) or "" if reply.status_code == 401 else ""

    def _make_do(self, error: UnavailableError, held: Held, *, is_refused: bool) -> None:
        """Go on with the token there is, as long as it is good."""
        now = monotonic()
        if is_refused or not held.tokens.access or now >= held.expires_at:
            raise error
        self.held = replace(held, due_at=min(held.expires_at, now + RESPITE))

    def _refresh(
        self, held: Held, cause: httpx.Request | None
    ) -> Generator[httpx.Request, Reply, Held | str | UnavailableError]:
        """Return new tokens, the code of a refusal, or why there is neither."""
        request = self._request("POST", "token/refresh", {"refresh": held.tokens.refresh}, cause)
        began = monotonic()
        reply = yield request
        if not isinstance(reply, httpx.Response) and monotonic() - began < self._grace / 2:
            # The token may be rotated by now, and still yields what the answer would have held.
            reply = yield request
        found: Held | str | None = None
        if isinstance(reply, httpx.Response):
            code = code_of(reply)
            if reply.status_code == 200:
                found = held_of(reply, began)
            # Cut off in a file, a token is not even of the form.
            elif code in (*OVER, "invalid"):
                found = code
        return found or UnavailableError(cause, why_not(reply))

    def _sign_in(self, request: httpx.Request, code: str) -> Steps:
        if self._credentials is None:
            self.held = Held(over=code)
            raise SignInError(code)
        began = monotonic()
        reply = yield self._request("POST", "sign-in", self._credentials, request)
        if not is_answer(reply):
            raise UnavailableError(request, why_not(reply))
        held = held_of(reply, began) if reply.status_code == 200 else None
        if held is not None:
            yield from self._hold(held)
            return
        error = SignInError(code_of(reply) or "unexpected_answer")
        if error.code == "invalid_credentials":
            # They will not become right, and each try counts toward a lockout.
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
            raise UnavailableError(None, why_not(reply))
        return code

    def _hold(self, held: Held) -> Steps:
        self.held = held
        yield News(held.tokens if held.tokens.access else None)

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None, cause: httpx.Request | None
    ) -> httpx.Request:
        return httpx.Request(
            method,
            self.base.join(path),
            json=body,
            headers={"Accept": "application/json", **_agent(cause)},
            extensions={"timeout": self._timeout.as_dict()},
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
    """Return the failure of one request as one of another, without its frames."""
    if isinstance(error, SignInError):
        return SignInError(error.code)
    return UnavailableError(request, error.reason)
