"""How sign-in sends a session's tokens to the client.

Another transport only needs an entry in ``TRANSPORTS`` here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request
from rest_framework.response import Response

from django_sessions_plus import sessions
from django_sessions_plus.api.pairs import put_pair
from django_sessions_plus.api.requests import enforce_csrf, put_session, session_of
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.http.plain_http import log_plain_http
from django_sessions_plus.jwt.issuing import IssuedTokens

DEFAULT_TRANSPORT = "cookie"


@dataclass(frozen=True)
class TransportSteps:
    """The steps of a sign-in that differ between transports."""

    prepare: Callable[[HttpRequest], object]
    """Called before the password is checked: run checks, and choose the session to sign in to."""
    finish: Callable[[HttpRequest], None]
    """Called after the sign-in."""
    disclose: Callable[[Request, Response], None]
    """Called after the session was saved: add its tokens to the response."""


def transport_named(name: str, *, refresh_cookie: bool) -> TransportSteps:
    """Return the transport with this name; with ``refresh_cookie``, the variant of ``jwt``."""
    return _BY_REFRESH_COOKIE if refresh_cookie else TRANSPORTS[name]


def _put_bearer_session(http_request: HttpRequest) -> None:
    # The cookie's session is neither read nor ended.
    put_session(http_request, transport="bearer")


def _put_jwt_session(http_request: HttpRequest) -> None:
    put_session(http_request, transport="jwt")


def _set_no_csrf_cookie(http_request: HttpRequest) -> None:
    # login() rotates the CSRF token, but without a session cookie there is no need to set its cookie.
    http_request.META["CSRF_COOKIE_NEEDS_UPDATE"] = False


def _prepare_for_refresh_cookie(http_request: HttpRequest) -> None:
    # Another site must not be able to set a cookie in the user's browser.
    enforce_csrf(http_request)
    _put_jwt_session(http_request)


def _do_nothing(http_request: HttpRequest) -> None:
    """Do nothing."""


def _add_nothing(request: Request, response: Response) -> None:
    """Add nothing."""


def _add_token(request: Request, response: Response) -> None:
    store = session_of(request)
    log_plain_http(request._request, store)
    response.data = {**response.data, "token": store.session_key or ""}
    # The body has the token, so no header has to send it.
    store.is_cookie_due = False


@sensitive_variables()
def _add_tokens(request: Request, response: Response, *, as_cookie: bool) -> None:
    store = session_of(request)
    row: Any = store.row
    if row is None:
        raise StaleSessionError
    # Saves the query for the user.
    row.user = request.user
    put_pair(request, response, _issue_pair(request, store, row), store, as_cookie=as_cookie)


def _issue_pair(request: Request, store: SessionStore, row: AbstractSession) -> IssuedTokens:
    """Issue a pair for a session in which this request has authenticated the user.

    A parallel request of the same user may have rotated the session token meanwhile, which makes the
    first try fail; so read the row again and retry once.

    Raises:
        StaleSessionError: the session has ended meanwhile.
    """
    with suppress(StaleSessionError):
        return sessions.issue_tokens(row, request=request._request)
    stored = store.reread()
    if stored is None:
        raise StaleSessionError
    return sessions.issue_tokens(stored, request=request._request)


TRANSPORTS: dict[str, TransportSteps] = {
    # The token is only in Set-Cookie, which scripts cannot read.
    "cookie": TransportSteps(prepare=enforce_csrf, finish=_do_nothing, disclose=_add_nothing),
    "bearer": TransportSteps(
        prepare=_put_bearer_session, finish=_set_no_csrf_cookie, disclose=_add_token
    ),
    "jwt": TransportSteps(
        prepare=_put_jwt_session,
        finish=_set_no_csrf_cookie,
        disclose=partial(_add_tokens, as_cookie=False),
    ),
}
"""By name, as in the body of a sign-in and in ``store.transport``."""

_BY_REFRESH_COOKIE = TransportSteps(
    prepare=_prepare_for_refresh_cookie,
    finish=_do_nothing,
    disclose=partial(_add_tokens, as_cookie=True),
)
