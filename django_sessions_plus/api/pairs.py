"""How a pair of tokens reaches the client and the refresh token comes back: in the body, or as a cookie.

Never both. The cookie is sent to the address of the refresh alone (``Path``), scripts
cannot read it, and whoever uses it is held to CSRF rules as with the session cookie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from django_sessions_plus.api.fields import MomentField
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import config
from django_sessions_plus.jwt.refresh import IssuedTokens

APP_NAME = "django_sessions_plus_api"
FIELD = "refresh"


class TokensSerializer(serializers.Serializer[Any]):
    """A pair of tokens, as whoever keeps them gets it."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_in = serializers.IntegerField()
    refresh_expires_at = MomentField()


@sensitive_variables()
def put_pair(
    request: Request,
    response: Response,
    pair: IssuedTokens,
    store: SessionStore,
    *,
    as_cookie: bool,
) -> None:
    """Add a pair to the body of the response; with ``as_cookie`` the refresh token is a cookie instead."""
    body = dict(TokensSerializer(pair).data)
    if as_cookie:
        del body[FIELD]
        _set_cookie(request, response, pair, store)
    response.data = {**response.data, **body}


def clear_refresh_cookie(request: Request, response: Response) -> None:
    """Have the browser drop its refresh token, which is of a session that this request has ended."""
    response.delete_cookie(
        config.REFRESH_COOKIE_NAME,
        path=_path(request),
        domain=settings.SESSION_COOKIE_DOMAIN,
        samesite=_same_site(),
    )


def is_by_cookie(request: Request) -> bool:
    """Tell whether a refresh token is presented as a cookie; one in the body comes first."""
    is_in_body = isinstance(request.data, Mapping) and FIELD in request.data
    return not is_in_body and config.REFRESH_COOKIE_NAME in request.COOKIES


def presented_refresh(request: Request) -> Any:
    """Return what is presented as a refresh token; None if there is nothing, or no place for it."""
    if is_by_cookie(request):
        return request.COOKIES[config.REFRESH_COOKIE_NAME]
    return request.data.get(FIELD) if isinstance(request.data, Mapping) else None


def _set_cookie(
    request: Request, response: Response, pair: IssuedTokens, store: SessionStore
) -> None:
    response.set_cookie(
        config.REFRESH_COOKIE_NAME,
        pair.refresh,
        # As if used now: what follows this refresh is a use, and sends no cookie that could be renewed.
        max_age=None if store.get_expire_at_browser_close() else max(0, store.get_expiry_age()),
        path=_path(request),
        domain=settings.SESSION_COOKIE_DOMAIN,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite=_same_site(),
    )


def _path(request: Request) -> str:
    """Return the address of the refresh among the endpoints that serve this request."""
    match = request._request.resolver_match
    return reverse(f"{(match and match.namespace) or APP_NAME}:token-refresh")


def _same_site() -> Any:
    # Nothing else than the site's own scripts has a use for it, whatever the session cookie is for.
    wanted = settings.SESSION_COOKIE_SAMESITE
    return wanted if wanted in ("Lax", "Strict") else "Lax"
