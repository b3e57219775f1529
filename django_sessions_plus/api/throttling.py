"""``SESSIONS_PLUS_RATES`` as throttles of REST framework."""

from __future__ import annotations

from ipaddress import ip_network

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from django_sessions_plus import devices
from django_sessions_plus.accounts import attempts, proxies
from django_sessions_plus.api import old_tokens
from django_sessions_plus.api.pairs import presented_refresh
from django_sessions_plus.api.requests import session_of
from django_sessions_plus.conf import config
from django_sessions_plus.conf.kinds import RateName
from django_sessions_plus.jwt import refresh_token

# A client with one IPv6 address usually has a network of this size.
_IPV6_NETWORK_BITS = 64


class RateThrottle(BaseThrottle):
    """Count attempts in fixed windows of the rate's period; subclasses set ``scope`` and ``attempt_key()``."""

    scope: RateName
    """The name of the rate in ``SESSIONS_PLUS_RATES``."""

    def attempt_key(self, request: Request) -> str | None:
        """Return the key that attempts are counted under; with None, the attempt is not counted."""
        raise NotImplementedError("a throttle must say whom it counts")

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count this attempt and return whether it is within the rate."""
        key = self.attempt_key(request)
        rate = config.rate(self.scope)
        self._wait = None if key is None else attempts.wait_after(self.scope, key, rate)
        return self._wait is None

    def wait(self) -> float | None:
        """Return the seconds until the next window."""
        return self._wait


class AddressThrottle(RateThrottle):
    """A rate for each client address; see ``SESSIONS_PLUS_TRUSTED_PROXIES``.

    Headers from other peers than trusted proxies are ignored. Clients without a known address share one
    count.
    """

    def attempt_key(self, request: Request) -> str:
        """Return the client's address; for IPv6, its network."""
        meta = request._request.META
        proxies.warn_if_untrusted(meta)
        address = devices.client_ip(meta, config.TRUSTED_PROXIES, config.CLIENT_IP_HEADER)
        if address is not None and ":" in address:
            network = ip_network((address, _IPV6_NETWORK_BITS), strict=False)
            return str(network.network_address)
        return str(address)


class SignInThrottle(AddressThrottle):
    """The rate ``sign_in`` for each pair of address and account, and ``sign_in_address`` for each address.

    With the address alone, one attacker would lock out everybody behind the same proxy. With the pair
    alone, one password could be tried on any number of accounts. An attempt that the first rate refuses
    does not count for the second: otherwise attempts on one account would use up the address.
    """

    scope = "sign_in"

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count this attempt on ``view.account`` and return whether it is within both rates."""
        address = self.attempt_key(request)
        pair = f"{address}:{attempts.name_of(getattr(view, 'account', ''))}"
        self._wait = attempts.wait_after(self.scope, pair, config.rate(self.scope))
        if self._wait is None:
            rate = config.rate("sign_in_address")
            self._wait = attempts.wait_after("sign_in_address", address, rate)
        return self._wait is None


class ReauthenticateThrottle(RateThrottle):
    """The rate ``reauthenticate`` for each session; attempts on the page count too."""

    scope = "reauthenticate"

    def attempt_key(self, request: Request) -> str:
        """Return the session's id."""
        return str(session_of(request).row)


class RefreshThrottle(RateThrottle):
    """The rate ``refresh`` for each session, with any token of its current refresh family.

    Not for each address, because many users may share one. Forged tokens are not counted: they are
    refused without a query, and cannot be guessed. Tokens of an earlier family are counted separately:
    somebody who has kept one must not lock the user out.
    """

    scope = "refresh"

    def attempt_key(self, request: Request) -> str | None:
        """Return the session and the family of the token."""
        presented = refresh_token.parse(presented_refresh(request))
        if presented is not None:
            return f"{presented.session_id}:{presented.family}"
        old = old_tokens.read(presented_refresh(request))
        return None if old is None else str(old.session_id)
