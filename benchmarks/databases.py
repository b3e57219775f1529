"""Databases for the contenders: filled once, kept as templates, copied for each run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple
from hashlib import sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import keys, loads
from benchmarks.config import (
    CACHE_PREFIX,
    MARIADB,
    POSTGRESQL,
    PREPARED,
    SQLITE,
    Services,
    Sizes,
    connection_parts,
)
from benchmarks.contenders import CONTENDERS
from benchmarks.processes import Worker

PREFIX = "sessions_plus_bench"

_ROOT = Path(__file__).parent.parent
# What decides how stored rows look.
_SOURCES = (
    Path(loads.__file__),
    Path(keys.__file__),
    *sorted((_ROOT / "django_sessions_plus" / "migrations").glob("0*.py")),
    _ROOT / "django_sessions_plus" / "tokens.py",
)
_PEERS = (
    "django",
    "djangorestframework",
    "django-user-sessions",
    "django-qsessions",
    "django-allauth",
    "django-rest-knox",
    "djangorestframework-simplejwt",
)


class Databases:
    """The databases of one kind of server."""

    def __init__(self, flavour: str, known: Services, sizes: Sizes) -> None:
        # Prepared or not, the server and the rows are the same.
        self.flavour = POSTGRESQL if flavour == PREPARED else flavour
        self.known = known
        self.sizes = sizes

    def provide(self, load: str, name: str) -> str:
        """Return a fresh copy of the filled database, named after ``name``.

        Raises:
            WorkerError: it cannot be filled.
        """
        if self.flavour == SQLITE:
            return self._provide_sqlite(load, f"{PREFIX}_run_{name}")
        if self.flavour == POSTGRESQL:
            return self._provide_postgres(load, f"{PREFIX}_run_{name}")
        return self._provide_mariadb(load, f"{PREFIX}_run_{name}")

    def create(self, name: str) -> str:
        """Return a new, empty database."""
        name = f"{PREFIX}_{name}"
        if self.flavour == SQLITE:
            return str(self._empty_file(name))
        with server(self.flavour, self.known) as execute:
            _drop(self.flavour, execute, name)
            execute(f"CREATE DATABASE {name}")
        return name

    def drop(self, database: str) -> None:
        """Delete a database that ``provide()`` or ``create()`` returned."""
        if self.flavour == SQLITE:
            remove_sqlite(Path(database))
            return
        with server(self.flavour, self.known) as execute:
            _drop(self.flavour, execute, database)

    def drop_all(self) -> int:
        """Delete every database of the benchmarks, templates included, and return how many."""
        if self.flavour == SQLITE:
            files = list(self.known.directory.glob(f"{PREFIX}_*.sqlite3*"))
            for file in files:
                file.unlink()
            return len(files)
        names = "datname FROM pg_database WHERE datname"
        if self.flavour == MARIADB:
            names = "schema_name FROM information_schema.schemata WHERE schema_name"
        with server(self.flavour, self.known) as execute:
            found = [name for (name,) in execute(f"SELECT {names} LIKE '{PREFIX}%'")]
            for name in found:
                _drop(self.flavour, execute, name)
        return len(found)

    def _empty_file(self, name: str) -> Path:
        self.known.directory.mkdir(parents=True, exist_ok=True)
        file = self.known.directory / f"{name}.sqlite3"
        remove_sqlite(file)
        return file

    def _kin(self, load: str) -> str:
        """Return how the templates of this load and size begin, those of older code included."""
        return f"{PREFIX}_{load}_{self.sizes.sessions}_{self.sizes.users}_"

    def _provide_sqlite(self, load: str, name: str) -> str:
        kin = self._kin(load)
        source = self.known.directory / f"{kin}{fingerprint(load, self.sizes)}.sqlite3"
        if not source.exists():
            part = self._empty_file(f"{PREFIX}_part")
            self._fill(load, str(part))
            for old in self.known.directory.glob(f"{kin}*.sqlite3"):
                remove_sqlite(old)
            part.rename(source)
        file = self._empty_file(name)
        shutil.copyfile(source, file)
        return str(file)

    def _provide_postgres(self, load: str, name: str) -> str:
        kin = self._kin(load)
        source = f"{kin}{fingerprint(load, self.sizes)}"
        with server(POSTGRESQL, self.known) as execute:
            known = [found for (found,) in execute("SELECT datname FROM pg_database")]
            if source not in known:
                part = f"{PREFIX}_part"
                _drop(POSTGRESQL, execute, part)
                execute(f"CREATE DATABASE {part}")
                self._fill(load, part)
                for old in known:
                    if old.startswith(kin):
                        _drop(POSTGRESQL, execute, old)
                execute(f"ALTER DATABASE {part} RENAME TO {source}")
            _drop(POSTGRESQL, execute, name)
            execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
        return name

    def _provide_mariadb(self, load: str, name: str) -> str:
        """Fill it each time: this server has no way to copy a database."""
        with server(MARIADB, self.known) as execute:
            _drop(MARIADB, execute, name)
            execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        self._fill(load, name)
        return name

    def _fill(self, load: str, database: str) -> None:
        builder = next(one for one in CONTENDERS if one.load == load)
        with Worker(builder.name, self.flavour, database, self.sizes) as worker:
            worker.ask("tasks.fill")


def fingerprint(load: str, sizes: Sizes) -> str:
    """Return what changes whenever the rows of a filled database would."""
    known = sha256(repr((load, astuple(sizes)[:2])).encode())
    for source in _SOURCES:
        known.update(source.read_bytes())
    for package in _PEERS:
        known.update(f"{package} {installed_version(package)}".encode())
    return known.hexdigest()[:10]


def installed_version(package: str) -> str | None:
    """Return the version of a distribution; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def empty_redis(known: Services) -> None:
    """Forget what contenders have cached, if there is a Redis."""
    try:
        package = import_module("redis")
    except ModuleNotFoundError:
        return
    with suppress(package.RedisError), closing(package.Redis.from_url(known.redis)) as client:
        if found := list(client.scan_iter(f"{CACHE_PREFIX}:*", count=1000)):
            client.delete(*found)


def remove_sqlite(file: Path) -> None:
    """Delete a database file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


@contextmanager
def server(flavour: str, known: Services, database: str | None = None) -> Iterator[Any]:
    """Yield a function that runs a statement outside of any transaction and returns its rows."""
    url = known.mariadb if flavour == MARIADB else known.postgres
    parts = connection_parts(url)
    name = database or urlsplit(url).path.strip("/")
    arguments: dict[str, Any] = {"host": parts["HOST"], "user": parts["USER"]}
    arguments |= {"port": int(parts["PORT"])} if parts["PORT"] else {}
    arguments |= {"password": parts["PASSWORD"]} if parts["PASSWORD"] else {}
    if flavour == MARIADB:
        connection = import_module("MySQLdb").connect(database=name, autocommit=True, **arguments)
    else:
        connection = import_module("psycopg").connect(dbname=name, autocommit=True, **arguments)

    def execute(sql: str) -> list[Any]:
        with closing(connection.cursor()) as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    try:
        yield execute
    finally:
        connection.close()


def _drop(flavour: str, execute: Any, name: str) -> None:
    force = " WITH (FORCE)" if flavour == POSTGRESQL else ""
    execute(f"DROP DATABASE IF EXISTS {name}{force}")
