"""Sessions that another engine keeps in the browser: the cookie is their data, signed, and no key.

A token is derived from such a cookie, always the same one, so that parallel requests of a browser import its
session once. Nothing but the signature is checked for that, so a cookie that the site has not signed costs no query.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.core import signing
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import tokens
from django_sessions_plus.backends.changes import EXPIRY_KEY
from django_sessions_plus.jwt.derivation import derive
from django_sessions_plus.switching.decoding import UnreadableError
from django_sessions_plus.switching.sources.base import OldSession, Source

# The engine has it as a literal.
_SALT = SignedCookieStore.__module__
# The most that browsers keep of a cookie.
_MAX_LENGTH = 4096
_PURPOSE = "token for a signed cookie"


class SignedCookieSource(Source):
    """Sessions of ``django.contrib.sessions.backends.signed_cookies``, or of an engine that extends it."""

    place = "the cookies of browsers"
    can_keep = False
    has_copies = True

    @sensitive_variables()
    def token_for(self, value: str) -> str | None:
        """Return the token that stands for this cookie; None if the site has not signed it, or too long ago. No I/O.

        It does not change with ``SECRET_KEY``, as long as the one that has signed the cookie is among the fallbacks.
        """
        if len(value) > _MAX_LENGTH or not value.isascii():
            return None
        secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        for secret, derived in zip(secrets, derive(_PURPOSE), strict=True):
            signer = signing.TimestampSigner(key=secret, salt=_SALT, fallback_keys=[])
            try:
                signer.unsign(value, max_age=self._age())
            except signing.BadSignature:
                continue
            return tokens.derive_token(derived, value)
        return None

    @sensitive_variables()
    def find(self, key: str) -> OldSession | None:
        """See Source; ``key`` is the cookie. No I/O."""
        store: Any = self.store_class()
        try:
            data = signing.loads(key, salt=_SALT, serializer=store.serializer, max_age=self._age())
        except signing.BadSignature:
            return None
        except Exception as error:
            reason = f"SESSION_SERIALIZER cannot read its data ({type(error).__name__})"
            raise UnreadableError(reason) from error
        if not isinstance(data, dict):
            raise UnreadableError("its data is no dictionary")
        signed_at = _signed_at(key)
        expires_at = self._expires_at(data, signed_at)
        if expires_at <= timezone.now():
            return None
        return OldSession(
            data=data, expires_at=expires_at, created_at=signed_at, last_seen_at=signed_at
        )

    def update(self, key: str, expires_at: datetime, data: Mapping[str, Any] | None) -> None:
        """Do nothing: no server can reach the cookie."""

    def delete(self, key: str) -> None:
        """Do nothing: no server can reach the cookie."""

    def _age(self) -> int:
        age: int = self.store_class().get_session_cookie_age()
        return age

    def _expires_at(self, data: dict[str, Any], signed_at: datetime) -> datetime:
        """Return when the browser or the other engine would have dropped the cookie, whichever is first."""
        explicit = data.get(EXPIRY_KEY)
        try:
            asked: datetime = self.store_class().get_expiry_date(
                modification=signed_at, expiry=explicit
            )
            return min(asked, signed_at + timedelta(seconds=self._age()))
        except (ArithmeticError, TypeError, ValueError) as error:
            raise UnreadableError("its data has an expiry that is none") from error


def _signed_at(value: str) -> datetime:
    seconds = signing.b62_decode(value.rsplit(":", 2)[1])
    return datetime.fromtimestamp(seconds, UTC if settings.USE_TZ else None)
