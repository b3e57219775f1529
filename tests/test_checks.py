"""The system checks: each in both directions, and what they have in common."""

import ast
import json
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.middleware import (
    AuthenticationMiddleware as DjangoAuthenticationMiddleware,
)
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core import checks
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.redis import RedisSerializer
from django.db import connection, models
from django.db.models.sql.compiler import SQLUpdateCompiler
from django.http import HttpRequest
from django.test import override_settings
from django.test.utils import isolate_apps

import django_sessions_plus.checks
from django_sessions_plus.backends import db, opened
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.checks import installation, lookups, pages, second_factors
from django_sessions_plus.conf import declared
from django_sessions_plus.middleware import AuthenticationMiddleware, SessionMiddleware
from django_sessions_plus.models import Session
from tests.mailing import sent_by

PREFIX = "django_sessions_plus."
OURS = "django_sessions_plus.middleware.SessionMiddleware"
DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"
OUR_AUTH = "django_sessions_plus.middleware.AuthenticationMiddleware"
DJANGOS_AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
OTHER = "tests.test_checks.OtherSessionMiddleware"

SAFE_COOKIE = {
    "SESSION_COOKIE_NAME": "__Host-session",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SESSION_COOKIE_PATH": "/",
    "SESSION_COOKIE_DOMAIN": None,
}
LOCAL_CACHE = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
REDIS = "redis.RedisCache"
LIMITS = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25}


def lifetimes(**by_transport: dict[str, timedelta | None]) -> dict[str, Any]:
    """Return settings that give these transports lifetimes of their own."""
    return {"SESSIONS_PLUS_LIFETIMES": by_transport}


def cached_in(backend: str, **values: Any) -> dict[str, Any]:
    """Return settings that keep copies of sessions in one of Django's caches."""
    path = f"django.core.cache.backends.{backend}"
    cache = {"BACKEND": path, "LOCATION": "redis://127.0.0.1/0"} | values
    return {"SESSION_ENGINE": CACHED, "CACHES": {"default": cache}}


class JSONSerializer:
    """As a project may name it in the OPTIONS of Django's cache."""

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, default=str).encode()

    def loads(self, stored: bytes) -> Any:
        return json.loads(stored)


class ConfiguredJSON(JSONSerializer):
    """As django-redis makes them: of the options."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options


class JSONSerde:
    """As pymemcache's documentation has it."""

    def serialize(self, key: str, value: Any) -> tuple[bytes, int]:
        return json.dumps(value, default=str).encode(), 2

    def deserialize(self, key: str, value: bytes, flags: int) -> Any:
        return json.loads(value)


class AsynchronousCache(BaseCache):
    """A cache that has to be awaited."""

    async def get_many(self, keys: Any, version: Any = None) -> Any:  # type: ignore[override]
        return {}


MOUNTED = {"ROOT_URLCONF": "tests.pages_urls"}
NO_APP_TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
WITH_STOCK = [*settings.INSTALLED_APPS, "django.contrib.sessions"]
IMPORTED = {"SESSIONS_PLUS_IMPORT_FROM": ["django"]}
READ = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["django_sessions_plus.contrib.authtoken.TokenAuthentication"]
}
WITHOUT_MESSAGES = [app for app in settings.INSTALLED_APPS if "messages" not in app]

CACHED = "django_sessions_plus.backends.cached_db"
LEASED = {"SESSION_ENGINE": "django_sessions_plus.backends.leased_db"}
NOT_CACHED = {"SESSION_ENGINE": "django_sessions_plus.backends.db"}
SHARED_CACHE = cached_in(REDIS, OPTIONS=LIMITS)["CACHES"]
# Settings that no check has anything to say of, in production either.
SAFE = SAFE_COOKIE | {"CACHES": SHARED_CACHE}
HOUR, DAY = 3600, 86400
SMTP = "django.core.mail.backends.smtp.EmailBackend"
ENFORCED = ("reauthenticate", "end")
UNLIMITED = {"SESSIONS_PLUS_RATES": {"sign_in": None, "sign_in_address": None}}
UNRECORDED = {"SESSIONS_PLUS_RECORD_IP": "off", "SESSIONS_PLUS_RECORD_USER_AGENT": "off"}
TOLD_BY_EMAIL = {
    "SESSIONS_PLUS_NEW_DEVICE_EMAIL": True,
    "SESSIONS_PLUS_DEVICES_URL": "https://example.com/devices/",
}
SIGNED = "django.contrib.sessions.backends.signed_cookies"
LONG = "0123456789abcdef" * 4


class ExtendedSessionMiddleware(SessionMiddleware):
    """A project's own, on top of ours."""


class OtherSessionMiddleware(DjangoSessionMiddleware):
    """A package's own, with a session, a cookie and an attribute beside ours, as djangosaml2 has one."""

    def process_request(self, request):
        request.other_session = self.SessionStore(request.COOKIES.get("other"))

    def process_response(self, request, response):
        return response


class BrittleSessionMiddleware(DjangoSessionMiddleware):
    """A project's own, which needs more than a bare request."""

    def process_request(self, request):
        request.tenant = request.META["HTTP_X_TENANT"]
        super().process_request(request)


class OtherAuthenticationMiddleware(DjangoAuthenticationMiddleware):
    """A project's own, with a user of another kind beside ours."""

    def process_request(self, request):
        request.customer = request.session.get("customer")


class ExtendedAuthenticationMiddleware(AuthenticationMiddleware):
    """A project's own, on top of ours."""


class ExtendedStore(db.SessionStore):
    """A project's own, without a model of its own."""


class SessionOfNoRows(Session):
    """A model that names a store that keeps no rows."""

    class Meta:
        proxy = True
        app_label = "auth"

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        return SignedCookieStore


class StoreOfNoRows(db.SessionStore):
    """A store on a model that names one without rows."""

    @classmethod
    def get_model_class(cls) -> Any:
        return SessionOfNoRows


class StoreOnUsers(db.SessionStore):
    """A store whose rows are no sessions."""

    @classmethod
    def get_model_class(cls) -> Any:
        return User


class SessionOfAnother(Session):
    """A model that leaves reading to a store it does not belong to."""

    class Meta:
        proxy = True
        app_label = "auth"


class StoreOfAnother(db.SessionStore):
    """A store on a model that names another one."""

    @classmethod
    def get_model_class(cls) -> Any:
        return SessionOfAnother


def limit_of(user: Any) -> int:
    """Return a limit for ``SESSIONS_PLUS_MAX_PER_USER``."""
    return 3


def plain_middleware(get_response: Any) -> Any:
    """Return a middleware that is a function."""
    return get_response


