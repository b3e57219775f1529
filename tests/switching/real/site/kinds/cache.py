"""Sessions in a cache alone, which is on Redis here."""

from __future__ import annotations

import os
import pickle
from typing import Any

from tests.switching.real.site.kinds.base import Kind
from tests.switching.real.site.plan import Visit


class Cache(Kind):
    """Sessions in a cache alone."""

    def expire(self, visit: Visit) -> None:
        """Have it expire within a second: it is asked for later than that."""
        assert _cache().touch(_name(visit), 1)

    def damage(self, visit: Visit, number: int) -> None:
        """Store what pickle cannot load: a class that a deployment has moved, half an entry; or what is no session."""
        import redis

        texts = [b"cno_such_module\nClass\n.", b"\x80", pickle.dumps("no session")]
        client = redis.Redis.from_url(os.environ["REDIS_URL"])
        client.set(_cache().make_key(_name(visit)), texts[number % len(texts)])


def _cache() -> Any:
    from django.conf import settings
    from django.core.cache import caches

    return caches[settings.SESSION_CACHE_ALIAS]


def _name(visit: Visit) -> str:
    from django.contrib.sessions.backends.cache import KEY_PREFIX

    return f"{KEY_PREFIX}{visit.cookie}"
