"""Settings of the example site.

Lines marked "sessions-plus" are what a project adds for the package; everything else is an
ordinary Django site. The environment decides what differs between machines:

    DEBUG=0             off for anything but your own machine; then SECRET_KEY is required
    SECRET_KEY=...      signs cookies that are not sessions, and links to reset passwords
    ALLOWED_HOSTS=...   host names, separated by commas
    DATABASE_URL=...    postgres://user:password@host:5432/name or mysql://...; default SQLite
    REDIS_URL=...       redis://host:6379/0; default the process's memory
    TRUSTED_PROXIES=... addresses of your own reverse proxies, separated by commas
    EMAIL_HOST=...      a mail server; default localhost, and with DEBUG the terminal
    SITE_URL=...        where links in e-mails lead; default http://127.0.0.1 and PORT
"""

import os
from datetime import timedelta
from pathlib import Path

import dj_database_url
import django
from django.core.exceptions import ImproperlyConfigured


def words(name: str) -> list[str]:
    """Return the comma-separated words of an environment variable."""
    return [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()]


BASE_DIR = Path(__file__).resolve().parent.parent

# On by default because this is a demo. A real site should default to off.
DEBUG = os.environ.get("DEBUG", "1").lower() not in {"0", "false", "no", "off"}

SECRET_KEY = os.environ.get("SECRET_KEY", "")
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured("Set SECRET_KEY: the one below is published and for DEBUG only.")
    SECRET_KEY = "insecure-demo-key-that-everybody-can-read"

ALLOWED_HOSTS = words("ALLOWED_HOSTS")  # with DEBUG, Django lets localhost in by itself

INSTALLED_APPS = [
    "example_project",
    "django_sessions_plus",  # sessions-plus; in place of django.contrib.sessions
    "rest_framework",  # sessions-plus: for its API
    "drf_spectacular",  # sessions-plus: describes the API in OpenAPI; nothing else is needed
    "drf_spectacular_sidecar",  # Swagger UI, from this site and not from a CDN
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.middleware.content_security_policy",  # no inline scripts, nothing foreign
    "django_sessions_plus.middleware.SessionMiddleware",  # sessions-plus; in place of Django's
    "example_project.languages.VisitorsLanguageMiddleware",  # for the package's pages and the admin
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django_sessions_plus.middleware.AuthenticationMiddleware",  # sessions-plus; in place of Django's
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
ASGI_APPLICATION = "example_project.asgi.application"

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

# Sessions

SESSION_ENGINE = "django_sessions_plus.backends.db"  # sessions-plus

# Django's own settings keep their meaning. A session that is not used for a week expires;
# one that is used moves its expiry along, at most once per SESSIONS_PLUS_UPDATE_AGE.
SESSION_COOKIE_AGE = int(timedelta(days=7).total_seconds())

# Whom to believe about the client's address. Empty: whoever connects is the client.
SESSIONS_PLUS_TRUSTED_PROXIES = words("TRUSTED_PROXIES")

# Where fresh_session_required sends people whose sign-in was a while ago.
SESSIONS_PLUS_REAUTHENTICATE_URL = "django_sessions_plus:confirm-password"  # sessions-plus

# Notices

# sessions-plus: people are written to when they sign in from a device that is new to them.
SESSIONS_PLUS_NEW_DEVICE_EMAIL = True  # sessions-plus
site_url = os.environ.get("SITE_URL") or f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
SESSIONS_PLUS_DEVICES_URL = f"{site_url}/devices/"  # sessions-plus
SESSIONS_PLUS_PASSWORD_URL = (
    "password"  # sessions-plus; linked from there and from the page of devices
)
SESSIONS_PLUS_JWT_ISSUER = site_url  # sessions-plus

# sessions-plus: a session that is used from another network or browser asks for the password before what is sensitive.
SESSIONS_PLUS_CONTEXT_POLICY = "reauthenticate"

mail_host = os.environ.get("EMAIL_HOST", "")
MAIL_IS_IN_TERMINAL = DEBUG and not mail_host
mail_backend = (
    f"django.core.mail.backends.{'console' if MAIL_IS_IN_TERMINAL else 'smtp'}.EmailBackend"
)
# A sign-in waits for the mail server, so not for long.
smtp = {"host": mail_host or "localhost", "timeout": 5}
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": mail_backend, "OPTIONS": {} if MAIL_IS_IN_TERMINAL else smtp}}
else:
    EMAIL_BACKEND, EMAIL_HOST, EMAIL_TIMEOUT = mail_backend, smtp["host"], smtp["timeout"]

# Sign-ins, refusals and ends, one line for each. A real site would have them as JSON.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"terminal": {"class": "logging.StreamHandler"}},
    "loggers": {
        "django_sessions_plus": {"handlers": ["terminal"], "level": "INFO"}
    },  # sessions-plus
}

# Storage

DATABASES = {
    "default": dj_database_url.config(
        default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}", conn_max_age=60, conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Readers do not wait for a writer, and a writer waits for its turn instead of failing.
    DATABASES["default"]["OPTIONS"] = {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        "timeout": 20,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = os.environ.get("REDIS_URL", "")
CACHES = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# People

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# API

REST_FRAMEWORK = {
    # sessions-plus: one session opens your own endpoints too, by cookie or by header.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "django_sessions_plus.api.authentication.AccessTokenAuthentication",
        "django_sessions_plus.api.authentication.SessionTokenAuthentication",
        "django_sessions_plus.api.authentication.CookieAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    # The browsable API has inline scripts, which the site's Content-Security-Policy forbids.
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "The API of the example site",
    "DESCRIPTION": "The session endpoints of django-sessions-plus.",
    "VERSION": "1",
    # sessions-plus: for a site below a subpath (FORCE_SCRIPT_NAME).
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "django_sessions_plus.api.schema.servers.name_server",
    ],
    # The schema is about the API, and open to whoever may see the site.
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
}

# Transport

if not DEBUG:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    # An hour to begin with: browsers do not forget it sooner. Raise it once HTTPS is there to
    # stay; subdomains and preloading are a decision about the whole domain.
    SECURE_HSTS_SECONDS = 3600

# Language, time, static files

LANGUAGE_CODE = "en"
# What the package speaks, each under its own name: who looks for a language can read that one.
LANGUAGES = [
    ("ar", "العربية"),
    ("de", "Deutsch"),
    ("en", "English"),
    ("es", "Español"),
    ("fr", "Français"),
    ("ja", "日本語"),
    ("nl", "Nederlands"),
    ("pt-br", "Português (Brasil)"),
    ("zh-hans", "简体中文"),
]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
# Where collectstatic puts what a web server serves. The development server needs none of it.
STATIC_ROOT = BASE_DIR / "staticfiles"
