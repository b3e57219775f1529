"""The client for Redis: what it sends, when its connections are closed, and which caches it is for."""

from __future__ import annotations

import inspect
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.test import AsyncClient
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks.counting import counting
from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.caching import circuit, redis_client
from django_sessions_plus.backends.caching.cache_client import CacheClient
from django_sessions_plus.backends.caching.copies import Copies
from django_sessions_plus.models import Session
from tests.backends.cached import CachedSync
from tests.redis.conftest import Server, redis_cache
from tests.redis.proxy import GatedProxy
from tests.redis.test_redis import browser_of, start
from tests.test_budget_engines import BUDGETS, Cost, set_visitor

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.backends.urls"),
]


class OwnRedisCache(RedisCache):
    """A project's own cache, which may change anything."""


def kept() -> redis_client.RedisClient:
    found = redis_client.client_of("default", caches["default"])
    assert isinstance(found, redis_client.RedisClient)
    return found


def connection_of(found: redis_client.RedisClient) -> Any:
    """Take a connection out of the pool; before version 5.3 redis-py asked what for."""
    pool: Any = found.pool
    is_asked = "command_name" in inspect.getfullargspec(pool.get_connection).args
    return pool.get_connection("PING") if is_asked else pool.get_connection()


def read(token: str) -> dict[str, Any]:
    session = CachedSync(token)
    session.get("")
    return dict(session.store._session)


@pytest.mark.parametrize("kind", BUDGETS)
def test_a_request_costs_on_redis_what_is_promised(own_redis: Server, kind: str, alice: User):
    budget = BUDGETS[kind]
    client = browser_of(start(alice))
    for counted in (False, True):
        client.get("/sync/write?value=0")
        set_visitor(client, budget.visitor)
        with counting() as counter:
            assert client.get(f"/sync/{budget.view}").status_code == 200
        if counted:
            reads = [sql for sql in counter.statements if sql.startswith("SELECT")]
            writes = [sql for sql in counter.statements if sql.startswith("UPDATE")]
            assert Cost(len(reads), len(writes), counter.round_trips) == budget.cached


def test_asynchronous_requests_share_connections(own_redis: Server, alice: User):
    client = AsyncClient()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = start(alice)
    get = async_to_sync(client.get)
    get("/async/who")
    with redis.Redis.from_url(own_redis.url) as observer:
        before = observer.info("stats")["total_connections_received"]
        for _ in range(10):
            assert get("/async/who").content == b"alice"
        assert observer.info("stats")["total_connections_received"] == before


def test_a_connection_the_server_has_closed_is_no_failure(
    own_redis: Server, alice: User, caplog: pytest.LogCaptureFixture
):
    token = start(alice)
    assert read(token)
    for _ in range(2):
        with redis.Redis.from_url(own_redis.url) as observer:
            observer.client_kill_filter(_type="normal", skipme=True)
        assert read(token)["key"] == "0"
    with redis.Redis.from_url(own_redis.url) as observer:
        observer.client_kill_filter(_type="normal", skipme=True)
    sessions.revoke_all(alice)
    assert read(token) == {}
    assert not caplog.records


def test_all_connections_the_server_has_closed_are_no_failure(own_redis: Server):
    """After a restart each of them is: to take the next one would be to fail again."""
    found = kept()
    taken = [connection_of(found) for _ in range(3)]
    for connection in taken:
        found.pool.release(connection)
    with redis.Redis.from_url(own_redis.url) as observer:
        observer.client_kill_filter(_type="normal", skipme=True)
    for _ in taken:
        assert found.find("one") == [None]


def test_nobody_reads_the_answer_to_somebody_elses_command(
    own_redis: Server, alice: User, monkeypatch: pytest.MonkeyPatch
):
    class StopError(BaseException):
        """As a server's time limit for requests."""

    token = start(alice)
    read(token)
    found = kept()

    def stop(*args: Any, **kwargs: Any) -> None:
        raise StopError

    connection = connection_of(found)
    found.pool.release(connection)
    with monkeypatch.context() as patch:
        patch.setattr(connection._parser, "read_response", stop)
        with pytest.raises(StopError):
            found.find("one", "two", "three")
    assert read(token)["key"] == "0"
    assert found.find("one", "two", "three") == [None, None, None]


