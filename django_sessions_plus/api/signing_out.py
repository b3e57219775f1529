"""Sign-out: end the session of a request, by any of its credentials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_out
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request
from rest_framework.response import Response

from django_sessions_plus.api import old_tokens
from django_sessions_plus.api.pairs import clear_refresh_cookie
from django_sessions_plus.api.requests import session_of
from django_sessions_plus.api.responses import EndResponse
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.conf import config
from django_sessions_plus.jwt import inspecting


def sign_out(request: Request) -> EndResponse:
    """End the current session, if there is one, and return the response that deletes the client's credentials.

    Raises:
        NotInUseError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    store = session_of(request)
    has_refresh_token = store.transport == "jwt" and store.row is not None
    logout(request._request)
    response = EndResponse(status=204)
    clear_site_data(response)
    if has_refresh_token:
        clear_refresh_cookie(request, response)
    return response


def sign_out_by_cookies(request: Request) -> Response:
    """End the sessions of the session cookie and of the refresh cookie, if they are sent.

    A page that kept its access token in memory has only the refresh cookie after a reload. The caller
    has to run the CSRF check.

    Raises:
        NotInUseError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    has_refresh_cookie = config.REFRESH_COOKIE_NAME in request.COOKIES
    old_name = old_tokens.cookie_name(request)
    if has_refresh_cookie:
        end_by_refresh_token(request, lambda: request.COOKIES[config.REFRESH_COOKIE_NAME])
    if old_name is not None:
        end_by_refresh_token(request, lambda: request.COOKIES[old_name])
    response = sign_out(request)
    if has_refresh_cookie:
        clear_refresh_cookie(request, response)
    if old_name is not None:
        old_tokens.delete_cookies(response)
    return response


def clear_site_data(response: Response) -> None:
    """Have the browser delete the site's data, if ``SESSIONS_PLUS_CLEAR_SITE_DATA`` says so."""
    if config.CLEAR_SITE_DATA:
        response["Clear-Site-Data"] = ", ".join(f'"{kind}"' for kind in config.CLEAR_SITE_DATA)


@sensitive_variables()
def end_by_refresh_token(request: Request, present: Callable[[], Any]) -> None:
    """End the session of the refresh token that ``present`` returns, and send ``user_logged_out``; see ``inspecting``.

    The token is in no variable during a query, because error reports show variables.
    """
    old = old_tokens.read(present())
    found = None if old is not None else inspecting.find_refresh(present())
    if old is not None:
        user = old_tokens.end(old, new_store())
    elif found is None:
        return
    else:
        user = inspecting.active_user(found)
        user = user if inspecting.end(found) else None
    if user is not None:
        user_logged_out.send(sender=type(user), request=request._request, user=user)
