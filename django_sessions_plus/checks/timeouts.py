"""Checks of durations against each other.

What somebody set and has no effect is a warning; a default that a shorter timeout
overtakes is not, for the package adapts to it.
"""

from datetime import timedelta

from django.conf import settings

from django_sessions_plus.checks.registry import Problems, check, is_set, problem
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.policy import LARGEST_UPDATE_SHARE

LONGEST_COOKIE_AGE = timedelta(days=400)
LONGEST_GRACE = timedelta(minutes=1)


@check()
def check_absolute_age() -> Problems:
    """Find an absolute timeout that strikes before the idle timeout can."""
    limit = config.ABSOLUTE_AGE
    if limit is not None and limit < _idle_age():
        yield problem(
            "W005",
            f"{PREFIX}ABSOLUTE_AGE ({limit}) is shorter than SESSION_COOKIE_AGE"
            f" ({_idle_age()}): a sign-in ends before its idle timeout can.",
            f"Shorten SESSION_COOKIE_AGE, or raise {PREFIX}ABSOLUTE_AGE (None sets no limit).",
        )


@check()
def check_update_age() -> Problems:
    """Find an update age that the idle timeout overrules."""
    age, largest = config.UPDATE_AGE, _idle_age() / LARGEST_UPDATE_SHARE
    if is_set("UPDATE_AGE") and age > largest:
        yield problem(
            "W006",
            f"{PREFIX}UPDATE_AGE ({age}) is more than a fifth of SESSION_COOKIE_AGE"
            f" ({_idle_age()}): the expiry is moved every {largest} instead.",
            f"Set {PREFIX}UPDATE_AGE to {largest} or less, or remove it.",
        )


@check()
def check_last_seen_interval() -> Problems:
    """Find an interval in which a session expires before its activity is written."""
    interval = config.LAST_SEEN_INTERVAL
    if is_set("LAST_SEEN_INTERVAL") and interval >= _idle_age():
        yield problem(
            "W007",
            f"{PREFIX}LAST_SEEN_INTERVAL ({interval}) is not shorter than"
            f" SESSION_COOKIE_AGE ({_idle_age()}): the time of last activity is written only when"
            " the expiry is moved.",
            f"Set {PREFIX}LAST_SEEN_INTERVAL to some minutes, or remove it.",
        )


@check()
def check_fresh_age() -> Problems:
    """Find a freshness that no session can lose."""
    limit, fresh_age = config.ABSOLUTE_AGE, config.FRESH_AGE
    if limit is not None and fresh_age >= limit:
        yield problem(
            "W008",
            f"{PREFIX}FRESH_AGE ({fresh_age}) is not shorter than {PREFIX}ABSOLUTE_AGE"
            f" ({limit}): every session is fresh, and nobody is asked again.",
            f"Shorten {PREFIX}FRESH_AGE; some minutes are usual.",
        )


@check()
def check_unremembered_age() -> Problems:
    """Find an age for unremembered sessions that is longer than that of all."""
    age = config.UNREMEMBERED_AGE
    if is_set("UNREMEMBERED_AGE") and age > _idle_age():
        yield problem(
            "W009",
            f"{PREFIX}UNREMEMBERED_AGE ({age}) is longer than"
            f" SESSION_COOKIE_AGE ({_idle_age()}), which applies instead.",
            f"Set {PREFIX}UNREMEMBERED_AGE below SESSION_COOKIE_AGE, or remove it.",
        )


@check()
def check_cookie_age() -> Problems:
    """Find an age that browsers do not grant a cookie (RFC 6265bis)."""
    if _idle_age() > LONGEST_COOKIE_AGE:
        yield problem(
            "W010",
            f"SESSION_COOKIE_AGE is above {LONGEST_COOKIE_AGE.days} days, the longest that browsers"
            " keep a cookie.",
            f"Set SESSION_COOKIE_AGE to {LONGEST_COOKIE_AGE.days} days or less: use renews it.",
        )


@check()
def check_refresh_grace() -> Problems:
    """Find a grace in which a stolen refresh token is as good as the client's own."""
    grace = config.REFRESH_GRACE
    if grace > LONGEST_GRACE:
        yield problem(
            "W022",
            f"{PREFIX}REFRESH_GRACE ({grace}) is above a minute: so long is a refresh token good"
            " for whoever copies it after its rotation, and nobody is told.",
            f"Set {PREFIX}REFRESH_GRACE to some seconds: it is for requests that run in parallel.",
        )


@check()
def check_save_every_request() -> Problems:
    """Find the setting that writes with every request what sliding writes now and then."""
    if settings.SESSION_SAVE_EVERY_REQUEST:
        yield problem(
            "W004",
            "SESSION_SAVE_EVERY_REQUEST writes the session with every request; the middleware"
            " moves the expiry of a session in use without it.",
            f"Remove SESSION_SAVE_EVERY_REQUEST. {PREFIX}UPDATE_AGE says how often the expiry is"
            " moved.",
        )


def _idle_age() -> timedelta:
    return timedelta(seconds=settings.SESSION_COOKIE_AGE)
