"""The engine on a real Redis: its round trips, what lies in it, and requests while it fails."""

from __future__ import annotations

import logging
import random
import runpy
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import cache, caches
from django.db import connections
from django.test import Client

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.caching import circuit
from tests.backends.cached import CachedSync
from tests.backends.drivers import sign_in
from tests.backends.racing import shared_database
from tests.redis.conftest import Server, redis_cache

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.backends.urls"),
]

WORKERS = 4
PEOPLE = 6
ENDS = 5


@pytest.fixture(autouse=True)
def _shared_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    with shared_database(tmp_path):
        yield


def browser_of(token: str) -> Client:
    client = Client(raise_request_exception=False)
    client.cookies[django_settings.SESSION_COOKIE_NAME] = token
    return client


def start(user: User) -> str:
    session = CachedSync()
    session.set("key", "0")
    session.save()
    sign_in(session, user)
    return session.token


def commands(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        found: int = client.info("stats")["total_commands_processed"]
        return found


def test_a_request_is_one_round_trip(own_redis: Server, alice: User):
    client = browser_of(start(alice))
    client.get("/sync/who")
    before = commands(own_redis.url)
    assert client.get("/sync/who").content == b"alice"
    # And the one that asks for the number.
    assert commands(own_redis.url) - before - 1 <= 1 + 1


def test_nothing_in_redis_opens_a_session(shared_redis: str, alice: User):
    token = start(alice)
    browser_of(token).get("/sync/who")
    dumped = []
    prefix = caches["default"].key_prefix
    with redis.Redis.from_url(shared_redis) as client:
        for key in client.scan_iter(f"{prefix}:*django_sessions_plus*"):
            value = client.get(key) or b""
            dumped.append(key + b" " + value)
            assert key.endswith(b":generation:all") or 0 < client.ttl(key) <= 120
        # And nothing of others, who may be testing on the same server.
        client.delete(*client.scan_iter(f"{prefix}:*"))
    assert any(tokens.digest(token).encode() in entry for entry in dumped)
    for entry in dumped:
        assert token.encode() not in entry
        assert alice.password.encode() not in entry


def test_the_suite_deletes_only_its_own_keys(own_redis: Server):
    cache.set("mine", 1)
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("somebody's", 1)
        cache.clear()
        assert client.keys() == [b"somebody's"]


def test_each_process_of_the_suite_has_keys_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")
    path = str(Path(__file__).parent.parent / "settings.py")
    caches_of_two = [runpy.run_path(path)["CACHES"]["default"] for _ in range(2)]
    prefixes = {found["KEY_PREFIX"] for found in caches_of_two}
    assert len(prefixes) == 2
    assert all(prefixes)


class Load:
    """People who click, write and sign out while something is done to Redis."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.faults: list[str] = []
        self.slowest = 0.0
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(WORKERS)]

    def run(self, disturb: Callable[[], None]) -> None:
        for thread in self._threads:
            thread.start()
        try:
            disturb()
            # On a busy machine that may have been too short to see anybody revoked.
            until = time.monotonic() + 120
            while self.seen["ended"] <= ENDS and time.monotonic() < until:
                time.sleep(0.1)
        finally:
            self._is_over.set()
            for thread in self._threads:
                thread.join(120)

    def _work(self, number: int) -> None:
        chance = random.Random(number)
        user = User.objects.get(username=f"person{number}")
        token, written = start(user), "0"
        try:
            while not self._is_over.is_set():
                act = chance.random()
                if act < 0.75:
                    self._expect(token, "who", user.username.encode())
                elif act < 0.95:
                    written = str(int(written) + 1)
                    self._expect(token, f"write?value={written}", b"ok")
                    self._expect(token, "read", written.encode())
                else:
                    sessions.revoke_all(user)
                    # The end was acknowledged: from here on nobody may be served.
                    self._expect(token, "who", b"")
                    self._expect(token, "who", b"")
                    self.seen["ended"] += 1
                    token, written = start(user), "0"
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to
            self.faults.append(repr(error))
        finally:
            connections.close_all()

    def _expect(self, token: str, view: str, content: bytes) -> None:
        started = time.monotonic()
        response = browser_of(token).get(f"/sync/{view}")
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.seen["requests"] += 1
        if response.status_code != 200 or response.content != content:
            self.faults.append(f"{view}: {response.status_code} {response.content!r}")


def nothing(server: Server) -> None:
    time.sleep(2)


def stopped(server: Server) -> None:
    time.sleep(0.7)
    server.stop()
    time.sleep(2.5)


def restarted(server: Server) -> None:
    stopped(server)
    server.start()
    time.sleep(3)


def paused(server: Server) -> None:
    for _ in range(2):
        time.sleep(0.7)
        server.pause()
        time.sleep(2)
        server.resume()
        time.sleep(2)


def emptied(server: Server) -> None:
    for _ in range(20):
        time.sleep(0.15)
        server.empty()


@pytest.mark.parametrize("disturb", [nothing, stopped, restarted, paused, emptied])
def test_nobody_notices_what_happens_to_redis(
    own_redis: Server,
    disturb: Callable[[Server], None],
    caplog: pytest.LogCaptureFixture,
    settings: Any,
):
    settings.CACHES = {"default": redis_cache(own_redis.url, 0.25)}
    caplog.set_level(logging.CRITICAL, "django.contrib.sessions")
    for number in range(PEOPLE):
        User.objects.create(username=f"person{number}")
    load = Load()
    load.run(lambda: disturb(own_redis))
    print(disturb.__name__, dict(load.seen), f"slowest {load.slowest:.3f} s")  # noqa: T201
    assert load.faults == []
    assert load.seen["ended"] > ENDS


@pytest.fixture
def circuits_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock by which a cache that fails is left alone; it stands still."""
    moment = [time.monotonic()]
    monkeypatch.setattr(circuit, "monotonic", lambda: moment[0])
    return moment


def test_a_paused_redis_costs_a_timeout_and_then_nothing(
    silent_redis: Server,
    alice: User,
    caplog: pytest.LogCaptureFixture,
    circuits_clock: list[float],
):
    client = browser_of(start(alice))
    client.get("/sync/who")
    failures: list[int] = []
    silent_redis.pause()
    for delay in (0, 0, 0, circuit.FIRST_DELAY, 0):
        circuits_clock[0] += delay
        assert client.get("/sync/who").content == b"alice"
        failures.append(len(caplog.records))
    silent_redis.resume()
    assert failures == [1, 1, 1, 2, 2]
    assert {record.exc_info and record.exc_info[0] for record in caplog.records} == {
        redis.exceptions.TimeoutError
    }


def test_an_end_redis_refused_is_told_when_it_is_back(
    silent_redis: Server, alice: User, circuits_clock: list[float]
):
    token: Any = start(alice)
    client = browser_of(token)
    client.get("/sync/who")
    silent_redis.pause()
    sessions.revoke_all(alice)
    silent_redis.resume()
    assert client.get("/sync/who").content == b""
    circuits_clock[0] += circuit.FIRST_DELAY
    assert client.get("/sync/who").content == b""
    circuit._circuits.clear()
    assert browser_of(token).get("/sync/who").content == b""
