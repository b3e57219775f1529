"""How often a password may be tried, and a token refreshed: the rates of ``attempts`` as REST framework has them."""

from __future__ import annotations

from ipaddress import ip_network

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from django_sessions_plus import attempts, devices, reauthentication
from django_sessions_plus.api.pairs import presented_refresh
from django_sessions_plus.api.requests import session_of
from django_sessions_plus.conf import config
from django_sessions_plus.jwt import refresh_token

# Whoever has one IPv6 address has a network of that size.
_IPV6_NETWORK_BITS = 64


class RateThrottle(BaseThrottle):
    """Count attempts in fixed windows of the rate's period; subclasses say whose and how many."""

    scope = ""

    def rate(self) -> str | None:
        """Return the present rate, such as ``10/min``; None is no limit."""
        raise NotImplementedError("a throttle must say its rate")

    def whose(self, request: Request) -> str | None:
        """Return who is counted; None counts nobody."""
        raise NotImplementedError("a throttle must say whom it counts")

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count this attempt and tell whether it is within the rate."""
        whose = self.whose(request)
        self._wait = None if whose is None else attempts.wait_after(self.scope, whose, self.rate())
        return self._wait is None

    def wait(self) -> float | None:
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
    """``SESSIONS_PLUS_REAUTHENTICATE_RATE`` for each session, under whatever token, the page's attempts included."""

    scope = reauthentication.SCOPE

    def rate(self) -> str | None:
        """Return the present rate."""
        return config.REAUTHENTICATE_RATE

    def whose(self, request: Request) -> str:
        """Return the session's id."""
        return str(session_of(request).row)


class RefreshThrottle(RateThrottle):
    """``SESSIONS_PLUS_REFRESH_RATE`` for each session, by whatever token of its present line.

    Not for each address, behind which there may be any number of people. What this site
    never issued is not counted: it is refused without a query, and cannot be guessed. Tokens
    of an earlier line count for themselves: whoever has kept one must not lock the owner out.
    """

    scope = "refresh"

    def rate(self) -> str | None:
        """Return the present rate."""
        return config.REFRESH_RATE

    def whose(self, request: Request) -> str | None:
        """Return the session and the line that the token names."""
        presented = refresh_token.parse(presented_refresh(request))
        return None if presented is None else f"{presented.session_id}:{presented.family}"
