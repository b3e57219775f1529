"""The tokens in the server's responses, refusals, and the errors for them. No I/O.

::

    SessionAuthError
    ├── SignInError         nobody is signed in, and trying again does not help
    └── UnavailableError    (also httpx's TransportError) trying again may help; the tokens are kept
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from typing import Any, TypeGuard

import httpx

EARLY = 30.0
"""Seconds. An access token is refreshed this long before it expires."""
EARLY_SHARE = 0.1
"""The largest part of the token's age that ``EARLY`` may be."""

EXPIRED = "token_expired"
"""The code of a token that can be refreshed."""
TOKEN_HEADER = "Session-Token"
"""The response header with the new session token, if the one of the request was replaced."""
NOT_REFRESHABLE = ("session_ended", "invalid_token")
"""The codes of tokens that cannot be refreshed."""

Reply = httpx.Response | str | None
"""A response after reading it; the reason as text if there was none; None if no request was sent."""


class SessionAuthError(Exception):
    """The base class of the errors of ``SessionAuth``. No error contains a token or a password."""


class SignInError(SessionAuthError):
    """Nobody is signed in; ``code`` is the server's, such as ``invalid_credentials``.

    Other codes are ``signed_out`` after ``sign_out()``, ``not_authenticated`` if there is neither token
    nor password, and ``unexpected_answer`` if the URL is not that of the API.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnavailableError(SessionAuthError, httpx.TransportError):
    """The server could not be reached, or could not answer now; ``reason`` says why, and names the server.

    ``retry_after`` is the number of seconds to wait, by the header ``Retry-After``; None without it.
    """

    def __init__(
        self, request: httpx.Request | None, reason: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"Tokens could not be had just now: {reason}.", request=request)
        self.reason = reason
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that the server issued. Its repr does not show them."""

    access: str | None = field(default=None, repr=False)
    """The token that requests send: an access token, or with the transport ``bearer`` the session token."""
    refresh: str | None = field(default=None, repr=False)
    expires_in: float | None = None
    """Seconds that the access token is valid, from the time of issue; None if unknown."""
    refresh_expires_at: str | None = None
    """When the session expires if it is not used, as the text that the server sent."""
    attempt: str | None = field(default=None, repr=False)
    """The attempt of a refresh without a response: 32 hexadecimal digits. If it is stored with the
    refresh token, another process can repeat the refresh. None if no refresh is running."""


@dataclass(frozen=True, slots=True)
class TokenSet:
    """The present tokens, and when to refresh them by the monotonic clock."""

    tokens: Tokens = field(default_factory=Tokens)
    due_at: float = inf
    expires_at: float = inf
    accepted_until: float = 0.0
    """Until then, by that clock, the tokens count as valid even if a view refuses them: the API accepted them."""
    ended_code: str | None = None
    """The code of the ``SignInError``, if no tokens can be obtained any more."""


def tokens_of(answer: httpx.Response, began: float) -> TokenSet | None:
    """Return the tokens of a response; ``began`` is when the request was sent. None if there are none."""
    body = _json(answer)
    carried, refresh = body.get("access", body.get("token")), body.get("refresh")
    until = body.get("refresh_expires_at")
    if not is_token(carried) or not (refresh is None or is_token(refresh)):
        return None
    age: Any = body.get("expires_in")
    if type(age) not in (int, float) or age <= 0:
        return TokenSet(Tokens(carried, refresh, None, until))
    return TokenSet(
        Tokens(carried, refresh, age, until),
        due_at=began + age - min(EARLY, age * EARLY_SHARE),
        expires_at=began + age,
    )


def with_token(request: httpx.Request, held: TokenSet) -> httpx.Request:
    """Return the request, with the token attached."""
    request.headers["Authorization"] = f"Bearer {held.tokens.access}"
    return request


def is_token(value: object) -> TypeGuard[str]:
    """Return whether a value can be sent in a header: otherwise the exception would contain it."""
    return (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and value.split() == [value]
    )


def is_attempt(value: str) -> bool:
    """Return whether a value has the form of an attempt: otherwise the server refuses the request."""
    return re.fullmatch("[0-9a-f]{32}", value) is not None


def is_final(reply: Reply) -> TypeGuard[httpx.Response]:
    """Return whether there is a response, and a retry would get the same one: neither 429 nor 5xx."""
    return (
        isinstance(reply, httpx.Response) and reply.status_code != 429 and reply.status_code < 500
    )


def failure_reason(error: httpx.RequestError, request: httpx.Request) -> str:
    """Return why a request for tokens got no response, as text.

    If no connection was made, because of a certificate or a host name for example, it contains the message
    of httpx. Messages of later errors are left out, because they may contain what was sent.
    """
    if isinstance(error, httpx.ConnectError):
        return f"no connection to {_place(request)}: {error}"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer from {_place(request)} in time"
    return f"no answer from {_place(request)} ({type(error).__name__})"


def unavailable(request: httpx.Request | None, reply: Reply) -> UnavailableError:
    """Return the error for a reply without the expected tokens; ``request`` is the one that needed them."""
    if isinstance(reply, httpx.Response):
        reason = f"{_place(reply.request)} answered {reply.status_code}"
        return UnavailableError(request, reason, _retry_after(reply))
    return UnavailableError(request, reply or "")


def refusal_code(answer: httpx.Response) -> str | None:
    """Return the code with which a token was refused; None if the response does not say that it was."""
    code = code_of(answer)
    if code == EXPIRED or code in NOT_REFRESHABLE:
        return code
    # A view outside of the API may refuse a token without a code, as in RFC 6750 section 3.1. Treat it as
    # expired: the refresh will show what is wrong.
    challenge = answer.headers.get("WWW-Authenticate", "")
    return EXPIRED if code is None and 'error="invalid_token"' in challenge else None


def code_of(answer: httpx.Response) -> str | None:
    """Return the error code of the API, if the response has one."""
    code = _json(answer).get("code")
    return code if isinstance(code, str) else None


def _place(request: httpx.Request) -> str:
    return request.url.netloc.decode("ascii") + request.url.path


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds to wait from now; None without a valid header."""
    text = answer.headers.get("Retry-After", "")
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    # HTTP dates are in GMT; one without a time zone is taken to be GMT too.
    moment = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
