"""For django-rest-knox: its tokens go on as sessions of this package.

In the place of ``knox.auth.TokenAuthentication``. The app ``knox`` stays installed as long as its tokens are used.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from django.db import models
from django.utils import timezone
from knox import auth
from knox.crypto import hash_token
from knox.models import get_token_model
from knox.settings import knox_settings

from django_sessions_plus import policy
from django_sessions_plus.backends.session import SessionStore
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.contrib.tokens import ImportedTokenAuthentication, watch


class TokenAuthentication(ImportedTokenAuthentication, auth.TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """Authenticate by a token of knox, under the scheme that knox is set to; one query, and some more at first use."""

    package: ClassVar[Literal["knox"]] = "knox"

    def token_model(self) -> type[models.Model]:
        """Return the model of the tokens."""
        found: type[models.Model] = get_token_model()
        return found

    def value_of(self, token: str) -> str:
        """Return knox's own digest: nobody who has read it in the database can present it as a token."""
        digest: str = hash_token(token)
        return digest

    def expiry_of(self, token: Any) -> datetime | None:
        """Return the expiry of the token; None if it has none."""
        expiry: datetime | None = token.expiry
        return expiry

    def note_use(self, store: SessionStore, row: AbstractSession) -> None:
        """Move the expiry as knox does with ``AUTO_REFRESH``."""
        if not knox_settings.AUTO_REFRESH or knox_settings.TOKEN_TTL is None:
            return
        expires_at = timezone.now() + knox_settings.TOKEN_TTL
        if knox_settings.AUTO_REFRESH_MAX_TTL is not None:
            expires_at = min(expires_at, row.created_at + knox_settings.AUTO_REFRESH_MAX_TTL)
        expires_at = policy.capped(expires_at, row.limited_until)
        if (expires_at - row.expires_at).total_seconds() > knox_settings.MIN_REFRESH_INTERVAL:
            store.set_expiry(expires_at)


watch("knox", knox_settings.TOKEN_MODEL)
