"""Turn the exceptions of the endpoints, and of code they call, into responses by the table in ``errors``."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from django_sessions_plus.api.errors import (
    ERRORS,
    NOT_OF_A_FIELD,
    ApiError,
    SignInIncompleteError,
    body_of,
)
from django_sessions_plus.events import logger

# The SQLSTATE of a write in a read-only transaction.
_READ_ONLY = "25006"
# MySQL's error number of an unknown column.
_UNKNOWN_COLUMN = 1054

# The first match counts. Django would answer these exceptions with HTML, but clients of the API need JSON.
_BY_TYPE: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    ((UpdateError, SessionInterrupted), "session_interrupted"),
    (Http404, "not_found"),
    (PermissionDenied, "permission_denied"),
    (RequestDataTooBig, "request_too_large"),
    ((SuspiciousOperation, BadRequest, MultiPartParserError, UnreadablePostError), "parse_error"),
)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Return the error response for ``exc``; None if it is an unexpected exception.

    Unlike REST framework's own handler, it rolls the request's transaction back only if the database
    failed: the endpoints write nothing before they raise an error, and what a lockout package has
    recorded about a failed sign-in must be committed.
    """
    code = _code_of(exc)
    if code == "unavailable":
        # Otherwise a part of the action would be committed, although the response says it failed.
        set_rollback()
        logger.error("The database failed; the API answered 503.", exc_info=exc)
    if isinstance(exc, SignInIncompleteError):
        # The code may be a project's own, which is not in the table.
        response = Response(exc.detail, status=exc.status_code)
    elif code in ERRORS:
        error = ERRORS[code]
        status = exc.status_code if isinstance(exc, ApiError) else error.status
        response = Response(body_of(code) | _fields(exc) | _own_words(exc), status=status)
        if status == 401:
            response["WWW-Authenticate"] = error.challenge
    elif isinstance(exc, exceptions.APIException):
        # Raised by other code, such as a receiver; it has its own message.
        response = Response({"code": code, "detail": str(exc.detail)}, status=exc.status_code)
    else:
        return None
    if (wait := getattr(exc, "wait", None)) is not None:
        response["Retry-After"] = str(wait)
    return response


def _is_outage(exc: Exception) -> bool:
    """Return whether the database cannot be reached or written to now, so that a retry may succeed later."""
    if isinstance(exc, InternalError):
        # PostgreSQL: a read-only transaction or server.
        cause = exc.__cause__
        return _READ_ONLY in (getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None))
    return isinstance(exc, (OperationalError, InterfaceError)) and not _is_of_schema(exc)


def _is_of_schema(exc: Exception) -> bool:
    """Return whether a table or column is missing, such as before ``migrate``: a retry would not help."""
    # SQLite has only a message, and MySQL a number; other databases raise another exception.
    text = str(exc)
    is_missing = text.startswith("no such ") or "has no column named" in text
    return is_missing or bool(exc.args and exc.args[0] == _UNKNOWN_COLUMN)


def _code_of(exc: Exception) -> str:
    if _is_outage(exc):
        return "unavailable"
    for types, code in _BY_TYPE:
        if isinstance(exc, types):
            return code
    if not isinstance(exc, exceptions.APIException):
        return ""
    if isinstance(exc, ApiError):
        return exc.code
    if isinstance(exc.detail, exceptions.ErrorDetail):
        return exc.detail.code or exc.default_code
    # Raised by one of our permissions, whose message is the whole body.
    if isinstance(exc, exceptions.PermissionDenied) and "code" in exc.detail:
        return str(exc.detail["code"])  # type: ignore[call-overload]
    return exc.default_code


def _own_words(exc: Exception) -> dict[str, str]:
    if isinstance(exc, ApiError) and isinstance(exc.detail, dict):
        return {name: str(text) for name, text in exc.detail.items()}
    return {}


def _fields(exc: Exception) -> dict[str, Any]:
    if not isinstance(exc, exceptions.ValidationError):
        return {}
    if not isinstance(exc.detail, dict):
        return {"fields": {NOT_OF_A_FIELD: exc.detail}}
    # A project may have renamed this key for its own views.
    other_name = api_settings.NON_FIELD_ERRORS_KEY
    return {
        "fields": {
            NOT_OF_A_FIELD if name == other_name else name: texts
            for name, texts in exc.detail.items()
        }
    }
