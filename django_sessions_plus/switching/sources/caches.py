"""Sessions of another engine in a cache, and only there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.switching.decoding import DAMAGED, UnreadableError
from django_sessions_plus.switching.sources.base import OldSession, Source


class CacheSource(Source):
    """Sessions of ``django.contrib.sessions.backends.cache``, or of an engine that extends it."""

    place = "a cache"

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
