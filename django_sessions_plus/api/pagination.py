"""Pages of a list that changes while somebody reads it.

Each page begins after a row, not after a count: rows that end, begin, or move to the
front between two pages neither repeat nor hide any other.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.querysets import SessionQuerySet

PARAMETER = "cursor"

_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - for projects without time zones
_EPOCH = _NAIVE_EPOCH.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Digits enough for the microseconds of the next thousand years.
_FORM = re.compile(r"([np])([0-9]{1,17})\.([0-9a-f]{32})", re.ASCII)


@dataclass(frozen=True)
class Page:
    """A stretch of the list, and the addresses of its neighbours, where there are any."""

    sessions: list[AbstractSession]
    next: str | None
    previous: str | None


@dataclass(frozen=True)
class _Cursor:
    """The row a page begins after, reading on ("n") or back ("p")."""

    direction: str
    last_seen_at: datetime
    id: UUID


def page_of(rows: SessionQuerySet[AbstractSession], request: Request, size: int) -> Page:
    """Return the page of ``rows`` (newest activity first) that the request asks for; one query.

    Raises:
        ValidationError: the cursor is not one that was given out.
    """
    cursor = _cursor_of(request)
    if cursor is not None and cursor.direction == "p":
        found = list(_before(rows, cursor)[: size + 1])
        page, is_more_before, is_more_after = found[:size][::-1], len(found) > size, True
    else:
        found = list((_after(rows, cursor) if cursor else rows)[: size + 1])
        page, is_more_before, is_more_after = found[:size], cursor is not None, len(found) > size
    if not page:
        # What stood here has gone; the way back is to the front.
        return Page([], None, None if cursor is None else _address(request, {}))
    return Page(
        page,
        _address(request, {PARAMETER: _encode("n", page[-1])}) if is_more_after else None,
        _address(request, {PARAMETER: _encode("p", page[0])}) if is_more_before else None,
    )


def _after(
    rows: SessionQuerySet[AbstractSession], cursor: _Cursor
) -> SessionQuerySet[AbstractSession]:
    same = Q(last_seen_at=cursor.last_seen_at, pk__lt=cursor.id)
    return rows.filter(Q(last_seen_at__lt=cursor.last_seen_at) | same)


def _before(
    rows: SessionQuerySet[AbstractSession], cursor: _Cursor
) -> SessionQuerySet[AbstractSession]:
    same = Q(last_seen_at=cursor.last_seen_at, pk__gt=cursor.id)
    return rows.filter(Q(last_seen_at__gt=cursor.last_seen_at) | same).reverse()


def _cursor_of(request: Request) -> _Cursor | None:
    text = request.query_params.get(PARAMETER)
    if text is None:
        return None
    found = _FORM.fullmatch(_plain(text))
    if found is None:
        raise ValidationError({PARAMETER: [_("This is not a cursor of this list.")]})
    epoch = _EPOCH if settings.USE_TZ else _NAIVE_EPOCH
    return _Cursor(found[1], epoch + int(found[2]) * _MICROSECOND, UUID(found[3]))


def _plain(text: str) -> str:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except ValueError:
        return ""


def _encode(direction: str, row: AbstractSession) -> str:
    epoch = _NAIVE_EPOCH if row.last_seen_at.tzinfo is None else _EPOCH
    text = f"{direction}{(row.last_seen_at - epoch) // _MICROSECOND}.{row.pk.hex}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _address(request: Request, query: dict[str, str]) -> str:
    # Of the request's own query nothing else is repeated.
    address = request._request.build_absolute_uri(request._request.path)
    return f"{address}?{urlencode(query)}" if query else address
