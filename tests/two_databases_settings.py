"""The settings of ``tests.two_databases``."""

from typing import Any

from tests.settings import *  # noqa: F403

ROOT_URLCONF = "tests.urls"
SESSION_ENGINE = "django_sessions_plus.backends.db"
DATABASES = {
    name: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    for name in ("default", "sessions")
}


class Router:
    """Keep sessions in a database of their own, and nothing else there."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Return where the model is."""
        return "sessions" if model._meta.app_label == "django_sessions_plus" else "default"

    db_for_write = db_for_read

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        """Let a session name its user."""
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Make each table where it belongs."""
        return (app_label == "django_sessions_plus") == (db == "sessions")


DATABASE_ROUTERS = [Router()]
