"""Where the services are, how much is stored, and how Django reaches a database. No I/O."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
PREPARED = "postgresql-prepared"
MARIADB = "mariadb"
CACHE_PREFIX = "sessions_plus_bench"
"""How all keys begin that the benchmarks write to a Redis, where others may keep something, too."""
FLAVOURS = (SQLITE, POSTGRESQL, PREPARED, MARIADB)

LABELS = {
    SQLITE: "SQLite",
    POSTGRESQL: "PostgreSQL",
    PREPARED: "PostgreSQL, prepared statements",
    MARIADB: "MariaDB",
}

_LOCAL_HOSTS = {"", "localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Sizes:
    """How much is stored before anything is measured, and how much of it is in use.

    ``pool`` sessions, spread over the whole table, are those the requests come from: as in
    life, few of the people who ever signed in are here at one time.
    """

    sessions: int = 100_000
    users: int = 20_000
    pool: int = 500


@dataclass(frozen=True)
class Services:
    """The servers and the directory that are worked with."""

    postgres: str
    mariadb: str
    redis: str
    directory: Path


def services(environ: Mapping[str, str]) -> Services:
    """Return what the environment names, and the usual local servers where it is silent."""
    directory = environ.get("BENCH_DIRECTORY")
    return Services(
        postgres=environ.get("BENCH_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres"),
        mariadb=environ.get("BENCH_MARIADB_URL", "mysql://root@127.0.0.1:3306/mysql"),
        # A database of its own, for it is emptied.
        redis=environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/9"),
        directory=Path(directory or Path(tempfile.gettempdir(), "sessions-plus-benchmarks")),
    )


def is_local(url: str) -> bool:
    """Tell whether the server runs on this machine, so that its processes can be looked at."""
    return (urlsplit(url).hostname or "") in _LOCAL_HOSTS


def connection_parts(url: str) -> dict[str, Any]:
    """Return Django's names for the parts of a database URL, the database's own name left out."""
    parts = urlsplit(url)
    return {
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
    }


def database_settings(
    flavour: str, known: Services, name: str, *, application: str = "", pooled: bool = False
) -> dict[str, Any]:
    """Return the entry of ``DATABASES``.

    ``pooled`` is for ASGI, where every request has a thread, and so a connection, of its own:
    persistent connections are out of the question there, and PostgreSQL has a pool for it.
    """
    common = {"NAME": name, "CONN_MAX_AGE": 0 if pooled else None}
    if flavour == SQLITE:
        return common | {
            "ENGINE": "django.db.backends.sqlite3",
            "OPTIONS": {
                "timeout": 60,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            },
        }
    if flavour == MARIADB:
        engine = {"ENGINE": "django.db.backends.mysql", "OPTIONS": {"charset": "utf8mb4"}}
        return common | engine | connection_parts(known.mariadb)
    options: dict[str, Any] = {"application_name": application}
    if flavour == PREPARED:
        options |= {"server_side_binding": True, "prepare_threshold": 1}
    if pooled:
        options["pool"] = {"min_size": 1, "max_size": 4}
    engine = {"ENGINE": "django.db.backends.postgresql", "OPTIONS": options}
    return common | engine | connection_parts(known.postgres)
