"""Send a pair of tokens to the client, and read the refresh token: in the body, or as a cookie.

Never both. Browsers send the cookie only to these endpoints (``Path``); the refresh and the sign-out
read it. Scripts cannot read it, and requests that use it need the CSRF check, as with the session
cookie.
"""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import commonpath
from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from django_sessions_plus.api import old_tokens
from django_sessions_plus.api.fields import UtcDateTimeField
from django_sessions_plus.backends import changes
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import config
from django_sessions_plus.http.plain_http import log_plain_http
from django_sessions_plus.jwt.issuing import IssuedTokens

APP_NAME = "django_sessions_plus_api"
FIELD = "refresh"


class TokensSerializer(serializers.Serializer[Any]):
    """A pair of tokens in a response body."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_in = serializers.IntegerField()
    refresh_expires_at = UtcDateTimeField()


@sensitive_variables()
def put_pair(
    request: Request,
    response: Response,
    pair: IssuedTokens,
    store: SessionStore,
    *,
    as_cookie: bool,
) -> None:
    """Add a pair to the body of the response; with ``as_cookie``, set the refresh token as a cookie instead."""
    log_plain_http(request._request, store)
    body = dict(TokensSerializer(pair).data)
    if as_cookie:
        del body[FIELD]
        if old_cookie_name(request) is not None:
            # Or the browser would send both.
            old_tokens.delete_cookies(response)
        _set_cookie(request, response, pair, store)
    response.data = {**response.data, **body}


def clear_refresh_cookie(request: Request, response: Response) -> None:
    """Delete the refresh cookie, after its session was ended."""
    response.delete_cookie(
        config.REFRESH_COOKIE_NAME,
        path=_path(request),
        domain=settings.SESSION_COOKIE_DOMAIN,
        samesite=_same_site(),
    )


def is_by_cookie(request: Request) -> bool:
    """Return whether the refresh token is presented as a cookie; one in the body takes precedence."""
    is_in_body = isinstance(request.data, Mapping) and FIELD in request.data
    return not is_in_body and _cookie_name(request) is not None


def presented_refresh(request: Request) -> Any:
    """Return the presented refresh token, unchecked; None if there is none."""
    name = _cookie_name(request)
    if name is not None and is_by_cookie(request):
        return request.COOKIES[name]
    return presented_in_body(request)


def presented_in_body(request: Request) -> Any:
    """Return the refresh token in the body, unchecked; None if there is none."""
    return request.data.get(FIELD) if isinstance(request.data, Mapping) else None


def presented_attempt(request: Request) -> Any:
    """Return the attempt that is presented with a refresh token, unchecked; None if there is none."""
    return request.data.get("attempt") if isinstance(request.data, Mapping) else None


def old_cookie_name(request: Request) -> str | None:
    """Return the name of another package's refresh cookie, if it is read in this request; else None.

    Only where the browser will send ours, which replaces it.
    """
    if config.REFRESH_COOKIE_NAME in request.COOKIES:
        return None
    name = old_tokens.cookie_name(request)
    try:
        is_ours_sent = name is not None and _is_below(request.path, _path(request))
    except NoReverseMatch:
        # The refresh alone is mounted, at an address of the project.
        return None
    return name if is_ours_sent else None


def _cookie_name(request: Request) -> str | None:
    if config.REFRESH_COOKIE_NAME in request.COOKIES:
        return config.REFRESH_COOKIE_NAME
    return old_cookie_name(request)


def _set_cookie(
    request: Request, response: Response, pair: IssuedTokens, store: SessionStore
) -> None:
    response.set_cookie(
        config.REFRESH_COOKIE_NAME,
        pair.refresh,
        max_age=None if store.get_expire_at_browser_close() else _cookie_age(pair, store),
        path=_path(request),
        domain=settings.SESSION_COOKIE_DOMAIN,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite=_same_site(),
    )


def _cookie_age(pair: IssuedTokens, store: SessionStore) -> int:
    if changes.may_lengthen(store.row, store):
        # As if the session were used now: later requests send the access token and move the expiry, but this
        # cookie is only set again by a refresh.
        return max(0, store.get_expiry_age())
    return max(0, round((pair.refresh_expires_at - timezone.now()).total_seconds()))


def _path(request: Request) -> str:
    """Return the common path of the refresh and sign-out endpoints, for the API that serves this request."""
    match = request._request.resolver_match
    namespace = (match and match.namespace) or APP_NAME
    return commonpath(reverse(f"{namespace}:{name}") for name in ("token-refresh", "sign-out"))


def _is_below(path: str, cookie_path: str) -> bool:
    """Return whether a browser sends a cookie with this path there: whole segments match (RFC 6265 section 5.1.4)."""
    return f"{path}/".startswith(f"{cookie_path.rstrip('/')}/")


def _same_site() -> Any:
    # Only the site's own scripts need it, even if other sites may send the session cookie.
    wanted = settings.SESSION_COOKIE_SAMESITE
    return wanted if wanted in ("Lax", "Strict") else "Lax"
