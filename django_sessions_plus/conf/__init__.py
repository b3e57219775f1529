"""Every setting of the package, declared once: name, default, what it means.

A setting is read from ``django.conf.settings`` when it is first asked for, never at import, and kept until a setting
changes (``changes``), so ``override_settings`` works. Django's own ``SESSION_*`` settings are honoured where they are
used and not repeated here.

Longer than other modules, because all settings stand in one place.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django_sessions_plus.conf import kinds
from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.conf.kinds import Lifetimes, RateName, Rates
from django_sessions_plus.conf.setting import PREFIX as PREFIX
from django_sessions_plus.conf.setting import Setting as Setting

Audience = str | Sequence[str]
Keys = Sequence[Mapping[str, Any]] | None


class Config:
    """All settings; use the instance ``config``."""

    UPDATE_AGE = Setting(
        kinds.DURATION,
        timedelta(days=1),
        "How often, at most, using a session moves its expiry; it is moved at least once in every fifth of the idle "
        "timeout. Zero moves it with every request.",
    )
    LAST_SEEN_INTERVAL = Setting(
        kinds.DURATION,
        timedelta(minutes=5),
        "How often, at most, the time of last activity is written. Zero writes it with every request.",
    )
    ABSOLUTE_AGE: "Setting[timedelta | None]" = Setting(
        kinds.OPTIONAL_DURATION,
        timedelta(days=30),
        "How long a sign-in lasts at most, however active it is, counted from the last authentication. None sets no "
        "limit.",
    )
    UNREMEMBERED_AGE = Setting(
        kinds.POSITIVE_DURATION,
        timedelta(days=1),
        "The idle timeout of a session that is not to be remembered; its cookie also ends with the browser.",
    )
    ANONYMOUS_AGE: "Setting[timedelta | None]" = Setting(
        kinds.OPTIONAL_DURATION,
        None,
        "How long a new anonymous session lasts until its client comes back. None: as long as any other.",
    )
    LIFETIMES: "Setting[Lifetimes | str | Callable[[], Lifetimes | None] | None]" = Setting(
        kinds.LIFETIMES,
        None,
        "Idle and absolute timeouts of their own for sessions that start by cookie, bearer token or JWT, by transport. "
        "What is not given is that of all sessions. With any given, a pair of tokens no longer lengthens a session "
        "that did not start with one.",
    )
    FRESH_AGE = Setting(
        kinds.POSITIVE_DURATION,
        timedelta(minutes=15),
        "How long after authentication a session counts as fresh enough for a sensitive act.",
    )
    RETENTION = Setting(
        kinds.DURATION,
        timedelta(days=30),
        "How long the row of an ended or expired sign-in is kept before the purge deletes it. Its data is wiped when "
        "it ends, or by the first purge after it has expired.",
    )
    PURGE_CHANCE: "Setting[float]" = Setting(
        kinds.FRACTION,
        0,
        "The fraction of requests that purge up to 100 rows after their response, for sites without a cron job. Zero "
        "switches it off.",
    )
    MAX_PER_USER: "Setting[int | str | Callable[[Any], int | None] | None]" = Setting(
        kinds.LIMIT,
        None,
        "How many sessions a user may have at once. A sign-in beyond the limit ends those least recently seen. None "
        "sets no limit.",
    )
    FRESH_FOR_ENDING_OTHERS = Setting(
        kinds.SWITCH, True, "Whether ending one's other sessions needs a fresh session."
    )
    RECORD_IP = Setting(
        kinds.one_of("full", "truncated", "off"),
        "full",
        "How the client's IP address is recorded: full, truncated to its network (/24, IPv6 /48), or not at all.",
    )
    RECORD_USER_AGENT = Setting(
        kinds.one_of("full", "parsed", "off"),
        "full",
        "How the user agent is recorded: full (first 512 characters), parsed to browser and system, or not at all.",
    )
    CONTEXT_POLICY = Setting(
        kinds.one_of("notice", "reauthenticate", "end"),
        "notice",
        "What happens when a session is used from another network or browser than before: only the signal is sent, or "
        "it is not fresh until the password is entered again, or it ends.",
    )
    NEW_DEVICE_EMAIL = Setting(
        kinds.SWITCH,
        False,
        "Whether users get an e-mail about a sign-in from a browser, system and network that are new in this "
        "combination.",
    )
    CREDENTIAL_EMAIL = Setting(
        kinds.SWITCH,
        False,
        "Whether users get an e-mail when their password has changed, or a second factor of allauth, django-otp or one "
        "that the project reports.",
    )
    DEVICES_URL: "Setting[str | None]" = Setting(
        kinds.OPTIONAL_ADDRESS,
        None,
        "The address of the devices page, for the link in e-mails. None sends them without a link.",
    )
    SITE_NAME: "Setting[str | None]" = Setting(
        kinds.OPTIONAL_TEXT,
        None,
        "What e-mails call the site. None means the host of SESSIONS_PLUS_DEVICES_URL.",
    )
    PASSWORD_URL: "Setting[str | None]" = Setting(
        kinds.OPTIONAL_TEXT,
        None,
        "The page on which users change their password, for links from the devices page and from e-mails: a URL or the "
        "name of one. None leaves the links out.",
    )
    USER_LANGUAGE: "Setting[Callable[[Any], str | None] | str | None]" = Setting(
        kinds.OPTIONAL_CALLABLE,
        None,
        'Returns the language in which a user is written to, such as "de", or None for LANGUAGE_CODE. None uses '
        "LANGUAGE_CODE for all.",
    )
    TRUSTED_PROXIES: "Setting[list[str] | tuple[str, ...]]" = Setting(
        kinds.NETWORKS,
        [],
        "The addresses and networks of your own proxies. Forwarded addresses are believed from them alone. The entry "
        '"unix" stands for a proxy that connects through a unix socket.',
    )
    CLIENT_IP_HEADER = Setting(
        kinds.TEXT, "X-Forwarded-For", "The header in which the trusted proxies name the client."
    )
    READ_FROM_REPLICA = Setting(
        kinds.SWITCH,
        False,
        "Whether sessions are read from the router's read database. A replica that lags can sign people out or serve "
        "ended sessions.",
    )
    FAST_PATH = Setting(
        kinds.SWITCH,
        True,
        "Whether the statements that nearly every request runs are compiled once and kept. When off, the ORM builds "
        "each anew; the behaviour is the same.",
    )
    ADMIN_PROTECTS_SUPERUSERS = Setting(
        kinds.SWITCH,
        True,
        "Whether in the admin only superusers may end the sessions of superusers. When off, the permission to end "
        "sessions is enough.",
    )
    CACHE_AGE = Setting(
        kinds.POSITIVE_DURATION,
        timedelta(minutes=1),
        "How long, at most, the engine cached_db serves a copy of a row, counted from when the database was read. "
        "That, and five seconds for clocks that differ, is also how long an ended session can be served if the cache "
        "cannot be told of the end, or loses it.",
    )
    LEASE = Setting(
        kinds.POSITIVE_DURATION,
        timedelta(milliseconds=250),
        "How long the engine leased_db may serve sessions from memory after it has last heard of all that ended.",
    )
    LEASE_SESSIONS = Setting(
        kinds.COUNT,
        10_000,
        "How many sessions the engine leased_db keeps in the memory of each process.",
    )
    LEASE_CHANNEL = Setting(
        kinds.LEASE_CHANNEL,
        "database",
        "How the engine leased_db hears of sessions that end: from PostgreSQL (database; beside a pooler, with the "
        "alias that leads to the server itself), from Redis (a URL, or the name of a cache), or not at all, because "
        "one process serves the site (process).",
    )
    LEASE_USERS = Setting(
        kinds.one_of("query", "signals"),
        "query",
        "With a channel other than the database: whether the engine leased_db reads the user by a query in each "
        "request, or from memory, because Django's signals tell of changed users. Signals miss QuerySet.update(), "
        "bulk_update() and raw SQL.",
    )
    LEASE_DATA = Setting(
        kinds.SWITCH,
        False,
        "Whether leased_db serves the session's data from memory too: others may see a change a lease late.",
    )
    REFRESH_GRACE = Setting(
        kinds.DURATION,
        timedelta(seconds=30),
        "How long a rotated refresh token still yields the same successor, for requests that run in parallel and "
        "clients that send no attempt. Zero allows one use: the second ends the session, unless it is a retry.",
    )
    REFRESH_RETRY_AGE = Setting(
        kinds.DURATION,
        timedelta(days=1),
        "How long a rotated refresh token still yields the same successor to a client that sends the attempt which "
        "rotated it, unless the successor has been used. Zero switches retries off.",
    )
    REAUTHENTICATE_URL: "Setting[str | None]" = Setting(
        kinds.OPTIONAL_TEXT,
        None,
        "Where a user whose session is not fresh is sent: a URL or the name of one. None means LOGIN_URL and, on the "
        "devices page, its own question for the password.",
    )
    USER_FIELDS: "Setting[Sequence[str] | str | Callable[[Any], Mapping[str, Any]]]" = Setting(
        kinds.FIELDS,
        ["username", "email"],
        "What the API returns of the user beside the id: fields, of which those the user model does not have are left "
        "out, or what a callable returns.",
    )
    PAGE_SIZE = Setting(kinds.COUNT, 50, "How many sessions one page of the API's list holds.")
    SIGN_IN: "Setting[Callable[[Any, Any], Any] | str | bool]" = Setting(
        kinds.SIGN_IN_HOOK,
        "django_sessions_plus.accounts.second_factors.refuse_incomplete_sign_in",
        "Asked after the right password, before the API signs in and before a password makes a session fresh: returns "
        "None to go on, or a SignInRefusal. The default refuses users whom allauth or django-otp would ask for more. "
        "False leaves the endpoint sign-in out.",
    )
    RATES: "Setting[Rates]" = Setting(
        kinds.RATES,
        {
            "sign_in": "10/min",
            "sign_in_address": "100/min",
            "reauthenticate": "10/min",
            "refresh": "60/min",
            "introspect": "600/min",
            "revoke_token": "60/min",
            "email": "10/h",
        },
        "How often, at most: attempts to sign in by the API from one address on one account (sign_in), and from one "
        "address on all accounts (sign_in_address); password attempts in one session, on the devices page too "
        "(reauthenticate); refreshes of one session (refresh); tokens that one session of a service asks about "
        "(introspect); revocations of tokens from one address (revoke_token); e-mails to one user about new devices, "
        "and as many about changed credentials (email). None sets no limit. A key that is left out keeps its default.",
    )
    FALLBACK_COOKIE_NAMES: "Setting[list[str]]" = Setting(
        kinds.COOKIE_NAMES,
        [],
        "Earlier names of the session cookie. A request without the present one is served by the first of these that "
        "it has, and gets the session under the present name. Empty it once SESSION_COOKIE_AGE has passed since the "
        "change.",
    )
    IMPORT_FROM: "Setting[list[str] | tuple[str, ...]]" = Setting(
        kinds.TEXTS,
        [],
        'From where the sessions of your previous engine are imported when they are used: "django", "cache", '
        '"file", "signed_cookies", "user_sessions", "qsessions", or what SESSION_ENGINE was; and the tokens of other '
        'packages: "authtoken", "knox", "simplejwt". Empty it once nothing is left to import.',
    )
    IMPORT_KEEP_SOURCE: "Setting[bool | str]" = Setting(
        kinds.KEPT_SOURCE,
        False,
        "Whether imported sessions stay in their previous store, so that you can go back. One that ends here is then "
        'deleted there too, and an expiry that moves here is moved there. With "data", their data is written back as '
        "well. When off, they are deleted there when they are imported.",
    )
    REFRESH_COOKIE_NAME = Setting(
        kinds.COOKIE_NAME,
        "refresh_token",
        "The name of the cookie for the refresh token, for clients that ask for one. Its path is where the API is "
        "mounted.",
    )
    TOKEN_AUDIENCES: "Setting[list[str] | tuple[str, ...]]" = Setting(
        kinds.TEXTS,
        [],
        "The services for which a page that is signed in by cookie can get access tokens. An empty list leaves the "
        "endpoint out.",
    )
    REQUIRE_HTTPS = Setting(
        kinds.SWITCH,
        False,
        "Whether the API refuses to hand out tokens over plain HTTP, in cookies too.",
    )
    CLEAR_SITE_DATA: "Setting[list[str] | tuple[str, ...]]" = Setting(
        kinds.SITE_DATA,
        [],
        "What the API has a browser delete of this site after a sign-out, by the header Clear-Site-Data. An empty list "
        "sends none.",
    )
    JWT_ALGORITHM = Setting(
        kinds.one_of("HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"),
        "HS256",
        "The algorithm of the key derived from SECRET_KEY, and of keys that name none of their own. RS256, ES256 and "
        "EdDSA need JWT_KEYS.",
    )
    JWT_KEYS: "Setting[Keys | str | Callable[[Any], Keys]]" = Setting(
        kinds.KEYS,
        None,
        "The keys of access tokens. The first signs, all verify. None derives one from SECRET_KEY, and from "
        "SECRET_KEY_FALLBACKS further ones that only verify.",
    )
    JWT_ACCESS_AGE = Setting(
        kinds.LIFETIME,
        timedelta(minutes=15),
        "How long an access token is valid at most. It never outlives the timeouts of its session.",
    )
    JWT_ISSUER: "Setting[str | Callable[[Any], str]]" = Setting(
        kinds.ISSUER,
        "django-sessions-plus",
        "The issuer of access tokens, in their claim iss; tokens of another issuer are refused.",
    )
    JWT_AUDIENCE: "Setting[Audience | Callable[[Any], Audience]]" = Setting(
        kinds.AUDIENCE,
        "django-sessions-plus",
        "The audience of access tokens, in their claim aud; tokens that name none of these are refused.",
    )
    JWT_CLAIMS: "Setting[Sequence[str] | str | Callable[[Any, Any], Mapping[str, Any]]]" = Setting(
        kinds.CLAIMS,
        ["id", "email", "role"],
        "What access tokens say beside the package's own claims: fields of the user, of which those the user model "
        "does not have are left out, or what a callable returns.",
    )
    JWT_LEEWAY = Setting(
        kinds.LEEWAY,
        timedelta(minutes=1),
        "How far the clocks of two hosts may differ, in either direction: of those that issue and verify access "
        "tokens, and those that rotate a refresh token and judge its retry.",
    )

    def rate(self, name: "RateName") -> str | None:
        """Return the rate of this name, such as ``10/min``; None is no limit.

        Raises:
            ConfigurationError: ``SESSIONS_PLUS_RATES`` has an invalid value.
        """
        return self.RATES.get(name, Config.RATES.default[name])


def declared() -> dict[str, Setting[Any]]:
    """Return every setting by its full name, in the order of declaration."""
    return {entry.name: entry for entry in vars(Config).values() if isinstance(entry, Setting)}


config = Config()

on_setting_change(vars(config).clear)
