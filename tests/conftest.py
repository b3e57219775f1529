"""What tests of all parts share: people, a clock that stands still, sessions in both modes, statements."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from _pytest.runner import runtestprotocol
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.db import connection
from django.dispatch import Signal
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker

from django_sessions_plus import bookkeeping, sessions
from django_sessions_plus import signals as all_signals
from django_sessions_plus.accounts import attempts
from django_sessions_plus.admin import bounds
from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.backends.caching import rows as cached_rows
from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.backends.leasing import listening, triggers
from django_sessions_plus.bulk import oldest, purging
from django_sessions_plus.management import counting
from django_sessions_plus.management.commands import clearsessions
from django_sessions_plus.switching import asking
from tests import flushing
from tests.backends.drivers import AsyncSession, SyncSession
from tests.leasing import strict

OpenSession = Callable[..., SyncSession]

# How long an example takes is the machine's affair. They are the same every time, so that what
# fails is what was changed; --hypothesis-profile=explore looks for more.
_EXAMPLES: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
hypothesis_settings.register_profile("explore", **_EXAMPLES)
hypothesis_settings.register_profile("suite", **_EXAMPLES, derandomize=True, max_examples=25)
hypothesis_settings.register_profile("thorough", **_EXAMPLES, derandomize=True, max_examples=150)
hypothesis_settings.load_profile("suite")

OWN_COMMANDS = {"docs", "style", "thorough"}
HAS_LEASES = settings.SESSION_ENGINE.endswith(".leased_db")
HAS_CACHE = HAS_LEASES or settings.SESSION_ENGINE.endswith(".cached_db")

_DAYS = count(20_000)
_TRANSACTIONS = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "SET ")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="run the tests marked as thorough as well"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.thorough and not config.getoption("--hypothesis-profile"):
        hypothesis_settings.load_profile("thorough")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Spare the garbage collector what stays until the end: it would go through all of it, again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has a command of its own, and what would say nothing new on this database."""
    named = _named_files(config)
    left_out = [
        item
        for item in items
        if (item.path not in named and _has_own_command(item, config)) or _repeats(item)
    ]
    unwanted = set(left_out)
    items[:] = [item for item in items if item not in unwanted]
    config.hook.pytest_deselected(items=left_out)
    if HAS_CACHE:
        # That engine keeps no copies while a transaction is open.
        for item in items:
            item.add_marker(pytest.mark.django_db(transaction=True), append=False)


def _has_own_command(item: pytest.Item, config: pytest.Config) -> bool:
    """Tell whether to leave a test to ``make lint``, ``make docs`` or ``make test-all``."""
    marks = {mark.name for mark in item.iter_markers()} & OWN_COMMANDS
    if config.option.thorough:
        marks.discard("thorough")
    return bool(marks) and not any(mark in config.option.markexpr for mark in marks)


def _named_files(config: pytest.Config) -> set[Path]:
    paths = {config.invocation_params.dir / each.partition("::")[0] for each in config.args}
    return {path.resolve() for path in paths if path.is_file()}


def _repeats(item: pytest.Item) -> bool:
    """Tell whether a test does the same on this server, or on the engine that has a cache."""
    if not HAS_CACHE and connection.vendor == "sqlite":
        return False
    return not _uses_database(item) or (
        HAS_CACHE and item.get_closest_marker("db_engine") is not None
    )


def _uses_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(
        fixtures & {"db", "transactional_db"}
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run a test in a context of its own, as pytest's own implementation does without one.

    Each ``Local`` of asgiref leaves a variable in the context, and each new URL resolver has one.
    Every switch between threads copies them all, so that thousands of tests slow each other down.
    """
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    copy_context().run(runtestprotocol, item, nextitem=nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(autouse=True)
def _fast_path_has_not_failed() -> Iterator[None]:
    """The ORM would answer in its place, and no test would notice."""
    yield
    failures, compiled._failures[:] = [*compiled._failures], []
    assert failures == []


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Clean the test database by deleting rows, and let it be dropped in the end.

    Threads that asgiref keeps have connections of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        with django_db_blocker.unblock():
            flushing.install(patch)
            if HAS_LEASES and connection.vendor == "postgresql":
                triggers.install(sessions.session_model(), "default")
                strict.install(patch)
        yield
        listening.stop_all()
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def clear_own_keys(cache: RedisCache) -> bool:
    """Delete what this process has put into a Redis, in place of all there is: others may use it, too."""
    client = cache._cache.get_client(write=True)
    keys = list(client.scan_iter(cache.make_key("*"), count=1000))
    return bool(keys and client.delete(*keys))


# Those of Django's Redis caches, whichever thread or setting had them: Django closes none.
_connection_pools: WeakSet[Any] = WeakSet()


def _close_redis_connections() -> None:
    for pool in list(_connection_pools):
        pool.disconnect()


@pytest.fixture(scope="session", autouse=True)
def _reads_have_time() -> Iterator[None]:
    """Have no read stopped because the machine is busy. Tests of the limits stop reads by themselves."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (oldest, "SECONDS"),
            (purging, "HANDFUL_SECONDS"),
            (bounds, "SECONDS"),
            (bounds, "LAST_SECONDS"),
            (counting, "SECONDS"),
            (counting, "LAST_SECONDS"),
            (clearsessions, "SECONDS_TO_COUNT"),
            (counting, "SECONDS_TO_COUNT"),
        ):
            patch.setattr(module, name, 60.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _redis_connections_are_closed() -> Iterator[None]:
    """Close in the end what is left open, which the garbage collector would complain of at some moment."""
    django_client: Any = RedisCacheClient
    original = django_client._get_connection_pool

    def find_pool(client: RedisCacheClient, write: bool) -> Any:
        pool = original(client, write)
        _connection_pools.add(pool)
        return pool

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedisCacheClient, "_get_connection_pool", find_pool)
        yield
        _close_redis_connections()


