"""The types settings can have: what each accepts, and the words that say so in errors.

Pure tests of values that read no setting; ``conf`` declares which setting has which.

Longer than other modules, because it is one list, in which somebody looks for a kind before making another.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

LONGEST_DURATION = timedelta(days=36500)
"""A hundred years. Dates that are much later do not fit into calendars and databases."""
LONGEST_LEEWAY = timedelta(minutes=1)

OwnTransport = Literal["cookie", "bearer", "jwt"]
Transport = Literal[OwnTransport, "token"]
"""How a token reaches the server; "token" is one of another package, which was imported."""
Lifetimes = Mapping[str, Mapping[str, timedelta | None]]
"""By transport, ``idle`` and ``absolute``: what ``SESSIONS_PLUS_LIFETIMES`` gives."""
RateName = Literal[
    "sign_in", "sign_in_address", "reauthenticate", "refresh", "introspect", "revoke_token", "email"
]
"""What can be limited: the keys of ``SESSIONS_PLUS_RATES``."""
Rates = Mapping[RateName, str | None]


@dataclass(frozen=True)
class Kind:
    """One type a setting can have: a test, and the words that explain it in errors."""

    wants: str
    accepts: Callable[[Any], bool]
    is_secret: bool = False
    """Whether values are kept out of errors."""


def _is_duration(value: Any) -> bool:
    # The bound keeps dates computed from it inside the calendar.
    return isinstance(value, timedelta) and timedelta(0) <= value <= LONGEST_DURATION


def _is_positive_duration(value: Any) -> bool:
    return _is_duration(value) and value > timedelta(0)


def is_count(value: Any) -> bool:
    """Return whether ``value`` is a whole number above zero."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_limit(value: Any) -> bool:
    return value is None or callable(value) or isinstance(value, str) or is_count(value)


def _is_network_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        entry == "unix" or _is_network(entry) for entry in value
    )


def _is_network(value: Any) -> bool:
    try:
        ip_network(value, strict=False)
    except (ValueError, TypeError):
        return False
    return isinstance(value, str)


def _is_rates(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        name in get_args(RateName) and _is_rate(rate) for name, rate in value.items()
    )


def _is_rate(value: Any) -> bool:
    if value is None:
        return True
    number, _, period = value.partition("/") if isinstance(value, str) else ("", "", "")
    return number.isdigit() and int(number) > 0 and period[:1] in {"s", "m", "h", "d"}


def is_text(value: Any) -> bool:
    """Return whether ``value`` is a text that is not empty."""
    return isinstance(value, str) and value != ""