@pytest.mark.parametrize(("threads", "limit"), [(20, 3), (160, None)])
def test_more_threads_than_connections_wait_for_one_and_the_cache_counts_as_sound(
    own_redis: Server,
    alice: User,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    limit: int | None,
):
    # What a busy machine does not exceed.
    monkeypatch.setattr(redis_client, "LONGEST_WAIT", 60)
    token = start(alice)
    at_once = limit or redis_client.MAX_CONNECTIONS
    with GatedProxy(own_redis.port, at_once) as proxy:
        values = redis_cache(f"redis://127.0.0.1:{proxy.port}/0")
        values["KEY_PREFIX"] = settings.CACHES["default"]["KEY_PREFIX"]
        if limit:
            values["OPTIONS"]["max_connections"] = limit
        settings.CACHES = {"default": values}
        read(token)
        proxy.close_gate()
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(lambda _: held(token), range(threads)))
        assert proxy.most_at_once == at_once
    assert found == [True] * threads
    assert circuit.circuit_of("default").is_healthy
    assert not caplog.records


def held(token: str) -> bool:
    """Tell whether the cache has the session's copy, asked by a store of this thread."""
    copies = Copies(caches["default"], Session, "default")
    copy = copies.find(tokens.digest(token))
    return copy is not None and copy.is_valid