Case = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""Settings that bring a message up, and their neighbours that do not."""


def path_to(setting: str, *, wrong: Sequence[Any] = (), right: Sequence[Any] = ()) -> Case:
    """Return the case of a setting that may be a callable or its path."""
    name = f"SESSIONS_PLUS_{setting}"
    return (
        [{name: value} for value in ("tests.nowhere.function", f"{__name__}.HOUR", *wrong)],
        [{}, *({name: value} for value in (f"{__name__}.limit_of", limit_of, *right))],
    )


class OneAppRouter:
    """Sessions in a database of their own, and nothing else there."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label == "django_sessions_plus"


class OneDatabaseRouter:
    """Everything that is about sessions in one database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return app_label.startswith("django_sessions_plus")


CASES: dict[str, Case] = {
    "E001": (
        [
            {"SESSIONS_PLUS_UPDATE_AGE": 3600},
            {"SESSIONS_PLUS_TRUSTED_PROXIES": "10.0.0.1"},
            {"SESSIONS_PLUS_RECORD_IP": "some"},
            {"SESSIONS_PLUS_RATES": {"sing_in": "10/min"}},
            {"SESSIONS_PLUS_RATES": {"sign_in": "10/year"}},
        ],
        [
            {"SESSIONS_PLUS_UPDATE_AGE": timedelta(0)},
            {"SESSIONS_PLUS_TRUSTED_PROXIES": ["10.0.0.1", "unix"]},
            {"SESSIONS_PLUS_RATES": {"sign_in": "20/h", "refresh": None}},
        ],
    ),
    "E002": (
        [
            {"SESSIONS_PLUS_UPDATE_AEG": timedelta(days=1)},
            {"SESSION_PLUS_UPDATE_AGE": timedelta(days=1)},
            {"SESSIONSPLUS_RETENTION": timedelta(days=1)},
            {"SESSIONS_PLUS_": 1},
        ],
        [{"SESSIONS_PLUS_UPDATE_AGE": timedelta(days=1)}, {"MY_SESSIONS_PLUS_AGE": 1}],
    ),
    "E003": path_to("MAX_PER_USER", wrong=["five"], right=[5]),
    "E035": path_to("LIFETIMES", right=[{"bearer": {"absolute": timedelta(days=90)}}]),
    "E004": (
        [
            {"SESSIONS_PLUS_TRUSTED_PROXIES": ["10.0.0.1", "0.0.0.0/0"]},
            {"SESSIONS_PLUS_TRUSTED_PROXIES": ["::/0"]},
            {"SESSIONS_PLUS_TRUSTED_PROXIES": ("0.0.0.0/1", "128.0.0.0/1")},
        ],
        [{"SESSIONS_PLUS_TRUSTED_PROXIES": ["10.0.0.0/8", "fd00::/8", "unix"]}],
    ),
    "E005": (
        [
            {"SESSIONS_PLUS_USER_FIELDS": ["username", "password"]},
            {"SESSIONS_PLUS_USER_FIELDS": ["otp_secret"]},
            {"SESSIONS_PLUS_USER_FIELDS": ["api_key"]},
        ],
        [{"SESSIONS_PLUS_USER_FIELDS": ["email", "password_changed_at", "monkey", "mapping"]}],
    ),
    "E006": (
        [
            {"SESSIONS_PLUS_CLIENT_IP_HEADER": "HTTP_X_FORWARDED_FOR"},
            {"SESSIONS_PLUS_CLIENT_IP_HEADER": "X-Real-IP:"},
            {"SESSIONS_PLUS_CLIENT_IP_HEADER": "forwarded"},
        ],
        [
            {"SESSIONS_PLUS_CLIENT_IP_HEADER": "X-Real-IP"},
            {"SESSIONS_PLUS_CLIENT_IP_HEADER": "CF-Connecting-IP"},
        ],
    ),
    "E007": (
        [
            {"SESSIONS_PLUS_REAUTHENTICATE_URL": "no-such-name"},
            {"SESSIONS_PLUS_PASSWORD_URL": "no-such-name"},
        ],
        [
            {"SESSIONS_PLUS_REAUTHENTICATE_URL": "admin:login"},
            {"SESSIONS_PLUS_REAUTHENTICATE_URL": "/password/"},
            {"SESSIONS_PLUS_REAUTHENTICATE_URL": None},
            {"SESSIONS_PLUS_PASSWORD_URL": "/password/"},
        ],
    ),
    "E008": (
        [
            {"SESSION_ENGINE": "django_sessions_plus.backends.nowhere"},
            {"SESSION_ENGINE": "django_sessions_plus.tokens"},
            {"SESSION_ENGINE": "engine_of_limit_of"},
            {"SESSION_ENGINE": "engine_of_User"},
        ],
        [{"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"}],
    ),
    "E009": (
        [
            {"SESSION_ENGINE": "engine_of_StoreOnUsers"},
            {"SESSION_ENGINE": "engine_of_StoreOfAnother"},
            {"SESSION_ENGINE": "engine_of_StoreOfNoRows"},
        ],
        [{"SESSION_ENGINE": "engine_of_ExtendedStore"}],
    ),
    "E010": (
        [
            {"MIDDLEWARE": []},
            {"MIDDLEWARE": ["tests.test_checks.plain_middleware", "no.such"]},
            {"MIDDLEWARE": [OTHER]},
        ],
        [
            {"MIDDLEWARE": [OURS]},
            {"MIDDLEWARE": [], "SESSION_ENGINE": "django.contrib.sessions.backends.file"},
        ],
    ),
    "E011": (
        [
            {"MIDDLEWARE": [DJANGOS, OURS]},
            {"MIDDLEWARE": [OURS, OURS]},
            {"MIDDLEWARE": [OURS, "tests.test_checks.ExtendedSessionMiddleware"]},
            {"MIDDLEWARE": [OURS, "tests.test_checks.BrittleSessionMiddleware"]},
        ],
        [
            {"MIDDLEWARE": ["tests.test_checks.ExtendedSessionMiddleware"]},
            {"MIDDLEWARE": [OURS, OTHER]},
            {"MIDDLEWARE": [OTHER, OURS]},
        ],
    ),
    "E012": (
        [
            {"MIDDLEWARE": [OUR_AUTH, OURS]},
            {"MIDDLEWARE": [DJANGOS_AUTH, OURS]},
            {"MIDDLEWARE": [OTHER, OUR_AUTH, OURS]},
        ],
        [
            {"MIDDLEWARE": [OURS, OUR_AUTH]},
            {"MIDDLEWARE": [OURS, OUR_AUTH, OTHER]},
            {"MIDDLEWARE": [OURS]},
            {"MIDDLEWARE": [OUR_AUTH]},
        ],
    ),
    "E013": (
        [{"MIDDLEWARE": [OURS, OUR_AUTH, DJANGOS_AUTH]}],
        [
            {"MIDDLEWARE": [OURS, OUR_AUTH]},
            {"MIDDLEWARE": [OURS, OUR_AUTH, "tests.test_checks.OtherAuthenticationMiddleware"]},
        ],
    ),
    "E014": (
        [
            SAFE_COOKIE | {"SESSION_COOKIE_SECURE": False},
            SAFE_COOKIE | {"SESSION_COOKIE_PATH": "/app/"},
            SAFE_COOKIE | {"SESSION_COOKIE_DOMAIN": "example.com"},
            SAFE_COOKIE | {"SESSION_COOKIE_NAME": "__host-a", "SESSION_COOKIE_SECURE": False},
            {"SESSION_COOKIE_NAME": "__Secure-session", "SESSION_COOKIE_SECURE": False},
        ],
        [
            SAFE_COOKIE,
            {
                "SESSION_COOKIE_NAME": "__Secure-session",
                "SESSION_COOKIE_SECURE": True,
                "SESSION_COOKIE_DOMAIN": "example.com",
                "SESSION_COOKIE_PATH": "/app/",
            },
            {"SESSION_COOKIE_SECURE": False, "SESSION_COOKIE_DOMAIN": "example.com"},
        ],
    ),
    "E015": (
        [{"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": False}],
        [
            {"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": True},
            {"SESSION_COOKIE_SAMESITE": None},
            {"SESSION_COOKIE_SAMESITE": "Lax"},
        ],
    ),
    "E016": (
        [{"SESSION_ENGINE": CACHED, "SESSION_CACHE_ALIAS": "missing"}],
        [{"SESSION_ENGINE": CACHED}, NOT_CACHED | {"SESSION_CACHE_ALIAS": "missing"}],
    ),
    "E017": (
        [
            cached_in("memcached.PyMemcacheCache", KEY_PREFIX="x" * 150),
            cached_in("memcached.PyLibMCCache", KEY_PREFIX="our project"),
        ],
        [
            cached_in("memcached.PyMemcacheCache", KEY_PREFIX="x" * 60),
            cached_in(REDIS, KEY_PREFIX="x" * 150),
            cached_in("memcached.PyMemcacheCache", KEY_PREFIX="x" * 150) | NOT_CACHED,
        ],
    ),
    "E025": (
        [
            {"SESSIONS_PLUS_REFRESH_COOKIE_NAME": "sessionid"},
            {"SESSIONS_PLUS_REFRESH_COOKIE_NAME": "csrftoken"},
            {"SESSIONS_PLUS_REFRESH_COOKIE_NAME": "django_language"},
            {
                "SESSIONS_PLUS_REFRESH_COOKIE_NAME": "__Secure-refresh",
                "SESSION_COOKIE_SECURE": False,
            },
        ],
        [
            {"SESSIONS_PLUS_REFRESH_COOKIE_NAME": "refresh"},
            {
                "SESSIONS_PLUS_REFRESH_COOKIE_NAME": "__Secure-refresh",
                "SESSION_COOKIE_SECURE": True,
            },
        ],
    ),
    "W001": (
        [{"SESSION_ENGINE": SIGNED}],
        [{"SESSION_ENGINE": "engine_of_ExtendedStore"}, {**MOUNTED, "SESSION_ENGINE": SIGNED}],
    ),
    "E030": (
        [
            {**MOUNTED, "SESSION_ENGINE": SIGNED},
            {"ROOT_URLCONF": "tests.api.urls", "SESSION_ENGINE": SIGNED},
        ],
        [MOUNTED, {"SESSION_ENGINE": SIGNED}, {**MOUNTED, "SESSION_ENGINE": "engine_of_User"}],
    ),
    "E031": (
        [
            {"SESSION_ENGINE": "django.contrib.sessions.backends.db"},
            {"SESSION_ENGINE": "django.contrib.sessions.backends.cached_db"},
        ],
        [
            {"SESSION_ENGINE": SIGNED},
            {
                "INSTALLED_APPS": [*settings.INSTALLED_APPS, "django.contrib.sessions"],
                "SESSION_ENGINE": "django.contrib.sessions.backends.db",
            },
        ],
    ),
    "W002": (
        [{"MIDDLEWARE": [DJANGOS]}, {"MIDDLEWARE": [OTHER, DJANGOS]}],
        [
            {"MIDDLEWARE": [OURS]},
            {"MIDDLEWARE": [OURS, OTHER]},
            {"MIDDLEWARE": ["tests.test_checks.ExtendedSessionMiddleware"]},
            {
                "MIDDLEWARE": [DJANGOS],
                "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
            },
        ],
    ),
    "W003": (
        [{"MIDDLEWARE": [OURS, DJANGOS_AUTH]}],
        [
            {"MIDDLEWARE": [OURS, OUR_AUTH]},
            {"MIDDLEWARE": [OURS, "tests.test_checks.ExtendedAuthenticationMiddleware"]},
            {"MIDDLEWARE": [OURS]},
            {"MIDDLEWARE": [DJANGOS, DJANGOS_AUTH]},
        ],
    ),
    "W004": ([{"SESSION_SAVE_EVERY_REQUEST": True}], [{"SESSION_SAVE_EVERY_REQUEST": False}]),
    "W005": (
        [
            {"SESSIONS_PLUS_ABSOLUTE_AGE": timedelta(hours=1), "SESSION_COOKIE_AGE": DAY},
            {"SESSION_COOKIE_AGE": 60 * DAY},
            lifetimes(bearer={"idle": timedelta(days=90)}),
            lifetimes(jwt={"absolute": timedelta(days=13)}),
            lifetimes(cookie={"idle": timedelta(days=2), "absolute": timedelta(days=1)}),
        ],
        [
            lifetimes(bearer={"idle": timedelta(days=90), "absolute": timedelta(days=90)}),
            lifetimes(bearer={"idle": timedelta(days=90), "absolute": None}),
            lifetimes(cookie={"idle": timedelta(days=7)}, bearer={}, jwt={}),
            {"SESSIONS_PLUS_LIFETIMES": "tests.test_checks.limit_of"},
            {"SESSIONS_PLUS_ABSOLUTE_AGE": timedelta(days=1), "SESSION_COOKIE_AGE": DAY},
            {"SESSIONS_PLUS_ABSOLUTE_AGE": None, "SESSION_COOKIE_AGE": 60 * DAY},
        ],
    ),
    "W006": (
        [{"SESSIONS_PLUS_UPDATE_AGE": timedelta(hours=1), "SESSION_COOKIE_AGE": 4 * HOUR}],
        [
            {"SESSIONS_PLUS_UPDATE_AGE": timedelta(hours=1), "SESSION_COOKIE_AGE": 5 * HOUR},
            {"SESSION_COOKIE_AGE": HOUR},
        ],
    ),
    "W007": (
        [{"SESSIONS_PLUS_LAST_SEEN_INTERVAL": timedelta(hours=1), "SESSION_COOKIE_AGE": HOUR}],
        [
            {"SESSIONS_PLUS_LAST_SEEN_INTERVAL": timedelta(minutes=59), "SESSION_COOKIE_AGE": HOUR},
            {"SESSION_COOKIE_AGE": 60},
        ],
    ),
    "W008": (
        [
            {"SESSIONS_PLUS_FRESH_AGE": timedelta(days=30)},
            {"SESSIONS_PLUS_ABSOLUTE_AGE": timedelta(minutes=15)},
        ],
        [
            {"SESSIONS_PLUS_FRESH_AGE": timedelta(days=29)},
            {"SESSIONS_PLUS_FRESH_AGE": timedelta(days=99), "SESSIONS_PLUS_ABSOLUTE_AGE": None},
        ],
    ),
    "W009": (
        [
            {"SESSIONS_PLUS_UNREMEMBERED_AGE": timedelta(days=2), "SESSION_COOKIE_AGE": DAY},
            {"SESSIONS_PLUS_ANONYMOUS_AGE": timedelta(days=15)},
        ],
        [
            {"SESSIONS_PLUS_ANONYMOUS_AGE": timedelta(days=14)},
            {"SESSIONS_PLUS_ANONYMOUS_AGE": None},
            {"SESSIONS_PLUS_UNREMEMBERED_AGE": timedelta(days=1), "SESSION_COOKIE_AGE": DAY},
            {"SESSION_COOKIE_AGE": HOUR},
        ],
    ),
    "W010": (
        [
            {"SESSION_COOKIE_AGE": 401 * DAY},
            {"SESSION_COOKIE_AGE": 401 * DAY, **lifetimes(cookie={"absolute": None})},
            lifetimes(cookie={"idle": timedelta(days=401), "absolute": None}),
        ],
        [
            {"SESSION_COOKIE_AGE": 400 * DAY},
            {"SESSION_COOKIE_AGE": 401 * DAY, **lifetimes(cookie={"idle": timedelta(days=9)})},
            lifetimes(cookie={"idle": timedelta(days=400), "absolute": None}),
            lifetimes(bearer={"idle": timedelta(days=401), "absolute": None}),
        ],
    ),
    "W011": (
        [{"SESSIONS_PLUS_CLIENT_IP_HEADER": "X-Forwarded-For"}],
        [
            {},
            {
                "SESSIONS_PLUS_CLIENT_IP_HEADER": "X-Real-IP",
                "SESSIONS_PLUS_TRUSTED_PROXIES": ["10.0.0.1"],
            },
        ],
    ),
    "W012": (
        [{"SESSIONS_PLUS_READ_FROM_REPLICA": True}],
        [
            {"SESSIONS_PLUS_READ_FROM_REPLICA": True, "DATABASE_ROUTERS": [object()]},
            {"SESSIONS_PLUS_READ_FROM_REPLICA": False},
        ],
    ),
    "W013": (
        [
            {"SESSIONS_PLUS_USER_FIELDS": ["username", name]}
            for name in ("emial", "pk", "groups", "logentry", "is_authenticated")
        ],
        [{"SESSIONS_PLUS_USER_FIELDS": ["username", "email", "last_login"]}, {}],
    ),
    "E034": path_to("USER_FIELDS"),
    "W015": (
        [SAFE_COOKIE | {"SESSION_COOKIE_NAME": "a", "SESSION_COOKIE_SECURE": False}],
        [SAFE_COOKIE],
    ),
    "W016": ([SAFE_COOKIE | {"SESSION_COOKIE_HTTPONLY": False}], [SAFE_COOKIE]),
    "W017": (
        [{"SESSION_COOKIE_SAMESITE": value} for value in ("None", None, False)],
        [{"SESSION_COOKIE_SAMESITE": value} for value in ("Lax", "Strict")],
    ),
    "W019": (
        [
            cached_in("locmem.LocMemCache"),
            cached_in("dummy.DummyCache"),
            cached_in("filebased.FileBasedCache"),
        ],
        [
            cached_in(REDIS),
            cached_in("db.DatabaseCache"),
            cached_in("locmem.LocMemCache") | NOT_CACHED,
            {"SESSION_ENGINE": CACHED, "CACHES": {"default": {"BACKEND": "no.such.Cache"}}},
        ],
    ),
    "W020": (
        [
            cached_in(REDIS),
            cached_in(REDIS, OPTIONS={"socket_timeout": 0.25}),
            cached_in(REDIS, OPTIONS=LIMITS | {"socket_timeout": None}),
            cached_in("memcached.PyMemcacheCache", LOCATION=["10.0.0.1:11211"]),
        ],
        [
            cached_in(REDIS, OPTIONS=LIMITS),
            cached_in(REDIS, LOCATION="redis://a/0?socket_timeout=0.2&socket_connect_timeout=0.2"),
            cached_in("memcached.PyMemcacheCache", OPTIONS={"timeout": 1, "connect_timeout": 1}),
            cached_in(REDIS) | NOT_CACHED,
            cached_in("db.DatabaseCache"),
        ],
    ),
    "W021": (
        [
            cached_in(REDIS, LOCATION=["redis://a/0", "redis://b/0"]),
            cached_in(REDIS, LOCATION="redis://a/0;redis://b/0"),
            cached_in(REDIS, OPTIONS={"cache_config": object()}),
        ],
        [
            cached_in(REDIS, LOCATION=["redis://a/0"]),
            cached_in("memcached.PyMemcacheCache", LOCATION="10.0.0.1:11211,10.0.0.2:11211"),
            cached_in(REDIS, LOCATION=["redis://a/0", "redis://b/0"]) | NOT_CACHED,
        ],
    ),
    "W022": (
        [
            {"SESSIONS_PLUS_REFRESH_GRACE": timedelta(seconds=61)},
            {
                "SESSIONS_PLUS_REFRESH_GRACE": timedelta(seconds=91),
                "SESSIONS_PLUS_JWT_LEEWAY": timedelta(seconds=30),
            },
        ],
        [
            {"SESSIONS_PLUS_REFRESH_GRACE": timedelta(seconds=60)},
            {
                "SESSIONS_PLUS_REFRESH_GRACE": timedelta(seconds=90),
                "SESSIONS_PLUS_JWT_LEEWAY": timedelta(seconds=30),
            },
            {},
        ],
    ),
    "E018": (
        [
            {"SESSIONS_PLUS_JWT_ALGORITHM": "ES256"},
            {"SESSIONS_PLUS_JWT_KEYS": [{}]},
            {"SESSIONS_PLUS_JWT_KEYS": [{"secret": LONG}, {"secret": LONG}]},
            {"SESSIONS_PLUS_JWT_KEYS": [{"secret": LONG, "alg": "HS256"}]},
            {"SESSIONS_PLUS_JWT_KEYS": [{"secret": settings.SECRET_KEY}]},
            {"SESSIONS_PLUS_JWT_KEYS": "tests.nowhere.keys"},
        ],
        [
            {},
            {"SESSIONS_PLUS_JWT_ALGORITHM": "HS512"},
            {"SESSIONS_PLUS_JWT_KEYS": [{"secret": LONG}, {"secret": LONG, "kid": "b"}]},
        ],
    ),
    "I010": (
        [{"SESSIONS_PLUS_ANONYMOUS_AGE": timedelta(minutes=59), "CSRF_USE_SESSIONS": True}],
        [
            {"SESSIONS_PLUS_ANONYMOUS_AGE": timedelta(hours=1), "CSRF_USE_SESSIONS": True},
            {"SESSIONS_PLUS_ANONYMOUS_AGE": timedelta(minutes=59)},
            {"CSRF_USE_SESSIONS": True},
        ],
    ),
    "W039": (
        [{"SESSIONS_PLUS_ABSOLUTE_AGE": None}, lifetimes(bearer={"absolute": None})],
        [{}, lifetimes(bearer={"absolute": timedelta(days=365)}, jwt={}, cookie={})],
    ),
    "E033": (
        [{"SESSIONS_PLUS_TOKEN_AUDIENCES": ["a", "django-sessions-plus"]}],
        [{"SESSIONS_PLUS_TOKEN_AUDIENCES": ["a"]}, {}],
    ),
    "E019": (
        [{"SESSIONS_PLUS_JWT_KEYS": [{"file": "/no/such.pem", "algorithm": "ES256"}]}],
        [{"SESSIONS_PLUS_JWT_KEYS": [{"secret": LONG}]}],
    ),
    "E020": (
        [
            {"SESSIONS_PLUS_JWT_KEYS": [{"secret": "short"}]},
            {"SESSIONS_PLUS_JWT_KEYS": [{"secret": LONG[:63], "algorithm": "HS512"}]},
            {"SECRET_KEY_FALLBACKS": [""]},
        ],
        [{"SESSIONS_PLUS_JWT_KEYS": [{"secret": LONG, "algorithm": "HS512"}]}],
    ),
    "E022": (
        [{"SESSIONS_PLUS_JWT_CLAIMS": ["email", name]} for name in ("sub", "exp", "auth_time")],
        [{"SESSIONS_PLUS_JWT_CLAIMS": ["email"]}, {"SESSIONS_PLUS_JWT_CLAIMS": limit_of}],
    ),
    "E023": (
        [{"SESSIONS_PLUS_JWT_CLAIMS": ["email", name]} for name in ("password", "api_key")],
        [{"SESSIONS_PLUS_JWT_CLAIMS": ["email"]}, {"SESSIONS_PLUS_JWT_CLAIMS": limit_of}],
    ),
    "E024": path_to("JWT_CLAIMS", wrong=["email"], right=[[]]),
    "W023": (
        [{"SESSIONS_PLUS_JWT_ACCESS_AGE": timedelta(hours=1, seconds=1)}],
        [{"SESSIONS_PLUS_JWT_ACCESS_AGE": timedelta(hours=1)}],
    ),
    "W025": (
        [{"SESSIONS_PLUS_JWT_CLAIMS": ["email", name]} for name in ("role", "emial", "groups")],
        [
            {},
            {"SESSIONS_PLUS_JWT_CLAIMS": ["email", "is_staff"]},
            {"SESSIONS_PLUS_JWT_CLAIMS": limit_of},
        ],
    ),
    "E026": path_to("USER_LANGUAGE"),
    "W027": (
        [{"SESSIONS_PLUS_NEW_DEVICE_EMAIL": True}],
        [{}, TOLD_BY_EMAIL],
    ),
    "W028": (
        [TOLD_BY_EMAIL | UNRECORDED],
        [UNRECORDED, TOLD_BY_EMAIL, TOLD_BY_EMAIL | {"SESSIONS_PLUS_RECORD_IP": "off"}],
    ),
    "W029": (
        [{"SESSIONS_PLUS_CONTEXT_POLICY": policy} | UNRECORDED for policy in ENFORCED],
        [
            UNRECORDED,
            *({"SESSIONS_PLUS_CONTEXT_POLICY": policy} for policy in ENFORCED),
            {"SESSIONS_PLUS_CONTEXT_POLICY": "end", "SESSIONS_PLUS_RECORD_IP": "off"},
        ],
    ),
    "W030": (
        [TOLD_BY_EMAIL | sent_by(SMTP)],
        [sent_by(SMTP), TOLD_BY_EMAIL | sent_by(SMTP, 5), TOLD_BY_EMAIL | sent_by("queue.Backend")],
    ),
    "W031": (
        [
            {"SESSIONS_PLUS_CONTEXT_POLICY": policy, "USE_X_FORWARDED_HOST": True}
            for policy in ENFORCED
        ],
        [
            {"USE_X_FORWARDED_HOST": True},
            {"SESSIONS_PLUS_CONTEXT_POLICY": "end"},
            {
                "SESSIONS_PLUS_CONTEXT_POLICY": "end",
                "USE_X_FORWARDED_HOST": True,
                "SESSIONS_PLUS_TRUSTED_PROXIES": ["unix"],
            },
        ],
    ),
    "W026": (
        [
            {
                "SESSIONS_PLUS_JWT_ALGORITHM": "HS256",
                "SESSIONS_PLUS_JWT_KEYS": [{"secret": LONG, "algorithm": "HS512"}],
            }
        ],
        [
            {"SESSIONS_PLUS_JWT_KEYS": [{"secret": LONG, "algorithm": "HS512"}]},
            {"SESSIONS_PLUS_JWT_ALGORITHM": "HS512"},
            {
                "SESSIONS_PLUS_JWT_ALGORITHM": "HS512",
                "SESSIONS_PLUS_JWT_KEYS": [{"secret": LONG}],
            },
        ],
    ),
    "I001": (
        [{"INSTALLED_APPS": [*settings.INSTALLED_APPS, "django.contrib.sessions"]}],
        [
            {},
            {
                "INSTALLED_APPS": [*settings.INSTALLED_APPS, "django.contrib.sessions"],
                "SESSION_ENGINE": "django.contrib.sessions.backends.db",
            },
            {**IMPORTED, "INSTALLED_APPS": WITH_STOCK},
            {
                "SESSIONS_PLUS_IMPORT_FROM": ["django.contrib.sessions.backends.db"],
                "INSTALLED_APPS": WITH_STOCK,
            },
            *(
                {"SESSIONS_PLUS_IMPORT_FROM": [name], "INSTALLED_APPS": WITH_STOCK}
                for name in ("cache", "file", "signed_cookies")
            ),
        ],
    ),
    "E036": (
        [
            {
                **IMPORTED,
                "INSTALLED_APPS": [
                    each for each in WITH_STOCK if each != "django_sessions_plus.switching"
                ],
            }
        ],
        [{}, {**IMPORTED, "INSTALLED_APPS": WITH_STOCK}],
    ),
    "E037": (
        [
            # The table of Django's sessions is missing.
            IMPORTED,
            *(
                {"SESSIONS_PLUS_IMPORT_FROM": [name]}
                for name in (
                    *("sessions", "no.such.engine", "user_sessions", "tests.site", "knox"),
                    *("engine_of_User", "engine_of_limit_of"),
                    "django_sessions_plus.backends.db",
                )
            ),
        ],
        [
            {"SESSIONS_PLUS_IMPORT_FROM": ["cache", "authtoken", "signed_cookies", SIGNED, "file"]},
            {"SESSIONS_PLUS_IMPORT_FROM": ["django", "cache"], "INSTALLED_APPS": WITH_STOCK},
        ],
    ),
    "W044": (
        [{"SESSIONS_PLUS_IMPORT_FROM": ["authtoken"]}],
        [
            {},
            IMPORTED | {"INSTALLED_APPS": WITH_STOCK},
            {"SESSIONS_PLUS_IMPORT_FROM": ["authtoken"], "REST_FRAMEWORK": READ},
        ],
    ),
    "E038": (
        [{"DATABASE_ROUTERS": [f"{__name__}.OneAppRouter"]}],
        [{}, {"DATABASE_ROUTERS": [f"{__name__}.OneDatabaseRouter"]}],
    ),
    "E040": (
        [
            LEASED | {"SESSIONS_PLUS_LEASE_CHANNEL": "databse"},
            LEASED | {"SESSIONS_PLUS_LEASE_CHANNEL": "http://:secret@host"},
        ],
        [
            LEASED,
            LEASED | {"SESSIONS_PLUS_LEASE_CHANNEL": "process"},
            NOT_CACHED | {"SESSIONS_PLUS_LEASE_CHANNEL": "databse"},
        ],
    ),
    "E039": (
        [
            {
                "SESSIONS_PLUS_IMPORT_FROM": ["simplejwt"],
                "REST_AUTH": {"JWT_AUTH_REFRESH_COOKIE": "refresh_token"},
            },
        ],
        [
            {"REST_AUTH": {"JWT_AUTH_REFRESH_COOKIE": "refresh_token"}},
            {"SESSIONS_PLUS_IMPORT_FROM": ["simplejwt"], "REST_AUTH": {}},
            {"SESSIONS_PLUS_IMPORT_FROM": ["simplejwt"]},
        ],
    ),
    "W043": (
        [{"SESSIONS_PLUS_IMPORT_KEEP_SOURCE": True}],
        [
            {},
            {"SESSIONS_PLUS_IMPORT_KEEP_SOURCE": True, "SESSIONS_PLUS_IMPORT_FROM": ["cache"]},
        ],
    ),
    "I002": (
        [{"SESSION_COOKIE_NAME": "sessionid"}],
        [SAFE_COOKIE, SAFE_COOKIE | {"SESSION_COOKIE_NAME": "__Secure-session"}],
    ),
    "I003": (
        [
            {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")},
            {"USE_X_FORWARDED_HOST": True},
            # Addresses that are not recorded are counted nevertheless.
            {"USE_X_FORWARDED_HOST": True, "SESSIONS_PLUS_RECORD_IP": "off"},
        ],
        [
            {},
            {"USE_X_FORWARDED_HOST": True, "SESSIONS_PLUS_RECORD_IP": "off", **UNLIMITED},
            {"USE_X_FORWARDED_HOST": True, "SESSIONS_PLUS_TRUSTED_PROXIES": ["unix"]},
        ],
    ),
    "I004": (
        [
            {"CACHES": {"default": {"BACKEND": f"django.core.cache.backends.{name}"}}}
            for name in ("locmem.LocMemCache", "dummy.DummyCache")
        ]
        + [
            {"CACHES": LOCAL_CACHE, "SESSIONS_PLUS_RATES": {name: None}}
            for name in ("sign_in", "reauthenticate")
        ],
        [
            {"CACHES": SHARED_CACHE},
            {
                "CACHES": {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
                "SESSIONS_PLUS_RATES": {"sign_in": None, "reauthenticate": None},
            },
        ],
    ),
    "E027": (
        [{**MOUNTED, "TEMPLATES": []}, {**MOUNTED, "TEMPLATES": NO_APP_TEMPLATES}],
        [MOUNTED, {"TEMPLATES": []}],
    ),
    "E028": ([{**MOUNTED, "STATIC_URL": None}], [MOUNTED, {"STATIC_URL": None}]),
    "E029": path_to("SIGN_IN", right=[False]),
    "W035": (
        [
            {"ROOT_URLCONF": "tests.test_half_installed"},
            {**MOUNTED, "LOGIN_URL": "no-such-name"},
            {**MOUNTED, "LOGIN_URL": "/no/such/page/"},
        ],
        [
            {},
            MOUNTED,
            {"LOGIN_URL": "no-such-name"},
            {"ROOT_URLCONF": "tests.test_half_installed", "LOGIN_URL": "admin:login"},
            {**MOUNTED, "LOGIN_URL": "https://sso.example.com/"},
        ],
    ),
    "W040": (
        [
            cached_in(REDIS, OPTIONS={"serializer": f"{__name__}.JSONSerializer"}),
            cached_in(REDIS, OPTIONS={"serializer": JSONSerializer()}),
            cached_in(REDIS, OPTIONS={"SERIALIZER": f"{__name__}.ConfiguredJSON"}),
            cached_in(REDIS, OPTIONS={"serializer": "no.such.Serializer"}),
            cached_in("memcached.PyMemcacheCache", OPTIONS={"serde": JSONSerde()}),
            {
                "SESSION_ENGINE": CACHED,
                "CACHES": {"default": {"BACKEND": f"{__name__}.AsynchronousCache"}},
            },
        ],
        [
            cached_in(REDIS),
            cached_in(REDIS, OPTIONS={"serializer": RedisSerializer}),
            cached_in(REDIS, OPTIONS={"serializer": f"{__name__}.JSONSerializer"}) | NOT_CACHED,
        ],
    ),
    "I006": (
        [{**MOUNTED, "INSTALLED_APPS": WITHOUT_MESSAGES}],
        [MOUNTED, {"INSTALLED_APPS": WITHOUT_MESSAGES}, {**MOUNTED, "TEMPLATES": []}],
    ),
    "W033": (
        [
            {"SESSIONS_PLUS_REFRESH_COOKIE_NAME": "refresh"},
            {
                "SESSIONS_PLUS_REFRESH_COOKIE_NAME": "__Secure-refresh",
                "SESSION_COOKIE_SECURE": True,
            },
        ],
        [
            {},
            {
                "SESSIONS_PLUS_REFRESH_COOKIE_NAME": "__Secure-refresh_token",
                "SESSION_COOKIE_SECURE": True,
            },
        ],
    ),
    "W045": ([LEASED], [NOT_CACHED, {"SESSION_ENGINE": CACHED}]),
    "W047": (
        [LEASED | {"SESSIONS_PLUS_LEASE": timedelta(seconds=11)}],
        [
            LEASED | {"SESSIONS_PLUS_LEASE": timedelta(seconds=10)},
            {"SESSIONS_PLUS_LEASE": timedelta(seconds=11)},
        ],
    ),
    "W048": (
        [LEASED | {"SESSIONS_PLUS_CACHE_AGE": timedelta(milliseconds=249)}],
        [
            LEASED | {"SESSIONS_PLUS_CACHE_AGE": timedelta(milliseconds=250)},
            {"SESSIONS_PLUS_CACHE_AGE": timedelta(milliseconds=249)},
        ],
    ),
}
# W014 looks at models, I008 at rows; tests/leasing/test_checks.py has those of PostgreSQL; the others need key
# files, which tests/jwt/test_checks.py has.
TESTED = {
    *CASES,
    "W014",
    "W034",
    "I007",
    "E021",
    "W024",
    "I005",
    "W032",
    "W036",
    "W037",
    "W038",
    "E032",
    "W041",
    "W018",
    "W042",
    "I008",
    "W046",
    "W049",
    "W050",
    "W051",
    "W052",
    "I009",
}


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules for ``SESSION_ENGINE``: ``engine_of_<class>`` exports that class as its store."""
    stores = (ExtendedStore, StoreOnUsers, StoreOfAnother, StoreOfNoRows, User, limit_of)
    for store in stores:
        module = ModuleType(f"engine_of_{store.__name__}")
        module.SessionStore = store  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)


