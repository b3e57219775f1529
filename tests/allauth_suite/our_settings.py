"""What allauth's tests run with: the settings of one of its projects, and our engine.

It is imported from the directory of allauth's tests, where ``tests`` is theirs.
"""

import os
from importlib import import_module
from typing import Any

REPLACED = {
    "django.contrib.sessions": "django_sessions_plus",
    "django.contrib.sessions.middleware.SessionMiddleware": (
        "django_sessions_plus.middleware.SessionMiddleware"
    ),
    "django.contrib.auth.middleware.AuthenticationMiddleware": (
        "django_sessions_plus.middleware.AuthenticationMiddleware"
    ),
}


def _with_ours(names: Any) -> list[str]:
    return [REPLACED.get(name, name) for name in names]


_project: Any = import_module(os.environ["ALLAUTH_SUITE_SETTINGS"])
globals().update({name: value for name, value in vars(_project).items() if name.isupper()})

INSTALLED_APPS = _with_ours(_project.INSTALLED_APPS)
MIDDLEWARE = _with_ours(_project.MIDDLEWARE)
SESSION_ENGINE = f"django_sessions_plus.backends.{os.environ.get('SUITE_ENGINE', 'db')}"
SESSIONS_PLUS_LEASE_CHANNEL = "process"
SESSIONS_PLUS_LEASE_USERS = "signals"
