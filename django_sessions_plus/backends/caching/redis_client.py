"""A Redis client that uses one redis-py client per process, not one per call.

Django's ``RedisCache`` creates a client for each call and, under ASGI, a connection pool for each
request. This client sends the same commands, with the same keys and the same serializer, so that
processes of both kinds can share a cache. It is used for Django's own ``RedisCache`` with one server
and redis-py's default pool; for any other cache, ``cache_client`` is.

Private names of Django 5.2 to 6.1: ``_servers``, ``_options`` and ``_class`` of ``RedisCache``, and ``_serializer``
of its client, because Django has no public access to the configuration of a cache.
tests/test_private_names.py fails if they disappear.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from threading import BoundedSemaphore
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.cache import BaseCache
from django.core.cache.backends.base import default_key_func
from django.core.cache.backends.redis import RedisCache, RedisCacheClient

from django_sessions_plus.backends.caching.cache_client import (
    CacheClient,
    NoFreeConnectionError,
    Replacement,
)
from django_sessions_plus.conf.changes import on_setting_change

if TYPE_CHECKING:
    import redis

MAX_CONNECTIONS = 100
"""The most connections that a process opens, if the project sets no limit; also the default of redis-py 8."""
LONGEST_WAIT = 1.0
"""How many seconds a thread waits for a free connection."""
IDLE_AGE = 60.0
"""How often, in seconds, idle connections are closed."""

# The old generation is always replaced, which invalidates the old entry. The new entry is only written
# if the old generation was still there: otherwise another process has changed the row.
_REPLACE = """
local found = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[5])
return 1
"""

# Another pool class may behave differently; a client with a local cache sees changes too late.
_UNSUPPORTED_OPTIONS = {"pool_class", "cache", "cache_config"}

T = TypeVar("T")


class RedisClient(CacheClient):
    """Reads and writes the server of one ``RedisCache`` by one client, which all threads of the process share.

    If all connections are in use, a thread waits for one, and raises ``NoFreeConnectionError`` after
    ``LONGEST_WAIT``. A command is never repeated.
    """

    can_replace = True

    # Any: the attributes with the configuration of the cache are private, and so not in the type stubs.
    def __init__(self, cache: Any) -> None:
        super().__init__(cache)
        django_client: Any = RedisCacheClient
        made = django_client(cache._servers, **_options_of(cache))
        self.client: redis.Redis = made.get_client(write=True)
        self.pool = self.client.connection_pool
        self.script = self.client.register_script(_REPLACE)
        self.response_error: type[Exception] = import_module("redis").ResponseError
        self.serializer: Any = made._serializer
        self.pid = os.getpid()
        has_usual_keys = cache.key_func is default_key_func
        self.prefix: str | None = cache.make_key("") if has_usual_keys else None
        self._free = BoundedSemaphore(self.pool.max_connections)
        self._close_idle_at = monotonic() + IDLE_AGE
        self._is_closed = False

    def is_for(self, cache: Any) -> bool:
        """Return whether this process may use this client for ``cache``."""
        mine: Any = self.cache
        return (
            # Compared by value: without OPTIONS, each thread's instance has its own empty dictionary.
            mine._options == cache._options
            and mine._servers == cache._servers
            and (mine.key_prefix, mine.version) == (cache.key_prefix, cache.version)
            # Not after a fork: threads of the parent process may use the connections.
            and self.pid == os.getpid()
        )

    def close(self) -> None:
        """Close idle connections now, and each other one after its command.

        A thread that still has this client may continue to use it. Does nothing in a child process,
        because the connections belong to the parent.
        """
        if self.pid == os.getpid():
            # Set first, so that a command that ends now closes its own connection.
            self._is_closed = True
            self.pool.disconnect(inuse_connections=False)

    def find(self, *keys: str) -> list[Any]:
        """See CacheClient.find(). If the first value cannot be deserialized, it counts as missing."""
        entry, *numbers = self._run(self.client.mget, [self._key(key) for key in keys])
        return [self._entry(entry), *map(self._loaded, numbers)]

    def add(self, key: str, value: Any, age: float | None) -> bool:
        """See CacheClient.add()."""
        return bool(self._set(key, value, age, nx=True))

    def set(self, key: str, value: Any, age: float | None) -> None:
        """See CacheClient.set()."""
        self._set(key, value, age)

    def delete(self, keys: Iterable[str]) -> None:
        """See CacheClient.delete()."""
        if names := [self._key(key) for key in keys]:
            self._run(self.client.delete, *names)

    def replace(self, replacement: Replacement) -> bool:
        """See CacheClient.replace()."""
        dumps = self.serializer.dumps
        keys = [self._key(replacement.generation_key), self._key(replacement.entry_key)]
        generation = (
            *(dumps(replacement.old), dumps(replacement.new)),
            int(replacement.generation_age),
        )
        entry = dumps(replacement.entry), int(replacement.entry_age)
        try:
            return bool(self._run(self.script, keys, [*generation, *entry]))
        except self.response_error:
            # The server may forbid scripts, or be full and refuse scripts that write.
            return super().replace(replacement)

    def _run(self, command: Callable[..., T], *args: Any, **options: Any) -> T:
        if not self._free.acquire(timeout=LONGEST_WAIT):
            raise NoFreeConnectionError
        try:
            return command(*args, **options)
        finally:
            # Before the connections are closed: if that failed, the semaphore would never be released.
            self._free.release()
            self._close_idle()

    def _close_idle(self) -> None:
        # Otherwise all connections of a burst of requests would stay open. A closed connection
        # connects again when it is next used.
        now = monotonic()
        if now >= self._close_idle_at or self._is_closed:
            self._close_idle_at = now + IDLE_AGE
            self.pool.disconnect(inuse_connections=False)

    def _set(self, key: str, value: Any, age: float | None, **options: Any) -> Any:
        seconds = None if age is None else int(age)
        stored = self.serializer.dumps(value)
        return self._run(self.client.set, self._key(key), stored, ex=seconds, **options)

    def _key(self, key: str) -> str:
        return self.cache.make_key(key) if self.prefix is None else self.prefix + key

    def _loaded(self, stored: Any) -> Any:
        return None if stored is None else self.serializer.loads(stored)

    def _entry(self, stored: Any) -> Any:
        try:
            return self._loaded(stored)
        except Exception:  # noqa: BLE001  # a foreign value may raise anything
            return None


def _options_of(cache: Any) -> dict[str, Any]:
    """Return the cache's OPTIONS, with a limit of connections, no retries and no maintenance notifications."""
    # If an "add" of a generation is repeated, it may restore one that another process has invalidated
    # in between. Also, each retry would wait for another timeout.
    never = import_module("redis.retry").Retry(import_module("redis.backoff").NoBackoff(), 0)
    options = {"max_connections": MAX_CONNECTIONS, **cache._options, "retry": never}
    # redis-py 7 and later: when a server announces maintenance, redis-py waits for ten seconds in place
    # of the project's timeout, though the database could answer at once. It would also not notice
    # a response that is left over from an earlier command.
    with suppress(ImportError):
        notifications = import_module("redis.maint_notifications")
        off = notifications.MaintNotificationsConfig(enabled=False)
        options["maint_notifications_config"] = off
    return options


_clients: dict[str, RedisClient] = {}


def client_of(alias: str, cache: BaseCache) -> CacheClient:
    """Return the client for ``cache``, which is configured under this alias."""
    if not _is_supported(cache):
        return CacheClient(cache)
    kept = _clients.get(alias)
    if kept is not None and not kept.is_for(cache):
        # Several threads may do this at once; each closes only what it has removed.
        if (removed := _clients.pop(alias, None)) is not None:
            removed.close()
        kept = None
    if kept is None:
        # If several threads do this at once, all use the client of the first one.
        kept = _clients.setdefault(alias, RedisClient(cache))
    return kept


def _is_supported(cache: BaseCache) -> bool:
    """Return whether this is Django's own Redis cache with one server and the default connection pool."""
    found: Any = cache
    return (
        type(cache) is RedisCache
        and found._class is RedisCacheClient
        and len(found._servers) == 1
        and not found._options.keys() & _UNSUPPORTED_OPTIONS
    )


def _close_all() -> None:
    while _clients:
        _clients.popitem()[1].close()


on_setting_change(_close_all, "CACHES")
