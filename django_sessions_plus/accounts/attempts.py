"""Rate limits, such as for attempts to enter a password; for the API, the pages and e-mails.

Attempts are counted in Django's default cache, each in one atomic operation. Otherwise parallel
requests could get more attempts than the same requests one after another.
"""

from __future__ import annotations

import logging
from time import time

from django.core.cache import cache
from django.utils.crypto import salted_hmac

logger = logging.getLogger("django_sessions_plus")

_ACCOUNTS = "django_sessions_plus.accounts.attempts"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def wait_after(scope: str, key: str, rate: str | None) -> float | None:
    """Count an attempt; return None if it is within ``rate``, else the seconds to wait.

    ``rate`` has the form ``10/min`` and counts in fixed windows of its period; None sets no limit.
    ``key`` says whose attempts are counted together. It must not be a secret, because it becomes part of a
    cache key.
    """
    if rate is None:
        return None
    number, _, period = rate.partition("/")
    seconds = _SECONDS[period[0]]
    window, passed = divmod(time(), seconds)
    cache_key = f"django_sessions_plus:{scope}:{key}:{seconds}:{window:.0f}"
    return None if _count(cache_key, seconds) <= int(number) else seconds - passed


def name_of(account: str) -> str:
    """Return the key that an account is counted under: a keyed digest of its name in lower case.

    Users sometimes type their password into the field for the name, and a plain digest could be guessed.
    """
    return salted_hmac(_ACCOUNTS, account.casefold(), algorithm="sha256").hexdigest()[:32]


def _count(key: str, seconds: int) -> int:
    """Add one to the count under ``key`` and return it; 1 if the cache is down.

    A failing cache is only logged: otherwise nobody could sign in during an outage.
    """
    try:
        if cache.add(key, 1, seconds):
            return 1
        count = cache.incr(key)
        # Some cache backends replace the key's timeout by their default when they increment.
        cache.touch(key, seconds)
    except ValueError:
        # The key was evicted between the two calls.
        return 1
    except Exception:
        # The exceptions of cache backends have no common base class.
        logger.exception("The cache is down: attempts are not counted")
        return 1
    return count
