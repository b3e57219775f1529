"""Parsers and renderers of the endpoints: only JSON, independent of the project's settings.

No forms, because a page of another site can post a form without a preflight request, but not JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from json import loads
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from django_sessions_plus.http.hidden import forget_body, hide


class Utf8JSONParser(JSONParser):
    """Parse JSON as in RFC 8259: always UTF-8, and no NaN.

    JSON that is nested too deeply for Python's stack is an error of the client.
    """

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the parsed body.

        Raises:
            ParseError: it is not JSON.
            RequestDataTooBig: it is larger than ``DATA_UPLOAD_MAX_MEMORY_SIZE``.
        """
        request: Request = (parser_context or {})["request"]
        try:
            # HttpRequest.body enforces the size limit. ``stream``, in REST framework before 3.18, does not.
            parsed = loads(request._request.body.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            # The original exception contains the body, which may contain a password.
            raise ParseError from None
        finally:
            # From here on, error reporters find no secret in the body.
            forget_body(request._request)
        if isinstance(parsed, dict):
            hide(parsed)
        return parsed


class OnlyJSON(BaseContentNegotiation):
    """Always return JSON, even if ``Accept`` does not list it (RFC 9110 section 12.5.1 allows that)."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser for the request's content type."""
        return DefaultContentNegotiation().select_parser(request, parsers)

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        """Return the JSON renderer."""
        return JSONRenderer(), JSONRenderer.media_type


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError("not in JSON")
