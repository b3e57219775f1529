"""A date hierarchy by when sessions began, which is part of their primary key.

Django's ``date_hierarchy`` reads the whole table to find the first, the last and every other day. This
one reads the oldest key, and offers every day from then to now.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin.options import IncorrectLookupParameters
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

from django_sessions_plus import tokens

PARAMETER = "began"

_FORM = re.compile(r"(19[7-9]\d|[2-9]\d{3})(-\d\d){0,2}", re.ASCII)
_DAY = timedelta(days=1)

Link = Callable[[str | None], str]


@dataclass(frozen=True)
class Period:
    """A year, a month or a day, or all time."""

    text: str = ""
    """As in the URL: empty, "2026", "2026-11", "2026-11-21"."""

    @property
    def first(self) -> date:
        """The first day."""
        return date.fromisoformat(self.text + "-01-01"[len(self.text) - 4 :])

    @property
    def end(self) -> date:
        """The first day after it."""
        first, depth = self.first, len(self.text)
        if depth == 4:
            return first.replace(year=first.year + 1)
        return first + _DAY if depth == 10 else (first + 32 * _DAY).replace(day=1)

    def narrow(self, rows: Any) -> Any:
        """Keep the sessions that began in it."""
        if not self.text:
            return rows
        since, until = start_of(self.first), start_of(self.end)
        return rows.filter(pk__gte=tokens.first_id(since), pk__lt=tokens.first_id(until))


def parse(text: str | None) -> Period:
    """Read a period from a URL.

    Raises:
        IncorrectLookupParameters: there is no such year, month or day.
    """
    if not text:
        return Period()
    if not _FORM.fullmatch(text):
        raise IncorrectLookupParameters
    period = Period(text)
    try:
        start_of(period.first), start_of(period.end)
    except (ValueError, OverflowError) as exc:
        raise IncorrectLookupParameters from exc
    return period


def hierarchy(period: Period, oldest: datetime | None, link: Link) -> dict[str, Any]:
    """Return what Django's template of a date hierarchy shows; ``link`` makes a URL of a period's text."""
    now = timezone.now()
    texts = _choices(period.text, local_date(oldest or now), local_date(now))
    above = period.text.rpartition("-")[0]
    back = {"link": link(above or None), "title": _title(above)} if period.text else None
    are_days = bool(texts) and len(texts[0]) == 10 and texts != [period.text]
    choices = [
        {
            "link": None if text == period.text else link(text),
            "title": str(int(text[8:])) if are_days else _title(text),
        }
        for text in texts
    ]
    if are_days:
        # Days are shown as numbers, so show their month before them.
        choices.insert(0, {"link": None, "title": _title(texts[0][:7])})
    return {
        "show": bool(back or len(texts) > 1),
        "back": back,
        "choices": choices,
        "field_name": gettext("beginning"),
    }


def start_of(day: date) -> datetime:
    """Return the moment a day begins, in the active time zone."""
    moment = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - made aware below
    return timezone.make_aware(moment) if settings.USE_TZ else moment


def local_date(moment: datetime) -> date:
    """Return the day of a moment, in the active time zone."""
    return timezone.localdate(moment) if timezone.is_aware(moment) else moment.date()


def _choices(text: str, first: date, last: date) -> list[str]:
    """Return the next smaller periods to choose from; for all dates, a level with a single choice is skipped."""
    if len(text) == 10:
        return [text]
    if not text:
        shared = (size for size in (7, 4) if str(first)[:size] == str(last)[:size])
        text = str(last)[: next(shared, 0)]
    if text:
        period = Period(text)
        first, last = max(first, period.first), min(last, period.end - _DAY)
    days = (first + number * _DAY for number in range((last - first).days + 1))
    size = {0: 4, 4: 7, 7: 10}[len(text)]
    return list(dict.fromkeys(str(day)[:size] for day in days))


def _title(text: str) -> str:
    """Return the title of a period; for an empty text, "All dates"."""
    if len(text) <= 4:
        return text or gettext("All dates")
    form = "YEAR_MONTH_FORMAT" if len(text) == 7 else "MONTH_DAY_FORMAT"
    return date_format(Period(text).first, form)
