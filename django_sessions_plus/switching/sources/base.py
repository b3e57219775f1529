"""What a source of sessions does, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import tokens
from django_sessions_plus.backends.changes import EXPIRY_KEY
from django_sessions_plus.switching.decoding import UnreadableError


@dataclass(frozen=True)
class OldSession:
    """A session of another engine; None for what that engine does not know."""

    # Not in the repr, which may get into a log.
    data: dict[str, Any] = field(repr=False)
    expires_at: datetime | None = None
    created_at: datetime | None = None
    first_seen_at: datetime | None = None
    """When it was there at the latest: it may have begun earlier, so no barrier may rely on it."""
    last_seen_at: datetime | None = None
    ip_address: str | None = None
    user_agent: str | None = None


class KeptSource:
    """Where something was imported from, and may have been left. Threads may share it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def alias(self) -> str | None:
        """The database of the store; None if it is in no database."""
        return None

    def digest_of(self, token: str) -> str:
        """Return the token digest of what was imported under this key."""
        return tokens.digest(token)

    def update(self, key: str, expires_at: datetime, data: Mapping[str, Any] | None) -> None:
        """Set the expiry of the session with this key and, unless None, its data; nothing happens if there is none."""
        raise NotImplementedError

    def delete(self, key: str) -> None:
        """Delete the session with this key, and its cached copy; nothing happens if there is none."""
        raise NotImplementedError


class Source(KeptSource):
    """The store of another engine. Its name is the entry in ``SESSIONS_PLUS_IMPORT_FROM``."""

    place = "a table"
    """Where the sessions are, for people."""
    can_keep = True
    """Whether an imported session can be left in the store, and be deleted there later."""
    has_copies = False
    """Whether somebody may have earlier states of a session, each of which opens it."""

    def __init__(self, name: str, store_class: type[SessionBase]) -> None:
        super().__init__(name)
        # Any: what an engine with a cache has besides.
        self.store_class: Any = store_class

    def find(self, key: str) -> OldSession | None:
        """Return the session with this key; None if there is none, or if it has expired. One query or cache access.

        Raises:
            UnreadableError: there is one, but its data is damaged, or of another serializer.
            Exception: whatever a database or a cache raises that fails.
        """
        raise NotImplementedError

    @sensitive_variables("key")
    def delete(self, key: str) -> None:
        """See KeptSource."""
        store: Any = self.store_class(key)
        store.delete(key)

    @sensitive_variables()
    def delete_many(self, keys: list[str]) -> None:
        """Delete the sessions with these keys, as ``delete()`` does."""
        for key in keys:
            self.delete(key)


def time_of(seconds: float) -> datetime:
    """Return the time so many seconds after 1970, with a time zone if this project uses them."""
    return datetime.fromtimestamp(seconds, UTC if settings.USE_TZ else None)


@sensitive_variables("data")
def expiry_of(store: Any, data: dict[str, Any], saved_at: datetime) -> datetime:
    """Return when a session with this data expires that the engine of ``store`` has saved then.

    Raises:
        UnreadableError: the data has an expiry that is none.
    """
    try:
        expires_at: datetime = store.get_expiry_date(
            modification=saved_at, expiry=data.get(EXPIRY_KEY)
        )
        # An expiry may have a time zone where the project uses none, and the other way round.
        expires_at - saved_at
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UnreadableError("its data has an expiry that is none") from error
    return expires_at
