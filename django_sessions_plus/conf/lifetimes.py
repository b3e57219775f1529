"""How long sessions last, by the transport they started with: ``SESSIONS_PLUS_LIFETIMES`` overrides other timeouts.

Only settings are read here. ``policy`` decides what follows from the timeouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from django.conf import settings

from django_sessions_plus.conf import PREFIX, callables, config
from django_sessions_plus.conf.kinds import LONGEST_DURATION

IDLE = "idle"
ABSOLUTE = "absolute"
FOREIGN: Literal["token"] = "token"
"""The transport of tokens of other packages: without a limit here, they last as long as they did there."""

_NOTHING: Mapping[str, timedelta | None] = {}


def idle_seconds(transport: str) -> int:
    """Return the idle timeout of sessions that started by ``transport``, in seconds.

    Raises:
        ConfigurationError: ``SESSIONS_PLUS_LIFETIMES`` has an invalid value.
    """
    age = None if config.LIFETIMES is None else _own(transport).get(IDLE)
    seconds: int = settings.SESSION_COOKIE_AGE if age is None else int(age.total_seconds())
    return seconds


def absolute_age(transport: str) -> timedelta | None:
    """Return the absolute timeout of sessions that started by ``transport``; None if they have none.

    Raises:
        ConfigurationError: a setting has an invalid value.
    """
    usual = None if transport == FOREIGN else config.ABSOLUTE_AGE
    return usual if config.LIFETIMES is None else _own(transport).get(ABSOLUTE, usual)


def absolute_ages() -> dict[str, timedelta | None]:
    """Return the transports that have an absolute timeout of their own, each with it; None sets no limit.

    Raises:
        ConfigurationError: ``SESSIONS_PLUS_LIFETIMES`` has an invalid value.
    """
    found: dict[str, timedelta | None] = {} if config.ABSOLUTE_AGE is None else {FOREIGN: None}
    if config.LIFETIMES is None:
        return found
    given = callables.lifetimes().items()
    return found | {name: own[ABSOLUTE] for name, own in given if ABSOLUTE in own}


def are_per_transport() -> bool:
    """Return whether any transport has lifetimes of its own.

    Raises:
        ConfigurationError: ``SESSIONS_PLUS_LIFETIMES`` has an invalid value.
    """
    return config.LIFETIMES is not None and bool(callables.lifetimes())


def check_expiry(expiry: timedelta | None, transport: str) -> None:
    """Check an expiry that is to replace the idle timeout of a session of ``transport``; None is always valid.

    Raises:
        ValueError: it is not above zero, or beyond the absolute timeout or ``LONGEST_DURATION``.
        ConfigurationError: a setting has an invalid value.
    """
    if expiry is None:
        return
    if expiry <= timedelta(0):
        raise ValueError("The expiry of a session must be above zero.")
    limit = absolute_age(transport)
    if limit is not None and expiry > limit:
        raise ValueError(
            f"Sessions last at most {limit}: choose a shorter expiry, or raise {PREFIX}ABSOLUTE_AGE or"
            f" {PREFIX}LIFETIMES, whichever says so."
        )
    if expiry > LONGEST_DURATION:
        raise ValueError(
            f"Sessions last at most {LONGEST_DURATION.days} days: choose a shorter expiry."
        )


def _own(transport: str) -> Mapping[str, timedelta | None]:
    return callables.lifetimes().get(transport, _NOTHING)
