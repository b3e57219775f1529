"""What a process says of its leases to whoever monitors it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from django_sessions_plus import leases
from django_sessions_plus.backends.leasing import listening, triggers
from django_sessions_plus.backends.leasing.lags import REMEMBERED, Lags
from django_sessions_plus.backends.leasing.listening import memory_of
from django_sessions_plus.backends.leasing.memory import Memory, now
from django_sessions_plus.models import Session
from tests.leasing.conftest import ENGINE, until, who
from tests.leasing.test_listening import listener, on_postgresql, send_an_echo, started
from tests.test_docs import DOCS, blocks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


@pytest.fixture
def _stopped() -> Iterator[None]:
    listening.stop_all()
    yield
    listening.stop_all()


@pytest.fixture
def process(ada: User) -> Iterator[None]:
    """The engine of one process, with users in memory too."""
    with override_settings(
        SESSION_ENGINE=ENGINE,
        SESSIONS_PLUS_LEASE_CHANNEL="process",
        SESSIONS_PLUS_LEASE_USERS="signals",
        SESSIONS_PLUS_LEASE_SESSIONS=50,
    ):
        yield
    listening.stop_all()


def figures() -> leases.ListenerFigures:
    (found,) = leases.figures()
    return found


# Lags


def test_a_percentile_is_the_lag_that_so_many_do_not_exceed():
    lags = Lags()
    assert lags.percentile(50) is None
    for seconds in (0.3, 0.1, 0.2):
        lags.add(seconds)
    assert [lags.percentile(percent) for percent in (50, 99)] == [0.2, 0.3]
    lags = Lags()
    for number in range(1, 101):
        lags.add(number)
    assert [lags.percentile(percent) for percent in (50, 99, 100)] == [50, 99, 100]


def test_only_the_last_lags_count():
    lags = Lags()
    lags.add(5.0)
    for _ in range(REMEMBERED):
        lags.add(0.1)
    assert lags.percentile(100) == 0.1


# One process


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize("engine", ["db", "cached_db", "leased_db"])
def test_before_a_session_was_looked_for_there_are_none_and_asking_begins_nothing(engine: str):
    threads = threading.active_count()
    with override_settings(SESSION_ENGINE=f"django_sessions_plus.backends.{engine}"):
        assert leases.figures() == []
    assert listening.listeners() == []
    assert threading.active_count() == threads


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize("engine", ["db", "cached_db"])
def test_other_engines_have_none_after_a_request_either(ada: User, engine: str):
    with override_settings(SESSION_ENGINE=f"django_sessions_plus.backends.{engine}"):
        client = Client()
        client.post("/sign-in", {"user": "ada"})
        assert who(client) == "ada"
        assert leases.figures() == []


@pytest.mark.usefixtures("process")
def test_what_was_served_and_what_was_not_is_counted(ada: User):
    client = Client()
    client.post("/sign-in", {"user": "ada"})
    for _ in range(3):
        assert who(client) == "ada"
    found = figures()
    assert (found.model, found.database) == ("django_sessions_plus.Session", "default")
    # The third time, and the second if the sign-in has loaded the row.
    assert found.hits >= 2
    assert found.misses >= 1
    assert (found.lapses, found.size, found.size_limit) == (0, 1, 50)
    assert (found.is_valid, found.why_invalid) == (True, None)
    # Nothing is sent, so nothing is waited for.
    assert (found.lag_p50, found.lag_p99, found.echo_age) == (None, None, None)
    heard = found.heard
    Session.objects.all().delete()
    assert figures().heard > heard
    assert figures().size == 0


@pytest.mark.usefixtures("process")
def test_what_cannot_listen_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "django_sessions_plus.backends.leasing.process_channel.ProcessChannel.was_forked", True
    )
    memory_of(Session).find("nothing")
    found = figures()
    assert (found.is_valid, found.lapses) == (False, 1)
    assert "was forked" in str(found.why_invalid)


@pytest.mark.usefixtures("process")
def test_another_thread_may_begin_to_listen_meanwhile(monkeypatch: pytest.MonkeyPatch):
    memory_of(Session)
    made = listener()

    def begin_another(memory: Memory) -> bool:
        listening._listeners[Session, len(listening._listeners)] = made
        return False

    monkeypatch.setattr(Memory, "is_inherited", property(begin_another))
    assert len(leases.figures()) == 1


@pytest.mark.usefixtures("process")
def test_a_process_that_was_forked_has_none_of_its_parent():
    memory_of(Session)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(leases.figures()).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1000) == b"[]"
    os.close(reading)
    os.close(writing)
    assert len(leases.figures()) == 1


# The examples of the page. They are no "python", because the packages that they import are not installed here.


class Metric:
    """As much of a metric of prometheus_client as the example uses."""

    def __init__(self, name: str, text: str, labels: list[str]) -> None:
        self.labels = labels
        self.values: dict[str, float] = {}

    def add_metric(self, labels: list[str], value: float) -> None:
        assert len(labels) == len(self.labels)
        self.values[labels[-1]] = value


class Registry:
    def __init__(self) -> None:
        self.collectors: list[Any] = []

    def register(self, collector: Any) -> None:
        self.collectors.append(collector)


class StatsClient:
    def __init__(self) -> None:
        self.sent: list[tuple[str, float]] = []

    def incr(self, name: str, value: float) -> None:
        self.sent.append((name, value))

    timing = incr


def example(monkeypatch: pytest.MonkeyPatch, name: str, **values: Any) -> dict[str, Any]:
    """Run the example of the page that imports the module ``name``, which has these values here."""
    module: Any = ModuleType(name)
    vars(module).update(values)
    monkeypatch.setitem(sys.modules, name.partition(".")[0], module)
    monkeypatch.setitem(sys.modules, name, module)
    (block,) = (each for each in blocks(DOCS / "leases.md", "py") if f"from {name} " in each)
    defined: dict[str, Any] = {"__name__": "documentation"}
    exec(compile(block, "documentation", "exec"), defined)
    return defined


@pytest.mark.usefixtures("process")
def test_the_example_for_prometheus_collects_them(monkeypatch: pytest.MonkeyPatch):
    registry = Registry()
    metrics = {"CounterMetricFamily": Metric, "GaugeMetricFamily": Metric}
    example(monkeypatch, "prometheus_client.core", REGISTRY=registry, **metrics)
    memory_of(Session).find("nothing")
    listener().lags.add(0.2)
    (collector,) = registry.collectors
    reads, lag = collector.collect()
    assert reads.values == {"hits": 0, "misses": 1, "lapses": 0}
    assert lag.values == {"default": 0.2}


@pytest.mark.usefixtures("process")
def test_the_example_for_statsd_sends_what_has_been_added(monkeypatch: pytest.MonkeyPatch):
    send_figures = example(monkeypatch, "statsd", StatsClient=StatsClient)["send_figures"]
    before: dict[str, int] = {}
    memory_of(Session).find("nothing")
    for misses in (1, 0):
        client = StatsClient()
        send_figures(client, before)
        assert ("default.misses", misses) in client.sent


# PostgreSQL


@pytest.fixture
def _listening(ada: User) -> Iterator[None]:
    with override_settings(SESSION_ENGINE=ENGINE, SESSIONS_PLUS_LEASE=timedelta(minutes=5)):
        triggers.install(Session, "default")
        try:
            started()
            yield
        finally:
            listening.stop_all()
            triggers.remove(Session, "default")


@on_postgresql
@pytest.mark.usefixtures("_listening")
def test_the_lag_and_the_age_are_those_of_the_echoes():
    until(lambda: leases.figures()[0].lag_p50 is not None)
    found = figures()
    assert found.lag_p50 is not None
    assert found.lag_p99 is not None
    assert 0 < found.lag_p50 <= found.lag_p99
    assert found.echo_age is not None
    assert found.echo_age >= found.lag_p50
    sent_at = listener().heard_at
    send_an_echo()
    until(lambda: listener().heard_at > sent_at)
    assert (figures().is_valid, figures().why_invalid) == (True, None)


@on_postgresql
@pytest.mark.usefixtures("_listening")
def test_without_triggers_it_says_why_the_lease_is_not_valid():
    triggers.remove(Session, "default")
    send_an_echo()
    until(lambda: not leases.figures()[0].is_valid)
    until(lambda: "triggers are missing" in str(leases.figures()[0].why_invalid))


@on_postgresql
@pytest.mark.usefixtures("_listening")
def test_a_process_that_nobody_asks_says_so():
    with override_settings(SESSIONS_PLUS_LEASE=timedelta(milliseconds=20)):
        memory = started()
        until(lambda: listener()._is_asleep and memory.valid_until < now())
        found = figures()
        assert not found.is_valid
        assert "nobody has asked" in str(found.why_invalid)
