"""The same site after the switch: what docs/switching.md says, and nothing else."""

import os

from tests.switching.real.site.old_settings import *  # noqa: F403
from tests.switching.real.site.old_settings import ENGINE, INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [
    *(app for app in INSTALLED_APPS if app != "rest_framework"),
    "rest_framework",
    "django_sessions_plus",
    "django_sessions_plus.switching",
]

REPLACED = {
    ENGINE.middleware: "django_sessions_plus.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware": (
        "django_sessions_plus.middleware.AuthenticationMiddleware"
    ),
}
MIDDLEWARE = [REPLACED.get(each, each) for each in MIDDLEWARE]

# SITE_STEP=1 is the first deployment, to which a site can also go back.
if os.environ.get("SITE_STEP") != "1":
    SESSION_ENGINE = ENGINE.new_engine
SESSIONS_PLUS_IMPORT_FROM = [ENGINE.source]
SESSIONS_PLUS_IMPORT_KEEP_SOURCE = os.environ.get("SITE_KEEP_SOURCE") == "1"

if ENGINE.new_classes:
    REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ENGINE.new_classes}
# The test refreshes by one token more often than an app does.
SESSIONS_PLUS_RATES = {"refresh": None}

# With views of the test, which begin and end sessions.
ROOT_URLCONF = ENGINE.new_urls
