"""Sessions that the browsers have, as signed cookies: no server can delete one."""

from __future__ import annotations

import time
from typing import Any

from tests.switching.real.site.kinds.base import Kind
from tests.switching.real.site.plan import Visit

SALT = "django.contrib.sessions.backends.signed_cookies"


class SignedCookies(Kind):
    """Sessions that the browsers have."""

    needs_package_after_going_back = True

    def left(self, living: int, *, is_kept: bool) -> int | None:
        """Return None: there is no store."""
        return None

    def lines(self, broken: int) -> int:
        """Return 0: anybody can send a cookie that the site has not signed, so no line is written."""
        return 0

    def expire(self, visit: Visit) -> None:
        """Give the visitor the same data, signed 100 days ago."""
        from django.core import signing

        class SignerOfThePast(signing.TimestampSigner):
            def timestamp(self) -> str:
                return signing.b62_encode(int(time.time()) - 100 * 86400)

        data = signing.loads(visit.cookie, salt=SALT)
        visit.cookie = SignerOfThePast(salt=SALT).sign_object(data, compress=True)

    def damage(self, visit: Visit, number: int) -> None:
        """Give the visitor a cookie that the site has not signed, or not for this."""
        from django.core import signing

        data = signing.loads(visit.cookie, salt=SALT)
        forged = signing.dumps(data, key="the key of somebody else", salt=SALT)
        other = signing.dumps(data, salt="an unsubscribe link")
        cookies = [visit.cookie[:-4], forged, other, visit.cookie.swapcase()]
        visit.cookie = cookies[number % len(cookies)]

    def digest(self, cookie: str) -> str:
        """Return that of the token which is derived from the cookie."""
        from django_sessions_plus.switching.sources.named import source_of

        source: Any = source_of("signed_cookies")
        return super().digest(source.token_for(cookie) or cookie)
