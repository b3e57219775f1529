"""For django-axes: that it locks somebody out is answered in the form of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from axes.helpers import get_cool_off

# Where axes is told to lock out for good, for a client has to be told some time.
_FOR_GOOD = timedelta(hours=1)


def take_lockout(request: Any) -> float | None:
    """Return in how many seconds to try again, if axes has locked this request out; else None.

    Its middleware then leaves the answer as it is, instead of replacing it by a page.
    """
    if not getattr(request, "axes_locked_out", False):
        return None
    request.axes_locked_out = False
    cool_off: timedelta = get_cool_off(request) or _FOR_GOOD
    return cool_off.total_seconds()
