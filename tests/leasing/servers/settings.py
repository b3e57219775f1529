"""The site that the servers serve, on the PostgreSQL server of this run."""

import os

from tests.leasing.torture.settings import *  # noqa: F403 - the same site but for what is named here

ROOT_URLCONF = "tests.leasing.servers.site"
SESSION_ENGINE = "django_sessions_plus.backends.leased_db"
SESSIONS_PLUS_LEASE_CHANNEL = os.environ.get("SERVERS_CHANNEL", "database")
