"""Checks of the cache in which the engine ``cached_db`` keeps copies of its rows."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.cache.backends.base import BaseCache, get_key_func, memcache_key_warnings
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import BaseMemcachedCache, PyMemcacheCache
from django.core.cache.backends.redis import RedisCache

from django_sessions_plus.backends.cached_db import SessionStore
from django_sessions_plus.checks.lookups import cache_of_sessions, cache_values, engine_of
from django_sessions_plus.checks.registry import Problems, check, problem

_UNSHARED = (DummyCache, FileBasedCache, LocMemCache)
_TIMEOUTS: dict[type[BaseCache], tuple[str, str]] = {
    RedisCache: ("socket_timeout", "socket_connect_timeout"),
    PyMemcacheCache: ("timeout", "connect_timeout"),
}


@check()
def check_cache_alias() -> Problems:
    """Find an engine whose cache is not configured."""
    store, alias = engine_of(SessionStore), settings.SESSION_CACHE_ALIAS
    if store is not None and alias not in settings.CACHES:
        yield problem(
            "E016",
            f"SESSION_CACHE_ALIAS is {alias!r}, which CACHES does not have: every request that has"
            " a session fails.",
            f"Name one of {', '.join(map(repr, settings.CACHES))}, or add {alias!r} to CACHES.",
        )


@check()
def check_cache_keys() -> Problems:
    """Find keys that Memcached refuses."""
    store, cache = engine_of(SessionStore), cache_of_sessions()
    if store is None or cache is None or not issubclass(cache, BaseMemcachedCache):
        return
    values = cache_values()
    make_key = get_key_func(values.get("KEY_FUNCTION"))
    label = store.get_model_class()._meta.label_lower
    # The longest keys that the engine makes.
    longest = f"django_sessions_plus:{label}:entry:{'f' * 16}:{'f' * 64}"
    key = make_key(longest, values.get("KEY_PREFIX", ""), values.get("VERSION", 1))
    if any(memcache_key_warnings(key)):
        yield problem(
            "E017",
            f"Memcached refuses the keys of sessions, such as {key!r}: none would be kept.",
            "Let KEY_PREFIX be shorter, and without spaces.",
        )


@check(deploy=True)
def check_shared_cache() -> Problems:
    """Find a cache that other processes or hosts do not share."""
    cache = cache_of_sessions()
    if engine_of(SessionStore) is not None and cache is not None and issubclass(cache, _UNSHARED):
        yield problem(
            "W019",
            f"Sessions are kept in a {cache.__name__}, which other processes or hosts do not see:"
            " they serve a session that has ended for up to SESSIONS_PLUS_CACHE_AGE.",
            "Use a cache that all share, such as Redis, or the engine"
            " 'django_sessions_plus.backends.db'.",
        )


@check(deploy=True)
def check_cache_timeouts() -> Problems:
    """Find a cache without timeouts, for which requests would wait while it hangs."""
    cache = cache_of_sessions()
    if engine_of(SessionStore) is None or cache is None:
        return
    names = next((names for kind, names in _TIMEOUTS.items() if issubclass(cache, kind)), ())
    set_here = _options()
    missing = [name for name in names if not set_here.get(name)]
    if missing:
        wanted = ", ".join(f'"{name}": 0.25' for name in missing)
        yield problem(
            "W020",
            f"A {cache.__name__} that hangs makes every request with a session hang with it:"
            f" {' and '.join(missing)} set no limit.",
            f'Add to CACHES[{settings.SESSION_CACHE_ALIAS!r}]: "OPTIONS": {{{wanted}}} (seconds).',
        )


@check()
def check_cache_reads() -> Problems:
    """Find a Redis cache that reads from replicas."""
    cache = cache_of_sessions()
    if engine_of(SessionStore) is None or cache is None or not issubclass(cache, RedisCache):
        return
    servers = _locations()
    if len(servers) > 1 or "cache_config" in _options():
        yield problem(
            "W021",
            "The Redis cache of sessions reads from replicas, or"
            " from the client's memory. Until these are updated, an ended session is served.",
            "Name in LOCATION only the server that is written to, and leave out cache_config.",
        )


def _locations() -> list[str]:
    location = cache_values().get("LOCATION", "")
    if isinstance(location, str):
        return location.replace(";", ",").split(",")
    return list(location)


def _options() -> dict[str, Any]:
    """Return the options of the cache, including those in the query of a Redis URL."""
    in_url = parse_qs(urlsplit(_locations()[0]).query) if _locations() else {}
    return {**in_url, **cache_values().get("OPTIONS", {})}
