"""The client for Redis: redis-py's, one for each process, in place of one for each call.

Django's ``RedisCache`` makes a client for each call and, under ASGI, a pool of connections
for each request. This client sends the same commands, with the same keys and the same
serializer, so that processes of both kinds can share a cache. It is used for Django's own
``RedisCache`` with one server and redis-py's usual pool; ``cache_client`` asks any other cache.

Private names of Django 5.2 to 6.1: ``_servers``, ``_options`` and ``_class`` of ``RedisCache``, and ``_serializer``
of its client, because Django keeps nowhere else what the cache was configured with.
tests/test_private_names.py notices if they go.
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
"""How many connections a process opens at the most if the project sets no limit; redis-py 8 has the same."""
LONGEST_WAIT = 1.0
"""For how many seconds a thread waits for one of the process's connections."""
IDLE_AGE = 60.0
"""How often, in seconds, connections that nobody is using are closed."""

# The old generation goes in any case, which is what invalidates. The entry is only written if it
# was made under the generation that was still there: otherwise somebody else has changed the row.
_REPLACE = """
local found = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[5])
return 1
"""

# A pool of another class has rules of its own; a client that caches by itself hears of changes a
# moment later.
_UNUSUAL = {"pool_class", "cache", "cache_config"}

T = TypeVar("T")


class RedisClient(CacheClient):
    """Asks the server of one ``RedisCache`` through one client, which all threads of the process share.

    A thread that finds all connections in use waits for one, and raises
    NoFreeConnectionError after ``LONGEST_WAIT``. Each command is sent once.
    """

    can_replace = True

    # Any: the names in which Django keeps what the cache was configured with are private.
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
        """Return whether this process may use this client in place of ``cache``."""
        mine: Any = self.cache
        return (
            # Without OPTIONS each of Django's instances, one a thread, has an empty one of its own.
            mine._options == cache._options
            and mine._servers == cache._servers
            and (mine.key_prefix, mine.version) == (cache.key_prefix, cache.version)
            # After a fork: threads of the parent may have held connections.
            and self.pid == os.getpid()
        )

    def close(self) -> None:
        """Close the connections that are idle, and each of the others when its command is over.

        A thread that still has this client may go on using it. Does nothing in a child process:
        the connections are the parent's.
        """
        if self.pid == os.getpid():
            # Set first, so that a command which ends at this moment closes its own connection.
            self._is_closed = True
            self.pool.disconnect(inuse_connections=False)

    def find(self, *keys: str) -> list[Any]:
        """See CacheClient.find(). If the first value cannot be read, it counts as not there."""
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
            # Not every Redis may run scripts, and one that is full runs none that write.
            return super().replace(replacement)

    def _run(self, command: Callable[..., T], *args: Any, **options: Any) -> T:
        if not self._free.acquire(timeout=LONGEST_WAIT):
            raise NoFreeConnectionError
        try:
            return command(*args, **options)
        finally:
            # Before the connections are closed: if that failed, the place would be lost for good.
            self._free.release()
            self._close_idle()

    def _close_idle(self) -> None:
        # A burst would leave as many connections as it had threads, for ever. Those that are
        # needed connect again when they are next used.
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
        except Exception:  # noqa: BLE001  # what somebody else has written may raise anything
            return None


def _options_of(cache: Any) -> dict[str, Any]:
    """Return the cache's OPTIONS, with a limit where they have none, and without what redis-py is not to do."""
    # A generation that is added a second time could bring back one that another process has
    # invalidated in between. Besides, each further attempt waits for a whole timeout.
    never = import_module("redis.retry").Retry(import_module("redis.backoff").NoBackoff(), 0)
    options = {"max_connections": MAX_CONNECTIONS, **cache._options, "retry": never}
    # From version 7 on: a server that announces its maintenance would have redis-py wait for ten
    # seconds in place of the timeout that the project has set, where the database can answer at
    # once. Nor would redis-py notice an answer that is left over from an earlier command.
    with suppress(ImportError):
        notifications = import_module("redis.maint_notifications")
        off = notifications.MaintNotificationsConfig(enabled=False)
        options["maint_notifications_config"] = off
    return options


_clients: dict[str, RedisClient] = {}


def client_of(alias: str, cache: BaseCache) -> CacheClient:
    """Return the client for ``cache``, which is configured under this alias."""
    if not _is_usual(cache):
        return CacheClient(cache)
    kept = _clients.get(alias)
    if kept is not None and not kept.is_for(cache):
        # Of threads that find this together, one may remove what another has just put there.
        if (removed := _clients.pop(alias, None)) is not None:
            removed.close()
        kept = None
    if kept is None:
        # If threads start together, all of them use the client of the first one.
        kept = _clients.setdefault(alias, RedisClient(cache))
    return kept


def _is_usual(cache: BaseCache) -> bool:
    """Return whether this is Django's own Redis cache with one server, and the usual pool of connections."""
    found: Any = cache
    return (
        type(cache) is RedisCache
        and found._class is RedisCacheClient
        and len(found._servers) == 1
        and not found._options.keys() & _UNUSUAL
    )


def _close_all() -> None:
    while _clients:
        _clients.popitem()[1].close()


on_setting_change(_close_all, "CACHES")
