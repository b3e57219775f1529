"""The short way to Redis: what goes over it, and what becomes of connections."""

from __future__ import annotations

import os
from typing import Any

import pytest
import redis as redis_client
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.test import AsyncClient

from benchmarks.counting import counting
from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends import wire
from django_sessions_plus.backends.copies import Copies
from django_sessions_plus.models import Session
from tests.backends.caching import CachedSync
from tests.redis.conftest import Server, redis_cache
from tests.redis.test_redis import browser_of, start
from tests.test_budget_engines import BUDGETS, Cost, set_visitor

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.backends.urls"),
]


CHANGE = wire.Change("permit", 1, 2, 10, "entry", ("entry",), 10)


class OwnRedisCache(RedisCache):
    """A project's own cache, whatever it changes."""


def kept() -> wire.RedisWire:
    found = wire.wire_of("default", caches["default"])
    assert isinstance(found, wire.RedisWire)
    return found


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
    with redis_client.Redis.from_url(own_redis.url) as observer:
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
        with redis_client.Redis.from_url(own_redis.url) as observer:
            observer.client_kill_filter(_type="normal", skipme=True)
        assert read(token)["key"] == "0"
    with redis_client.Redis.from_url(own_redis.url) as observer:
        observer.client_kill_filter(_type="normal", skipme=True)
    sessions.revoke_all(alice)
    assert read(token) == {}
    assert not caplog.records


def test_all_connections_the_server_has_closed_are_no_failure(own_redis: Server, alice: User):
    """After a restart each of them is: to take the next one would be to fail again."""
    token = start(alice)
    read(token)
    found = kept()
    found.idle += [found.pool.make_connection() for _ in range(3)]
    for connection in found.idle:
        connection.connect()
    before = list(found.idle)
    with redis_client.Redis.from_url(own_redis.url) as observer:
        observer.client_kill_filter(_type="normal", skipme=True)
    taken: list[Any] = []

    class Others(list[Any]):
        """Other threads, who take and give back connections all the time."""

        def pop(self, at: Any = -1) -> Any:
            self.insert(0, super().pop())
            taken.append(super().pop())
            return taken[-1]

    found.idle = Others(found.idle)
    assert found.find("one") == [None]
    assert len(taken) == 1
    assert {*found.idle} == {*before}


@pytest.mark.parametrize(
    ("answer", "ask"),
    [
        (b"OK", lambda found: found.find("one", "two")),
        ([None], lambda found: found.find("one", "two")),
        (None, lambda found: found.find("one")),
        (1, lambda found: found.set("one", 1, 10)),
        (None, lambda found: found.set("one", 1, 10)),
        ([None], lambda found: found.add("one", 1, 10)),
        (1, lambda found: found.add("one", 1, 10)),
        (b"OK", lambda found: found.delete(["one"])),
        (b"OK", lambda found: found.replace(CHANGE)),
        (2, lambda found: found.replace(CHANGE)),
    ],
)
def test_an_answer_to_another_command_is_a_failure_and_the_next_command_has_its_own(
    own_redis: Server, monkeypatch: pytest.MonkeyPatch, answer: Any, ask: Any
):
    found = kept()
    found.set("one", 1, 10)
    (connection,) = found.idle
    with monkeypatch.context() as patch:
        patch.setattr(connection, "read_response", lambda *args, **kwargs: answer)
        with pytest.raises(redis_client.exceptions.InvalidResponse):
            ask(found)
    # The real answer lies in the old connection, and nobody may read it.
    assert found.idle == [connection]
    assert found.find("zero", "zero") == [None, None]


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

    with monkeypatch.context() as patch:
        patch.setattr(found.idle[-1], "read_response", stop, raising=True)
        with pytest.raises(StopError):
            found.find("one", "two", "three")
    assert read(token)["key"] == "0"
    assert found.find("one", "two", "three") == [None, None, None]


@pytest.mark.parametrize(
    "stored", [b"no pickle", b"\x80\x05.", b"cnowhere\nnothing\n.", b"17", b""]
)
def test_an_entry_that_cannot_be_read_is_written_anew(
    own_redis: Server, alice: User, stored: bytes, caplog: pytest.LogCaptureFixture
):
    token = start(alice)
    read(token)
    key = caches["default"].make_key(
        Copies(caches["default"], Session, "default")._entry_key(tokens.digest(token))
    )
    with redis_client.Redis.from_url(own_redis.url) as client:
        client.set(key, stored)
        assert read(token)["key"] == "0"
        assert client.get(key) != stored
    assert not caplog.records


def test_a_redis_that_runs_no_scripts_withdraws(own_redis: Server, alice: User):
    token = start(alice)
    read(token)
    with redis_client.Redis.from_url(own_redis.url) as client:
        client.acl_setuser("default", enabled=True, commands=["+@all", "-eval"])
    for number in range(3):
        session = CachedSync(token)
        session.set("number", number)
        session.save()
        assert read(token)["number"] == number


def test_a_full_redis_hears_of_ends(own_redis: Server, alice: User):
    token = start(alice)
    assert read(token)
    with redis_client.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 1)
    session = CachedSync(token)
    session.set("number", 1)
    session.save()
    assert read(token)["number"] == 1
    read(tokens.make_token())
    sessions.revoke_all(alice)
    with redis_client.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 0)
        assert not client.keys(f"*permit:{tokens.digest(token)}")


def test_either_way_understands_the_other(
    own_redis: Server, alice: User, monkeypatch: pytest.MonkeyPatch
):
    token = start(alice)
    read(token)
    with monkeypatch.context() as patch:
        patch.setattr("django_sessions_plus.backends.copies.wire_of", lambda _, c: wire.Wire(c))
        with counting() as counter:
            assert read(token)["key"] == "0"
        assert counter.statements == []
        sessions.revoke_all(alice)
    assert read(token) == {}


def test_only_djangos_own_cache_is_gone_round(server: Server, settings: Any):
    plain = redis_cache(server.url)
    ways = {
        "django.core.cache.backends.redis.RedisCache": wire.RedisWire,
        "tests.redis.test_wire.OwnRedisCache": wire.Wire,
    }
    for backend, expected in ways.items():
        settings.CACHES = {"default": plain | {"BACKEND": backend}}
        assert type(wire.wire_of("default", caches["default"])) is expected
    for location in ([server.url, server.url], f"{server.url},{server.url}"):
        settings.CACHES = {"default": plain | {"LOCATION": location}}
        assert type(wire.wire_of("default", caches["default"])) is wire.Wire
    blocking = plain["OPTIONS"] | {"pool_class": "redis.BlockingConnectionPool"}
    settings.CACHES = {"default": plain | {"OPTIONS": blocking}}
    assert type(wire.wire_of("default", caches["default"])) is wire.Wire


def test_a_child_process_has_connections_of_its_own(own_redis: Server, alice: User):
    token = start(alice)
    read(token)
    mine = kept()
    pid = mine.pid
    mine.pid = -1
    assert kept() is not mine
    assert kept().pid == pid == os.getpid()


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
    assert wire.wire_of("default", other) is wire.wire_of("default", cache)


def test_keys_are_made_as_the_project_makes_them(own_redis: Server, alice: User, settings: Any):
    values = redis_cache(own_redis.url) | {"KEY_FUNCTION": "tests.redis.test_wire.upside_down"}
    settings.CACHES = {"default": values}
    token = start(alice)
    read(token)
    with redis_client.Redis.from_url(own_redis.url) as client:
        keys = [key.decode() for key in client.keys("*")]
    assert len(keys) >= 3
    assert all(key.endswith(values["KEY_PREFIX"]) for key in keys)
