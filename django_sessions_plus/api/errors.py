"""The errors of the API: every code, its HTTP status and its message, in one table.

The message of a code is fixed and never contains what the client sent. The exceptions have the same
body, so that a project's own exception handler returns the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions

CHALLENGE = 'Bearer realm="api"'
"""The challenge of every 401 (RFC 6750 section 3)."""

# The same text for every invalid token, and in English: it is for developers. Programs read the code
# in the body.
TOKEN_CHALLENGE = (
    f'{CHALLENGE}, error="invalid_token", '
    'error_description="The token is malformed, or its session has ended"'
)
"""The challenge if a presented token is invalid."""

# The text of RFC 6750 section 3. Only sent for genuine tokens.
EXPIRED_CHALLENGE = (
    f'{CHALLENGE}, error="invalid_token", error_description="The access token expired"'
)
"""The challenge if a presented access token has expired and can be refreshed."""

NOT_OF_A_FIELD = "non_field_errors"
"""The key in ``fields`` of errors that concern the whole body."""


@dataclass(frozen=True)
class Error:
    """Status, message and challenge of one code."""

    status: int
    detail: Any
    challenge: str = CHALLENGE


ERRORS: dict[str, Error] = {
    "invalid": Error(400, _("Some of the fields are missing or wrong.")),
    "parse_error": Error(400, _("The request could not be read.")),
    "session_interrupted": Error(
        400,
        _("The session ended or was renewed, or another user signed in to it, during the request."),
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
    "https_required": Error(403, _("Tokens are handed out over HTTPS only.")),
    "reauthentication_required": Error(403, _("Enter your password again first.")),
    "second_factor_required": Error(
        403, _("The password is not enough for this account. Sign in on the website.")
    ),
    "verification_required": Error(
        403, _("Confirm your e-mail address or telephone number first, on the website.")
    ),
    "not_found": Error(404, _("There is nothing here.")),
    "method_not_allowed": Error(405, _("This address does not take that method.")),
    "request_too_large": Error(413, _("The request is too large.")),
    "unsupported_media_type": Error(415, _("Send JSON.")),
    "throttled": Error(429, _("Too many attempts. Try again later.")),
    "unavailable": Error(503, _("This cannot be done just now. Try again later.")),
    "not_in_use": Error(503, _("This is not in use on this site yet.")),
}
"""Every error code of the endpoints."""


class ApiError(exceptions.APIException):
    """The base class of the API's own errors; each subclass has a code of the table."""

    code = "permission_denied"
    status: int | None = None
    """The HTTP status, if it is not that of the table."""

    def __init__(self) -> None:
        super().__init__(body_of(self.code), self.code)
        self.status_code = self.status or ERRORS[self.code].status


class InvalidTokenError(ApiError, exceptions.AuthenticationFailed):
    """The bearer credential is no token of this site."""

    code = "invalid_token"


class AccessExpiredError(ApiError, exceptions.AuthenticationFailed):
    """The access token has expired, or is from before the last authentication; the client should refresh it."""

    code = "token_expired"


class SessionEndedError(ApiError, exceptions.AuthenticationFailed):
    """The token has no active session.

    ``reason`` is a ``policy.InactiveReason`` if the token is the last one of a session that has ended or
    expired; else None, so that unknown and rotated tokens cannot be distinguished.
    """

    code = "session_ended"

    def __init__(self, reason: str | None = None) -> None:
        super().__init__()
        self.reason = reason
        if reason is not None:
            # A project's own exception handler uses the detail as body.
            self.detail = {**self.detail, "reason": exceptions.ErrorDetail(reason, self.code)}  # type: ignore[dict-item]


class InvalidCredentialsError(ApiError, exceptions.AuthenticationFailed):
    """The sign-in failed: there is no such user, the user is inactive, or the password is wrong."""

    code = "invalid_credentials"


class WrongPasswordError(ApiError):
    """The password of a re-authentication is wrong.

    403 and not 401, because the session is still active: a client that signs the user out after a 401
    must not do so because of a typing error.
    """

    code = "invalid_credentials"
    status = 403


class SignInIncompleteError(ApiError):
    """The password is right, but not enough; code and message come from ``SESSIONS_PLUS_SIGN_IN``."""

    def __init__(self, code: str, detail: Any = "") -> None:
        words = detail or ERRORS.get(code, ERRORS["permission_denied"]).detail
        exceptions.APIException.__init__(self, {"code": code, "detail": str(words)}, code)
        self.code = code
        self.status_code = 403


class CsrfFailedError(ApiError):
    """The CSRF check failed: a request with a cookie may come from another site."""

    code = "csrf_failed"

    def __init__(self, advice: str | None = None) -> None:
        super().__init__()
        # With DEBUG only: which setting is missing.
        if advice is not None:
            self.detail = {**self.detail, "detail": exceptions.ErrorDetail(advice, self.code)}  # type: ignore[dict-item]


class HttpsRequiredError(ApiError):
    """Tokens must not be sent over plain HTTP."""

    code = "https_required"


class ReauthenticationRequiredError(ApiError):
    """The action needs a fresh session."""

    code = "reauthentication_required"


class UnavailableError(ApiError):
    """Whether a token is valid cannot be found out at present. Not a 401, after which a client would delete it."""

    code = "unavailable"


class NotInUseError(ApiError):
    """Another session engine is configured, or the session middleware is missing."""

    code = "not_in_use"


def body_of(code: str) -> dict[str, str]:
    """Return the error body for ``code``, in the active language."""
    return {"code": code, "detail": str(ERRORS[code].detail)}
