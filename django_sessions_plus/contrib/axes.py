"""For django-axes: make its lockout an error of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from axes.helpers import get_cool_off

# Used if axes locks out forever (no cool-off time), because ``Retry-After`` needs a number.
_WITHOUT_COOL_OFF = timedelta(hours=1)


def take_lockout(request: Any) -> float | None:
    """Return in how many seconds to try again, if axes has locked this request out; else None.

    Its middleware then leaves the answer as it is, instead of replacing it by a page.
    """
    if not getattr(request, "axes_locked_out", False):
        return None
    request.axes_locked_out = False
    cool_off: timedelta = get_cool_off(request) or _WITHOUT_COOL_OFF
    return cool_off.total_seconds()
