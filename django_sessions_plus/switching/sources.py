"""The stores of other engines, from which sessions are imported: find one by its key, or delete it.

A source is named by a word for a well-known engine, or by what ``SESSION_ENGINE`` was. The other engine
reads its own data: its serializer, its signature, its encryption. Only ``update()``, ``delete()`` and
``delete_many()`` write to a store.

Longer than other modules, because the kinds of stores have to be read side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import caches
from django.db import models, router
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.switching.decoding import DAMAGED, UnreadableError, decoded

ENGINES = {
    # Its store also deletes the copies that its own cached_db keeps; the rows are the same.
    "django": "django.contrib.sessions.backends.cached_db",
    "cache": "django.contrib.sessions.backends.cache",
    "user_sessions": "user_sessions.backends.db",
    "qsessions": "qsessions.backends.cached_db",
}
"""The engines that have a short name in ``SESSIONS_PLUS_IMPORT_FROM``."""

_COLUMNS = {"session_key", "session_data", "expire_date"}
_DELETED_BY_KEY = {
    *("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db"),
    "user_sessions.backends.db",
}
"""The modules whose ``delete()`` deletes the row, and the cached copy under ``cache_key_prefix``, and nothing else."""

# How packages call what a row may have beside Django's three columns.
_ADDRESS, _AGENT = ("ip", "ip_address"), ("user_agent",)
_CREATED, _SEEN = ("created_at", "created"), ("last_activity", "last_seen_at", "updated_at")


@dataclass(frozen=True)
class OldSession:
    """A session of another engine; None for what that engine does not know."""

    # Not in the repr, which may get into a log.
    data: dict[str, Any] = field(repr=False)
    expires_at: datetime | None = None
    created_at: datetime | None = None
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


class CacheSource(Source):
    """Sessions of ``django.contrib.sessions.backends.cache``, or of an engine that extends it."""

    @sensitive_variables("key")
    def find(self, key: str) -> OldSession | None:
        """See Source. A cache does not tell when an entry expires."""
        prefix = self.store_class.cache_key_prefix
        try:
            data = caches[settings.SESSION_CACHE_ALIAS].get(prefix + key)
        except DAMAGED as error:
            # Not a failure of the cache, after which it would be asked for no other session for a while.
            reason = f"the cache cannot read its data ({type(error).__name__})"
            raise UnreadableError(reason) from error
        if data is None:
            return None
        if not isinstance(data, Mapping):
            raise UnreadableError("the cache has something else than the data of a session")
        return OldSession(data=dict(data))

    @sensitive_variables("key")
    def update(self, key: str, expires_at: datetime, data: Mapping[str, Any] | None) -> None:
        """See Source."""
        name = self.store_class.cache_key_prefix + key
        cache = caches[settings.SESSION_CACHE_ALIAS]
        seconds = round((expires_at - timezone.now()).total_seconds())
        if data is None:
            cache.touch(name, seconds)
        elif name in cache:
            cache.set(name, dict(data), seconds)


def sources() -> list[Source]:
    """Return the sources that ``SESSIONS_PLUS_IMPORT_FROM`` names, in its order.

    Raises:
        ConfigurationError: an entry names no engine, or one from which nothing can be imported.
    """
    return [source_of(name) for name in config.IMPORT_FROM]


@lru_cache(maxsize=16)
def source_of(name: str) -> Source:
    """Return the source with this name; raises like ``sources()``."""
    path = ENGINES.get(name, name)
    try:
        module = import_module(path)
        store_class: Any = module.SessionStore
        model = _model_of(module)
    except (ImportError, AttributeError, RuntimeError) as error:
        # A RuntimeError is Django's for a model whose app is not installed.
        raise ConfigurationError(
            f"{PREFIX}IMPORT_FROM names {name!r}, and {path} cannot be used: {error}"
        ) from error
    if model is not None and model._meta.app_label not in apps.app_configs:
        raise ConfigurationError(
            f"{PREFIX}IMPORT_FROM names {name!r}, whose app {model._meta.app_label!r} is not installed."
        )
    if model is not None and {each.name for each in model._meta.get_fields()} >= _COLUMNS:
        return RowSource(name, store_class, model)
    if hasattr(store_class, "cache_key_prefix"):
        return CacheSource(name, store_class)
    raise ConfigurationError(
        f"{PREFIX}IMPORT_FROM names {name!r}, from which nothing can be imported: its SessionStore keeps"
        " sessions neither in a table nor in a cache as Django's engines do."
    )


def _model_of(module: Any) -> type[models.Model] | None:
    """Return the model of an engine's rows: as Django's engines name it, or as a ``Session`` of its module."""
    store_class = module.SessionStore
    model: type[models.Model] | None = getattr(module, "Session", None)
    if hasattr(store_class, "get_model_class"):
        model = store_class.get_model_class()
    return model


on_setting_change(source_of.cache_clear)
