"""How often a password may be tried.

Counted in Django's default cache with one atomic step for each attempt, so that a burst
of parallel requests gets no further than the same requests one after another.
"""

from __future__ import annotations

import logging
import time
from ipaddress import ip_network

from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from django_sessions_plus import devices
from django_sessions_plus.api.authentication import session_of
from django_sessions_plus.conf import config

logger = logging.getLogger("django_sessions_plus.api")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Whoever has one IPv6 address has a network of that size.
_IPV6_NETWORK_BITS = 64


class RateThrottle(BaseThrottle):
    """Count attempts in fixed windows of the rate's period; subclasses say whose and how many."""

    scope = ""

    def rate(self) -> str | None:
        """Return the present rate, such as ``10/min``; None is no limit."""
        raise NotImplementedError("a throttle must say its rate")

    def whose(self, request: Request) -> str:
        """Return who is counted."""
        raise NotImplementedError("a throttle must say whom it counts")

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count this attempt and tell whether it is within the rate."""
        rate = self.rate()
        if rate is None:
            return True
        number, _, period = rate.partition("/")
        seconds = _SECONDS[period[0]]
        window, passed = divmod(time.time(), seconds)
        self._wait = seconds - passed
        key = f"django_sessions_plus:{self.scope}:{self.whose(request)}:{seconds}:{window:.0f}"
        return _count(key, seconds) <= int(number)

    def wait(self) -> float:
        """Return the seconds until the next window."""
        return self._wait


class SignInThrottle(RateThrottle):
    """``SESSIONS_PLUS_SIGN_IN_RATE`` for each client address, by the rules of ``SESSIONS_PLUS_TRUSTED_PROXIES``.

    What a client claims about its own address changes nothing. Clients whose address
    cannot be told share one count.
    """

    scope = "sign-in"

    def rate(self) -> str | None:
        """Return the present rate."""
        return config.SIGN_IN_RATE

    def whose(self, request: Request) -> str:
        """Return the client's address, of IPv6 the network."""
        meta = request._request.META
        address = devices.client_ip(meta, config.TRUSTED_PROXIES, config.CLIENT_IP_HEADER)
        if address is not None and ":" in address:
            network = ip_network((address, _IPV6_NETWORK_BITS), strict=False)
            return str(network.network_address)
        return str(address)


class ReauthenticateThrottle(RateThrottle):
    """``SESSIONS_PLUS_REAUTHENTICATE_RATE`` for each session, under whatever token."""

    scope = "reauthenticate"

    def rate(self) -> str | None:
        """Return the present rate."""
        return config.REAUTHENTICATE_RATE

    def whose(self, request: Request) -> str:
        """Return the session's id."""
        return str(session_of(request).row)


def _count(key: str, seconds: int) -> int:
    """Add one to ``key`` and return how many those are; 1 when the cache is down.

    A cache that fails must not keep everybody from signing in, and it is logged.
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