def messages(**values: Any) -> list[checks.CheckMessage]:
    """Return what our checks say of the test settings with ``values`` put over them."""
    with override_settings(**values):
        return checks.run_checks(tags=["django_sessions_plus"], include_deployment_checks=True)


def codes(**values: Any) -> list[str]:
    """Return the codes of ``messages(...)``, without the package's name."""
    return [str(message.id).removeprefix(PREFIX) for message in messages(**values)]


CODE = re.compile(r"[EWI]\d{3}")


def codes_in_source() -> dict[str, set[str]]:
    """Return for each code in the package's checks the functions that give it."""
    found = defaultdict(set)
    for path in Path(str(django_sessions_plus.checks.__file__)).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and CODE.fullmatch(str(node.value)):
                    found[str(node.value)].add(function.name)
    return found


@pytest.mark.parametrize("code", CASES)
def test_what_is_wrong_is_found_once_with_the_level_of_its_letter_and_a_hint(code: str):
    level = {"E": checks.ERROR, "W": checks.WARNING, "I": checks.INFO}[code[0]]
    wrong, _ = CASES[code]
    for values in wrong:
        found = [message for message in messages(**values) if message.id == PREFIX + code]
        assert [message.level for message in found] == [level], values
        hint = found[0].hint or ""
        assert hint[:1].isupper(), values
        assert hint[-1] in ".?", values


