"""How a request says who it is: headers, made from a session's number, for each contender."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings

from benchmarks import keys, loads
from benchmarks.config import Sizes

Headers = dict[str, str]


def cookie(value: str) -> Headers:
    """Return a session cookie."""
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={value}"}


def headers_of(kind: str, number: int, sizes: Sizes) -> Headers:
    """Return the headers of a request in session ``number``."""
    return dict(_cached_headers(kind, number, sizes))


@cache
def _cached_headers(kind: str, number: int, sizes: Sizes) -> Headers:
    return KINDS[kind](number, sizes)


@cache
def user_of(number: int, sizes: Sizes) -> Any:
    """Return the user of session ``number``."""
    return apps.get_model("auth.User").objects.get(pk=keys.user_key(number, sizes.users))


def _cookie(number: int, sizes: Sizes) -> Headers:
    return cookie(keys.session_token(number))


def _signed_cookie(number: int, sizes: Sizes) -> Headers:
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store.update(loads.session_data(user_of(number, sizes)))
    store.save()
    return cookie(store.session_key)


def _bearer(number: int, sizes: Sizes) -> Headers:
    return {"Authorization": f"Bearer {keys.session_token(number)}"}


def _token(number: int, sizes: Sizes) -> Headers:
    token = keys.session_token(keys.user_key(number, sizes.users))
    return {"Authorization": f"Token {token}"}


def _knox(number: int, sizes: Sizes) -> Headers:
    return {"Authorization": f"Token {keys.session_token(number) * 2}"}


def _simplejwt(number: int, sizes: Sizes) -> Headers:
    make: Any = import_module("rest_framework_simplejwt.tokens").AccessToken
    token = make.for_user(user_of(number, sizes))
    token.set_exp(lifetime=timedelta(days=1))
    return {"Authorization": f"Bearer {token}"}


def _plus_jwt(number: int, sizes: Sizes) -> Headers:
    """Return an access token that names the session of this number."""
    store = import_module(settings.SESSION_ENGINE).SessionStore(keys.session_token(number))
    store.load_if_needed()
    issued = import_module("django_sessions_plus.jwt.access").issue(store.row)
    return {"Authorization": f"Bearer {issued.token}"}


def _allauth(number: int, sizes: Sizes) -> Headers:
    return {"X-Session-Token": keys.session_token(number)}


KINDS: dict[str, Callable[[int, Sizes], Headers]] = {
    "cookie": _cookie,
    "signed_cookie": _signed_cookie,
    "bearer": _bearer,
    "token": _token,
    "knox": _knox,
    "simplejwt": _simplejwt,
    "plus_jwt": _plus_jwt,
    "allauth": _allauth,
}
