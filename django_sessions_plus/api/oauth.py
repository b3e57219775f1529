"""Introspection (RFC 7662) and revocation (RFC 7009) of tokens, for other services; opt-in.

These follow the RFCs, unlike the other endpoints: bodies are forms, and errors are
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

from django_sessions_plus.api import error_handling, errors
from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    SessionTokenAuthentication,
)
from django_sessions_plus.api.base import SessionsPlusView
from django_sessions_plus.api.requests import is_signed_in, read_body, session_of
from django_sessions_plus.api.throttling import AddressThrottle, RateThrottle
from django_sessions_plus.conf import callables
from django_sessions_plus.http.hidden import forget_body, hide_form
from django_sessions_plus.jwt import inspecting
from django_sessions_plus.jwt.inspecting import InspectedToken

PERMISSION = "django_sessions_plus.introspect_token"

FIELD = "token"

# RFC 6749 section 5.2, RFC 6750 section 3.1. Not translated, because they must be ASCII.
ERRORS = {
    "invalid_request": "The request is malformed: it takes a form with one parameter token.",
    "invalid_token": "The caller presents no token, or one that is no good.",
    "insufficient_scope": "The caller may not ask about tokens.",
    "temporarily_unavailable": "Too many requests, or the service is not ready. Try again later.",
    "server_error": "The service failed.",
}
"""The ``error_description`` of each ``error``."""

_BY_STATUS = {
    401: "invalid_token",
    403: "insufficient_scope",
    429: "temporarily_unavailable",
    503: "temporarily_unavailable",
}
SCOPE_CHALLENGE = f'{errors.CHALLENGE}, error="insufficient_scope"'
"""The challenge of every 403 (RFC 6750 section 3.1)."""

TOKEN_TYPES = {"session": "Bearer", "access": "Bearer", "refresh": "refresh_token"}
"""By the kind of token. An API must accept only tokens of the type ``Bearer``."""


class Form(FormParser):
    """Parse a form in UTF-8, no larger than ``DATA_UPLOAD_MAX_MEMORY_SIZE``."""

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
        # HttpRequest.body enforces the size limit; ``stream``, in REST framework before 3.18, does not.
        form = QueryDict(request._request.body, encoding="utf-8")
        forget_body(request._request)
        return hide_form(form)


class MayIntrospect(BasePermission):
    """Allow users with the permission ``introspect_token``."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the caller may introspect tokens of other users."""
        return is_signed_in(request) and request.user.has_perm(PERMISSION)


class IntrospectThrottle(RateThrottle):
    """The rate ``introspect`` for each session of a service."""

    scope = "introspect"

    def attempt_key(self, request: Request) -> str:
        """Return the session's id."""
        return str(session_of(request).row)


class RevokeTokenThrottle(AddressThrottle):
    """The rate ``revoke_token`` for each client address."""

    scope = "revoke_token"


@method_decorator(sensitive_post_parameters(FIELD), name="dispatch")
class OAuthView(SessionsPlusView):
    """The base class of both endpoints: forms, JSON responses, and the errors of OAuth."""

    parser_classes = [Form]
    http_method_names = ["post"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Read the body before the caller's session, so that the token is hidden if that query fails.

        Raises:
            ParseError: it cannot be read.
            UnsupportedMediaType: it is no form.
            RequestDataTooBig: it is too large.
        """
        read_body(request)
        super().initial(request, *args, **kwargs)

    def get_exception_handler(self) -> Any:
        """Return the handler that returns the errors of OAuth."""
        return exception_handler


class IntrospectView(OAuthView):
    """Describe a token (RFC 7662)."""

    # Not by cookie: only services use it, and a header needs no CSRF token.
    authentication_classes = [AccessTokenAuthentication, SessionTokenAuthentication]
    permission_classes = [MayIntrospect]
    throttle_classes = [IntrospectThrottle]

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Return the description of an active token; for any other only that it is not active.

        Raises:
            ParseError: the parameter ``token`` is missing, empty, or given more than once.
        """
        found = inspecting.find(token_of(request), request=request._request)
        user = None if found is None else inspecting.active_user(found)
        if found is None or user is None:
            return Response({"active": False})
        return Response(_description(request, found, user))


class RevokeTokenView(OAuthView):
    """Revoke a token (RFC 7009)."""

    # The holder of a token may revoke it, so no other authentication is needed.
    authentication_classes = []
    throttle_classes = [RevokeTokenThrottle]

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """End the session of the token. The response is the same for an invalid token (section 2.2).

        Raises:
            ParseError: the parameter ``token`` is missing, empty, or given more than once.
        """
        found = inspecting.find(token_of(request), request=request._request)
        if found is not None:
            inspecting.end(found)
        return Response({})


def token_of(request: Request) -> str:
    """Return the parameter ``token``; ``token_type_hint`` is ignored, because each kind has its own form.

    Raises:
        ParseError: it is missing, empty, or given more than once (RFC 6749 section 3.2).
    """
    data = request.data
    given = data.getlist(FIELD) if isinstance(data, QueryDict) else []
    if len(given) != 1 or not given[0]:
        raise ParseError
    # Not str(): that would be a copy, which error reports do not hide.
    token: str = given[0]
    return token


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Return the OAuth error response for ``exc``; None if it is an unexpected exception."""
    response = error_handling.exception_handler(exc, context)
    if response is None:
        return None
    response.data = body_of(response.status_code)
    if response.status_code == 403:
        response["WWW-Authenticate"] = SCOPE_CHALLENGE
    return response


def body_of(status: int) -> dict[str, str]:
    """Return the error body for a status."""
    error = _BY_STATUS.get(status, "invalid_request" if status < 500 else "server_error")
    return {"error": error, "error_description": ERRORS[error]}


def _description(request: Request, found: InspectedToken, user: Any) -> dict[str, Any]:
    """Return the description of an active token, without address and device, which are private."""
    body = {
        "active": True,
        "token_type": TOKEN_TYPES[found.kind],
        "sub": str(user.pk),
        "username": user.get_username(),
        "sid": str(found.row.pk),
        "iss": callables.jwt_issuer(request._request),
        "iat": found.issued_at,
        "exp": found.expires_at,
    }
    if found.claims is not None:
        body |= {name: found.claims.all[name] for name in ("aud", "nbf", "jti")}
    return body