@pytest.mark.parametrize("code", CASES)
def test_what_is_right_is_left_alone(code: str):
    _, right = CASES[code]
    assert [values for values in right if code in codes(**values)] == []


def test_the_default_fields_may_be_missing_from_the_user_model(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lookups, "get_user_model", lambda: Session)
    assert "W013" not in codes()
    assert codes(SESSIONS_PLUS_USER_FIELDS=["username", "email"]).count("W013") == 2


def test_the_settings_of_the_tests_are_in_order():
    assert codes(**SAFE) == []


def test_every_code_belongs_to_one_check_and_is_tested_here():
    found = codes_in_source()
    assert {code for code, functions in found.items() if len(functions) > 1} == set()
    assert set(found) == TESTED


def test_codes_are_numbered_without_gaps():
    for letter in "EWI":
        numbers = {int(code[1:]) for code in codes_in_source() if code[0] == letter}
        assert sorted(numbers) == list(range(1, max(numbers) + 1))


def test_only_what_concerns_production_waits_for_deploy():
    wrong = {"SESSION_COOKIE_SECURE": False, "SESSION_COOKIE_HTTPONLY": False}
    with override_settings(SESSION_COOKIE_SAMESITE=None, USE_X_FORWARDED_HOST=True, **wrong):
        assert checks.run_checks(tags=["django_sessions_plus"]) == []
    found = codes(
        SESSION_COOKIE_SAMESITE=None,
        USE_X_FORWARDED_HOST=True,
        CACHES=LOCAL_CACHE,
        **NOT_CACHED,
        **wrong,
    )
    assert sorted(found) == ["I002", "I003", "I004", "W015", "W016", "W017"]


