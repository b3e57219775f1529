"""How a response sends a new token to the client: in the cookie, or in a header if the old one came in a header."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_vary_headers

from django_sessions_plus.backends import opened
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import config
from django_sessions_plus.http.plain_http import log_plain_http, may_send_tokens
from django_sessions_plus.policy import InactiveReason

TOKEN_HEADER = "Session-Token"
"""The response header with the new session token, if the bearer token of the request was replaced."""


def read_former_cookie(request: HttpRequest) -> str | None:
    """If a request has no session cookie, use one with an earlier name, and return that name; else None.

    Its value is copied in ``request.COOKIES`` to the present name, where other code looks for it.
    """
    if settings.SESSION_COOKIE_NAME in request.COOKIES:
        return None
    for name in config.FALLBACK_COOKIE_NAMES:
        if name in request.COOKIES:
            request.COOKIES[settings.SESSION_COOKIE_NAME] = request.COOKIES[name]
            return name
    return None


def with_cookie(
    request: HttpRequest, response: HttpResponseBase, session: SessionStore
) -> HttpResponseBase:
    """Return ``response`` after setting or deleting the cookie, if ``session`` needs that."""
    if response.status_code >= 500 and _is_token_new(request, session):
        # A failed response does not send it.
        session.is_token_lost = True
    if session.transport != "cookie":
        _vary_on(response, "Authorization")
        if session.transport == "bearer":
            _send_new_token(request, response, session)
        return response
    is_cookie_invalid = session.is_empty() and not _may_have_newer_cookie(request, session)
    is_deletion_due = (
        is_cookie_invalid
        and settings.SESSION_COOKIE_NAME in request.COOKIES
        and not _is_reason_pending(request, response, session)
    )
    is_due = response.status_code < 500 and (
        session.is_cookie_due
        or session.is_cookie_outdated
        or session.former_cookie_name is not None
        or session.cookie_value is not None
    )
    token = session.session_key if is_due and not _is_import_pending(session) else None
    if is_deletion_due:
        # Also one with an earlier name, which another host of the domain may have set: otherwise it
        # would be read from now on.
        former_names = (name for name in config.FALLBACK_COOKIE_NAMES if name in request.COOKIES)
        for name in (settings.SESSION_COOKIE_NAME, *former_names):
            _delete(response, name)
    elif token is not None:
        _set(response, token, session)
    if session.accessed or token is not None or is_deletion_due:
        _vary_on(response, "Cookie")
    return response


def _is_import_pending(session: SessionStore) -> bool:
    """Return whether only the browser's cookie can import the session again, and not the token that replaces it."""
    if session.cookie_value is None or not session.has_uncommitted:
        return False
    return session.uncommitted.imported_token is not None


def _set(response: HttpResponseBase, token: str, session: SessionStore) -> None:
    if session.former_cookie_name is not None:
        _delete(response, session.former_cookie_name)
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        token,
        max_age=session.cookie_age(timezone.now()),
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=settings.SESSION_COOKIE_HTTPONLY,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


def _delete(response: HttpResponseBase, name: str) -> None:
    response.delete_cookie(
        name,
        path=settings.SESSION_COOKIE_PATH,
        domain=settings.SESSION_COOKIE_DOMAIN,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


def _may_have_newer_cookie(request: HttpRequest, session: SessionStore) -> bool:
    # A session that a view has put there is not that of the browser's cookie.
    return session.may_have_newer_cookie and session.meta is request.META


def _is_reason_pending(
    request: HttpRequest, response: HttpResponseBase, session: SessionStore
) -> bool:
    """Return whether a redirect leads to a page that may show why the session has ended: it needs the cookie."""
    if not 300 <= response.status_code < 400 or session.meta is not request.META:
        return False
    return session.inactive_reason not in (None, InactiveReason.SIGNED_OUT)


def _send_new_token(
    request: HttpRequest, response: HttpResponseBase, session: SessionStore
) -> None:
    """Send a new token, only to a client that presented the old one."""
    token = session.session_key if session.is_token_sent and session.is_cookie_due else None
    if token is None or response.status_code >= 500 or not _is_token_new(request, session):
        return
    if not may_send_tokens(request):
        session.is_token_lost = True
        return
    log_plain_http(request, session)
    response.headers[TOKEN_HEADER] = token
    # Overrides the view's own header: a cache must not send the token to anybody else.
    response.headers["Cache-Control"] = "no-store"


def _is_token_new(request: HttpRequest, session: SessionStore) -> bool:
    """Return whether the session got a new token in this request, which its client does not know yet."""
    token = session.session_key
    return (
        token is not None
        and session.has_new_token
        and session.is_cookie_due
        and session.meta is request.META
        and token != request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        and not opened.is_presented(request.META, token)
    )


def _vary_on(response: HttpResponseBase, header: str) -> None:
    # Most responses have no Vary header yet, and need no parsing.
    if response.has_header("Vary"):
        patch_vary_headers(response, (header,))
    else:
        response.headers["Vary"] = header
