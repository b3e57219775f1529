"""An operation of the API: parameters, body and responses of one method of one view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework.serializers import Serializer

from django_sessions_plus.api import errors
from django_sessions_plus.api.schema import bodies

Code = str | type[errors.ApiError]
"""A code of the table of errors; or an exception that has its own status."""

_BODIES: dict[str, type[Serializer[Any]]] = {
    "invalid": bodies.InvalidSerializer,
    "session_ended": bodies.SessionEndedSerializer,
}
"""The serializers of errors that have more than code and detail."""


@dataclass(frozen=True)
class Operation:
    """One method of a view, in the terms of OpenAPI."""

    code_member: ClassVar[str] = "code"
    """The key of the error code in an error body."""

    id: str
    """The name of the operation in generated clients; it must never change."""
    tag: str
    summary: str
    description: str
    codes: tuple[Code, ...] = ()
    """Every error code of the operation."""
    status: int = 200
    response_body: type[Serializer[Any]] | dict[str, Any] | None = None
    """The body of the successful response: a serializer, a schema, or None."""
    accepted_body: type[Serializer[Any]] | None = None
    """The body of status 202: sessions were ended, but the cache could not be reached."""
    request_body: type[Serializer[Any]] | None = None
    """The serializer of the request's body; None for no body."""
    cookie: str = ""
    """The description of cookies that are set; empty if none is ever set."""
    parameters: tuple[OpenApiParameter, ...] = ()
    examples: tuple[OpenApiExample, ...] = ()
    auth: list[dict[str, list[str]]] | None = None
    """The security requirement, if it does not follow from the view's authentication classes."""
    may_be_unchanged: bool = False
    """Whether a conditional request (RFC 9110 section 13) may be answered with 304."""
    is_open: bool = False
    """Whether anonymous requests are allowed."""

    def success_statuses(self) -> list[int]:
        """Return the statuses of responses that are no errors."""
        return [self.status] if self.accepted_body is None else [self.status, 202]

    def errors_by_status(self) -> dict[int, list[str]]:
        """Return the error codes by status."""
        found: dict[int, list[str]] = {}
        for code in sorted(self.codes, key=_status_of):
            found.setdefault(_status_of(code), []).append(_code_of(code))
        return found

    def serializer_of(self, code: str) -> type[Serializer[Any]]:
        """Return the serializer of the body for an error code."""
        return _BODIES.get(code, bodies.ErrorSerializer)

    def error_example(self, status: int, code: str) -> dict[str, Any]:
        """Return an example of an error body; ``fields`` contains the first field of the request."""
        if code != "invalid":
            return errors.body_of(code)
        taken = self.request_body().fields if self.request_body is not None else ()
        names = [*taken, *(each.name for each in self.parameters if each.location == "query")]
        return errors.body_of(code) | {"fields": {names[0]: ["..."]}}


def _code_of(code: Code) -> str:
    return code if isinstance(code, str) else code.code


def _status_of(code: Code) -> int:
    own = None if isinstance(code, str) else code.status
    return own or errors.ERRORS[_code_of(code)].status
