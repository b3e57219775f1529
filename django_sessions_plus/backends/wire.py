"""What copies ask of a cache, and the ways to ask it: the one all caches have, and a shorter one to Redis.

``Wire`` uses what every Django cache promises. Django's own Redis cache makes a client for
each call and, under ASGI, a pool of connections for each request: that costs more than
Redis does. ``RedisWire`` keeps the connections of a process and sends the same commands,
under the same keys, through the project's serializer. Processes that go either way
understand each other. Wherever the cache is anything but Django's own, plainly
configured, the way is the first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.core.cache import BaseCache
from django.core.cache.backends.base import default_key_func
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.core.signals import setting_changed

# The number changes in any case, which is what withdraws; the entry is only written if the
# number was the one it was read under, so that nobody else can have changed the row since.
_REPLACE = """
local found = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[5])
return 1
"""


class Change(NamedTuple):
    """A number to be put in the place of another, and the entry that is true under the new one."""

    permit_key: str
    old: int
    new: int
    permit_age: float
    entry_key: str
    entry: Any
    entry_age: float


class Wire:
    """Any Django cache. Raises what the cache raises; ages are seconds, None for ever."""

    can_replace = False
    """Whether ``replace()`` can do more than to delete."""

    def __init__(self, cache: BaseCache) -> None:
        self.cache = cache

    def find(self, *keys: str) -> list[Any]:
        """Return the values of these keys in one round trip, None for what is not there."""
        found = self.cache.get_many(keys)
        return [found.get(key) for key in keys]

    def add(self, key: str, value: Any, age: float | None) -> bool:
        """Write ``value`` if there is none, and tell whether it was written."""
        return self.cache.add(key, value, age)

    def set(self, key: str, value: Any, age: float | None) -> None:
        """Write ``value``."""
        self.cache.set(key, value, age)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete what is under these keys."""
        self.cache.delete_many(list(keys))

    def replace(self, change: Change) -> bool:
        """Replace the number and write the entry if the old number was still there, all at once.

        In any case the old number is gone afterwards. Returns whether the entry was written.
        """
        self.delete([change.permit_key])
        return False