def test_every_setting_is_checked():
    wrong = dict.fromkeys(declared(), object())
    found = [m.msg for m in messages(**wrong) if m.id == f"{PREFIX}E001"]
    assert [message.split()[0] for message in found] == list(declared())


def test_a_wrong_value_is_reported_and_does_not_stop_the_other_checks():
    wrong = {"SESSIONS_PLUS_ABSOLUTE_AGE": "long", "SESSIONS_PLUS_USER_FIELDS": ["password"]}
    assert sorted(codes(**wrong, **SAFE)) == ["E001", "E005"]


def test_the_hint_for_a_wrong_value_says_what_it_takes_and_what_the_default_is():
    (message,) = messages(SESSIONS_PLUS_PAGE_SIZE=0, **SAFE)
    assert message.msg == "SESSIONS_PLUS_PAGE_SIZE must be a whole number above zero; it is 0."
    assert str(message.hint).endswith("or remove it for the default, 50.")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SESSIONS_PLUS_UPDATE_AEG", "SESSIONS_PLUS_UPDATE_AGE"),
        ("SESSIONS_PLUS_TRUSTED_PROXYS", "SESSIONS_PLUS_TRUSTED_PROXIES"),
        ("SESSION_PLUS_RETENTION", "SESSIONS_PLUS_RETENTION"),
        ("SESSIONS_PLUS_SIGN_IN_RATE", 'SESSIONS_PLUS_RATES["sign_in"]'),
        ("SESSIONS_PLUS_RATE", "SESSIONS_PLUS_RATES"),
    ],
)
def test_a_typo_is_told_what_was_meant(name: str, meant: str):
    (message,) = messages(**{name: 1}, **SAFE)
    assert name in message.msg
    assert message.hint == f"Did you mean {meant}?"


