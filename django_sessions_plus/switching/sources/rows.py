"""Sessions of another engine in a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import caches
from django.db import models, router
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.switching.decoding import decoded
from django_sessions_plus.switching.sources.base import OldSession, Source

_DELETED_BY_KEY = {
    *("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db"),
    "user_sessions.backends.db",
}
"""The modules whose ``delete()`` deletes the row, and the cached copy under ``cache_key_prefix``, and nothing else."""

# How packages call what a row may have beside Django's three columns.
_ADDRESS, _AGENT = ("ip", "ip_address"), ("user_agent",)
_CREATED, _SEEN = ("created_at", "created"), ("last_activity", "last_seen_at", "updated_at")


class RowSource(Source):
    """Sessions in a table with ``session_key``, ``session_data`` and ``expire_date``, as Django's has."""

    def __init__(
        self, name: str, store_class: type[SessionBase], model: type[models.Model]
    ) -> None:
        super().__init__(name, store_class)
        self.model = model
        fields = {each.name: each for each in model._meta.concrete_fields}
        text = (models.CharField, models.TextField, models.GenericIPAddressField)
        self._names = {
            meant: next((each for each in known if isinstance(fields.get(each), kinds)), None)
            for meant, known, kinds in (
                ("ip_address", _ADDRESS, text),
                ("user_agent", _AGENT, text),
                ("created_at", _CREATED, models.DateTimeField),
                ("last_seen_at", _SEEN, models.DateTimeField),
            )
        }

    @property
    def alias(self) -> str:
        """The database for writes: a replica may still have a session that was deleted."""
        return router.db_for_write(self.model)

    def rows(self) -> models.QuerySet[Any]:
        """Return all rows that have not expired."""
        return self._all_rows().filter(expire_date__gt=timezone.now())

    def expired_rows(self) -> models.QuerySet[Any]:
        """Return all rows that have expired."""
        return self._all_rows().filter(expire_date__lte=timezone.now())

    @sensitive_variables()
    def delete_many(self, keys: list[str]) -> None:
        """See Source. One statement, and one access to the cache, unless the engine has a ``delete()`` of its own."""
        if self.store_class.delete.__module__ not in _DELETED_BY_KEY:
            super().delete_many(keys)
            return
        self._all_rows().filter(session_key__in=keys).delete()
        prefix: str | None = getattr(self.store_class, "cache_key_prefix", None)
        if prefix is not None:
            caches[settings.SESSION_CACHE_ALIAS].delete_many([prefix + key for key in keys])

    def _all_rows(self) -> models.QuerySet[Any]:
        return self.model._default_manager.using(self.alias)

    @sensitive_variables("key")
    def find(self, key: str) -> OldSession | None:
        """See Source."""
        found = self.rows().filter(session_key=key)[:1]
        return next((self.read(row) for row in found), None)

    @sensitive_variables("key")
    def update(self, key: str, expires_at: datetime, data: Mapping[str, Any] | None) -> None:
        """See Source."""
        columns: dict[str, Any] = {"expire_date": expires_at}
        if data is not None:
            columns["session_data"] = self.store_class().encode(dict(data))
        self.rows().filter(session_key=key).update(**columns)
        prefix = getattr(self.store_class, "cache_key_prefix", None)
        if prefix is not None:
            # The other engine reads the row again.
            caches[settings.SESSION_CACHE_ALIAS].delete(prefix + key)

    def read(self, row: Any) -> OldSession:
        """Return the session of a row.

        Raises:
            UnreadableError: its data is damaged, or of another serializer.
        """
        known = {meant: getattr(row, name) for meant, name in self._names.items() if name}
        agent: Any = self._names["user_agent"] and self.model._meta.get_field("user_agent")
        if agent and len(known["user_agent"] or "") == agent.max_length:
            # It was cut off, and would look like another browser than the one that sends all of it.
            known["user_agent"] = None
        data = decoded(self.store_class, row.session_data)
        return OldSession(data=data, expires_at=row.expire_date, **known)
