"""What the server says: tokens, refusals, and the errors made of them. No I/O.

::

    SessionAuthError
    ├── SignInError         nobody is signed in, and trying again does not help
    └── UnavailableError    (also httpx's TransportError) it may; the tokens are kept
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeGuard

import httpx

EARLY = 30.0
"""How many seconds before an access token expires it is refreshed."""
EARLY_SHARE = 0.1
"""Of its age, how much that is at most."""

EXPIRED = "token_expired"
"""The code of a token that a refresh replaces."""
OVER = ("session_ended", "invalid_token")
"""The codes of tokens that no refresh replaces."""

Reply = httpx.Response | str | None
"""An answer, read; why there was none; or None, where nothing was asked."""


class SessionAuthError(Exception):
    """Be the root of what ``SessionAuth`` raises. No error holds a token or a password."""


class SignInError(SessionAuthError):
    """Say that nobody is signed in; ``code`` is the server's, such as ``invalid_credentials``.

    Also ``signed_out`` after ``sign_out()``, ``not_authenticated`` where there is neither
    token nor password, and ``unexpected_answer`` where the address is none of the API.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnavailableError(SessionAuthError, httpx.TransportError):
    """Say that tokens could not be had just now; ``reason`` is why, and of which server."""

    def __init__(self, request: httpx.Request | None, reason: str) -> None:
        super().__init__(f"Tokens could not be had just now: {reason}.", request=request)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the server handed out. Its repr does not show it."""

    access: str | None = field(default=None, repr=False)
    """What requests carry: an access token, or with the transport ``bearer`` the session token."""
    refresh: str | None = field(default=None, repr=False)
    expires_in: float | None = None
    """How many seconds the access token is good, from when it was handed out; None if that is not known."""
    refresh_expires_at: str | None = None
    """When the session expires unless it is used before, as the server wrote it."""


@dataclass(frozen=True, slots=True)
class Held:
    """The tokens there are, and when they are due by the monotonic clock."""

    tokens: Tokens = field(default_factory=Tokens)
    due_at: float = inf
    expires_at: float = inf
    vouched_until: float = 0.0
    """Until when by that clock the server's word counts that they are good, whatever a view says."""
    over: str | None = None
    """The code of the ``SignInError``, where no more tokens will be had."""


def held_of(answer: httpx.Response, began: float) -> Held | None:
    """Return the tokens of an answer, counted from when it was asked for; None if it has none."""
    body = _json(answer)
    carried, refresh = body.get("access", body.get("token")), body.get("refresh")
    until = body.get("refresh_expires_at")
    if not is_token(carried) or not (refresh is None or is_token(refresh)):
        return None
    age: Any = body.get("expires_in")
    if type(age) not in (int, float) or age <= 0:
        return Held(Tokens(carried, refresh, None, until))
    return Held(
        Tokens(carried, refresh, age, until),
        due_at=began + age - min(EARLY, age * EARLY_SHARE),
        expires_at=began + age,
    )


def is_token(value: object) -> TypeGuard[str]:
    """Tell whether a value can be put into a header; what cannot would be quoted by the error."""
    return (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and value.split() == [value]
    )


def is_answer(reply: Reply) -> TypeGuard[httpx.Response]:
    """Tell whether there is an answer, and one that would not be another a little later."""
    return (
        isinstance(reply, httpx.Response) and reply.status_code != 429 and reply.status_code < 500
    )


def why_none(error: httpx.RequestError, request: httpx.Request) -> str:
    """Return why a request for tokens had no answer.

    In httpx's words where no connection came about, be it for a certificate or a name. What
    is raised later may quote what was sent.
    """
    if isinstance(error, httpx.ConnectError):
        return f"no connection to {_place(request)}: {error}"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer from {_place(request)} in time"
    return f"no answer from {_place(request)} ({type(error).__name__})"


def why_not(reply: Reply) -> str:
    """Return what is the matter with a reply that tokens were expected of."""
    if isinstance(reply, httpx.Response):
        return f"{_place(reply.request)} answered {reply.status_code}"
    return reply or ""


def refusal(answer: httpx.Response) -> str | None:
    """Return why a token was refused; None if that is not what a 401 says."""
    code = code_of(answer)
    if code == EXPIRED or code in OVER:
        return code
    # A view's own words (RFC 6750 section 3.1): the answer to a refresh will tell.
    challenge = answer.headers.get("WWW-Authenticate", "")
    return EXPIRED if code is None and 'error="invalid_token"' in challenge else None


def code_of(answer: httpx.Response) -> str | None:
    """Return the API's code of an error, if the answer has one."""
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
