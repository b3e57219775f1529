"""The counts above the list of sessions: few statements, each of which reads a bounded number of rows.

At most the newest ``MAX_COUNT`` rows are read; if there are more, the number is shown as "10,000+".
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.utils.formats import number_format
from django.utils.translation import gettext, pgettext

from django_sessions_plus import tokens
from django_sessions_plus.admin import bounds
from django_sessions_plus.admin.filters import ENDED, SPANS
from django_sessions_plus.admin.periods import PARAMETER, local_date, start_of
from django_sessions_plus.bulk.time_limit import TimeIsUpError, time_limit
from django_sessions_plus.policy import EndReason

MAX_COUNT = 10_000

Parameters = dict[str, str]


@dataclass(frozen=True)
class Card:
    """One count, and the filters of the list that shows these rows."""

    label: str
    number: str
    parameters: Parameters
    is_alarm: bool = False


def cards(rows: Any, now: datetime, active: Callable[[], tuple[int, bool]]) -> list[Card]:
    """Return the counts of ``rows``; ``active`` returns how many are active, and whether there are more."""
    today = local_date(now)
    begun = _begun_since(rows, start_of(today))
    ends = _ends_since(rows, now)
    return [
        Card(pgettext("count of sessions", "Active now"), at_least(*active()), {}),
        Card(
            pgettext("count of sessions", "Signed in today"),
            at_least(begun["signed_in"], begun["read"] > MAX_COUNT),
            {"state": "users", PARAMETER: today.isoformat()},
        ),
        *(
            Card(
                label,
                at_least(ends[reason], ends["read"] > MAX_COUNT),
                {"state": ENDED, "ended": "week", "reason": reason},
                is_alarm=reason == EndReason.REFRESH_REUSED and ends[reason] > 0,
            )
            for reason, label in (
                (EndReason.REVOKED.value, pgettext("count of sessions", "Revoked in 7 days")),
                (EndReason.REFRESH_REUSED.value, gettext("Refresh tokens reused in 7 days")),
            )
        ),
    ]


def at_least(count: int, is_more: bool) -> str:
    """Return a number as text: "12", "10,000+"."""
    return number_format(min(count, MAX_COUNT), force_grouping=True) + ("+" if is_more else "")


def _begun_since(rows: Any, moment: datetime) -> dict[str, int]:
    # Sessions that have ended since are included. A session counts on the day it began, even if its
    # user signed in later.
    newest = rows.filter(pk__gte=tokens.first_id(moment)).order_by("-pk")
    read = newest.values("user_id")[: MAX_COUNT + 1]
    return _in_time(read, read=Count("*"), signed_in=Count("user_id"))


def _ends_since(rows: Any, now: datetime) -> dict[str, int]:
    # Ended and expired sessions have their end in expires_at.
    over = rows.filter(expires_at__gt=now - SPANS["week"], expires_at__lte=now)
    read = over.order_by("-expires_at").values("end_reason")[: MAX_COUNT + 1]
    reasons = (EndReason.REVOKED.value, EndReason.REFRESH_REUSED.value)
    return _in_time(
        read,
        read=Count("*"),
        **{reason: Count("end_reason", filter=Q(end_reason=reason)) for reason in reasons},
    )


def _in_time(rows: Any, **counts: Count) -> dict[str, int]:
    """Return the counts; zeros, and more than ``MAX_COUNT`` rows read, if that takes too long."""
    # Few rows are read, but PostgreSQL steps over those that were deleted and not yet vacuumed.
    with suppress(TimeIsUpError), time_limit(rows.db, bounds.SECONDS):
        found: dict[str, int] = rows.aggregate(**counts)
        return found
    return dict.fromkeys(counts, 0) | {"read": MAX_COUNT + 1}
