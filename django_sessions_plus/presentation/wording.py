"""Texts about a session for users: names, times and reasons, in the active language. No I/O.

Each text is a whole sentence or phrase, because languages combine parts in different orders.
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

from django_sessions_plus.base_session import NAME_LENGTH
from django_sessions_plus.policy import EndReason, InactiveReason, Timeout

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
"""Why a session ended, for its user. For a revoked one, the text depends on who revoked it."""

INACTIVE_REASONS: dict[str, Any] = {
    InactiveReason.REVOKED: gettext_lazy("Your session was ended. Sign in again."),
    InactiveReason.LIMIT: gettext_lazy(
        "Your session was ended to make room for a newer sign-in. Sign in again."
    ),
    InactiveReason.PASSWORD_CHANGED: gettext_lazy(
        "Your session was ended because the password was changed. Sign in again."
    ),
    InactiveReason.SUSPICIOUS: gettext_lazy(
        "Your session was ended for your safety. Sign in again."
    ),
    InactiveReason.EXPIRED: gettext_lazy("Your session has expired. Sign in again."),
}
"""Why nobody is signed in any more, for the holder of the token. Empty for a sign-out, which the user knows of."""


def device_name(device: Device) -> str:
    """Return the device's name, or a text for an unknown device."""
    if device.browser and device.os:
        parts = {"browser": f"{device.browser} {device.version}".strip(), "system": device.os}
        return gettext("%(browser)s on %(system)s") % parts
    return device.label or gettext("Unknown device")


def session_name(session: AbstractSession) -> str:
    """Return the session's name if an operator gave it one, else the name of its device."""
    return session.name or device_name(session.device)


def end_reason(session: AbstractSession) -> str:
    """Return why a session ended or expired, for its user; a project's own reason is returned unchanged."""
    if session.ended_at is None or session.end_reason in Timeout.values:
        return pgettext("session", "Expired.")
    if session.end_reason == EndReason.REVOKED:
        if session.ended_by_id is None:
            return pgettext("session", "Ended.")
        if session.ended_by_id == session.user_id:
            return gettext("Ended by you.")
        return gettext("Ended by an administrator.")
    return str(REASONS.get(session.end_reason) or capfirst(session.end_reason_label))


def inactive_reason(reason: InactiveReason | None) -> str:
    """Return why a session ended or expired, for the holder of its token; empty if there is nothing to show."""
    return "" if reason is None else str(INACTIVE_REASONS.get(reason, ""))


def time_element(value: datetime, now: datetime) -> SafeString:
    """Return a ``<time>`` element with the time in words; the exact time is in ``title`` and ``datetime``."""
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        exactly(value),
        in_words(value, now),
    )


def exactly(value: datetime) -> str:
    """Return a time to the second, in the current time zone and with its name."""
    aware = value if timezone.is_aware(value) else timezone.make_aware(value)
    local = timezone.localtime(aware)
    return f"{_date(local.date(), get_language())}, {local:%H:%M:%S} {local.tzname()}"


def in_words(value: datetime, now: datetime) -> str:
    """Return how far ``value`` is from ``now``: "3 hours ago", "in 14 days".

    From two days on, it is rounded to whole days: "in 1 week" for nearly two weeks would mislead.
    """
    distance = abs(now - value)
    if distance < _MINUTE:
        return gettext("just now")
    return _words(_rounded(distance), value < now, get_language())


def clean_name(name: str) -> str:
    """Return the name of a session as it is stored: in one line, and without control characters.

    Raises:
        ValueError: it is too long.
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if len(text) > NAME_LENGTH:
        raise ValueError(f"The name of a session has at most {NAME_LENGTH} characters.")
    return text


def _rounded(distance: timedelta) -> timedelta:
    """Return the distance, rounded to the unit in which it is shown."""
    if distance < _HOUR:
        return distance // _MINUTE * _MINUTE
    if distance < _DAY:
        return distance // _HOUR * _HOUR
    days = distance / _DAY
    return (int(days) if days < 2 else round(days)) * _DAY


# A list has hundreds of times, few of them different, and formatting them takes most of its time.


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
