"""What people read of a session: names, times and reasons, in the active language. No I/O.

Each text is a whole sentence or phrase of its own, for no two languages put pieces
together alike.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.utils import formats, timezone
from django.utils.html import avoid_wrapping, format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import (
    get_language,
    gettext,
    gettext_lazy,
    ngettext,
    pgettext,
    pgettext_lazy,
)

from django_sessions_plus.policy import EndReason

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession
    from django_sessions_plus.devices import Device

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

REASONS: dict[str, Any] = {
    EndReason.SIGNED_OUT: pgettext_lazy("session", "Signed out."),
    EndReason.LIMIT: gettext_lazy("Ended to make room for a newer sign-in."),
    EndReason.PASSWORD_CHANGED: gettext_lazy("Ended because the password was changed."),
    EndReason.USER_DEACTIVATED: gettext_lazy("Ended because the account was deactivated."),
    EndReason.CONTEXT_CHANGED: gettext_lazy(
        "Ended because it was used from another network or browser."
    ),
    EndReason.REFRESH_REUSED: gettext_lazy(
        "Ended for your safety: one of its tokens was used twice, so somebody may have had a copy."
    ),
}
"""Why a session ended, as its owner is told. Who revoked one decides how that is said."""


def device_name(device: Device) -> str:
    """Return the device's name, or words for one that does not say what it is."""
    if device.browser and device.os:
        parts = {"browser": device.browser, "system": device.os}
        return gettext("%(browser)s on %(system)s") % parts
    return device.label or gettext("Unknown device")


def end_reason(session: AbstractSession) -> str:
    """Tell the owner of a session why it is over; a project's own reason in its own words."""
    if session.ended_at is None:
        return pgettext("session", "Expired.")
    if session.end_reason == EndReason.REVOKED:
        if session.ended_by_id is None:
            return pgettext("session", "Ended.")
        if session.ended_by_id == session.user_id:
            return gettext("Ended by you.")
        return gettext("Ended by an administrator.")
    return str(REASONS.get(session.end_reason) or capfirst(session.end_reason_label))


def moment(value: datetime, now: datetime) -> SafeString:
    """Show a time in words; the exact one is in ``title`` and ``datetime``."""
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        f"{_date(local.date(), get_language())}, {local:%H:%M:%S}",
        in_words(value, now),
    )


def in_words(value: datetime, now: datetime) -> str:
    """Return how far ``value`` is from ``now``: "3 hours ago", "in 14 days".

    From two days on in whole days, rounded: "in 1 week" for what is nearly two misleads.
    """
    distance = abs(now - value)
    if distance < _MINUTE:
        return gettext("just now")
    return _words(_rounded(distance), value < now, get_language())


def _rounded(distance: timedelta) -> timedelta:
    """Return the distance in whole units of what it is told in."""
    if distance < _HOUR:
        return distance // _MINUTE * _MINUTE
    if distance < _DAY:
        return distance // _HOUR * _HOUR
    days = distance / _DAY
    return (int(days) if days < 2 else round(days)) * _DAY


# A list has hundreds of times and few different ones, and to find words takes longer than all else.


@lru_cache(maxsize=1024)
def _words(distance: timedelta, is_past: bool, language: str | None) -> str:
    if distance < _HOUR:
        count = distance // _MINUTE
        past = ngettext("%(count)d minute ago", "%(count)d minutes ago", count)
        future = ngettext("in %(count)d minute", "in %(count)d minutes", count)
    elif distance < _DAY:
        count = distance // _HOUR
        past = ngettext("%(count)d hour ago", "%(count)d hours ago", count)
        future = ngettext("in %(count)d hour", "in %(count)d hours", count)
    else:
        count = distance // _DAY
        past = ngettext("%(count)d day ago", "%(count)d days ago", count)
        future = ngettext("in %(count)d day", "in %(count)d days", count)
    return avoid_wrapping((past if is_past else future) % {"count": count})


@lru_cache(maxsize=256)
def _date(day: date, language: str | None) -> str:
    return formats.date_format(day, "DATE_FORMAT")
