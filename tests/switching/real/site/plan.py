"""Which sessions the site has, and what each must be after the switch. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
AGENTS = (
    _CHROME,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML) Safari/604.1",
    # Longer than what either package stores.
    f"{_CHROME} {'[FBAN/FBIOS;FBAV/530.0.0.49.72;FBBV/1;FBDV/iPhone17,1] ' * 5}".strip(),
    # Longer than what django-user-sessions stores.
    f"{_CHROME} {'Embedded/1.0 (of a television)' * 4}",
    "",
)
FEWEST_BROKEN = 5
"""As many as there are ways to damage a session."""
STATES = LIVING, EXPIRED, BROKEN = "living", "expired", "broken"


@dataclass
class Visit:
    """A browser with a session, as the old site has begun it."""

    user: str
    """Empty if nobody is signed in."""
    state: str
    agent: str
    ip: str
    data: dict[str, Any] = field(repr=False)
    expiry: int | None = None
    """What the site gave to ``set_expiry()``: seconds, 0 for the end of the browser."""
    cookie: str = field(default="", repr=False)
    """Or the token of an app."""

    @property
    def headers(self) -> dict[str, str]:
        """Those that all requests of the browser have."""
        return {"User-Agent": self.agent} if self.agent else {}


def visits_of(count: int) -> Iterator[Visit]:
    """Yield ``count`` living sessions of ``count`` / 5 users, 5 % of them of nobody, and dead ones.

    Besides, for each ten one that has expired, and for each hundred one that is broken, but at least ``FEWEST_BROKEN``.
    """
    random = Random(count)
    states = _states(count, random)
    living = 0
    for number, state in enumerate(states):
        living += state == LIVING
        is_anonymous = state == LIVING and living % 20 == 0
        yield Visit(
            user="" if is_anonymous else user_name(number % users_of(count)),
            state=state,
            agent=AGENTS[number % len(AGENTS)],
            ip=_address(random),
            data=_data(random),
            expiry=None if is_anonymous else random.choice([None] * 8 + [0, 30 * 86400]),
        )


def tokens_of(count: int, *, is_one_per_user: bool) -> Iterator[Visit]:
    """Yield apps with tokens as ``visits_of()`` yields browsers, none of nobody, none with data.

    They are of ``count`` / 5 users, or each of a user of its own.
    """
    random = Random(count)
    states = _states(count, random)
    users = len(states) if is_one_per_user else users_of(count)
    for number, state in enumerate(states):
        agent = AGENTS[number % len(AGENTS)]
        yield Visit(user_name(number % users), state, agent, _address(random), data={})


def users_of(count: int) -> int:
    """Return how many users have ``count`` sessions."""
    return max(count // 5, 1)


def user_name(number: int) -> str:
    """Return the name of a user."""
    return f"user-{number}"


def _states(count: int, random: Random) -> list[str]:
    broken = max(count // 100, FEWEST_BROKEN)
    states = [LIVING] * count + [EXPIRED] * (count // 10) + [BROKEN] * broken
    random.shuffle(states)
    return states


def _address(random: Random) -> str:
    if random.random() < 0.2:
        return f"2001:db8::{random.randrange(1, 0xFFFF):x}"
    return f"203.0.113.{random.randrange(1, 255)}"


def _data(random: Random) -> dict[str, Any]:
    return {
        "basket": [[f"tea {random.randrange(100)}", random.randrange(1, 9)] for _ in range(3)],
        "note": "déjà vu " * random.randrange(1, 40),
        "visits": random.randrange(2**40),
    }
