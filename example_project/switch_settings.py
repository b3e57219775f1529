"""The example site as one that ran on Django's own sessions, for ``make demo-switch``.

With BEFORE_SWITCH=1 it still does: the settings are those of the first deployment in docs/switching.md.
"""

import os

from example_project.settings import *  # noqa: F403

INSTALLED_APPS = [
    *INSTALLED_APPS,  # noqa: F405
    "django.contrib.sessions",  # what it had
    "django_sessions_plus.switching",  # sessions-plus: imports from there
]
SESSIONS_PLUS_IMPORT_FROM = ["django"]  # sessions-plus

if os.environ.get("BEFORE_SWITCH"):
    SESSION_ENGINE = "django.contrib.sessions.backends.db"
    # The devices page is mounted for after the switch, and says until then that it is not in use yet.
    SILENCED_SYSTEM_CHECKS = ["django_sessions_plus.E030"]

if not os.environ.get("DATABASE_URL"):
    # Beside the database of "make demo".
    DATABASES["default"]["NAME"] = str(BASE_DIR / "switch.sqlite3")  # noqa: F405
