"""The requests that are compared."""

from __future__ import annotations

from dataclasses import dataclass

KNOWN, UNKNOWN, JUNK, NOBODY = "known", "unknown", "junk", "nobody"

COOKIE, ASYNC, API = "cookie", "async", "api"
FAMILIES = (COOKIE, ASYNC, API)


@dataclass(frozen=True)
class Scenario:
    """One kind of request: who asks, for what, and what a right answer is."""

    name: str
    label: str
    path: str
    visitor: str = KNOWN
    answer: str = ""
    """What the body must hold; ``{user}`` stands for the user's name."""
    measure_memory: bool = False


FAMILY_LABELS = {
    COOKIE: "WSGI, session cookie",
    ASYNC: "ASGI, async view",
    API: "Django REST framework, `IsAuthenticated`",
}

SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    COOKIE: (
        Scenario("read", "read user", "/read/", answer="{user}", measure_memory=True),
        Scenario("write", "write one key", "/write/", answer="written", measure_memory=True),
        Scenario("unknown", "unknown cookie", "/read/", UNKNOWN, answer="nobody"),
        Scenario("junk", "junk cookie", "/read/", JUNK, answer="nobody"),
        Scenario("untouched", "untouched", "/plain/", answer="plain"),
        Scenario("anonymous", "anonymous", "/read/", NOBODY, answer="nobody"),
    ),
    ASYNC: (
        Scenario("async_read", "read user", "/async-read/", answer="{user}"),
        Scenario("async_write", "write one key", "/async-write/", answer="written"),
    ),
    API: (Scenario("api", "read user", "/api/", answer="{key}"),),
}


def scenario(name: str) -> Scenario:
    """Return the scenario of this name."""
    return next(one for family in SCENARIOS.values() for one in family if one.name == name)
