"""Where a request's time goes: what a profiler saw, by what the code is there for."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from typing import Any

REQUESTS = 400
MICRO = 1e6

_USER = "user: who it is, and whether the password is still the same"
HANDLER = "Django's handler, its other middleware, the view"
# The first that is part of a file's path, or of a built-in function's name, is what it is for.
_AREAS = (
    ("django_sessions_plus/jwt", "access token"),
    ("rest_framework_simplejwt", "access token"),
    ("site-packages/jwt/", "access token"),
    ("django_sessions_plus/api", "authentication by header"),
    ("django_sessions_plus/middleware", "session middleware"),
    ("django/contrib/sessions/middleware", "session middleware"),
    ("django_sessions_plus/backends/user_check", _USER),
    ("django_sessions_plus", "session store"),
    ("django/contrib/sessions", "session store"),
    ("django/contrib/auth", _USER),
    ("django/utils/crypto", _USER),
    ("django/db/models", "Django's ORM"),
    ("sqlite3.Cursor", "driver and database"),
    ("CursorWrapper.execute", "driver and database"),
    ("psycopg", "driver and database"),
    ("django/db", "Django's connection and cursor"),
    ("rest_framework", "REST framework"),
)
AREAS = tuple(dict.fromkeys([area for _, area in _AREAS] + [HANDLER]))

Key = tuple[str, int, str]
Share = dict[str, list[float]]


def profile(serve: Callable[[], object], requests: int) -> Share:
    """Return, by area, the function calls and the microseconds of one request of those ``serve`` serves."""
    profiler = cProfile.Profile()
    profiler.runcall(serve)
    stats: Any = pstats.Stats(profiler)
    found: Share = {}
    for key, (_, calls, own, _, callers) in stats.stats.items():
        if _area(key) is not None:
            _add(found, _area(key) or HANDLER, calls, own)
            continue
        # A built-in function works for who calls it.
        for caller, (_, called, taken, _) in callers.items():
            _add(found, _area(caller) or HANDLER, called, taken)
    return {
        area: [round(calls / requests, 1), round(own / requests * MICRO, 1)]
        for area, (calls, own) in found.items()
    }


def _area(key: Key) -> str | None:
    """Return what a function is there for; None for a built-in one that could be there for anything."""
    file, _, name = key
    text = name if file == "~" else file.replace("\\", "/")
    for part, area in _AREAS:
        if part in text:
            return area
    return None if file == "~" else HANDLER


def _add(found: Share, area: str, calls: float, own: float) -> None:
    entry = found.setdefault(area, [0, 0])
    entry[0] += calls
    entry[1] += own
