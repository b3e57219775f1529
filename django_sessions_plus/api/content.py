"""JSON in, JSON out, whatever a project has set for its own views.

No forms: a page of another site can post a form without asking, JSON it cannot.
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


class Utf8JSONParser(JSONParser):
    """Read JSON as RFC 8259 has it: UTF-8 whatever charset is named, and no NaN.

    A depth that exhausts the interpreter's stack is bad input like any other.
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
            # By Django's own attribute, which knows the limit; the stream does not, and before 3.18
            # REST framework handed over just that.
            return loads(request._request.body.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            # The original would quote the body, which may hold a password.
            raise ParseError from None


class OnlyJSON(BaseContentNegotiation):
    """Answer in JSON whatever ``Accept`` says; there is nothing else (RFC 9110 section 12.5.1)."""

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
