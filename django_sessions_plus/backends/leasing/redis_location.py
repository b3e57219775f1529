"""Where Redis is, as ``SESSIONS_PLUS_LEASE_CHANNEL`` says: by a URL, or by a cache of ``CACHES``. No I/O."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache.backends.redis import RedisCache
from django.utils.module_loading import import_string

from django_sessions_plus.conf import PREFIX
from django_sessions_plus.conf.changes import on_setting_change

SCHEMES = ("redis", "rediss", "unix")

DJANGO_REDIS = "django_redis.cache.RedisCache"
_CLIENT_OF_DJANGO_REDIS = "django_redis.client.DefaultClient"

# Of the options of a URL or a cache, those that say where the server is, and who asks. How often redis-py tries again,
# in which protocol, and for how long, this package decides.
_TAKEN = {"host", "port", "path", "username", "password", "credential_provider", "socket_type"}

# How soon the system gives up a server that no longer answers; the last is in milliseconds.
_KEEPALIVES = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 10_000,
}


class LocationError(Exception):
    """The setting names no Redis that can be used; the message says why, without a password."""


@dataclass(frozen=True)
class Location:
    """A Redis, and what the channels of this site are called there."""

    shown: str
    """The URL without user, password and options."""
    database: int
    """The number of the database. Pub/sub knows none, but sites that share a server usually differ in it."""
    connection_class: Any
    options: Mapping[str, Any] = field(repr=False)

    @property
    def is_of_this_host(self) -> bool:
        """Whether another host would find another server by the same URL."""
        return "path" in self.options or is_of_this_host(self.options.get("host", ""))

    def options_with(self, timeout: float) -> dict[str, Any]:
        """Return the arguments of a connection that waits for ``timeout`` seconds, and tries nothing twice."""
        never = import_module("redis.retry").Retry(import_module("redis.backoff").NoBackoff(), 0)
        return {
            **self.options,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "protocol": 2,
            "retry": never,
        }

    def connection(self, timeout: float) -> Any:
        """Return a new connection of redis-py, which connects when it is first used."""
        return self.connection_class(**self.options_with(timeout))


def is_of_this_host(host: str) -> bool:
    """Return whether this name or address is the host itself, or a socket of it; without a query."""
    return host in {"", "localhost", "::1"} or host.startswith(("127.", "/"))


@lru_cache(maxsize=8)
def locate(value: str) -> Location:
    """Return where the Redis is that the setting names.

    Raises:
        LocationError: none that can be used.
    """
    if find_spec("redis") is None:
        raise LocationError("redis-py is not installed (pip install 'django-sessions-plus[redis]')")
    if "://" in value:
        return _of_url(value, {})
    if value not in settings.CACHES:
        raise LocationError(
            f"{PREFIX}LEASE_CHANNEL is neither 'database', 'database:alias', 'process', a URL of Redis, nor the name"
            " of a cache"
        )
    cache: Mapping[str, Any] = settings.CACHES[value]
    return _of_url(*_of_cache(value, cache))


on_setting_change(locate.cache_clear, "CACHES")


def why_none(value: str) -> str | None:
    """Return why the setting names no Redis that can be used; None if it does."""
    try:
        locate(value)
    except LocationError as exc:
        return str(exc)
    return None


def _of_cache(alias: str, cache: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the URL of a cache, and what its options add."""
    backend = cache.get("BACKEND", "")
    options: Mapping[str, Any] = cache.get("OPTIONS") or {}
    if backend == DJANGO_REDIS:
        if options.get("CLIENT_CLASS", _CLIENT_OF_DJANGO_REDIS) != _CLIENT_OF_DJANGO_REDIS:
            raise LocationError(
                f"the cache {alias!r} has a CLIENT_CLASS, which may use more than one server"
            )
        password = {"password": options["PASSWORD"]} if options.get("PASSWORD") else {}
        options = {**password, **options.get("CONNECTION_POOL_KWARGS", {})}
    elif not _is_of_django(backend):
        raise LocationError(
            f"the cache {alias!r} is neither Django's RedisCache nor that of django-redis"
        )
    servers = cache.get("LOCATION") or ()
    if isinstance(servers, str):
        servers = re.split("[;,]", servers)
    if not servers:
        raise LocationError(f"the cache {alias!r} has no LOCATION")
    # The first one is that for writes.
    return servers[0], options


def _is_of_django(backend: str) -> bool:
    try:
        return issubclass(import_string(backend), RedisCache)
    except (ImportError, TypeError):
        return False


def _of_url(url: str, options: Mapping[str, Any]) -> Location:
    try:
        parts = urlsplit(url)
        found = import_module("redis.connection").parse_url(url)
    except ValueError as exc:
        # Not its message, which may have the password.
        raise LocationError(
            f"a URL of Redis begins with {', '.join(f'{each}://' for each in SCHEMES)}, and has to be a valid one"
        ) from exc
    connection_class = found.pop("connection_class", import_module("redis.connection").Connection)
    # As in redis-py, the URL comes first.
    merged = {**options, **found}
    taken = {
        name: value
        for name, value in merged.items()
        if name in _TAKEN or (parts.scheme == "rediss" and name.startswith("ssl_"))
    }
    is_unix = parts.scheme == "unix"
    if not is_unix:
        taken |= {
            "socket_keepalive": True,
            "socket_keepalive_options": {
                getattr(socket, name): value
                for name, value in _KEEPALIVES.items()
                if hasattr(socket, name)
            },
        }
    database = merged.get("db") or 0
    where = parts.path if is_unix else f"{taken.get('host', 'localhost')}:{taken.get('port', 6379)}"
    return Location(
        shown=f"{parts.scheme}://{where}" + (f"?db={database}" if is_unix else f"/{database}"),
        database=database,
        connection_class=connection_class,
        options=taken,
    )
