"""The engines that a site can come from."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from tests.switching.real.site.kinds.base import Kind
from tests.switching.real.site.kinds.cache import Cache
from tests.switching.real.site.kinds.files import Files
from tests.switching.real.site.kinds.rows import Rows
from tests.switching.real.site.kinds.signed_cookies import SignedCookies

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
}


def current() -> Engine:
    """Return the engine of the site that runs in this process."""
    return ENGINES[os.environ["SITE_ENGINE"]]
