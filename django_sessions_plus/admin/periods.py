"""A date hierarchy by when sessions began, which their time-ordered primary key tells.

Django's own asks the whole table for its first and last moment, and for the days between.
This one asks for the oldest key, and offers what lies between that and now.
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

_FORM = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_YEARS = range(1970, 9999)

Link = Callable[[str | None], str]


@dataclass(frozen=True)
class Period:
    """A year, a month or a day, or all time."""

    text: str = ""
    """As in the URL: empty, "2026", "2026-11", "2026-11-21"."""

    @property
    def first(self) -> date:
        """The first day."""
        year, month, day = (int(part or 1) for part in _FORM.fullmatch(self.text).groups())  # type: ignore[union-attr]
        return date(year, month, day)

    @property
    def end(self) -> date:
        """The first day that is no more in it."""
        first, depth = self.first, len(self.text)
        if depth == 4:
            return first.replace(year=first.year + 1)
        return first + timedelta(days=1) if depth == 10 else _next_month(first)

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
    found = _FORM.fullmatch(text)
    if found is None or int(found[1]) not in _YEARS:
        raise IncorrectLookupParameters
    period = Period(text)
    try:
        start_of(period.first), start_of(period.end)
    except ValueError as exc:
        raise IncorrectLookupParameters from exc
    return period


def hierarchy(period: Period, oldest: datetime | None, link: Link) -> dict[str, Any]:
    """Return what Django's template of a date hierarchy shows; ``link`` makes a URL of a period's text."""
    first = local_date(oldest or timezone.now())
    last = local_date(timezone.now())
    texts = _choices(period.text, first, last)
    back = None if not period.text else {"link": link(_above(period.text)), "title": _up(period)}
    choices = [
        {"link": None if text == period.text else link(text), "title": _spelled(text, period)}
        for text in texts
    ]
    if texts and len(texts[0]) == 10 and texts[0] != period.text:
        # Days are numbers, of the month that stands before them.
        choices.insert(0, {"link": None, "title": _month(Period(texts[0]).first)})
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
    """Return the periods to choose from: the next smaller ones, from the first that tells them apart."""
    depth = len(text)
    if depth == 10:
        return [text]
    if depth == 7 or (depth == 0 and (first.year, first.month) == (last.year, last.month)):
        month = Period(text or f"{last:%Y-%m}")
        since, until = max(first, month.first), min(last, month.end - timedelta(days=1))
        days = range((until - since).days + 1)
        return [f"{since + timedelta(days=number):%Y-%m-%d}" for number in days]
    if depth == 4 or first.year == last.year:
        year = int(text or last.year)
        months = [date(year, number, 1) for number in range(1, 13)]
        return [
            f"{month:%Y-%m}" for month in months if first < _next_month(month) and month <= last
        ]
    return [str(year) for year in range(first.year, last.year + 1)]


def _spelled(text: str, chosen: Period) -> str:
    """Return how a choice is written."""
    first = Period(text).first
    if len(text) == 10:
        return date_format(first, "MONTH_DAY_FORMAT") if text == chosen.text else str(first.day)
    return _month(first) if len(text) == 7 else text


def _above(text: str) -> str | None:
    return text.rpartition("-")[0] or None


def _up(period: Period) -> str:
    above = _above(period.text)
    if above is None:
        return gettext("All dates")
    return _month(period.first) if len(above) == 7 else above


def _next_month(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def _month(day: date) -> str:
    return date_format(day, "YEAR_MONTH_FORMAT")
