"""How long a read of the list may take, and what is read instead if that is too long.

Filters with few matches can make the database read the whole table before a page is full. Such a
read is stopped (``bulk.time_limit``), and only the latest ``MAX_READ`` sessions are searched.
"""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Coalesce
from django.utils import timezone

from django_sessions_plus.admin.periods import Period

# Seconds. A usual page of a million rows takes a fifth of the first.
SECONDS = 0.15
LAST_SECONDS = 0.3
"""The limit of the read that takes the place of one that was stopped."""

MAX_READ = 50_000
"""So many sessions can be searched in a tenth of a second."""

ENDED_FIRST = ("-expires_at", "-pk")
"""The order of ended sessions: the last end first, from an index."""


def latest(rows: Any, period: Period | None = None, *, are_ended: bool = False) -> Any:
    """Return those of ``rows`` that are among the latest ``MAX_READ`` sessions; one query.

    Those are the latest to begin, in the ``period`` if there is one; otherwise, if all are ended, the latest to end.
    """
    sessions = rows.model._default_manager.using(rows.db)
    column = "pk"
    if period is not None and period.text:
        sessions = period.narrow(sessions)
    elif are_ended:
        column = "expires_at"
        sessions = sessions.filter(expires_at__lte=timezone.now())
    border = sessions.order_by(f"-{column}").values_list(column, flat=True)
    found = list(border[MAX_READ - 1 : MAX_READ])
    return _sorted(rows.filter(**{f"{column}__gte": found[0]}), column) if found else rows


def _sorted(rows: Any, column: str) -> Any:
    """Return ``rows`` in their order, by a sort unless the order is that of ``column``."""
    first, *rest = rows.query.order_by or ("-pk",)
    name = str(first).removeprefix("-")
    if name == column:
        return rows
    # No index has the order of an expression. By that of the column itself, PostgreSQL would read on
    # through all older sessions.
    order = Coalesce(name, name)
    return rows.order_by(order.desc() if str(first).startswith("-") else order.asc(), *rest)
