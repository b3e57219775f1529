"""The cells of the admin's tables: pure functions from values to HTML."""

from datetime import datetime
from functools import lru_cache

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, gettext_lazy, pgettext_lazy

from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.devices import Device
from django_sessions_plus.policy import Status
from django_sessions_plus.presentation import wording

EMPTY = "-"

KINDS = {
    "desktop": gettext_lazy("desktop"),
    "phone": gettext_lazy("phone"),
    "tablet": gettext_lazy("tablet"),
    "bot": gettext_lazy("bot"),
    "other": gettext_lazy("other device"),
}
STATES = {
    Status.ACTIVE: pgettext_lazy("session", "Active"),
    Status.ENDED: pgettext_lazy("session", "Ended"),
    Status.EXPIRED: pgettext_lazy("session", "Expired"),
}


def device(device: Device, name: str = "", *, is_current: bool = False) -> SafeString:
    """Return a device with an icon of its kind, after the name that its session was given.

    ``is_current`` marks the device of the request.
    """
    shown = _device(device, name, get_language())
    if not is_current:
        return shown
    return format_html('{} <span class="dsp-current">{}</span>', shown, gettext("this session"))


def named(row: AbstractSession, *, is_current: bool = False) -> SafeString:
    """Return the name of a session, and its device."""
    return device(row.device, row.name, is_current=is_current)


def state(status: Status, reason: str = "") -> SafeString:
    """Return a state as a badge, with the reason, if there is one."""
    return _state(status, reason, get_language())


def time(value: datetime | None, now: datetime) -> SafeString | str:
    """Return a time in words; the exact time is in ``title`` and ``datetime``."""
    return EMPTY if value is None else wording.time_element(value, now)


# A page of the list has hundreds of cells, few of them different, and formatting the HTML takes most
# of the time of a cell.


@lru_cache(maxsize=1024)
def _device(device: Device, name: str, language: str | None) -> SafeString:
    shown = format_html(
        '<span class="dsp-device dsp-{}" title="{}">{}</span>',
        device.kind,
        KINDS[device.kind],
        name or wording.device_name(device),
    )
    if not (name and device.label):
        return shown
    return format_html('{} <span class="quiet">{}</span>', shown, wording.device_name(device))


@lru_cache(maxsize=256)
def _state(status: Status, reason: str, language: str | None) -> SafeString:
    badge = format_html('<span class="dsp-state dsp-{}">{}</span>', status.value, STATES[status])
    return format_html('{} <span class="quiet">{}</span>', badge, reason) if reason else badge