def test_a_transport_with_a_typo_is_told_which_there_are():
    (message,) = messages(SESSIONS_PLUS_LIFETIMES={"baerer": {"idle": timedelta(days=1)}}, **SAFE)
    assert message.id == f"{PREFIX}E001"
    assert "'baerer'" in message.msg
    assert '"cookie", "bearer", "jwt" and "token"' in message.msg
    assert str(message.hint).endswith("or remove it for the default, None.")


def test_a_rate_with_a_typo_is_told_which_there_are():
    (message,) = messages(SESSIONS_PLUS_RATES={"sing_in": "10/min"}, **SAFE)
    assert message.id == f"{PREFIX}E001"
    assert "'sing_in'" in message.msg
    assert '"sign_in", "sign_in_address", "reauthenticate"' in message.msg


def test_a_name_like_no_other_is_told_where_all_are_listed():
    (message,) = messages(SESSIONS_PLUS_ZZZ=1, **SAFE)
    assert "docs/settings.md" in str(message.hint)


def test_a_cookie_that_would_be_dropped_is_told_all_that_is_missing():
    values = {
        "SESSION_COOKIE_SECURE": False,
        "SESSION_COOKIE_PATH": "/a",
        "SESSION_COOKIE_DOMAIN": "b",
    }
    (message,) = (m for m in messages(**(SAFE_COOKIE | values)) if m.id == f"{PREFIX}E014")
    for name in values:
        assert name in str(message.hint)


