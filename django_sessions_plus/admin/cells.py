"""How the parts of a session look in the admin's tables: pure functions from values to HTML."""

from datetime import datetime, timedelta

from django.utils import formats, timezone
from django.utils.html import avoid_wrapping, format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, gettext_lazy, ngettext

from django_sessions_plus.devices import Device
from django_sessions_plus.policy import Status

EMPTY = "-"

KINDS = {
    "desktop": gettext_lazy("desktop"),
    "phone": gettext_lazy("phone"),
    "tablet": gettext_lazy("tablet"),
    "bot": gettext_lazy("bot"),
    "other": gettext_lazy("other device"),
}
STATES = {
    Status.ACTIVE: gettext_lazy("Active"),
    Status.ENDED: gettext_lazy("Ended"),
    Status.EXPIRED: gettext_lazy("Expired"),
}


def device_name(device: Device) -> str:
    """Return the device's name, or words for one that does not say what it is."""
    return device.label or gettext("Unknown device")


def device(device: Device, *, is_current: bool = False) -> SafeString:
    """Show a device with an icon of its kind; ``is_current`` marks the one that is looking."""
    name = format_html(
        '<span class="dsp-device dsp-{}" title="{}">{}</span>',
        device.kind,
        KINDS[device.kind],
        device_name(device),
    )
    if not is_current:
        return name
    return format_html('{} <span class="dsp-current">{}</span>', name, gettext("this session"))


def state(status: Status, reason: str = "") -> SafeString:
    """Show a state as a badge, with the reason beside it where there is one."""
    badge = format_html('<span class="dsp-state dsp-{}">{}</span>', status.value, STATES[status])
    return format_html('{} <span class="quiet">{}</span>', badge, reason) if reason else badge


def moment(value: datetime | None, now: datetime) -> SafeString | str:
    """Show a time in words; the exact one is in ``title`` and ``datetime``."""
    if value is None:
        return EMPTY
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        formats.date_format(local, "DATETIME_FORMAT"),
        in_words(value, now),
    )


def in_words(value: datetime, now: datetime) -> str:
    """Return how far ``value`` is from ``now``: "3 hours ago", "in 14 days".

    From two days on in whole days: "in 1 week" for what is nearly two misleads.
    """
    distance = abs(now - value)
    if distance < timedelta(minutes=1):
        return gettext("now")
    if distance < timedelta(days=2):
        time = timesince(min(value, now), max(value, now), depth=1)
    else:
        days = round(distance / timedelta(days=1))
        time = ngettext("%(count)d day", "%(count)d days", days) % {"count": days}
    text = gettext("%(time)s ago") if value < now else gettext("in %(time)s")
    return text % {"time": avoid_wrapping(time)}
