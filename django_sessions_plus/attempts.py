"""How often something may be tried, such as a password; for the API, the pages and e-mails alike.

Attempts are counted in Django's default cache, each in one atomic step, so that a burst of
parallel requests gets no further than the same requests one after another.
"""

from __future__ import annotations

import logging
from time import time

from django.core.cache import cache

logger = logging.getLogger("django_sessions_plus")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def wait_after(scope: str, whose: str, rate: str | None) -> float | None:
    """Count an attempt; return None if it is within ``rate``, else the seconds to wait.

    ``rate`` has the form ``10/min`` and counts in fixed windows of its period; None sets no limit.
    ``whose`` must not be a secret: it becomes part of a key in the cache.
    """
    if rate is None:
        return None
    number, _, period = rate.partition("/")
    seconds = _SECONDS[period[0]]
    window, passed = divmod(time(), seconds)
    key = f"django_sessions_plus:{scope}:{whose}:{seconds}:{window:.0f}"
    return None if _count(key, seconds) <= int(number) else seconds - passed


def _count(key: str, seconds: int) -> int:
    """Add one to the count under ``key`` and return it; 1 if the cache is down.

    A failing cache is logged, and must not keep everybody from signing in.
    """
    try:
        return 1 if cache.add(key, 1, seconds) else _increase(key, seconds)
    except ValueError:
        # Evicted between the two.
        return 1
    except Exception:
        # Every cache has its own errors, and they have no common root.
        logger.exception("The cache is down: attempts are not counted")
        return 1


def _increase(key: str, seconds: int) -> int:
    count = cache.incr(key)
    # Some caches count up under a timeout of their own instead of keeping the key's.
    cache.touch(key, seconds)
    return count
