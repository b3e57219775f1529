"""How a session reaches the client at sign-in, and how its tokens are told.

One entry in ``TRANSPORTS`` is all that a further transport needs here.
"""

from __future__ import annotations

from collections.abc import Callable
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
from django_sessions_plus.exceptions import StaleSessionError

DEFAULT_TRANSPORT = "cookie"


@dataclass(frozen=True)
class Transport:
    """What sign-in does differently."""

    prepare: Callable[[HttpRequest], object]
    """Before the password is looked at: checks, and the session to sign in to."""
    finish: Callable[[HttpRequest], None]
    """After the sign-in."""
    disclose: Callable[[Request, Response], None]
    """Add to the response what it tells of the session's secrets, once the session is saved."""


def transport_named(name: str, *, refresh_cookie: bool) -> Transport:
    """Return the transport a body asks for; with ``refresh_cookie`` it is ``jwt``."""
    return _BY_REFRESH_COOKIE if refresh_cookie else TRANSPORTS[name]


# Neither read nor ended: the cookie's session is another one's business.
_put_bearer_session = partial(put_session, transport="bearer")
_put_jwt_session = partial(put_session, transport="jwt")


def _set_no_csrf_cookie(http_request: HttpRequest) -> None:
    # Signing in has Django renew it, for the sake of a cookie that is not set.
    http_request.META["CSRF_COOKIE_NEEDS_UPDATE"] = False


def _prepare_for_refresh_cookie(http_request: HttpRequest) -> None:
    # What sets a cookie must not be done in somebody's name by another site.
    enforce_csrf(http_request)
    _put_jwt_session(http_request)


def _nothing(http_request: HttpRequest) -> None:
    """Do nothing."""


def _no_secret(request: Request, response: Response) -> None:
    """Tell nothing."""


def _token(request: Request, response: Response) -> None:
    response.data = {**response.data, "token": session_of(request).session_key or ""}


@sensitive_variables()
def _tokens(request: Request, response: Response, *, as_cookie: bool) -> None:
    store = session_of(request)
    row: Any = store.row
    if row is None:
        raise StaleSessionError
    # The very one who is signed in there, so that nobody has to ask for it.
    row.user = request.user
    put_pair(request, response, sessions.issue_tokens(row), store, as_cookie=as_cookie)


TRANSPORTS: dict[str, Transport] = {
    # The token is in Set-Cookie, where scripts cannot read it, and nowhere else.
    "cookie": Transport(prepare=enforce_csrf, finish=_nothing, disclose=_no_secret),
    "bearer": Transport(prepare=_put_bearer_session, finish=_set_no_csrf_cookie, disclose=_token),
    "jwt": Transport(
        prepare=_put_jwt_session,
        finish=_set_no_csrf_cookie,
        disclose=partial(_tokens, as_cookie=False),
    ),
}
"""By the word a sign-in names them with; ``store.transport`` is the same word."""

_BY_REFRESH_COOKIE = Transport(
    prepare=_prepare_for_refresh_cookie,
    finish=_nothing,
    disclose=partial(_tokens, as_cookie=True),
)
