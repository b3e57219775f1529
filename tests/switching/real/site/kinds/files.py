"""Sessions in files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.switching.real.site import plan
from tests.switching.real.site.kinds.base import Kind
from tests.switching.real.site.plan import Visit


class Files(Kind):
    """Sessions in files."""

    def visits(self, count: int) -> Iterator[Visit]:
        """Yield the same, but what expires has no ``set_expiry()``: with seconds, Django's engine opens it for ever."""
        for visit in super().visits(count):
            yield replace(visit, expiry=None) if visit.state == plan.EXPIRED else visit

    def expire(self, visit: Visit) -> None:
        """See Kind."""
        os.utime(_file(visit), (0, 0))

    def damage(self, visit: Visit, number: int) -> None:
        """Write what no engine has written, or cut what it has."""
        file = _file(visit)
        texts = ["no session", "a:b:c", file.read_text()[:-4]]
        file.write_text(texts[number % len(texts)])


def _file(visit: Visit) -> Path:
    return Path(os.environ["SITE_FILES"]) / f"sessionid{visit.cookie}"
