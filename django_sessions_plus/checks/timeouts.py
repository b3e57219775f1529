"""Checks that compare durations with each other.

A setting of the project that has no effect is a warning. A default that has no effect because of
a shorter timeout is not, because the package adapts to it.
"""

from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.core.checks import Tags

from django_sessions_plus.checks.registry import Problems, check, is_set, problem
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.conf.kinds import Lifetimes
from django_sessions_plus.conf.lifetimes import absolute_age, idle_seconds
from django_sessions_plus.policy import LARGEST_UPDATE_SHARE

LONGEST_COOKIE_AGE = timedelta(days=400)
SHORTEST_FORM_AGE = timedelta(hours=1)
"""How long a form may have to stay open."""
LONGEST_GRACE = timedelta(minutes=2)
"""Including the leeway, a minute by default."""


@check()
def check_absolute_age() -> Problems:
    """Find an absolute timeout that is shorter than the idle timeout."""
    for transport in _own_lifetimes():
        own, idle = absolute_age(transport), timedelta(seconds=idle_seconds(transport))
        if own is not None and own < idle:
            yield problem(
                "W005",
                f"{PREFIX}LIFETIMES: a session that starts by {transport} ends after {own}, before its"
                f" idle timeout ({idle}) can.",
                f'Give "{transport}" an "absolute" of {idle} or more (None sets no limit), or a shorter'
                ' "idle". What is not given is that of all sessions.',
            )
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
    """Find an update age that has no effect because the idle timeout is short."""
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
    """Find a fresh age that is longer than every session."""
    limit, fresh_age = config.ABSOLUTE_AGE, config.FRESH_AGE
    if limit is not None and fresh_age >= limit:
        yield problem(
            "W008",
            f"{PREFIX}FRESH_AGE ({fresh_age}) is not shorter than {PREFIX}ABSOLUTE_AGE"
            f" ({limit}): every session is fresh, and nobody is asked again.",
            f"Shorten {PREFIX}FRESH_AGE; some minutes are usual.",
        )


@check()
def check_shorter_ages() -> Problems:
    """Find a timeout of unremembered or of new anonymous sessions that is longer than that of all others."""
    for name in ("UNREMEMBERED_AGE", "ANONYMOUS_AGE"):
        age = getattr(config, name)
        if is_set(name) and age is not None and age > _idle_age():
            yield problem(
                "W009",
                f"{PREFIX}{name} ({age}) is longer than"
                f" SESSION_COOKIE_AGE ({_idle_age()}), which applies instead.",
                f"Set {PREFIX}{name} below SESSION_COOKIE_AGE, or remove it.",
            )


@check()
def check_forms_of_new_sessions() -> Problems:
    """Find new anonymous sessions that expire while people still look at a form that needs them."""
    age = config.ANONYMOUS_AGE
    if age is not None and age < SHORTEST_FORM_AGE and settings.CSRF_USE_SESSIONS:
        yield problem(
            "I010",
            f"{PREFIX}ANONYMOUS_AGE is {age}, and CSRF_USE_SESSIONS keeps the CSRF token in the session: a sign-in form"
            " that was open for longer is refused.",
            f"Set {PREFIX}ANONYMOUS_AGE to an hour or more, or CSRF_USE_SESSIONS = False.",
        )


@check()
def check_cookie_age() -> Problems:
    """Find an age that is longer than browsers keep a cookie (RFC 6265bis)."""
    is_own = "idle" in _own_lifetimes().get("cookie", {})
    name = f'{PREFIX}LIFETIMES["cookie"]["idle"]' if is_own else "SESSION_COOKIE_AGE"
    age = timedelta(seconds=idle_seconds("cookie")) if is_own else _idle_age()
    if age > LONGEST_COOKIE_AGE:
        yield problem(
            "W010",
            f"{name} is above {LONGEST_COOKIE_AGE.days} days, the longest that browsers keep a cookie.",
            f"Set {name} to {LONGEST_COOKIE_AGE.days} days or less: use renews it.",
        )


@check()
def check_refresh_grace() -> Problems:
    """Find a grace that gives a thief time to use a stolen refresh token."""
    grace, leeway = config.REFRESH_GRACE, config.JWT_LEEWAY
    if grace + leeway > LONGEST_GRACE:
        yield problem(
            "W022",
            f"{PREFIX}REFRESH_GRACE ({grace}) and {PREFIX}JWT_LEEWAY ({leeway}) are together above two"
            " minutes: so long is a refresh token good for whoever copies it after its rotation, and"
            " nobody is told.",
            f"Set {PREFIX}REFRESH_GRACE to some seconds: it is for requests that run in parallel.",
        )


@check(Tags.security)
def check_absolute_timeout() -> Problems:
    """Find sessions that never end as long as somebody uses them."""
    if config.ABSOLUTE_AGE is None:
        yield problem(
            "W039",
            f"{PREFIX}ABSOLUTE_AGE is None: a session that is used never ends, nor does a stolen one.",
            "Set a time after which everybody has to sign in again (OWASP ASVS 5.0 7.3.2).",
        )
    for transport, own in _own_lifetimes().items():
        if own.get("absolute", timedelta()) is None:
            yield problem(
                "W039",
                f'{PREFIX}LIFETIMES gives "{transport}" no absolute timeout: such a session that is used never'
                " ends, nor does a stolen one.",
                f'Give "{transport}" an "absolute" (OWASP ASVS 5.0 7.3.2), or leave that out for'
                f" {PREFIX}ABSOLUTE_AGE.",
            )


@check()
def check_save_every_request() -> Problems:
    """Find the setting that writes the session in every request, which makes the update age useless."""
    if settings.SESSION_SAVE_EVERY_REQUEST:
        yield problem(
            "W004",
            "SESSION_SAVE_EVERY_REQUEST writes the session with every request; the middleware"
            " moves the expiry of a session in use without it.",
            f"Remove SESSION_SAVE_EVERY_REQUEST. {PREFIX}UPDATE_AGE says how often the expiry is"
            " moved.",
        )


def _own_lifetimes() -> Lifetimes:
    """Return the timeouts of single transports; empty for a callable, which may need a request."""
    value = config.LIFETIMES
    return value if isinstance(value, Mapping) else {}


def _idle_age() -> timedelta:
    return timedelta(seconds=settings.SESSION_COOKIE_AGE)
