"""The site that is judged, on the PostgreSQL server of this run. The environment says which role a process has."""

import os
from datetime import timedelta

SECRET_KEY = "known to everybody, for it is used by this program and by nobody else"
USE_TZ = True
ROOT_URLCONF = "tests.leasing.torture.site"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_sessions_plus",
]
MIDDLEWARE = [
    "django_sessions_plus.middleware.SessionMiddleware",
    "django_sessions_plus.middleware.AuthenticationMiddleware",
]
# The processes that revoke only write, so with triggers they need no memory and no listener.
SESSION_ENGINE = f"django_sessions_plus.backends.{os.environ.get('TORTURE_ENGINE', 'db')}"
SESSIONS_PLUS_LEASE = timedelta(milliseconds=float(os.environ.get("TORTURE_LEASE_MS", "250")))
SESSIONS_PLUS_LEASE_SESSIONS = int(os.environ.get("TORTURE_SIZE", "10000"))
if os.environ.get("TORTURE_REDIS_PORT"):
    SESSIONS_PLUS_LEASE_CHANNEL = f"redis://127.0.0.1:{os.environ['TORTURE_REDIS_PORT']}/0"
    SESSIONS_PLUS_LEASE_USERS = "signals"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ.get("TORTURE_PORT", "5432"),
        "NAME": "postgres",
        "USER": "postgres",
        "CONN_MAX_AGE": None,
        # The proxy in between reads the first packet, which encryption would hide.
        "OPTIONS": {"sslmode": "disable", "gssencmode": "disable"},
    }
}
# A password costs a tenth of a second with the default hasher, and thousands are set.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# While the server is down every request fails, and would be logged.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"null": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["null"]},
    "loggers": {"django": {"handlers": ["null"], "propagate": False}},
}
