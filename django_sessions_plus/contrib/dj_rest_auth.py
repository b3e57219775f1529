"""For dj-rest-auth with JWTs: its cookies, and a class for its access tokens."""

from __future__ import annotations

from typing import Any

from dj_rest_auth import jwt_auth
from dj_rest_auth.app_settings import api_settings
from django.http import HttpResponse

from django_sessions_plus.contrib.simplejwt import JWTAuthentication


class JWTCookieAuthentication(jwt_auth.JWTCookieAuthentication, JWTAuthentication):  # type: ignore[misc]
    """Its class of the same name, which also refuses what ``contrib.simplejwt.JWTAuthentication`` does."""


def refresh_cookie_name() -> str | None:
    """Return the name of its cookie with the refresh token; None if it sets none."""
    name: Any = api_settings.JWT_AUTH_REFRESH_COOKIE
    return name or None


def delete_cookies(response: HttpResponse) -> None:
    """Have the browser delete its cookies, which have a path and a domain of their own."""
    jwt_auth.unset_jwt_cookies(response)
