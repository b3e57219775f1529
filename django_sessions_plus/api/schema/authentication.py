"""The security schemes, also for a project's own views that use the package's classes."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http.request import HttpHeaders
from drf_spectacular.drainage import set_override
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    BearerAuthentication,
    CookieAuthentication,
    SessionTokenAuthentication,
)
from django_sessions_plus.conf import config

SESSION_COOKIE = "sessionCookie"
REFRESH_COOKIE = "refreshCookie"
CSRF = "csrfToken"

_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")

# drf-spectacular would warn about these base classes, because their subclasses have schemes.
for _class in (BearerAuthentication, CookieAuthentication):
    set_override(_class, "suppress_collision_warning", True)


class SessionTokenScheme(OpenApiAuthenticationExtension):
    """``Authorization: Bearer <session token>``."""

    target_class = SessionTokenAuthentication
    match_subclasses = True
    name = "sessionToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "session token",
            "description": "The `token` of a sign-in with the transport `bearer`.",
        }


class AccessTokenScheme(OpenApiAuthenticationExtension):
    """``Authorization: Bearer <access token>``, with or without a query."""

    target_class = AccessTokenAuthentication
    match_subclasses = True
    name = "accessToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access` of a sign-in with the transport `jwt`, or of a refresh.",
        }


class CookieScheme(OpenApiAuthenticationExtension):
    """The session cookie, with the CSRF token for unsafe methods."""

    target_class = CookieAuthentication
    match_subclasses = True
    name = [SESSION_COOKIE, CSRF]

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[Any]]:
        """Return the security requirement."""
        needed = self.name[:1] if auto_schema.method in _SAFE else self.name
        return {name: [] for name in needed}

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        """Return both schemes."""
        return [cookie_schemes()[name] for name in self.name]


def cookie_schemes() -> dict[str, dict[str, Any]]:
    """Return the schemes of cookies and of the CSRF header, with the names in the project's settings."""
    return {
        SESSION_COOKIE: {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "Set by a sign-in with the transport `cookie`. Scripts cannot read it.",
        },
        REFRESH_COOKIE: {
            "type": "apiKey",
            "in": "cookie",
            "name": config.REFRESH_COOKIE_NAME,
            "description": (
                "Set by a sign-in with the transport `jwt` and `refresh_cookie`. The refresh and "
                "the sign-out read it; scripts cannot."
            ),
        },
        CSRF: {
            "type": "apiKey",
            "in": "header",
            "name": csrf_header(),
            "description": (
                f"The value of the cookie `{settings.CSRF_COOKIE_NAME}`, which `GET session` sets. "
                "Without it a browser could be made to send the request by another site."
            ),
        },
    }


def csrf_header() -> str:
    """Return the name of the header with the CSRF token, as clients write it."""
    name = HttpHeaders.parse_header_name(settings.CSRF_HEADER_NAME) or settings.CSRF_HEADER_NAME
    return "X-CSRFToken" if name == "X-Csrftoken" else name