class RedisWire(Wire):
    """Django's own Redis cache with one server, on connections that are kept."""

    can_replace = True

    # Any: the private names in which Django keeps what the cache was configured with.
    def __init__(self, cache: Any) -> None:
        super().__init__(cache)
        client: Any = RedisCacheClient
        self.client = client(cache._servers, **cache._options)
        self.pool: Any = self.client._get_connection_pool(write=True)
        self.errors: Any = self.client._lib.exceptions
        self.serializer: Any = self.client._serializer
        self.pid = os.getpid()
        is_usual = cache.key_func is default_key_func
        self.prefix = cache.make_key("") if is_usual else None
        # Taken and given back by the threads of the process; either is one step for Python.
        self.idle: list[Any] = []
        is_usual_pool = type(self.pool) is self.client._lib.ConnectionPool
        # A client that caches by itself hears of changes a moment later.
        self.is_plain = (
            len(cache._servers) == 1 and is_usual_pool and getattr(self.pool, "cache", None) is None
        )
        """Whether these are the connections Django's client would use, and nothing in between."""

    def is_for(self, cache: Any) -> bool:
        """Tell whether this leads where ``cache`` does, for this process."""
        mine: Any = self.cache
        return (
            # Without OPTIONS each of Django's instances, one a thread, has an empty one of its own.
            mine._options == cache._options
            and mine._servers == cache._servers
            and (mine.key_prefix, mine.version) == (cache.key_prefix, cache.version)
            and self.pid == os.getpid()
        )

    def find(self, *keys: str) -> list[Any]:
        """See Wire.find(). What cannot be read counts as not there, if it is the first."""
        entry, *numbers = self._run(
            _is_list_of(len(keys)), "MGET", *map(self._key, keys), again=True
        )
        return [self._entry(entry), *map(self._loaded, numbers)]

    def add(self, key: str, value: Any, age: float | None) -> bool:
        """See Wire.add()."""
        return bool(self._run(_is_ok_or_none, "SET", *self._pair(key, value), *_expiry(age), "NX"))

    def set(self, key: str, value: Any, age: float | None) -> None:
        """See Wire.set()."""
        self._run(_is_ok, "SET", *self._pair(key, value), *_expiry(age), again=True)

    def delete(self, keys: Iterable[str]) -> None:
        """See Wire.delete()."""
        if names := [self._key(key) for key in keys]:
            self._run(_is_count_to(len(names)), "DEL", *names, again=True)

    def replace(self, change: Change) -> bool:
        """See Wire.replace()."""
        dumps = self.serializer.dumps
        keys = self._key(change.permit_key), self._key(change.entry_key)
        numbers = dumps(change.old), dumps(change.new), int(change.permit_age)
        entry = dumps(change.entry), int(change.entry_age)
        try:
            return bool(self._run(_is_count_to(1), "EVAL", _REPLACE, 2, *keys, *numbers, *entry))
        except self.errors.ResponseError:
            # Not every Redis may run scripts, and one that is full runs none that write.
            return super().replace(change)

    def _run(self, fits: Callable[[Any], bool], *command: Any, again: bool = False) -> Any:
        """Run a command and return its answer, which has to be of the form that ``fits`` tells.

        With ``again`` it may be run twice: a connection that the server has closed meanwhile is
        no failure then. None that writes a permit only where there is none, or only in the place
        of another, may be: it could bring back one that was withdrawn in between.
        """
        if self.pid != os.getpid():
            # Of a process that has forked: what is answered there would be read by either.
            self.idle, self.pid = [], os.getpid()
        try:
            connection = self.idle.pop()
        except IndexError:
            connection = self.pool.make_connection()
        try:
            return self._ask(connection, command, fits, again)
        except BaseException:
            # Whatever came in between, nobody may read the answer to somebody else's command.
            # The connection connects again when it is next used.
            connection.disconnect()
            raise
        finally:
            self.idle.append(connection)

    def _ask(
        self, connection: Any, command: tuple[Any, ...], fits: Callable[[Any], bool], again: bool
    ) -> Any:
        try:
            connection.send_packed_command([_packed(command)])
            answer = connection.read_response()
        except self.errors.ConnectionError:
            if not again:
                raise
            # This very one, connected again: the server may have closed all the others as well.
            connection.disconnect()
            return self._ask(connection, command, fits, again=False)
        if not fits(answer):
            raise self.errors.InvalidResponse(f"{type(answer)} is no answer to {command[0]}.")
        return answer

    def _key(self, key: str) -> str:
        return self.cache.make_key(key) if self.prefix is None else self.prefix + key

    def _pair(self, key: str, value: Any) -> tuple[str, Any]:
        return self._key(key), self.serializer.dumps(value)

    def _loaded(self, stored: Any) -> Any:
        return None if stored is None else self.serializer.loads(stored)

    def _entry(self, stored: Any) -> Any:
        try:
            return self._loaded(stored)
        except Exception:  # noqa: BLE001  # what somebody else has written may raise anything
            return None


def _is_ok(answer: Any) -> bool:
    return bool(answer == b"OK")


def _is_ok_or_none(answer: Any) -> bool:
    return answer is None or _is_ok(answer)


def _is_list_of(length: int) -> Callable[[Any], bool]:
    return lambda answer: isinstance(answer, list) and len(answer) == length


def _is_count_to(most: int) -> Callable[[Any], bool]:
    return lambda answer: isinstance(answer, int) and 0 <= answer <= most


def _packed(command: tuple[Any, ...]) -> bytes:
    # As Redis wants it. The client's own way takes longer than Redis does to answer.
    parts = [part if type(part) is bytes else str(part).encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(p), p) for p in parts])


def _expiry(age: float | None) -> tuple[Any, ...]:
    return () if age is None else ("EX", int(age))


_wires: dict[str, RedisWire] = {}


def wire_of(alias: str, cache: BaseCache) -> Wire:
    """Return the way to ``cache``, which has this alias."""
    redis: Any = cache
    if type(cache) is not RedisCache or redis._class is not RedisCacheClient:
        return Wire(cache)
    kept = _wires.get(alias)
    if kept is None or not kept.is_for(redis):
        kept = _wires[alias] = RedisWire(redis)
    return kept if kept.is_plain else Wire(cache)


def _forget_all(setting: str, **kwargs: object) -> None:
    if setting == "CACHES":
        _wires.clear()


setting_changed.connect(_forget_all, dispatch_uid="django_sessions_plus.wire")
