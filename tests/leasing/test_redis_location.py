"""Which Redis the setting names, and what is taken from a URL or a cache. No connection."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("redis")
from django_sessions_plus.backends.leasing import redis_location
from django_sessions_plus.backends.leasing.redis_location import locate, why_none

DJANGO = "django.core.cache.backends.redis.RedisCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"


@pytest.mark.parametrize(
    ("url", "shown", "database", "arguments"),
    [
        ("redis://", "redis://localhost:6379/0", 0, {}),
        ("redis://cache/3", "redis://cache:6379/3", 3, {"host": "cache"}),
        (
            "rediss://ada:secret@cache:6380/1?ssl_cert_reqs=none&socket_timeout=99&protocol=3",
            "rediss://cache:6380/1",
            1,
            {
                "host": "cache",
                "port": 6380,
                "username": "ada",
                "password": "secret",
                "ssl_cert_reqs": "none",
            },
        ),
        (
            "unix://:secret@/run/redis.sock?db=2",
            "unix:///run/redis.sock?db=2",
            2,
            {"path": "/run/redis.sock", "password": "secret"},
        ),
    ],
)
def test_a_url(url: str, shown: str, database: int, arguments: dict[str, Any]):
    found = locate(url)
    assert (found.shown, found.database) == (shown, database)
    own = {"socket_keepalive", "socket_keepalive_options"}
    assert {k: v for k, v in found.options.items() if k not in own} == arguments
    assert "secret" not in repr(found)
    made = found.connection(0.5)
    assert (made.socket_timeout, made.socket_connect_timeout, made.protocol) == (0.5, 0.5, 2)
    assert (made.retry.get_retries() if hasattr(made.retry, "get_retries") else 0) == 0
    # Nothing that is sent to connect may depend on the number.
    assert made.db == 0


@pytest.mark.parametrize(
    ("cache", "shown", "arguments"),
    [
        ({"BACKEND": DJANGO, "LOCATION": "redis://a:1/2"}, "redis://a:1/2", {}),
        ({"BACKEND": DJANGO, "LOCATION": "redis://a,redis://b"}, "redis://a:6379/0", {}),
        ({"BACKEND": DJANGO, "LOCATION": ["redis://a", "redis://b"]}, "redis://a:6379/0", {}),
        (
            {
                "BACKEND": DJANGO,
                "LOCATION": "redis://a",
                "KEY_PREFIX": "of one release",
                "OPTIONS": {"password": "secret", "db": 4, "pool_class": "x", "max_connections": 1},
            },
            "redis://a:6379/4",
            {"password": "secret"},
        ),
        (
            {
                "BACKEND": DJANGO_REDIS,
                "LOCATION": "redis://a",
                "OPTIONS": {
                    "PASSWORD": "secret",
                    "CONNECTION_POOL_KWARGS": {"username": "ada", "retry": None},
                },
            },
            "redis://a:6379/0",
            {"username": "ada", "password": "secret"},
        ),
    ],
)
def test_a_cache(settings: Any, cache: dict[str, Any], shown: str, arguments: dict[str, Any]):
    settings.CACHES = {"sessions": cache}
    found = locate("sessions")
    assert found.shown == shown
    login = {"username", "password"}
    assert {k: v for k, v in found.options.items() if k in login} == arguments
    found.connection(0.5)


@pytest.mark.parametrize(
    ("cache", "reason"),
    [
        (None, "nor the name of a cache"),
        ({"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}, "is neither Django's"),
        ({"BACKEND": "nothing.Nowhere"}, "is neither Django's"),
        ({"BACKEND": DJANGO}, "has no LOCATION"),
        ({"BACKEND": DJANGO, "LOCATION": "127.0.0.1:6379"}, "begins with redis://"),
        (
            {
                "BACKEND": DJANGO_REDIS,
                "LOCATION": "redis://a",
                "OPTIONS": {"CLIENT_CLASS": "django_redis.client.SentinelClient"},
            },
            "has a CLIENT_CLASS",
        ),
    ],
)
def test_a_cache_that_is_not_on_one_redis_is_refused(settings: Any, cache: Any, reason: str):
    settings.CACHES = {} if cache is None else {"sessions": cache}
    assert reason in str(why_none("sessions"))


@pytest.mark.parametrize(
    "url", ["http://:secret@host", "redis://:secret@host:port", "redis://:secret@[host"]
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str):
    reason = why_none(url)
    assert reason is not None
    assert "secret" not in reason


def test_without_redis_py_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    locate.cache_clear()
    monkeypatch.setattr(redis_location, "find_spec", lambda name: None)
    assert "pip install" in str(why_none("redis://"))
    locate.cache_clear()
