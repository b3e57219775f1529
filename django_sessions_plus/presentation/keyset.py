"""Keyset pagination of the list of sessions, for the API and the devices page.

Each page begins after a row, not after a number of rows. So if sessions end, start or move to the
front while somebody reads the list, no other row is repeated or skipped.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.querysets import SessionQuerySet

PARAMETER = "cursor"

_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - for projects without time zones
_EPOCH = _NAIVE_EPOCH.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Enough digits for the microseconds of the next thousand years.
_FORM = re.compile(r"([np])([0-9]{1,17})\.([0-9a-f]{32})", re.ASCII)


@dataclass(frozen=True)
class Page:
    """The rows of a page, and the cursors of the pages before and after it; None where there is none.

    An empty ``previous`` means the first page.
    """

    sessions: list[AbstractSession]
    next: str | None
    previous: str | None


@dataclass(frozen=True)
class Cursor:
    """The row that a page begins after; ``direction`` is "n" for the next rows, "p" for the previous ones."""

    direction: str
    last_seen_at: datetime
    id: UUID


def parse(text: str) -> Cursor | None:
    """Parse a cursor; None if the text is not one."""
    found = _FORM.fullmatch(_plain(text))
    if found is None:
        return None
    epoch = _EPOCH if settings.USE_TZ else _NAIVE_EPOCH
    return Cursor(found[1], epoch + int(found[2]) * _MICROSECOND, UUID(found[3]))


def page_of(rows: SessionQuerySet[AbstractSession], cursor: Cursor | None, size: int) -> Page:
    """Return the page of ``rows`` (newest activity first) at ``cursor``, or the first; one query."""
    if cursor is not None and cursor.direction == "p":
        found = list(_before(rows, cursor)[: size + 1])
        page, is_more_before, is_more_after = found[:size][::-1], len(found) > size, True
    else:
        found = list((_after(rows, cursor) if cursor else rows)[: size + 1])
        page, is_more_before, is_more_after = found[:size], cursor is not None, len(found) > size
    if not page:
        # All rows of this page have gone; the link back leads to the first page.
        return Page([], None, None if cursor is None else "")
    return Page(
        page,
        _encode("n", page[-1]) if is_more_after else None,
        _encode("p", page[0]) if is_more_before else None,
    )


def _after(
    rows: SessionQuerySet[AbstractSession], cursor: Cursor
) -> SessionQuerySet[AbstractSession]:
    same = Q(last_seen_at=cursor.last_seen_at, pk__lt=cursor.id)
    return rows.filter(Q(last_seen_at__lt=cursor.last_seen_at) | same)


def _before(
    rows: SessionQuerySet[AbstractSession], cursor: Cursor
) -> SessionQuerySet[AbstractSession]:
    same = Q(last_seen_at=cursor.last_seen_at, pk__gt=cursor.id)
    return rows.filter(Q(last_seen_at__gt=cursor.last_seen_at) | same).reverse()


def _plain(text: str) -> str:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except ValueError:
        return ""


def _encode(direction: str, row: AbstractSession) -> str:
    epoch = _NAIVE_EPOCH if row.last_seen_at.tzinfo is None else _EPOCH
    text = f"{direction}{(row.last_seen_at - epoch) // _MICROSECOND}.{row.pk.hex}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")
