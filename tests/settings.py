"""The site the tests drive: SQLite in memory, or the database DATABASE_URL names."""

import os
import uuid

import dj_database_url
import django

SECRET_KEY = "known to everybody, for it is used by the tests and by nobody else"
USE_TZ = True
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_sessions_plus",
    "django_sessions_plus.switching",
    "tests.custom",
]

MIDDLEWARE = [
    "django_sessions_plus.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django_sessions_plus.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

# "cached_db" runs the suite on the other engine, "partitioned" on a table in parts (PostgreSQL);
# tests that compare engines name both.
SESSION_ENGINE = f"django_sessions_plus.backends.{os.environ.get('SESSIONS_TEST_ENGINE', 'db')}"
if SESSION_ENGINE.endswith(".partitioned"):
    SESSION_ENGINE = "tests.partitioned.engine"
    INSTALLED_APPS.append("tests.partitioned")

DATABASES = {"default": dj_database_url.config(default="sqlite://:memory:")}
if os.environ.get("SESSIONS_TEST_PREPARED"):
    # As docs/operations.md has it for PostgreSQL.
    DATABASES["default"]["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 1}

CACHES = {
    "default": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["REDIS_URL"],
            # Of this process alone: others may use the same database.
            "KEY_PREFIX": f"sessions-plus-tests-{uuid.uuid4().hex}",
        }
        if os.environ.get("REDIS_URL")
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    ),
}

if django.VERSION >= (6, 1):
    # Without it Django warns that it will be needed; its tests send to nobody in any case.
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

# A password costs a tenth of a second with the default hasher, and tests set hundreds.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

TEMPLATES = [
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
]
