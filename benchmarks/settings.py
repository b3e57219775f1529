"""The settings of a contender's site: Django's usual ones, and what makes it itself."""

from __future__ import annotations

from typing import Any

from benchmarks.config import CACHE_PREFIX, Services, database_settings
from benchmarks.contenders import Contender

_BASE: dict[str, Any] = {
    "SECRET_KEY": "known to everybody, used by the benchmarks alone",
    "DEBUG": False,
    "ALLOWED_HOSTS": ["*"],
    "USE_TZ": True,
    "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
    "ROOT_URLCONF": "benchmarks.site.urls",
    "STATIC_URL": "static/",
    # What a contender logs is no part of the comparison.
    "LOGGING": {"version": 1, "root": {"level": "CRITICAL"}},
    "LOGGING_CONFIG": "logging.config.dictConfig",
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ],
            },
        },
    ],
}


def site_settings(
    contender: Contender,
    known: Services,
    *,
    flavour: str,
    database: str,
    pooled: bool = False,
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return everything ``settings.configure`` needs for one contender on one database."""
    own = dict(contender.settings) | (more or {})
    extra_apps = own.pop("EXTRA_APPS", ())
    return {
        **_BASE,
        "INSTALLED_APPS": [
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            *contender.apps,
            *extra_apps,
        ],
        "MIDDLEWARE": middleware(contender),
        "SESSION_ENGINE": contender.engine,
        "MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage",
        "CACHES": {"default": cache_settings(contender, known)},
        "DATABASES": {
            "default": database_settings(
                contender.as_flavour or flavour,
                known,
                database,
                application=f"bench {contender.name}",
                pooled=pooled,
            )
        },
        **own,
    }


def middleware(contender: Contender) -> list[str]:
    """Return Django's usual middleware, with the contender's in the places of theirs."""
    chain = [
        "django.middleware.security.SecurityMiddleware",
        contender.session_middleware,
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        contender.authentication_middleware,
        # Messages need a session middleware before them.
        contender.session_middleware and "django.contrib.messages.middleware.MessageMiddleware",
        *contender.extra_middleware,
    ]
    return [entry for entry in chain if entry]


def cache_settings(contender: Contender, known: Services) -> dict[str, Any]:
    """Return the default cache. Local memory holds 300 entries unless told otherwise."""
    if contender.cache == "redis":
        return {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": known.redis,
            "KEY_PREFIX": f"{CACHE_PREFIX}:{contender.name}",
        }
    return {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 1_000_000},
    }
