"""Check that a cache returns Python objects unchanged, because copies of rows are Python objects."""

from __future__ import annotations

from datetime import UTC, datetime
from inspect import iscoroutinefunction
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.cache.backends.base import BaseCache
from django.utils.module_loading import import_string

from django_sessions_plus.backends.cached_db import SessionStore
from django_sessions_plus.checks.lookups import cache_of_sessions, cache_values, engine_of
from django_sessions_plus.checks.registry import Problems, check, problem

# Values of the types that the copy of a row has: integers of 128 bits, times, UUIDs, and others.
SAMPLE = (
    (1 << 127, 1 << 126),
    1.5,
    "f" * 64,
    (UUID(int=1 << 127), datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "text", 1, True, None),
)
_ASKED = ("get_many", "add", "set", "delete_many")


@check()
def check_cache_values() -> Problems:
    """Find a cache that would never return a copy of a row."""
    cache = cache_of_sessions()
    if engine_of(SessionStore) is None or cache is None:
        return
    reason = _is_asynchronous(cache) or _is_lossy(cache_values().get("OPTIONS", {}))
    if reason:
        yield problem(
            "W040",
            f"{reason}: no copy of a session is ever found there, so every request asks the cache in"
            " vain and then the database.",
            f"In CACHES[{settings.SESSION_CACHE_ALIAS!r}] use a synchronous cache and a serializer"
            " for Python objects, such as the default; or name another cache in SESSION_CACHE_ALIAS.",
        )


def _is_asynchronous(cache: type[BaseCache]) -> str:
    names = [name for name in _ASKED if iscoroutinefunction(getattr(cache, name, None))]
    return f"The methods of {cache.__name__} are coroutines" if names else ""


def _is_lossy(options: dict[str, Any]) -> str:
    # The option's names in Django, in django-redis and django-valkey, and in pymemcache.
    for name in ("serializer", "SERIALIZER", "serde"):
        if name in options and not _keeps_sample(options[name], options):
            return f"The {name} of the cache of sessions does not give back what it was given"
    return ""


def _keeps_sample(configured: Any, options: dict[str, Any]) -> bool:
    try:
        found = _instance(configured, options)
        if hasattr(found, "serialize"):
            return bool(found.deserialize("key", *found.serialize("key", SAMPLE)) == SAMPLE)
        return bool(found.loads(found.dumps(SAMPLE)) == SAMPLE)
    except Exception:  # noqa: BLE001 - whatever a serializer raises for what it does not know
        return False


def _instance(configured: Any, options: dict[str, Any]) -> Any:
    kind = import_string(configured) if isinstance(configured, str) else configured
    if not callable(kind):
        return kind
    try:
        return kind()
    except TypeError:
        # django-redis passes the options to the serializer.
        return kind(options)
