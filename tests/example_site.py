"""Lets tests of this suite, with its own settings module, drive the pages of the example site."""

from typing import Any

from example_project import settings as example

# Databases, caches and the cheap password hasher stay those of the suite.
_TAKEN_OVER = (
    "AUTH_PASSWORD_VALIDATORS",
    "INSTALLED_APPS",
    "LANGUAGES",
    "LOGIN_REDIRECT_URL",
    "LOGIN_URL",
    "LOGOUT_REDIRECT_URL",
    "MAIL_IS_IN_TERMINAL",
    "MIDDLEWARE",
    "ROOT_URLCONF",
    "SESSIONS_PLUS_CONTEXT_POLICY",
    "SESSIONS_PLUS_DEVICES_URL",
    "SESSIONS_PLUS_NEW_DEVICE_EMAIL",
    "SESSIONS_PLUS_REAUTHENTICATE_URL",
    "SESSION_COOKIE_AGE",
    "TEMPLATES",
)

SETTINGS: dict[str, Any] = {name: getattr(example, name) for name in _TAKEN_OVER}
"""For ``override_settings(**SETTINGS)``."""