@pytest.fixture(scope="session", autouse=True)
def _redis_keeps_what_others_have_there(_redis_connections_are_closed: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedisCache, "clear", clear_own_keys)
        yield
        if os.environ.get("REDIS_URL"):
            cache.clear()


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """Leave no copies of rows to the next test, nor what was remembered of a cache that failed.

    A test's transaction that was rolled back leaves what the next read would tell the cache.
    """
    yield
    circuit._circuits.clear()
    cached_rows._uncommitted.clear()
    bookkeeping._logged_at.clear()
    if settings.SESSION_ENGINE.endswith(".cached_db"):
        cache.clear()
    _close_redis_connections()


@pytest.fixture(scope="session", autouse=True)
def _busy_machine_is_no_slow_store() -> Iterator[None]:
    """Let no test depend on how long a query takes, but for those that are about a slow store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "SLOW", 600.0)
        yield


@pytest.fixture(autouse=True)
def _attempts_of_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count each test's attempts on a day of its own, ten seconds after its windows have begun.

    So no window ends while a test is at it, however long that takes, and none has counts of another test.
    """
    moment = next(_DAYS) * 86_400 + 10.0
    monkeypatch.setattr(attempts, "time", lambda: moment)


class Clock:
    """The time, as long as a test wants it to be."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def advance(self, **duration: float) -> datetime:
        self.moment += timedelta(**duration)
        return self.moment


class Statements(list[str]):
    """The SQL that was executed, without that of transactions."""

    @property
    def reads(self) -> list[str]:
        return [sql for sql in self if sql.startswith("SELECT")]

    @property
    def writes(self) -> list[str]:
        return [sql for sql in self if not sql.startswith("SELECT")]

    @property
    def written_columns(self) -> set[str]:
        """The columns that the one write, an UPDATE, sets."""
        (sql,) = self.writes
        assert sql.startswith("UPDATE"), sql
        assignments = sql.partition(" SET ")[2].rpartition(" WHERE ")[0]
        return set(re.findall(r"[\"`](\w+)[\"`] = ", assignments))


class Told(list[tuple[Signal, dict[str, Any]]]):
    """The signals that were sent, with what they said."""

    def of(self, signal: Signal) -> list[dict[str, Any]]:
        return [said for sent, said in self if sent is signal]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that moves only when a test moves it."""
    clock = Clock(datetime(2030, 1, 1, 12, tzinfo=UTC))
    monkeypatch.setattr(timezone, "now", clock.now)
    return clock


@pytest.fixture(params=[SyncSession, AsyncSession], ids=["sync", "async"])
def open_session(request: pytest.FixtureRequest, db: None) -> OpenSession:
    """Open a store for a token (or a new one), with the request's META if there is one; in both modes."""
    driver: OpenSession = request.param
    return driver


@pytest.fixture
def statements() -> Callable[[], AbstractContextManager[Statements]]:
    """Record the SQL executed in a block."""

    @contextmanager
    def record() -> Iterator[Statements]:
        found = Statements()
        with CaptureQueriesContext(connection) as captured:
            yield found
        executed = (str(query["sql"]).strip() for query in captured.captured_queries)
        found.extend(sql for sql in executed if not sql.startswith(_TRANSACTIONS))

    return record


@pytest.fixture
def told() -> Iterator[Told]:
    """The signals of this package, as they are sent from here on."""
    told = Told()
    connected: list[tuple[Signal, Callable[..., None]]] = []
    for signal in vars(all_signals).values():
        if not isinstance(signal, Signal):
            continue

        def receive(sender: Any, signal: Signal, **said: Any) -> None:
            told.append((signal, said))

        signal.connect(receive, weak=False)
        connected.append((signal, receive))
    yield told
    for signal, receive in connected:
        signal.disconnect(receive)


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", "alice@example.com", "wonderland")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", "bob@example.com", "builder")
