"""Every setting of the package, declared once: name, default, what it means.

A setting is read from ``django.conf.settings`` each time it is asked for, so
``override_settings`` works and nothing is frozen at import. Django's own
``SESSION_*`` settings are honoured where they are used and not repeated here.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.utils.module_loading import import_string

from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.kinds import (
    AUDIENCE,
    CLAIMS,
    COOKIE_NAME,
    COUNT,
    DURATION,
    FIELDS,
    FRACTION,
    JITTER,
    KEYS,
    LEEWAY,
    LIFETIME,
    LIMIT,
    NETWORKS,
    OPTIONAL_ADDRESS,
    OPTIONAL_CALLABLE,
    OPTIONAL_DURATION,
    OPTIONAL_TEXT,
    POSITIVE_DURATION,
    RATE,
    SWITCH,
    TEXT,
    is_count,
    one_of,
)
from django_sessions_plus.setting import PREFIX as PREFIX
from django_sessions_plus.setting import Setting as Setting


class Config:
    """All settings; use the instance ``config``."""

    UPDATE_AGE = Setting(
        DURATION,
        timedelta(days=1),
        "How often, at most, using a session moves its expiry; it is moved at least once in every "
        "fifth of the idle timeout. Zero moves it with every request.",
    )
    LAST_SEEN_INTERVAL = Setting(
        DURATION,
        timedelta(minutes=5),
        "How often, at most, the time of last activity is written. Zero writes it with every "
        "request.",
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
    PURGE_BATCH_SIZE = Setting(
        COUNT,
        5000,
        "The most rows that one statement of the purge deletes; fewer if that takes long.",
    )
    PURGE_CHANCE: "Setting[float]" = Setting(
        FRACTION,
        0,
        "The fraction of requests that delete up to 100 rows after their response, for sites "
        "without a cron job. Zero switches it off.",
    )
    MAX_PER_USER: "Setting[int | str | Callable[[Any], int | None] | None]" = Setting(
        LIMIT,
        None,
        "How many sessions a user may have at once. A sign-in beyond the limit ends those least "
        "recently seen. None sets no limit.",
    )
    END_ON_PASSWORD_CHANGE = Setting(
        SWITCH, True, "Whether a changed password ends the user's other sessions."
    )
    END_ON_DEACTIVATION = Setting(
        SWITCH, True, "Whether saving a user as inactive ends all of the user's sessions."
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
    CONTEXT_POLICY = Setting(
        one_of("notice", "reauthenticate", "end"),
        "notice",
        "What happens when a session is used from another network or browser than before: only the "
        "signal is sent, or it is not fresh until the password is entered again, or it ends.",
    )
    NEW_DEVICE_EMAIL = Setting(
        SWITCH,
        False,
        "Whether users get an e-mail about a sign-in from a browser, system and network that are "
        "new in this combination.",
    )
    NEW_DEVICE_EMAIL_RATE: "Setting[str | None]" = Setting(
        RATE,
        "10/h",
        "How many e-mails about new devices one user gets. None sets no limit.",
    )
    DEVICES_URL: "Setting[str | None]" = Setting(
        OPTIONAL_ADDRESS,
        None,
        "The address of the devices page, for the link in e-mails. None sends them without a link.",
    )
    USER_LANGUAGE: "Setting[Callable[[Any], str | None] | str | None]" = Setting(
        OPTIONAL_CALLABLE,
        None,
        'Returns the language in which a user is written to, such as "de", or None for '
        "LANGUAGE_CODE. None uses LANGUAGE_CODE for all.",
    )
    TRUSTED_PROXIES: "Setting[list[str] | tuple[str, ...]]" = Setting(
        NETWORKS,
        [],
        "The addresses and networks of your own proxies. Forwarded addresses are believed from them "
        'alone. The entry "unix" stands for a proxy that connects through a unix socket.',
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
        "Whether the statements that nearly every request runs are compiled once and kept. When "
        "off, the ORM builds each anew; the behaviour is the same.",
    )
    CACHE_AGE = Setting(
        POSITIVE_DURATION,
        timedelta(minutes=1),
        "How long, at most, the engine cached_db believes a copy of a row, counted from when the "
        "database was read. It is also how long an ended session can be served if the cache loses "
        "or refuses the news.",
    )
    REFRESH_GRACE = Setting(
        DURATION,
        timedelta(seconds=10),
        "How long a rotated refresh token still yields the same successor, for requests that run in "
        "parallel and answers that get lost. Zero allows one use: the second ends the session.",
    )
    REAUTHENTICATE_URL: "Setting[str | None]" = Setting(
        OPTIONAL_TEXT,
        None,
        "Where a user whose session is not fresh is sent: a URL or the name of one. None means "
        "LOGIN_URL and, on the devices page, its own question for the password.",
    )
    USER_FIELDS: "Setting[list[str] | tuple[str, ...]]" = Setting(
        FIELDS,
        ["username", "email"],
        "Which fields of the user the API returns beside the id; those the user model does not have "
        "are left out.",
    )
    PAGE_SIZE = Setting(COUNT, 50, "How many sessions one page of the API's list holds.")
    SIGN_IN_RATE: "Setting[str | None]" = Setting(
        RATE,
        "10/min",
        "How many sign-in attempts the API accepts from one address. None sets no limit.",
    )
    REAUTHENTICATE_RATE: "Setting[str | None]" = Setting(
        RATE,
        "10/min",
        "How many password attempts the API and the devices page accept for one session. None sets "
        "no limit.",
    )
    REFRESH_RATE: "Setting[str | None]" = Setting(
        RATE,
        "60/min",
        "How many refreshes the API accepts for one session. None sets no limit.",
    )
    INTROSPECT_RATE: "Setting[str | None]" = Setting(
        RATE,
        "600/min",
        "How many tokens one session of a service may ask the API about. None sets no limit.",
    )
    REVOKE_TOKEN_RATE: "Setting[str | None]" = Setting(
        RATE,
        "60/min",
        "How many revocations of tokens the API accepts from one address. None sets no limit.",
    )
    REFRESH_COOKIE_NAME = Setting(
        COOKIE_NAME,
        "refresh_token",
        "The name of the cookie for the refresh token, for clients that ask for one. Its path is "
        "that of the refresh endpoint.",
    )
    JWT_ALGORITHM = Setting(
        one_of("HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"),
        "HS256",
        "The algorithm of the key derived from SECRET_KEY, and of keys that name none of their own. "
        "RS256, ES256 and EdDSA need JWT_KEYS.",
    )
    JWT_KEYS: "Setting[Sequence[Mapping[str, Any]] | None]" = Setting(
        KEYS,
        None,
        "The keys of access tokens. The first signs, all verify. None derives one from SECRET_KEY, "
        "and from SECRET_KEY_FALLBACKS further ones that only verify.",
    )
    JWT_ACCESS_AGE = Setting(
        LIFETIME,
        timedelta(minutes=15),
        "How long an access token is valid at most. It never outlives the absolute timeout of its session.",
    )
    JWT_JITTER = Setting(
        JITTER,
        0.05,
        "The part of its age by which an access token is shortened at random, at most, so that "
        "users who signed in together do not refresh together.",
    )
    JWT_ISSUER = Setting(
        TEXT,
        "django-sessions-plus",
        "The issuer of access tokens, in their claim iss; tokens of another issuer are refused.",
    )
    JWT_AUDIENCE: "Setting[str | Sequence[str]]" = Setting(
        AUDIENCE,
        "django-sessions-plus",
        "The audience of access tokens, in their claim aud; tokens that name none of these are "
        "refused.",
    )
    JWT_CLAIMS: "Setting[Sequence[str] | str | Callable[[Any, Any], Mapping[str, Any]]]" = Setting(
        CLAIMS,
        ["id", "email", "role"],
        "What access tokens say beside the package's own claims: fields of the user, of which those "
        "the user model does not have are left out, or what a callable returns.",
    )
    JWT_LEEWAY = Setting(
        LEEWAY,
        timedelta(seconds=10),
        "How far the clocks of the hosts that issue and verify access tokens may differ.",
    )

    def max_per_user(self, user: Any) -> int | None:
        """Return how many sessions ``user`` may have at once, or None for no limit.

        Raises:
            ConfigurationError: the path cannot be imported, or the callable answers neither a count nor None.
        """
        limit = _imported("MAX_PER_USER", self.MAX_PER_USER)
        if callable(limit):
            limit = limit(user)
        if limit is not None and not is_count(limit):
            raise ConfigurationError(
                f"{PREFIX}MAX_PER_USER must give a whole number above zero or None; it gave {limit!r}."
            )
        return limit  # type: ignore[no-any-return]

    def user_language(self, user: Any) -> str | None:
        """Return the code of the language ``user`` is written to in, or None for the site's.

        Raises:
            ConfigurationError: the path cannot be imported.
        """
        find = self.language_hook()
        return None if find is None else find(user)

    def language_hook(self) -> Callable[[Any], str | None] | None:
        """Return what knows in which language a person is written to, or None.

        Raises:
            ConfigurationError: the path cannot be imported.
        """
        hook: Callable[[Any], str | None] | None = _imported("USER_LANGUAGE", self.USER_LANGUAGE)
        return hook


def declared() -> dict[str, Setting[Any]]:
    """Return every setting by its full name, in the order of declaration."""
    return {entry.name: entry for entry in vars(Config).values() if isinstance(entry, Setting)}


def _imported(name: str, value: Any) -> Any:
    """Return what a dotted path leads to, and anything else as it is."""
    try:
        return import_string(value) if isinstance(value, str) else value
    except ImportError as exc:
        raise ConfigurationError(f"{PREFIX}{name}: {exc}") from exc


config = Config()
