"""Every setting of the package, declared once: name, default, what it means.

A setting is read from ``django.conf.settings`` each time it is asked for, so
``override_settings`` works and nothing is frozen at import. Django's own
``SESSION_*`` settings are honoured where they are used and not repeated here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Generic, TypeVar, overload

from django.conf import settings as django_settings
from django.utils.functional import empty
from django.utils.module_loading import import_string

from django_sessions_plus.exceptions import ConfigurationError

PREFIX = "SESSIONS_PLUS_"
LONGEST_DURATION = timedelta(days=36500)

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """One form a setting can take: a test, and the words that explain it in errors."""

    wants: str
    accepts: Callable[[Any], bool]


def _is_duration(value: Any) -> bool:
    # The bound keeps dates computed from it inside the calendar.
    return isinstance(value, timedelta) and timedelta(0) <= value <= LONGEST_DURATION


def _is_positive_duration(value: Any) -> bool:
    return _is_duration(value) and value > timedelta(0)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_limit(value: Any) -> bool:
    return value is None or callable(value) or isinstance(value, str) or _is_count(value)


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


def _is_field_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(_is_text(entry) for entry in value)


DURATION = Kind("a datetime.timedelta from zero to 36,500 days", _is_duration)
POSITIVE_DURATION = Kind(
    "a datetime.timedelta above zero, 36,500 days at most", _is_positive_duration
)
OPTIONAL_DURATION = Kind(
    "a datetime.timedelta above zero, 36,500 days at most, or None",
    lambda value: value is None or _is_positive_duration(value),
)
SWITCH = Kind("True or False", lambda value: isinstance(value, bool))
COUNT = Kind("a whole number above zero", _is_count)
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
RATE = Kind('a rate such as "10/min", or None', _is_rate)
FIELDS = Kind("a list of field names of the user model", _is_field_list)


def one_of(*words: str) -> Kind:
    """Return the kind of a setting that takes one of ``words``."""
    return Kind("one of " + ", ".join(repr(word) for word in words), lambda value: value in words)


class Setting(Generic[T]):
    """One setting; as an attribute of ``Config`` it reads as its present value."""

    def __init__(self, kind: Kind, default: T, meaning: str) -> None:
        self.kind = kind
        self.default = default
        self.meaning = meaning

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = PREFIX + name

    @overload
    def __get__(self, instance: None, owner: type) -> "Setting[T]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> "Setting[T] | T":
        if instance is None:
            return self
        return self.read()

    def read(self) -> T:
        """Return the present value.

        Raises:
            ConfigurationError: it is set to something it cannot be.
        """
        # Past the lazy object, whose way to a setting that is not set costs two microseconds,
        # ten times in a request; before the first access there is nothing behind it.
        settings = object.__getattribute__(django_settings, "_wrapped")
        if settings is empty:
            settings = django_settings
        value = getattr(settings, self.name, self.default)
        if value is not self.default and not self.kind.accepts(value):
            raise ConfigurationError(f"{self.name} must be {self.kind.wants}; it is {value!r}.")
        return value


class Config:
    """All settings; use the instance ``config``."""

    UPDATE_AGE = Setting(
        DURATION,
        timedelta(days=1),
        "How long after its expiry was last moved a session's use moves it again, at the latest after "
        "a fifth of the idle timeout. Zero moves it with every request.",
    )
    LAST_SEEN_INTERVAL = Setting(
        DURATION,
        timedelta(minutes=5),
        "How exact the time of last activity is: it is written at most once in this time. "
        "Zero writes it with every request.",
    )
    ABSOLUTE_AGE: "Setting[timedelta | None]" = Setting(
        OPTIONAL_DURATION,
        timedelta(days=30),
        "How long a sign-in lasts at most, however active it is, counted from the last "
        "authentication. None sets no limit.",
    )
    UNREMEMBERED_AGE = Setting(
        POSITIVE_DURATION,
        timedelta(days=1),
        "The idle timeout of a session that is not to be remembered; its cookie also ends with the browser.",
    )
    FRESH_AGE = Setting(
        POSITIVE_DURATION,
        timedelta(minutes=15),
        "How long after authentication a session counts as fresh enough for a sensitive act.",
    )
    RETENTION = Setting(
        DURATION,
        timedelta(days=30),
        "How long the row of an ended or expired sign-in is kept before the purge deletes it. "
        "Its data is wiped when it ends.",
    )
    PURGE_BATCH_SIZE = Setting(COUNT, 1000, "How many rows one statement of the purge deletes.")
    MAX_PER_USER: "Setting[int | str | Callable[[Any], int | None] | None]" = Setting(
        LIMIT,
        None,
        "How many sessions a person may have at once. A further sign-in ends those least recently "
        "seen. None sets no limit.",
    )
    END_ON_PASSWORD_CHANGE = Setting(
        SWITCH, True, "Whether a changed password ends the person's other sessions."
    )
    END_ON_DEACTIVATION = Setting(
        SWITCH, True, "Whether a user saved as inactive loses all sessions at once."
    )
    FRESH_FOR_ENDING_OTHERS = Setting(
        SWITCH, True, "Whether ending one's other sessions needs a fresh session."
    )
    RECORD_IP = Setting(
        one_of("full", "truncated", "off"),
        "full",
        "How the client's IP address is recorded: full, truncated to its network (/24, IPv6 /48), or not at all.",
    )
    RECORD_USER_AGENT = Setting(
        one_of("full", "parsed", "off"),
        "full",
        "How the user agent is recorded: full (first 512 characters), parsed to browser and system, or not at all.",
    )
    TRUSTED_PROXIES: "Setting[list[str] | tuple[str, ...]]" = Setting(
        NETWORKS,
        [],
        "The addresses and networks of your own proxies. Only what they say of the client is believed. "
        'The word "unix" stands for a proxy that connects through a unix socket.',
    )
    CLIENT_IP_HEADER = Setting(
        TEXT, "X-Forwarded-For", "The header in which the trusted proxies name the client."
    )
    READ_FROM_REPLICA = Setting(
        SWITCH,
        False,
        "Whether sessions are read from the router's read database. A replica that lags can sign "
        "people out or serve ended sessions.",
    )
    FAST_PATH = Setting(
        SWITCH,
        True,
        "Whether the statements nearly every request runs are compiled once and kept. "
        "Off, each is built by the ORM anew; the behaviour is the same.",
    )
    CACHE_AGE = Setting(
        POSITIVE_DURATION,
        timedelta(minutes=1),
        "How long after the database was read the engine cached_db believes a copy of a row, at the "
        "most. It is also how long an ended session can be served if the cache loses or refuses the news.",
    )
    REAUTHENTICATE_URL: "Setting[str | None]" = Setting(
        OPTIONAL_TEXT,
        None,
        "Where a person whose session is not fresh is sent: a URL or the name of one. None means LOGIN_URL.",
    )
    USER_FIELDS: "Setting[list[str] | tuple[str, ...]]" = Setting(
        FIELDS,
        ["username", "email"],
        "Which fields of the user the API returns beside the id; fields the user model does not have are left out.",
    )
    PAGE_SIZE = Setting(COUNT, 50, "How many sessions one page of the API's list holds.")
    SIGN_IN_RATE: "Setting[str | None]" = Setting(
        RATE,
        "10/min",
        "How many sign-in attempts the API takes from one address. None sets no limit.",
    )
    REAUTHENTICATE_RATE: "Setting[str | None]" = Setting(
        RATE,
        "10/min",
        "How many password attempts the API takes for one session. None sets no limit.",
    )

    def max_per_user(self, user: Any) -> int | None:
        """Return how many sessions ``user`` may have at once, or None for no limit.

        Raises:
            ConfigurationError: the path cannot be imported, or the callable answers neither a count nor None.
        """
        limit = self.MAX_PER_USER
        if isinstance(limit, str):
            try:
                limit = import_string(limit)
            except ImportError as exc:
                raise ConfigurationError(f"{PREFIX}MAX_PER_USER: {exc}") from exc
        if callable(limit):
            limit = limit(user)
        if limit is not None and not _is_count(limit):
            raise ConfigurationError(
                f"{PREFIX}MAX_PER_USER must give a whole number above zero or None; it gave {limit!r}."
            )
        return limit


def declared() -> dict[str, Setting[Any]]:
    """Return every setting by its full name, in the order of declaration."""
    return {entry.name: entry for entry in vars(Config).values() if isinstance(entry, Setting)}


config = Config()
