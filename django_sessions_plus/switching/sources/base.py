"""What a source of sessions does, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.views.decorators.debug import sensitive_variables


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


class Source:
    """The store of another engine. Threads may share it."""

    def __init__(self, name: str, store_class: type[SessionBase]) -> None:
        self.name = name
        """The entry in ``SESSIONS_PLUS_IMPORT_FROM``."""
        # Any: what an engine with a cache has besides.
        self.store_class: Any = store_class

    @property
    def alias(self) -> str | None:
        """The database of the store; None if it is in no database."""
        return None

    def find(self, key: str) -> OldSession | None:
        """Return the session with this key; None if there is none, or if it has expired. One query or cache access.

        Raises:
            UnreadableError: there is one, but its data is damaged, or of another serializer.
            Exception: whatever a database or a cache raises that fails.
        """
        raise NotImplementedError

    def update(self, key: str, expires_at: datetime, data: Mapping[str, Any] | None) -> None:
        """Set the expiry of the session with this key and, unless None, its data; nothing happens if there is none."""
        raise NotImplementedError

    @sensitive_variables("key")
    def delete(self, key: str) -> None:
        """Delete the session with this key, and its cached copy; nothing happens if there is none."""
        store: Any = self.store_class(key)
        store.delete(key)

    @sensitive_variables()
    def delete_many(self, keys: list[str]) -> None:
        """Delete the sessions with these keys, as ``delete()`` does."""
        for key in keys:
            self.delete(key)
