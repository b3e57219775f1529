"""How the parts of a session look in the admin's tables: pure functions from values to HTML."""

from datetime import datetime
from functools import lru_cache

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, gettext_lazy, pgettext_lazy

from django_sessions_plus import wording
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
    Status.ACTIVE: pgettext_lazy("session", "Active"),
    Status.ENDED: pgettext_lazy("session", "Ended"),
    Status.EXPIRED: pgettext_lazy("session", "Expired"),
}


def device(device: Device, *, is_current: bool = False) -> SafeString:
    """Show a device with an icon of its kind; ``is_current`` marks the one that is looking."""
    name = _device(device, get_language())
    if not is_current:
        return name
    return format_html('{} <span class="dsp-current">{}</span>', name, gettext("this session"))


def state(status: Status, reason: str = "") -> SafeString:
    """Show a state as a badge, with the reason beside it where there is one."""
    return _state(status, reason, get_language())


def moment(value: datetime | None, now: datetime) -> SafeString | str:
    """Show a time in words; the exact one is in ``title`` and ``datetime``."""
    return EMPTY if value is None else wording.moment(value, now)


# A page of the list has hundreds of cells and few different ones, and to format HTML takes longer
# than all else about a cell.


@lru_cache(maxsize=1024)
def _device(device: Device, language: str | None) -> SafeString:
    return format_html(
        '<span class="dsp-device dsp-{}" title="{}">{}</span>',
        device.kind,
        KINDS[device.kind],
        wording.device_name(device),
    )


@lru_cache(maxsize=256)
def _state(status: Status, reason: str, language: str | None) -> SafeString:
    badge = format_html('<span class="dsp-state dsp-{}">{}</span>', status.value, STATES[status])
    return format_html('{} <span class="quiet">{}</span>', badge, reason) if reason else badge
