"""Refresh tokens of simplejwt, which are exchanged for a session and its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier
from typing import Any

from tests.switching.real.site import plan
from tests.switching.real.site.asking import ask, or_nobody
from tests.switching.real.site.kinds.base import PASSWORD, Kind
from tests.switching.real.site.plan import Visit


class RefreshTokens(Kind):
    """Refresh tokens of simplejwt."""

    logged = "A credential that opens nothing was refused"
    # The test has no HTTPS.
    also_logged = ("were handed out over plain HTTP",)

    def visits(self, count: int) -> Iterator[Visit]:
        """See Kind."""
        return plan.tokens_of(count, is_one_per_user=False)

    def answer(self, address: str, visit: Visit, barrier: Barrier) -> Any:
        """Refresh, use the new access token, and return the new refresh token too, the successor."""
        path, body = "/token/refresh", {"refresh": visit.cookie}
        status, pair = ask(address, path, visit.headers, body, barrier=barrier)
        if status != 200:
            return or_nobody(status, pair)
        headers = {"Authorization": f"Bearer {pair['access']}", **visit.headers}
        found = or_nobody(*ask(address, "/who", headers))
        if not isinstance(found, dict):
            return found
        return {**found, "successor": pair.get("refresh", "")}

    def lines(self, broken: int) -> int:
        """Return at most ten, because no more are written in a minute for one address."""
        return min(broken, 10)

    def begin(self, visit: Visit) -> None:
        """Sign in an app by the view of the package."""
        from django.test import Client

        answer = Client().post("/token", {"username": visit.user, "password": PASSWORD})
        assert answer.status_code == 200, answer.content
        pair = answer.json()
        headers = {"Authorization": f"Bearer {pair['access']}"}
        found = Client().get("/who", headers=headers).json()
        assert found == {"user": visit.user, "data": {}}
        visit.cookie = pair["refresh"]

    def expire(self, visit: Visit) -> None:
        """Give the app the same token with an expiry in the past."""
        token = _parsed(visit.cookie)
        token.set_exp(from_time=token.current_time - timedelta(days=9), lifetime=timedelta(days=7))
        visit.cookie = str(token)

    def damage(self, visit: Visit, number: int) -> None:
        """Sign the app out; or give it an access token, a token with another signature, or half of one."""
        if number % 4 == 0:
            from django.test import Client

            body = {"refresh": visit.cookie}
            assert Client().post("/token/revoke", body).status_code == 200
        elif number % 4 == 1:
            visit.cookie = str(_parsed(visit.cookie).access_token)
        elif number % 4 == 2:
            head, _, signature = visit.cookie.rpartition(".")
            visit.cookie = f"{head}.{signature.swapcase()}"
        else:
            visit.cookie = visit.cookie[:-20]

    def digest(self, cookie: str) -> str:
        """See Kind; empty for what is no refresh token."""
        from django_sessions_plus.contrib import simplejwt

        old = simplejwt.read(cookie)
        return "" if old is None else old.digest

    def is_left(self, cookie: str) -> bool:
        """Return whether simplejwt still takes the token."""
        from django_sessions_plus.contrib import simplejwt

        old = simplejwt.read(cookie)
        return old is not None and not simplejwt.is_revoked(old)


def _parsed(token: str) -> Any:
    from rest_framework_simplejwt.tokens import RefreshToken

    return RefreshToken(token)
