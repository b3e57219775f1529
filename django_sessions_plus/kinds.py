"""The types settings can have: what each accepts, and the words that say so in errors.

Pure tests of values that read no setting; ``conf`` declares which setting has which.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

LONGEST_DURATION = timedelta(days=36500)
LONGEST_LEEWAY = timedelta(minutes=1)
LARGEST_JITTER = 0.05


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
    """Tell whether ``value`` is a whole number above zero."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_limit(value: Any) -> bool:
    return value is None or callable(value) or isinstance(value, str) or is_count(value)


def _is_network_list(value: Any) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    return all(entry == "unix" or _is_network(entry) for entry in value)


def _is_network(value: Any) -> bool:
    try:
        ip_network(value, strict=False)
    except (ValueError, TypeError):
        return False
    return isinstance(value, str)


def _is_rate(value: Any) -> bool:
    if value is None:
        return True
    number, _, period = value.partition("/") if isinstance(value, str) else ("", "", "")
    return number.isdigit() and int(number) > 0 and period[:1] in {"s", "m", "h", "d"}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_address(value: Any) -> bool:
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _is_cookie_name(value: Any) -> bool:
    # RFC 6265 section 4.1.1. The prefix demands the path "/".
    is_name = isinstance(value, str) and re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", value, re.ASCII)
    return bool(is_name) and not value.lower().startswith("__host-")


def _is_text_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(_is_text(entry) for entry in value)


def _is_audience(value: Any) -> bool:
    return _is_text(value) or (_is_text_list(value) and len(value) > 0)


def _is_claims(value: Any) -> bool:
    return _is_text(value) or callable(value) or _is_text_list(value)


def _is_fraction(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_jitter(value: Any) -> bool:
    return _is_fraction(value) and value <= LARGEST_JITTER


def _is_key_list(value: Any) -> bool:
    if value is None:
        return True
    is_list = isinstance(value, (list, tuple)) and len(value) > 0
    return is_list and all(isinstance(entry, Mapping) for entry in value)


DURATION = Kind("a datetime.timedelta from zero to 36,500 days", _is_duration)
POSITIVE_DURATION = Kind(
    "a datetime.timedelta above zero, 36,500 days at most", _is_positive_duration
)
OPTIONAL_DURATION = Kind(
    "a datetime.timedelta above zero, 36,500 days at most, or None",
    lambda value: value is None or _is_positive_duration(value),
)
SWITCH = Kind("True or False", lambda value: isinstance(value, bool))
COUNT = Kind("a whole number above zero", is_count)
LIMIT = Kind(
    "a whole number above zero, None, or a callable (or its dotted path) that takes a user and returns one of these",
    _is_limit,
)
NETWORKS = Kind(
    'a list of IP addresses or networks such as "10.0.0.0/8", or "unix"', _is_network_list
)
TEXT = Kind("a text that is not empty", _is_text)
OPTIONAL_TEXT = Kind(
    "a text that is not empty, or None", lambda value: value is None or _is_text(value)
)
OPTIONAL_ADDRESS = Kind(
    'an absolute URL such as "https://example.com/devices/", or None',
    lambda value: value is None or _is_address(value),
)
OPTIONAL_CALLABLE = Kind(
    "a callable (or its dotted path) that takes a user, or None",
    lambda value: value is None or callable(value) or _is_text(value),
)
COOKIE_NAME = Kind('the name of a cookie, without the prefix "__Host-"', _is_cookie_name)
RATE = Kind('a rate such as "10/min", or None', _is_rate)
FIELDS = Kind("a list of field names of the user model", _is_text_list)
LIFETIME = Kind(
    "a datetime.timedelta from one second to 36,500 days",
    lambda value: _is_duration(value) and value >= timedelta(seconds=1),
)
LEEWAY = Kind(
    "a datetime.timedelta from zero to one minute",
    lambda value: _is_duration(value) and value <= LONGEST_LEEWAY,
)
FRACTION = Kind("a number from 0 to 1", _is_fraction)
JITTER = Kind("a number from 0 to 0.05", _is_jitter)
AUDIENCE = Kind("a text that is not empty, or a list of such texts", _is_audience)
CLAIMS = Kind(
    "a list of field names of the user model, or a callable (or its dotted path) that takes a user and a session "
    "and returns a dictionary",
    _is_claims,
)
KEYS = Kind(
    'None, or a list of dictionaries with the keys "secret" or "file", and "kid", "algorithm", "password"',
    _is_key_list,
    is_secret=True,
)


def one_of(*words: str) -> Kind:
    """Return the kind of a setting that takes one of ``words``."""
    return Kind("one of " + ", ".join(repr(word) for word in words), lambda value: value in words)