@pytest.mark.parametrize("setting", ["SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY"])
@pytest.mark.parametrize("app", [True, False])
@pytest.mark.parametrize("middleware", [True, False])
def test_an_unsafe_cookie_is_warned_of_once_by_django_or_by_us(
    setting: str, app: bool, middleware: bool
):
    values: dict[str, Any] = {
        **SAFE_COOKIE,
        "SESSION_COOKIE_NAME": "sessionid",
        setting: False,
        "MIDDLEWARE": [DJANGOS if middleware else OURS, OUR_AUTH],
    }
    if app:
        values["INSTALLED_APPS"] = [*settings.INSTALLED_APPS, "django.contrib.sessions"]
    with override_settings(**values):
        found = checks.run_checks(tags=["security"], include_deployment_checks=True)
    about_it = [message.id for message in found if setting in message.msg]
    assert len(about_it) == 1
    assert str(about_it[0]).startswith("security." if app or middleware else PREFIX)


def test_the_admin_accepts_our_middleware():
    assert [
        m for m in checks.run_checks(tags=["admin"]) if m.id in {"admin.E408", "admin.E410"}
    ] == []


def test_apps_that_store_session_keys_are_named(monkeypatch: pytest.MonkeyPatch):
    with isolate_apps("django.contrib.auth"):

        class Visit(models.Model):
            session_key = models.CharField(max_length=40)

            class Meta:
                app_label = "auth"

        class Cart(models.Model):
            session_key = models.TextField()

            class Meta:
                app_label = "auth"

        monkeypatch.setattr(apps, "get_models", lambda: [Session, User, Visit, Cart])
        (message,) = (m for m in messages() if m.id == f"{PREFIX}W014")
    assert "'django.contrib.auth'" in message.msg
    assert "Visit.session_key, Cart.session_key" in message.msg


