"""Refresh tokens of another package at the endpoints of this one, while ``SESSIONS_PLUS_IMPORT_FROM`` names it.

What knows them is loaded by dotted paths, because the package and the tables are only there until the switch is done.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import apps
from django.http import HttpResponse
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request

from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import config
from django_sessions_plus.jwt.issuing import IssuedTokens

SIMPLEJWT = "simplejwt"


def may_be_presented() -> bool:
    """Return whether a refresh token of another package may be presented."""
    return SIMPLEJWT in config.IMPORT_FROM


@sensitive_variables()
def read(token: object, attempt: Any = None) -> Any:
    """Return a refresh token of another package, with the attempt that came with it; None for any other. No query."""
    if not may_be_presented():
        return None
    old = _exchanging().read(token)
    return None if old is None else old.with_attempt(attempt)


def exchange(old: Any, store: SessionStore, request: Request) -> IssuedTokens | None:
    """Return the pair for a token that ``read()`` returned; None if its own package has to answer."""
    pair: IssuedTokens | None = _exchanging().exchange(old, store=store, request=request._request)
    return pair


@sensitive_variables()
def answer_of_package(old: Any, token: Any) -> dict[str, Any]:
    """Return what the endpoint of the token's own package answers; raise TokenError if it refuses the token."""
    answer: dict[str, Any] = _exchanging().package_of(old.source).refresh(token)
    return answer


def end(old: Any, store: SessionStore) -> Any:
    """Sign out by a token that ``read()`` returned, and return its user; None if there is none."""
    return _exchanging().end(old, store)


def cookie_name(request: Request) -> str | None:
    """Return the name of the cookie with a refresh token of another package, if the request has it; else None."""
    if not may_be_presented() or own_engine() is None or not apps.is_installed("dj_rest_auth"):
        return None
    name: str | None = _cookies().refresh_cookie_name()
    return name if name in request.COOKIES else None


def delete_cookies(response: HttpResponse) -> None:
    """Have the browser delete the cookies of the other package."""
    _cookies().delete_cookies(response)


def _exchanging() -> Any:
    return import_module("django_sessions_plus.switching.exchanging")


def _cookies() -> Any:
    return import_module("django_sessions_plus.contrib.dj_rest_auth")