def test_who_waits_too_long_reads_the_database_and_the_cache_counts_as_sound(
    own_redis: Server, alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    token = start(alice)
    read(token)
    monkeypatch.setattr(redis_client, "LONGEST_WAIT", 0)
    found = kept()
    while found._free.acquire(blocking=False):
        pass
    assert read(token)["key"] == "0"
    assert circuit.circuit_of("default").is_healthy
    sessions.revoke_all(alice)
    assert circuit.circuit_of("default").has_pending
    found._free.release()
    assert read(token) == {}
    assert not circuit.circuit_of("default").has_pending


def test_threads_that_start_together_share_one_client(own_redis: Server):
    count = 8
    together = threading.Barrier(count)

    def ask(_: int) -> CacheClient:
        cache = caches["default"]
        together.wait(60)
        found = redis_client.client_of("default", cache)
        found.find("one")
        return found

    with ThreadPoolExecutor(count) as pool:
        clients = set(pool.map(ask, range(count)))
    assert clients == {kept()}
    with redis.Redis.from_url(own_redis.url) as observer:
        assert observer.info("clients")["connected_clients"] - 1 <= count


def test_connections_of_a_burst_are_closed_when_nobody_uses_them(
    own_redis: Server, monkeypatch: pytest.MonkeyPatch
):
    found = kept()
    for connection in [connection_of(found) for _ in range(10)]:
        found.pool.release(connection)
    now = time.monotonic()
    with redis.Redis.from_url(own_redis.url) as observer:
        found.find("one")
        assert observer.info("clients")["connected_clients"] == 10 + 1
        monkeypatch.setattr(redis_client, "monotonic", lambda: now + redis_client.IDLE_AGE)
        found.find("one")
        assert wait_for(lambda: observer.info("clients")["connected_clients"] == 1)
        for _ in range(3):
            assert found.find("one") == [None]
        assert observer.info("clients")["connected_clients"] == 1 + 1


def wait_for(condition: Callable[[], bool]) -> bool:
    """Wait until the server has noticed what was done at this end."""
    for _ in range(1200):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_client_that_is_replaced_keeps_no_connection(own_redis: Server, settings: Any):
    """What it has is closed at once, and what a thread is using when that thread is done."""
    found = kept()
    idle, used = [connection_of(found) for _ in range(2)]
    found.pool.release(idle)

    def change_settings_meanwhile() -> None:
        settings.CACHES = {"default": redis_cache(own_redis.url)}
        assert idle._sock is None
        used.send_command("PING")
        assert used.read_response() == b"PONG"
        found.pool.release(used)

    found._run(change_settings_meanwhile)
    assert used._sock is None
    assert found.find("one") == [None]
    assert not [each for each in found.pool._available_connections if each._sock]
    replaced = kept()
    replaced.find("one")
    assert redis_client.client_of("default", RedisCache(own_redis.url, {})) is not replaced
    assert not [each for each in replaced.pool._available_connections if each._sock]


@pytest.mark.parametrize("error", [redis.TimeoutError, redis.ConnectionError])
def test_no_command_is_sent_again(
    own_redis: Server, settings: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
):
    """A generation that is added again could bring back one that was invalidated in between."""
    values = redis_cache(own_redis.url)
    values["OPTIONS"] |= {
        "retry_on_timeout": True,
        "retry_on_error": [redis.ConnectionError],
        "retry": Retry(NoBackoff(), 3),
    }
    settings.CACHES = {"default": values}
    found = kept()
    found.find("one")
    sent = []

    def lose_the_answer(connection: Any, *args: Any, **kwargs: Any) -> None:
        sent.append(connection)
        raise error

    monkeypatch.setattr(redis.Connection, "read_response", lose_the_answer)
    with pytest.raises(error):
        found.add("one", 1, 10)
    assert len(sent) == 1


def test_a_server_that_does_not_answer_takes_one_timeout(settings: Any):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        values = redis_cache(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", 0.1)
        values["OPTIONS"] |= {"retry_on_timeout": True, "retry": Retry(NoBackoff(), 3)}
        settings.CACHES = {"default": values}
        found = kept()
        for _ in range(2):
            with pytest.raises(redis.TimeoutError):
                found.find("one")
        silent.settimeout(0)
        connections = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                connections += 1
    assert connections == 2


def test_no_maintenance_of_the_server_stretches_the_timeout(own_redis: Server):
    found = kept()
    connection = connection_of(found)
    found.pool.release(connection)
    assert not getattr(found.pool, "maint_notifications_enabled", bool)()
    if handler := getattr(connection, "_maint_notifications_connection_handler", None):
        pytest.fail(f"{handler} would change the timeouts")


def test_observers_of_redis_py_see_every_command(
    own_redis: Server, alice: User, monkeypatch: pytest.MonkeyPatch
):
    """OpenTelemetry and Sentry replace this very method of the class, at any time after the start."""
    token = start(alice)
    read(token)
    seen: list[str] = []
    original = redis.Redis.execute_command

    def observe(client: Any, *args: Any, **options: Any) -> Any:
        seen.append(args[0])
        return original(client, *args, **options)

    monkeypatch.setattr(redis.Redis, "execute_command", observe)
    with redis.Redis.from_url(own_redis.url) as observer, observer.monitor() as monitor:
        read(token)
        session = CachedSync(token)
        session.set("key", "1")
        session.save()
        sessions.revoke_all(alice)
        observed = list(seen)
        heard = [monitor.next_command()["command"].split()[0] for _ in observed]
    assert observed == ["MGET", "MGET", "EVALSHA", "SCRIPT LOAD", "EVALSHA", "DEL"]
    assert heard[0] == "MGET"


def test_a_server_that_has_lost_its_scripts_is_given_them_again(own_redis: Server, alice: User):
    token = start(alice)
    for number in range(3):
        with redis.Redis.from_url(own_redis.url) as client:
            client.script_flush()
        session = CachedSync(token)
        session.set("number", number)
        session.save()
        with counting() as counter:
            assert read(token)["number"] == number
        assert counter.statements == []


def test_the_connection_is_the_one_the_project_configured(own_redis: Server, settings: Any):
    with redis.Redis.from_url(own_redis.url) as client:
        client.acl_setuser(
            "site", enabled=True, passwords="+secret", commands=["+@all"], keys=["*"]
        )
        values = redis_cache(own_redis.url)
        values["OPTIONS"] |= {
            "username": "site",
            "password": "secret",
            "db": 3,
            "client_name": "sessions",
        }
        values["LOCATION"] = own_redis.url.removesuffix("/0")
        settings.CACHES = {"default": values}
        kept().set("one", 1, 10)
        (mine,) = [each for each in client.client_list() if each["name"] == "sessions"]
    assert (mine["user"], mine["db"]) == ("site", "3")


def test_tls_is_configured_as_for_djangos_cache(server: Server, settings: Any):
    values = redis_cache(server.url.replace("redis://", "rediss://"))
    values["OPTIONS"] |= {"ssl_ca_certs": "/etc/ca.pem"}
    settings.CACHES = {"default": values}
    found = kept()
    assert found.pool.connection_class is redis.SSLConnection
    assert found.pool.connection_kwargs["ssl_ca_certs"] == "/etc/ca.pem"


@pytest.mark.parametrize(
    "stored", [b"no pickle", b"\x80\x05.", b"cnowhere\nnothing\n.", b"17", b""]
)
def test_an_entry_that_cannot_be_read_is_written_anew(
    own_redis: Server, alice: User, stored: bytes, caplog: pytest.LogCaptureFixture
):
    token = start(alice)
    read(token)
    key = caches["default"].make_key(
        Copies(caches["default"], Session, "default").layout.entry_key(tokens.digest(token))
    )
    with redis.Redis.from_url(own_redis.url) as client:
        client.set(key, stored)
        assert read(token)["key"] == "0"
        assert client.get(key) != stored
    assert not caplog.records


def test_a_redis_that_runs_no_scripts_invalidates(own_redis: Server, alice: User):
    token = start(alice)
    read(token)
    with redis.Redis.from_url(own_redis.url) as client:
        client.acl_setuser("default", enabled=True, commands=["+@all", "-@scripting"])
    for number in range(3):
        session = CachedSync(token)
        session.set("number", number)
        session.save()
        assert read(token)["number"] == number


def test_a_full_redis_hears_of_ends(own_redis: Server, alice: User):
    token = start(alice)
    assert read(token)
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 1)
    session = CachedSync(token)
    session.set("number", 1)
    session.save()
    assert read(token)["number"] == 1
    read(tokens.make_token())
    sessions.revoke_all(alice)
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 0)
        assert not client.keys(f"*:generation:{tokens.digest(token)}")


