"""What the API refuses with: every code, its HTTP status and its words, in one table.

The words are fixed for each code and never repeat what the client sent. The exceptions
carry the same body, so that they read the same under a project's own exception handler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings

CHALLENGE = 'Bearer realm="api"'
"""The challenge of every 401 (RFC 6750 section 3)."""

# One text for all that can be wrong with a token, as RFC 6750 words it: the header is
# meant for machines, and these have the code.
TOKEN_CHALLENGE = (
    f'{CHALLENGE}, error="invalid_token", '
    'error_description="The token is malformed, or its session has ended"'
)
"""The challenge where a token was presented and is no good."""

# In the words of RFC 6750 section 3. That a token has expired is told of genuine ones only.
EXPIRED_CHALLENGE = (
    f'{CHALLENGE}, error="invalid_token", error_description="The access token expired"'
)
"""The challenge where an access token was presented that a refresh can replace."""

NOT_OF_A_FIELD = "non_field_errors"
"""The key in ``fields`` of what is wrong with the body as a whole."""


@dataclass(frozen=True)
class Error:
    """How one code is answered."""

    status: int
    detail: Any
    challenge: str = CHALLENGE


ERRORS: dict[str, Error] = {
    "invalid": Error(400, _("Some of the fields are missing or wrong.")),
    "parse_error": Error(400, _("The request could not be read.")),
    "session_interrupted": Error(
        400, _("The session ended, or was renewed, while the request was served.")
    ),
    "not_authenticated": Error(401, _("Sign in first.")),
    "invalid_token": Error(401, _("This is not a token."), TOKEN_CHALLENGE),
    "token_expired": Error(401, _("The access token has expired. Refresh it."), EXPIRED_CHALLENGE),
    "session_ended": Error(401, _("The session has ended. Sign in again."), TOKEN_CHALLENGE),
    # 403 from reauthenticate, see WrongPasswordError.
    "invalid_credentials": Error(401, _("The credentials are wrong.")),
    "permission_denied": Error(403, _("You may not do this.")),
    "csrf_failed": Error(
        403, _("The CSRF token is missing or wrong, or the request comes from another site.")
    ),
    "reauthentication_required": Error(403, _("Enter your password again first.")),
    "not_found": Error(404, _("There is nothing here.")),
    "method_not_allowed": Error(405, _("This address does not take that method.")),
    "request_too_large": Error(413, _("The request is too large.")),
    "unsupported_media_type": Error(415, _("Send JSON.")),
    "throttled": Error(429, _("Too many attempts. Try again later.")),
}
"""Every code the endpoints answer with."""


class ApiError(exceptions.APIException):
    """Be the root of the API's own refusals; the subclass names a code of the table."""

    code = "permission_denied"
    status: int | None = None
    """The HTTP status, where it is not the table's."""

    def __init__(self) -> None:
        super().__init__(body_of(self.code), self.code)
        self.status_code = self.status or ERRORS[self.code].status


class InvalidTokenError(ApiError, exceptions.AuthenticationFailed):
    """Refuse a bearer credential that cannot be a token of ours."""

    code = "invalid_token"


class AccessExpiredError(ApiError, exceptions.AuthenticationFailed):
    """Refuse an access token that was good until it expired, or until somebody authenticated again."""

    code = "token_expired"


class SessionEndedError(ApiError, exceptions.AuthenticationFailed):
    """Refuse a token that opens nothing.

    With ``reason``, a word of ``policy.OverReason``, where it is the very token of a session that
    has ended or expired. Without it those that are unknown and those that were rotated away look
    the same.
    """

    code = "session_ended"

    def __init__(self, reason: str | None = None) -> None:
        super().__init__()
        self.reason = reason
        if reason is not None:
            # The exception's detail is the body under a project's own handler.
            self.detail = {**self.detail, "reason": exceptions.ErrorDetail(reason, self.code)}  # type: ignore[dict-item]


class InvalidCredentialsError(ApiError, exceptions.AuthenticationFailed):
    """Refuse a sign-in: no such user, an inactive one, or a wrong password."""

    code = "invalid_credentials"


class WrongPasswordError(ApiError):
    """Refuse a re-authentication.

    403 and not 401: the session is as good as before, and a client that takes a 401
    for its end must not sign the person out over a typing error.
    """

    code = "invalid_credentials"
    status = 403


class CsrfFailedError(ApiError):
    """Refuse a request by cookie that may come from another site."""

    code = "csrf_failed"


class ReauthenticationRequiredError(ApiError):
    """Refuse a sensitive act to a session that is not fresh."""

    code = "reauthentication_required"


# The first that fits answers. Django turns what stands here into HTML; clients want the body.
_BY_TYPE: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    ((UpdateError, SessionInterrupted), "session_interrupted"),
    (Http404, "not_found"),
    (PermissionDenied, "permission_denied"),
    (RequestDataTooBig, "request_too_large"),
    ((SuspiciousOperation, BadRequest, MultiPartParserError, UnreadablePostError), "parse_error"),
)


def body_of(code: str) -> dict[str, str]:
    """Return the body of the answer for ``code``, in the active language."""
    return {"code": code, "detail": str(ERRORS[code].detail)}


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer ``exc`` for the endpoints; None for what is no refusal but a defect.

    Unlike REST framework's own it never rolls the request's transaction back: the
    endpoints write nothing before they refuse, and what a lockout package records about
    a refused sign-in has to stay.
    """
    code = _code_of(exc)
    if code in ERRORS:
        error = ERRORS[code]
        status = exc.status_code if isinstance(exc, ApiError) else error.status
        response = Response(body_of(code) | _fields(exc) | _reason(exc), status=status)
        if status == 401:
            response["WWW-Authenticate"] = error.challenge
    elif isinstance(exc, exceptions.APIException):
        # Somebody else's refusal, such as a receiver's; it has its own words.
        response = Response({"code": code, "detail": str(exc.detail)}, status=exc.status_code)
    else:
        return None
    if (wait := getattr(exc, "wait", None)) is not None:
        response["Retry-After"] = str(wait)
    return response


def _code_of(exc: Exception) -> str:
    for types, code in _BY_TYPE:
        if isinstance(exc, types):
            return code
    if not isinstance(exc, exceptions.APIException):
        return ""
    if isinstance(exc, ApiError):
        return exc.code
    if isinstance(exc.detail, exceptions.ErrorDetail):
        return exc.detail.code or exc.default_code
    # Refused by one of our permissions: the view was given the whole body as its message.
    if isinstance(exc, exceptions.PermissionDenied) and "code" in exc.detail:
        return str(exc.detail["code"])  # type: ignore[call-overload]
    return exc.default_code


def _reason(exc: Exception) -> dict[str, str]:
    reason = exc.reason if isinstance(exc, SessionEndedError) else None
    return {} if reason is None else {"reason": str(reason)}


def _fields(exc: Exception) -> dict[str, Any]:
    if not isinstance(exc, exceptions.ValidationError):
        return {}
    if not isinstance(exc.detail, dict):
        return {"fields": {NOT_OF_A_FIELD: exc.detail}}
    # A project may have given that key another name for its own views.
    other_name = api_settings.NON_FIELD_ERRORS_KEY
    return {
        "fields": {
            NOT_OF_A_FIELD if name == other_name else name: texts
            for name, texts in exc.detail.items()
        }
    }