def test_a_field_of_a_known_app_is_found_under_its_own_name(monkeypatch: pytest.MonkeyPatch):
    with isolate_apps("django.contrib.auth"):

        class Hit(models.Model):
            session = models.CharField(max_length=40)

            class Meta:
                app_label = "auth"

        class Talk(models.Model):
            session = models.CharField(max_length=40)

            class Meta:
                app_label = "auth"

        monkeypatch.setattr(apps, "get_models", lambda: [Hit, Talk])
        assert "W014" not in codes()
        monkeypatch.setattr(installation, "_OTHER_KEY_FIELDS", {"auth.hit": {"session"}})
        (message,) = (m for m in messages() if m.id == f"{PREFIX}W014")
    assert "Hit.session." in message.msg
    assert "Talk" not in message.msg


def test_tables_of_session_engines_and_keys_to_other_rows_are_no_copies(
    monkeypatch: pytest.MonkeyPatch,
):
    with isolate_apps("django.contrib.auth"):

        class Stock(models.Model):
            session_key = models.CharField(max_length=40, primary_key=True)

            class Meta:
                app_label = "auth"

        class Booking(models.Model):
            session_key = models.ForeignKey(Stock, models.CASCADE)

            class Meta:
                app_label = "auth"

        monkeypatch.setattr(apps, "get_models", lambda: [Stock, Booking])
        assert "W014" not in codes()


def test_the_stores_of_these_tests_are_what_they_pretend():
    request = HttpRequest()
    assert plain_middleware(request) is request
    assert limit_of(None) == 3


@pytest.mark.parametrize(
    ("app", "code", "find"),
    [
        ("trench", "W034", second_factors.check_second_factors_are_asked_for),
        ("django_otp", "I007", second_factors.check_who_is_refused),
        ("allauth.mfa", "I007", second_factors.check_who_is_refused),
    ],
)
def test_packages_with_second_factors_are_told_of(monkeypatch, settings, app, code, find):
    settings.ROOT_URLCONF = "tests.api.urls"
    assert find() == []
    monkeypatch.setattr(apps, "is_installed", lambda name: name == app)
    (message,) = find()
    assert (message.id, app in message.msg) == (PREFIX + code, True)
    # Whoever has decided, be it for the default, is left alone; so is who has no such endpoint.
    settings.SESSIONS_PLUS_SIGN_IN = False
    assert find() == []
    del settings.SESSIONS_PLUS_SIGN_IN
    settings.ROOT_URLCONF = "tests.pages_urls"
    assert find() == []


def test_places_that_nothing_can_read_are_told_of(monkeypatch, settings):
    settings.GEOIP_PATH = "somewhere"
    monkeypatch.setattr(pages, "HAS_GEOIP2", False)
    assert list(pages.check_places()) == []
    settings.ROOT_URLCONF = "tests.pages_urls"
    assert [found.id for found in pages.check_places()] == [f"{PREFIX}W032"]
    monkeypatch.setattr(pages, "HAS_GEOIP2", True)
    assert list(pages.check_places()) == []


def test_a_django_that_the_fast_path_does_not_know_is_told_of(monkeypatch, settings):
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    assert codes(**SAFE) == []
    monkeypatch.setattr(SQLUpdateCompiler, "as_sql", lambda self: "UPDATE")
    (message,) = (one for one in messages(**SAFE) if one.id == f"{PREFIX}W042")
    assert "ValueError" in message.msg
    assert codes(**SAFE, SESSIONS_PLUS_FAST_PATH=False) == []
    # Nor is there anything to tell of where the engine is another's.
    assert "W042" not in codes(**SAFE, SESSION_ENGINE="django.contrib.sessions.backends.db")


def test_the_fast_path_is_checked_without_connecting(monkeypatch):
    """The server may not be there yet: MariaDB is not asked which version it is."""
    monkeypatch.setattr(connection, "connection", None)
    monkeypatch.setattr(connection, "connect", None)
    assert Rows(Session).compilation_error() is None


def test_the_checks_leave_no_request_behind():
    """Commands run in the thread that has run the checks, and are no request."""
    outside = opened.scope()
    checks.run_checks()
    assert opened.scope() is outside
