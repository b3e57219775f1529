"""How a session reaches the client at sign-in, and how its token is told.

One entry in ``TRANSPORTS`` is all that a further transport needs here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest

from django_sessions_plus.api.authentication import enforce_csrf, put_bearer_session
from django_sessions_plus.backends.db import SessionStore

DEFAULT_TRANSPORT = "cookie"


@dataclass(frozen=True)
class Transport:
    """What sign-in does differently."""

    prepare: Callable[[HttpRequest], None]
    """Before the password is looked at: checks, and the session to sign in to."""
    finish: Callable[[HttpRequest], None]
    """After the sign-in."""
    disclose: Callable[[SessionStore], dict[str, str]]
    """What the body tells of the session's secrets, once it is saved."""


def _put_new_session(http_request: HttpRequest) -> None:
    # Neither read nor ended: the cookie's session is another one's business.
    put_bearer_session(http_request, None)


def _set_no_csrf_cookie(http_request: HttpRequest) -> None:
    # Signing in has Django renew it, for the sake of a cookie that is not set.
    http_request.META["CSRF_COOKIE_NEEDS_UPDATE"] = False


def _nothing(http_request: HttpRequest) -> None:
    """Do nothing."""


def _no_secret(store: SessionStore) -> dict[str, str]:
    return {}


def _token(store: SessionStore) -> dict[str, str]:
    return {"token": store.session_key or ""}


TRANSPORTS: dict[str, Transport] = {
    # The token is in Set-Cookie, where scripts cannot read it, and nowhere else.
    "cookie": Transport(prepare=enforce_csrf, finish=_nothing, disclose=_no_secret),
    "bearer": Transport(prepare=_put_new_session, finish=_set_no_csrf_cookie, disclose=_token),
}
"""By the word a sign-in names them with; ``store.transport`` is the same word."""
