"""Sessions that another engine keeps in the browser: the cookie is their data, signed, and no key.

A token is derived from such a cookie, always the same one, so that parallel requests of a browser import its
session once. Nothing but the signature is checked for that, so a cookie that the site has not signed costs no query.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.core import signing
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import tokens
from django_sessions_plus.jwt.derivation import derive
from django_sessions_plus.switching.decoding import UnreadableError
from django_sessions_plus.switching.sources.base import OldSession, Source, expiry_of, time_of

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
        signed_at = time_of(signing.b62_decode(key.rsplit(":", 2)[1]))
        # Browsers drop the cookie when set_expiry() said so, and the engine refuses it after this age.
        age = timedelta(seconds=self._age())
        expires_at = min(expiry_of(store, data, signed_at), signed_at + age)
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
