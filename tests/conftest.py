"""What tests of all parts share: people, a clock that stands still, sessions in both modes, statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.dispatch import Signal
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker

from django_sessions_plus import attempts
from django_sessions_plus import signals as all_signals
from django_sessions_plus.backends import circuit
from tests.backends.drivers import AsyncSession, SyncSession

OpenSession = Callable[..., SyncSession]

# How long an example takes is the machine's affair. They are the same every time, so that what
# fails is what was changed; --hypothesis-profile=explore looks for more.
_EXAMPLES: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
hypothesis_settings.register_profile("explore", **_EXAMPLES)
hypothesis_settings.register_profile("suite", **_EXAMPLES, derandomize=True)
hypothesis_settings.load_profile("suite")

_DAYS = count(20_000)
_TRANSACTIONS = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "SET ")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would say nothing new on a server or on the engine that has a cache.

    On that engine run every test outside of a transaction: it keeps out of them.
    """
    has_cache = settings.SESSION_ENGINE.endswith(".cached_db")
    if not has_cache and connection.vendor == "sqlite":
        return
    left_out = [
        item
        for item in items
        if not _uses_database(item) or (has_cache and item.get_closest_marker("db_engine"))
    ]
    unwanted = set(left_out)
    items[:] = [item for item in items if item not in unwanted]
    config.hook.pytest_deselected(items=left_out)
    if has_cache:
        for item in items:
            item.add_marker(pytest.mark.django_db(transaction=True), append=False)


def _uses_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(
        fixtures & {"db", "transactional_db"}
    )


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let the test database be dropped: threads that asgiref keeps have connections of their own."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """Leave no copies of rows to the next test, nor what was remembered of a cache that failed."""
    yield
    circuit._circuits.clear()
    if settings.SESSION_ENGINE.endswith(".cached_db"):
        cache.clear()


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