def _is_address(value: Any) -> bool:
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _is_any_cookie_name(value: Any) -> bool:
    # RFC 6265 section 4.1.1.
    return isinstance(value, str) and bool(re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", value, re.ASCII))


def _is_cookie_name(value: Any) -> bool:
    # The prefix demands the path "/".
    return _is_any_cookie_name(value) and not value.lower().startswith("__host-")


def _is_text_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(is_text(entry) for entry in value)


def is_audience(value: Any) -> bool:
    """Return whether ``value`` is one audience, or a list of some."""
    return is_text(value) or (_is_text_list(value) and len(value) > 0)


def _is_named_callable(value: Any) -> bool:
    """Return whether ``value`` is a callable, or could be the path of one."""
    return callable(value) or is_text(value)


def _is_user_fields(value: Any) -> bool:
    # Text without a dot is no path; probably the name of one field, without the list around it.
    return callable(value) or _is_text_list(value) or (is_text(value) and "." in value)


def _is_fraction(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def is_lifetimes(value: Any) -> bool:
    """Return whether ``value`` is None, or a valid ``SESSIONS_PLUS_LIFETIMES``."""
    if value is None:
        return True
    return isinstance(value, Mapping) and all(_is_lifetime(*each) for each in value.items())


def _is_lifetime(transport: Any, value: Any) -> bool:
    # The token of another package has an expiry of its own, in place of an idle timeout.
    known = {"absolute"} if transport == "token" else {"idle", "absolute"}
    if transport not in get_args(Transport) or not isinstance(value, Mapping):
        return False
    has_idle = "idle" not in value or LIFETIME.accepts(value["idle"])
    return has_idle and value.keys() <= known and OPTIONAL_DURATION.accepts(value.get("absolute"))


def is_key_list(value: Any) -> bool:
    """Return whether ``value`` is None, or a list of dictionaries."""
    if value is None:
        return True
    is_list = isinstance(value, (list, tuple)) and len(value) > 0
    return is_list and all(isinstance(entry, Mapping) for entry in value)


def _optional(kind: Kind) -> Kind:
    return Kind(f"{kind.wants}, or None", lambda value: value is None or kind.accepts(value))


DURATION = Kind("a datetime.timedelta from zero to 36,500 days", _is_duration)
POSITIVE_DURATION = Kind(
    "a datetime.timedelta above zero, 36,500 days at most", _is_positive_duration
)
OPTIONAL_DURATION = _optional(POSITIVE_DURATION)
SWITCH = Kind("True or False", lambda value: isinstance(value, bool))
COUNT = Kind("a whole number above zero", is_count)
LIMIT = Kind(
    "a whole number above zero, None, or a callable (or its dotted path) that takes a user and returns one of these",
    _is_limit,
)
NETWORKS = Kind(
    'a list of IP addresses or networks such as "10.0.0.0/8", or "unix"', _is_network_list
)
LEASE_CHANNEL = Kind(
    "'database', 'database:alias', 'process', a URL of Redis (redis://, rediss:// or unix://), or the name of a cache"
    " on Redis",
    is_text,
    # The URL may have a password.
    is_secret=True,
)
TEXT = Kind("a text that is not empty", is_text)
OPTIONAL_TEXT = _optional(TEXT)
OPTIONAL_ADDRESS = _optional(
    Kind('an absolute URL such as "https://example.com/devices/"', _is_address)
)
OPTIONAL_CALLABLE = _optional(
    Kind("a callable (or its dotted path) that takes a user", _is_named_callable)
)
SIGN_IN_HOOK = Kind(
    "a callable (or its dotted path) that takes a request and a user, or False",
    lambda value: value is False or _is_named_callable(value),
)
COOKIE_NAME = Kind('the name of a cookie, without the prefix "__Host-"', _is_cookie_name)
TEXTS = Kind("a list of texts that are not empty", _is_text_list)
SITE_DATA = Kind(
    'a list of "cache", "cookies", "storage", "executionContexts" and "*"',
    lambda value: (
        _is_text_list(value)
        and set(value) <= {"cache", "cookies", "storage", "executionContexts", "*"}
    ),
)
COOKIE_NAMES = Kind(
    "a list of names of cookies",
    lambda value: isinstance(value, (list, tuple)) and all(map(_is_any_cookie_name, value)),
)
RATES = Kind(
    "a dictionary of "
    + ", ".join(f'"{name}"' for name in get_args(RateName))
    + ' to rates such as "10/min", or None, all of them optional',
    _is_rates,
)
FIELDS = Kind(
    "a list of field names of the user model, or a callable (or its dotted path) that takes a user and returns a "
    "dictionary",
    _is_user_fields,
)
LIFETIME = Kind(
    "a datetime.timedelta from one second to 36,500 days",
    lambda value: _is_duration(value) and value >= timedelta(seconds=1),
)
LIFETIMES = Kind(
    'None, a dictionary of "cookie", "bearer", "jwt" and "token" to dictionaries of "idle" (a datetime.timedelta from '
    'one second to 36,500 days; not for "token") and "absolute" (one above zero, or None), all of them optional, or a '
    "callable (or its dotted path) that takes nothing and returns such a dictionary",
    lambda value: _is_named_callable(value) or is_lifetimes(value),
)
LEEWAY = Kind(
    "a datetime.timedelta from zero to one minute",
    lambda value: _is_duration(value) and value <= LONGEST_LEEWAY,
)
KEPT_SOURCE = Kind('True, False or "data"', lambda each: SWITCH.accepts(each) or each == "data")
FRACTION = Kind("a number from 0 to 1", _is_fraction)
ISSUER = Kind(
    "a text that is not empty, or a callable that takes a request and returns one",
    lambda value: callable(value) or is_text(value),
)
AUDIENCE = Kind(
    "a text that is not empty, a list of such texts, or a callable that takes a request and returns one of these",
    lambda value: callable(value) or is_audience(value),
)
CLAIMS = Kind(
    "a list of field names of the user model, or a callable (or its dotted path) that takes a user and a session "
    "and returns a dictionary",
    lambda value: _is_named_callable(value) or _is_text_list(value),
)
KEYS = Kind(
    'None, a list of dictionaries with the keys "secret" or "file", and "kid", "algorithm", "password", or a '
    "callable (or its dotted path) that takes a request and returns one of these",
    lambda value: _is_named_callable(value) or is_key_list(value),
    is_secret=True,
)


def one_of(*words: str) -> Kind:
    """Return the kind of a setting that takes one of ``words``."""
    return Kind("one of " + ", ".join(repr(word) for word in words), lambda value: value in words)
