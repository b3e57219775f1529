"""The same site after the switch: what docs/switching.md says, and nothing else."""

import os

from tests.switching.real.site.old_settings import *  # noqa: F403
from tests.switching.real.site.old_settings import ENGINE, INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [
    *INSTALLED_APPS,
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

# With views of the test, which begin and end sessions.
ROOT_URLCONF = "tests.switching.real.site.new_urls"
