"""What Django's own tests run with: its settings for SQLite, and our engine."""

import os

import dj_database_url

SECRET_KEY = "known to everybody, used by the tests alone"
USE_TZ = False
SESSION_ENGINE = f"django_sessions_plus.backends.{os.environ.get('SUITE_ENGINE', 'db')}"
SESSIONS_PLUS_LEASE_CHANNEL = "process"
SESSIONS_PLUS_LEASE_USERS = "signals"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
TEST_RUNNER = "tests.django_suite.recorder.RecordingRunner"

DATABASES = {
    "default": dj_database_url.config(default="sqlite://:memory:"),
    "other": dj_database_url.config(default="sqlite://:memory:"),
}
if os.environ.get("DATABASE_URL"):
    DATABASES["other"]["NAME"] += "_other"