def test_either_way_understands_the_other(
    own_redis: Server, alice: User, monkeypatch: pytest.MonkeyPatch
):
    token = start(alice)
    read(token)
    with monkeypatch.context() as patch:
        patch.setattr(
            "django_sessions_plus.backends.caching.copies.client_of",
            lambda _, c: CacheClient(c),
        )
        with counting() as counter:
            assert read(token)["key"] == "0"
        assert counter.statements == []
        sessions.revoke_all(alice)
    assert read(token) == {}


def test_other_caches_than_djangos_usual_one_are_asked_by_its_api(server: Server, settings: Any):
    plain = redis_cache(server.url)
    ways = {
        "django.core.cache.backends.redis.RedisCache": redis_client.RedisClient,
        "tests.redis.test_redis_client.OwnRedisCache": CacheClient,
    }
    for backend, expected in ways.items():
        settings.CACHES = {"default": plain | {"BACKEND": backend}}
        assert type(redis_client.client_of("default", caches["default"])) is expected
    for location in ([server.url, server.url], f"{server.url},{server.url}"):
        settings.CACHES = {"default": plain | {"LOCATION": location}}
        assert type(redis_client.client_of("default", caches["default"])) is CacheClient
    for unusual in ({"pool_class": "redis.BlockingConnectionPool"}, {"cache_config": object()}):
        settings.CACHES = {"default": plain | {"OPTIONS": plain["OPTIONS"] | unusual}}
        assert type(redis_client.client_of("default", caches["default"])) is CacheClient


def test_a_child_process_has_connections_of_its_own(own_redis: Server, alice: User):
    token = start(alice)
    read(token)
    mine = kept()
    pid = mine.pid
    mine.pid = -1
    assert kept() is not mine
    assert kept().pid == pid == os.getpid()
    mine.pid = pid
    mine.close()


FORK = """
import os
import django

django.setup()
from django.core.cache import caches
from django_sessions_plus.backends.caching.redis_client import client_of


def ask(times):
    ids = set()
    for number in range(times):
        found = client_of("default", caches["default"])
        found.set(f"{os.getpid()}", number, 10)
        assert found.find(f"{os.getpid()}") == [number]
        ids.add(found.client.client_id())
    return ids


before = ask(1)
parents = client_of("default", caches["default"])
# As if threads of the parent were using every connection at this moment.
used = 0
while parents._free.acquire(blocking=False):
    used += 1
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, repr(ask(200)).encode())
    os._exit(0)
parents._free.release(used)
mine = ask(200)
os.wait()
theirs = eval(os.read(reader, 1000))
assert mine == before, (mine, before)
assert len(theirs) == 1, theirs
assert mine.isdisjoint(theirs), (mine, theirs)
"""


def test_a_forked_process_and_its_parent_ask_by_different_connections(own_redis: Server):
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings", "REDIS_URL": own_redis.url}
    subprocess.run([sys.executable, "-c", FORK], env=os.environ | settings, check=True, timeout=120)


def upside_down(key: str, key_prefix: str, version: int) -> str:
    return f"{key}:{version}:{key_prefix}"


def test_instances_of_a_cache_without_options_share_connections(own_redis: Server, settings: Any):
    settings.CACHES = {
        "default": {
            key: value for key, value in redis_cache(own_redis.url).items() if key != "OPTIONS"
        }
    }
    cache: Any = caches["default"]
    other = RedisCache(cache._servers, {"KEY_PREFIX": cache.key_prefix})
    assert redis_client.client_of("default", other) is redis_client.client_of("default", cache)


def test_keys_are_made_as_the_project_makes_them(own_redis: Server, alice: User, settings: Any):
    values = redis_cache(own_redis.url) | {
        "KEY_FUNCTION": "tests.redis.test_redis_client.upside_down"
    }
    settings.CACHES = {"default": values}
    token = start(alice)
    read(token)
    with redis.Redis.from_url(own_redis.url) as client:
        keys = [key.decode() for key in client.keys("*")]
    assert len(keys) >= 3
    assert all(key.endswith(values["KEY_PREFIX"]) for key in keys)
