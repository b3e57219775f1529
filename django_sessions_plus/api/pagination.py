"""The pages of the API: cursors in the query of the request, URLs in the response; ``keyset`` makes the pages."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.presentation import keyset
from django_sessions_plus.presentation.keyset import PARAMETER as PARAMETER
from django_sessions_plus.querysets import SessionQuerySet


@dataclass(frozen=True)
class LinkedPage:
    """The rows of a page, and the URLs of the pages before and after it; None where there is none."""

    sessions: list[AbstractSession]
    next: str | None
    previous: str | None


def page_of(rows: SessionQuerySet[AbstractSession], request: Request, size: int) -> LinkedPage:
    """Return the page of ``rows`` (newest activity first) that the request asks for; one query.

    Raises:
        ValidationError: the cursor is not one of this site.
    """
    page = keyset.page_of(rows, _cursor_of(request), size)
    return LinkedPage(page.sessions, _address(request, page.next), _address(request, page.previous))


def _cursor_of(request: Request) -> keyset.Cursor | None:
    text = request.query_params.get(PARAMETER)
    if text is None:
        return None
    cursor = keyset.parse(text)
    if cursor is None:
        raise ValidationError({PARAMETER: [_("This is not a cursor of this list.")]})
    return cursor


def _address(request: Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    # Other parameters of the request are not repeated.
    address = request._request.build_absolute_uri(request._request.path)
    return f"{address}?{urlencode({PARAMETER: cursor})}" if cursor else address
