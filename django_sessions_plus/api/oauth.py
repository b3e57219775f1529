"""Introspection (RFC 7662) and revocation (RFC 7009) of tokens, for other services; opt-in.

These speak as the RFCs do and not as the other endpoints: bodies are forms, and errors are
``{"error": ..., "error_description": ...}`` (RFC 6749 section 5.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.http import QueryDict
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from rest_framework.exceptions import ParseError
from rest_framework.parsers import FormParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus import inspecting
from django_sessions_plus.api import errors
from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    SessionTokenAuthentication,
)
from django_sessions_plus.api.requests import is_person, session_of
from django_sessions_plus.api.throttling import RateThrottle, SignInThrottle
from django_sessions_plus.api.views import SessionsPlusView
from django_sessions_plus.conf import config
from django_sessions_plus.inspecting import Found

PERMISSION = "django_sessions_plus.introspect_token"

FIELD = "token"

# RFC 6749 section 5.2, RFC 6750 section 3.1. In English and in ASCII, as these have it.
ERRORS = {
    "invalid_request": "The request is malformed: it takes a form with one parameter token.",
    "invalid_token": "The caller presents no token, or one that is no good.",
    "insufficient_scope": "The caller may not ask about tokens.",
    "temporarily_unavailable": "Too many requests, or the service is not ready. Try again later.",
    "server_error": "The service failed.",
}
"""What each ``error`` says of itself in ``error_description``."""

_BY_STATUS = {
    401: "invalid_token",
    403: "insufficient_scope",
    429: "temporarily_unavailable",
    503: "temporarily_unavailable",
}
SCOPE_CHALLENGE = f'{errors.CHALLENGE}, error="insufficient_scope"'
"""The challenge of every 403 (RFC 6750 section 3.1)."""

TOKEN_TYPES = {"session": "Bearer", "access": "Bearer", "refresh": "refresh_token"}
"""By the kind of token. Whoever takes tokens for an API must accept ``Bearer`` alone."""


class Form(FormParser):
    """Read a form in UTF-8, no larger than ``DATA_UPLOAD_MAX_MEMORY_SIZE``."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the parameters.

        Raises:
            RequestDataTooBig: the body is too large.
            TooManyFieldsSent: there are too many parameters.
        """
        request: Request = (parser_context or {})["request"]
        # By Django's own attribute, which knows the limit; the stream does not.
        return QueryDict(request._request.body, encoding="utf-8")


class MayIntrospect(BasePermission):
    """Let through who has the permission ``introspect_token``."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the caller may ask about other people's tokens."""
        return is_person(request) and request.user.has_perm(PERMISSION)


class IntrospectThrottle(RateThrottle):
    """``SESSIONS_PLUS_INTROSPECT_RATE`` for each session of a service that asks."""

    scope = "introspect"

    def rate(self) -> str | None:
        """Return the present rate."""
        return config.INTROSPECT_RATE

    def whose(self, request: Request) -> str:
        """Return the session's id."""
        return str(session_of(request).row)


class RevokeTokenThrottle(SignInThrottle):
    """``SESSIONS_PLUS_REVOKE_TOKEN_RATE`` for each client address."""

    scope = "revoke-token"

    def rate(self) -> str | None:
        """Return the present rate."""
        return config.REVOKE_TOKEN_RATE


@method_decorator(sensitive_post_parameters(FIELD), name="dispatch")
class OAuthView(SessionsPlusView):
    """What both endpoints have in common: forms in, JSON out, the errors of OAuth."""

    parser_classes = [Form]
    http_method_names = ["post"]

    def get_exception_handler(self) -> Any:
        """Return what answers as OAuth does."""
        return exception_handler


class IntrospectView(OAuthView):
    """What a token is good for (RFC 7662)."""

    # Not by cookie: services ask, and what no browser sends by itself needs no CSRF token.
    authentication_classes = [AccessTokenAuthentication, SessionTokenAuthentication]
    permission_classes = [MayIntrospect]
    throttle_classes = [IntrospectThrottle]

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Return what there is to know of an active token, and of any other that it is not active."""
        found = inspecting.find(token_of(request))
        user = None if found is None else inspecting.active_user(found)
        if found is None or user is None:
            return Response({"active": False})
        return Response(_description(found, user))


class RevokeTokenView(OAuthView):
    """A token that is given up (RFC 7009)."""

    # Whoever has the token may do so; who else they are makes no difference.
    authentication_classes = []
    throttle_classes = [RevokeTokenThrottle]

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """End the session of the token. The answer is the same for one that was no good (section 2.2)."""
        found = inspecting.find(token_of(request))
        if found is not None:
            inspecting.end(found)
        return Response({})


def token_of(request: Request) -> str:
    """Return the parameter ``token``; ``token_type_hint`` is not needed, for each kind has its own form.

    Raises:
        ParseError: it is missing, empty, or there more than once (RFC 6749 section 3.2).
    """
    data = request.data
    given = data.getlist(FIELD) if isinstance(data, QueryDict) else []
    if len(given) != 1 or not given[0]:
        raise ParseError
    return str(given[0])


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer ``exc`` as OAuth does; None for what is no refusal but a defect."""
    response = errors.exception_handler(exc, context)
    if response is None:
        return None
    response.data = body_of(response.status_code)
    if response.status_code == 403:
        response["WWW-Authenticate"] = SCOPE_CHALLENGE
    return response


def body_of(status: int) -> dict[str, str]:
    """Return the body of a refusal, which the status decides."""
    error = _BY_STATUS.get(status, "invalid_request" if status < 500 else "server_error")
    return {"error": error, "error_description": ERRORS[error]}


def _description(found: Found, user: Any) -> dict[str, Any]:
    """Return the answer for an active token. Address and device are the person's own business."""
    body = {
        "active": True,
        "token_type": TOKEN_TYPES[found.kind],
        "sub": str(user.pk),
        "username": user.get_username(),
        "sid": str(found.row.pk),
        "iss": config.JWT_ISSUER,
        "iat": found.issued_at,
        "exp": found.expires_at,
    }
    if found.claims is not None:
        body |= {name: found.claims.all[name] for name in ("aud", "nbf", "jti")}
    return body
