"""The site as it was. Nothing here knows of this package.

``SITE_ENGINE`` names the engine, ``DATABASE_URL`` the database,
``REDIS_URL`` and ``SITE_PREFIX`` the cache, ``SITE_FILES`` the directory for sessions in files.
"""

import os

import dj_database_url
import django

from tests.switching.real.site.engines import current

ENGINE = current()

SECRET_KEY = "known to everybody, for it is used by this test and by nobody else"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = ENGINE.urls
USE_TZ = True

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", *ENGINE.apps]

MIDDLEWARE = [
    ENGINE.middleware,
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

SESSION_ENGINE = ENGINE.engine
SESSION_FILE_PATH = os.environ.get("SITE_FILES")

if ENGINE.classes:
    REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ENGINE.classes}

DATABASES = {"default": dj_database_url.config()}
# The old site makes it, by Django's own means for a database of tests.
DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"]}

if os.environ.get("REDIS_URL"):
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["REDIS_URL"],
            "KEY_PREFIX": os.environ["SITE_PREFIX"],
        }
    }

# A password costs a tenth of a second with the default hasher.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if django.VERSION >= (6, 1):
    # Without it Django warns that it will be needed.
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
