"""The engines that a site can come from."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from tests.switching.real.site.kinds.base import Kind
from tests.switching.real.site.kinds.cache import Cache
from tests.switching.real.site.kinds.files import Files
from tests.switching.real.site.kinds.refresh_tokens import RefreshTokens
from tests.switching.real.site.kinds.rows import Rows
from tests.switching.real.site.kinds.signed_cookies import SignedCookies
from tests.switching.real.site.kinds.tokens import Authtoken, Knox

ROWS = Rows()


@dataclass(frozen=True)
class Engine:
    """A session engine as its own documentation has it installed, and the two settings of the switch."""

    title: str
    engine: str
    """What ``SESSION_ENGINE`` was."""
    source: str
    """What ``SESSIONS_PLUS_IMPORT_FROM`` names."""
    kind: Kind = ROWS
    """How clients hold their sessions, and what has to be so after the switch."""
    apps: tuple[str, ...] = ("django.contrib.sessions",)
    middleware: str = "django.contrib.sessions.middleware.SessionMiddleware"
    package: str = "django"
    """The environment: sites with the same package share it."""
    requirements: tuple[str, ...] = ()
    longest_agent: int | None = None
    """How much of a user agent the engine stores; None if it stores none."""
    has_dates: bool = False
    """Whether it stores when a session began."""
    new_engine: str = "django_sessions_plus.backends.db"
    urls: str = "tests.switching.real.site.urls"
    new_urls: str = "tests.switching.real.site.new_urls"
    classes: tuple[str, ...] = ()
    """The authentication classes of REST framework, if clients have tokens."""
    new_classes: tuple[str, ...] = ()

    @property
    def needs_cache(self) -> bool:
        """Tell whether sessions are kept in a cache that all processes share."""
        return "cache" in self.engine


OUR_CACHED_DB = "django_sessions_plus.backends.cached_db"

DJANGO = Engine("Django db", "django.contrib.sessions.backends.db", "django")
QSESSIONS = Engine(
    "django-qsessions db",
    "qsessions.backends.db",
    "qsessions",
    apps=("qsessions",),
    middleware="qsessions.middleware.SessionMiddleware",
    package="qsessions",
    requirements=("django-qsessions>=2.1,<3",),
    longest_agent=300,
    has_dates=True,
)
TOKENS = Engine(
    "rest_framework.authtoken",
    "django.contrib.sessions.backends.db",
    "authtoken",
    kind=Authtoken(),
    apps=("django.contrib.sessions", "rest_framework", "rest_framework.authtoken"),
    package="authtoken",
    requirements=("djangorestframework>=3.16",),
    has_dates=True,
    urls="tests.switching.real.site.token_urls",
    classes=("rest_framework.authentication.TokenAuthentication",),
    new_classes=("django_sessions_plus.contrib.authtoken.TokenAuthentication",),
)

ENGINES = {
    "django-db": DJANGO,
    "django-cached-db": replace(
        DJANGO,
        title="Django cached_db",
        engine="django.contrib.sessions.backends.cached_db",
        new_engine=OUR_CACHED_DB,
    ),
    "django-cache": replace(
        DJANGO,
        title="Django cache",
        engine="django.contrib.sessions.backends.cache",
        source="cache",
        kind=Cache(),
        new_engine=OUR_CACHED_DB,
    ),
    "django-file": replace(
        DJANGO,
        title="Django file",
        engine="django.contrib.sessions.backends.file",
        source="file",
        kind=Files(),
    ),
    "django-signed-cookies": replace(
        DJANGO,
        title="Django signed_cookies",
        engine="django.contrib.sessions.backends.signed_cookies",
        source="signed_cookies",
        kind=SignedCookies(),
    ),
    "user-sessions": Engine(
        "django-user-sessions",
        "user_sessions.backends.db",
        "user_sessions",
        apps=("user_sessions",),
        middleware="user_sessions.middleware.SessionMiddleware",
        package="user-sessions",
        # It imports pkg_resources without asking for it.
        requirements=("django-user-sessions>=2,<3", "setuptools<81"),
        longest_agent=200,
    ),
    "qsessions-db": QSESSIONS,
    "qsessions-cached-db": replace(
        QSESSIONS,
        title="django-qsessions cached_db",
        engine="qsessions.backends.cached_db",
        new_engine=OUR_CACHED_DB,
    ),
    "authtoken": TOKENS,
    "knox": replace(
        TOKENS,
        title="django-rest-knox",
        source="knox",
        kind=Knox(),
        apps=("django.contrib.sessions", "rest_framework", "knox"),
        package="knox",
        requirements=("django-rest-knox>=5,<6",),
        classes=("knox.auth.TokenAuthentication",),
        new_classes=("django_sessions_plus.contrib.knox.TokenAuthentication",),
    ),
    "simplejwt": Engine(
        "simplejwt",
        "django.contrib.sessions.backends.db",
        "simplejwt",
        kind=RefreshTokens(),
        apps=(
            "django.contrib.sessions",
            "rest_framework",
            "rest_framework_simplejwt.token_blacklist",
        ),
        package="simplejwt",
        requirements=("djangorestframework-simplejwt>=5.5,<6",),
        has_dates=True,
        urls="tests.switching.real.site.jwt_urls",
        new_urls="tests.switching.real.site.new_jwt_urls",
        classes=("rest_framework_simplejwt.authentication.JWTAuthentication",),
        new_classes=(
            "django_sessions_plus.api.authentication.AccessTokenAuthentication",
            "django_sessions_plus.contrib.simplejwt.JWTAuthentication",
        ),
    ),
}


def current() -> Engine:
    """Return the engine of the site that runs in this process."""
    return ENGINES[os.environ["SITE_ENGINE"]]
