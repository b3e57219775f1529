"""The engine ``leased_db`` with Redis as its channel: two processes, faults, and whoever may publish there."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Collection, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test import Client, override_settings
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.backends.leasing import (
    listening,
    publishing,
    redis_channel,
    redis_location,
    wire,
)
from django_sessions_plus.backends.leasing.channels import UnheardError
from django_sessions_plus.backends.leasing.memory import Memory, now
from django_sessions_plus.exceptions import UnsettledError
from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient
from tests.backends.racing import shared_database
from tests.leasing.conftest import ENGINE, PATIENCE, queries, queries_of_async, until, who
from tests.redis.conftest import Server
from tests.redis.peer import Peer, peer

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.site"),
]

LEASE = 0.25
PUBSUB = "sessions-plus-lease:0:django_sessions_plus.session"


class FailError(Exception):
    """What a test raises to have a transaction rolled back."""


@pytest.fixture(autouse=True)
def _shared_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    with shared_database(tmp_path):
        yield


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="correct horse")


@pytest.fixture
def site(server: Server, ada: User, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The engine on a Redis of its own. The lease is long, so that a busy machine loses none."""
    monkeypatch.setattr(redis_channel, "UNKNOWN", 0.0)
    with override_settings(
        SESSION_ENGINE=ENGINE,
        SESSIONS_PLUS_LEASE_CHANNEL=server.url,
        SESSIONS_PLUS_LEASE_USERS="signals",
        SESSIONS_PLUS_LEASE=timedelta(minutes=5),
    ):
        yield server
    listening.stop_all()


@pytest.fixture
def memory(site: Server) -> Memory:
    return started()


@pytest.fixture
def short(site: Server) -> Iterator[Memory]:
    """The same with the lease that sites have."""
    with override_settings(SESSIONS_PLUS_LEASE=timedelta(seconds=LEASE)):
        yield started()


@pytest.fixture
def other(site: Server) -> Iterator[Peer]:
    """Another process of the site."""
    with peer(
        str(connection.settings_dict["NAME"]),
        SESSION_ENGINE=ENGINE,
        SESSIONS_PLUS_LEASE_CHANNEL=site.url,
        SESSIONS_PLUS_LEASE_USERS="signals",
        SESSIONS_PLUS_LEASE=LEASE,
    ) as found:
        found.run(
            "from django.contrib.auth.models import User\n"
            "from django.db import connection, transaction\n"
            "from django.test import Client\n"
            "from django_sessions_plus import sessions\n"
            "from django_sessions_plus.models import Session\n"
            "from django_sessions_plus.backends.leasing import listening, redis_channel\n"
            "redis_channel.UNKNOWN = 0.0\n"
            "memory = listening.memory_of(Session)\n"
        )
        yield found


def started() -> Memory:
    memory = listening.memory_of(Session)
    until(lambda: listening.memory_of(Session).valid_until > now())
    return memory


def is_connected() -> bool:
    listening.memory_of(Session)
    (found,) = listening.listeners()
    return found.error is None and found.memory.valid_until > now()


def heard(memory: Memory) -> None:
    """Wait until this process has heard what was published before this is called."""
    (listener,) = listening.listeners()
    asked_at = now()

    def is_answered() -> bool:
        listener._is_asleep = True
        listener.wake()
        return listener.heard_at >= asked_at

    until(is_answered)


def signed_in() -> Client:
    client = Client()
    client.post("/sign-in", {"user": "ada"})
    # The first requests may still find the changes of the sign-in announced.
    until(lambda: queries(lambda: who(client)) == ("ada", 0))
    return client


def publish(site: Server, message: str | bytes, channel: str = PUBSUB) -> None:
    with redis.Redis.from_url(site.url) as client:
        assert client.publish(channel, message) >= 1


def snapshot(memory: Memory) -> Any:
    (found,) = memory._snapshots.values()
    return found


def is_kept(memory: Memory, found: Any) -> bool:
    """Return whether what a slow request has read would be kept."""
    ticket = memory.begin()
    assert ticket is not None
    return memory.keep(found, ticket)


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which is added what this process publishes, or tries to."""
    sent: list[str] = []
    send = publishing.Publisher._send

    def record(found: publishing.Publisher, messages: Collection[str]) -> None:
        sent.extend(messages)
        send(found, messages)

    monkeypatch.setattr(publishing.Publisher, "_send", record)
    return sent


def reports(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [each for each in caplog.records if vars(each).get("event") == "lease_not_announced"]


def is_heard_after(memory: Memory, before: int) -> bool:
    return memory.figures.heard > before


def test_what_is_announced_is_heard_without_an_echo(memory: Memory, site: Server):
    """Or each announcement would have every process ask the server. The lease is long, so that no echo is due."""
    client = signed_in()
    (listener,) = listening.listeners()
    echoes = listener.heard_at
    for _ in range(3):
        before = memory.figures.heard
        publish(site, wire.after(wire.new_token(), ["d x"]))
        until(partial(is_heard_after, memory, before))
    assert listener.heard_at == echoes
    publish(site, "*")
    until(lambda: len(memory) == 0)
    assert listener.heard_at == echoes
    assert who(client) == "ada"


# Statements


def test_the_second_request_by_cookie_asks_nobody(memory: Memory, site: Server):
    client = signed_in()
    assert queries(lambda: who(client)) == ("ada", 0)
    assert queries_of_async(client) == ("ada", 0)


@pytest.mark.urls("tests.api.urls")
@pytest.mark.parametrize("transport", ["bearer", "jwt"])
def test_the_second_request_by_a_token_in_a_header_asks_nobody(memory: Memory, transport: str):
    app = ApiClient()
    assert app.take(app.sign_in(transport=transport)).status_code == 200

    def ask() -> int:
        return int(app.send("get", "/mine").status_code)

    assert ask() == 200
    until(lambda: queries(ask) == (200, 0))
    sessions.revoke_all(User.objects.get())
    assert ask() == 401


def test_without_signals_the_user_is_read(site: Server):
    with override_settings(SESSIONS_PLUS_LEASE_USERS="query"):
        started()
        client = Client()
        client.post("/sign-in", {"user": "ada"})
        until(lambda: queries(lambda: who(client)) == ("ada", 1))
        User.objects.update(is_active=False)
        assert who(client) == ""


# Two processes


ENDS = {
    "revoke": "sessions.revoke(Session.objects.get())",
    "revoke_everyone": "sessions.revoke_everyone()",
    "delete": "Session.objects.all().delete()",
    "saved row": "row = Session.objects.get(); row.ended_at = row.created_at; row.save()",
    "inactive": "user = User.objects.get(); user.is_active = False; user.save()",
    "deleted user": "User.objects.get().delete()",
    "in a transaction": "with transaction.atomic(): sessions.revoke_all(User.objects.get())",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_what_another_process_ends_is_refused_here(memory: Memory, other: Peer, end: str):
    client = signed_in()
    other.run(end)
    heard(memory)
    assert who(client) == ""


def test_what_this_process_ends_is_refused_by_another(memory: Memory, other: Peer, ada: User):
    client = signed_in()
    key = client.cookies["sessionid"].value
    other.run(f"client = Client(); client.cookies['sessionid'] = {key!r}")
    ask = "answer = client.get('/who').content.decode(), memory.figures.hits"

    def is_served() -> bool:
        before = other.run(ask)[1]
        return bool(other.run(ask)[1] > before)

    until(is_served)
    sessions.revoke_all(ada)
    until(lambda: other.run(ask)[0] == "")


def test_an_end_is_heard_within_a_lease(short: Memory, other: Peer):
    client = signed_in()
    assert who(client) == "ada"
    other.run("sessions.revoke_all(User.objects.get())")
    time.sleep(LEASE)
    assert who(client) == ""


def test_what_was_read_before_the_commit_is_not_kept_after_it(memory: Memory, other: Peer):
    signed_in()
    as_read = snapshot(memory)
    early = memory.begin()
    other.run(
        "block = transaction.atomic(); block.__enter__(); sessions.revoke_all(User.objects.get())"
    )
    heard(memory)
    assert (is_kept(memory, as_read), len(memory)) == (False, 0)
    other.run("block.__exit__(None, None, None)")
    heard(memory)
    assert early is not None
    assert not memory.keep(as_read, early)
    assert is_kept(memory, as_read)  # For a read that begins now would find the row as it is.


def test_after_a_rollback_the_next_change_announces_it(
    memory: Memory, site: Server, ada: User, monkeypatch: pytest.MonkeyPatch
):
    """Where nobody asks the process for sessions, such as in a worker. The lease is long, so that no echo is due."""
    sent = recorded(monkeypatch)
    client = signed_in()
    sent.clear()
    with pytest.raises(FailError), transaction.atomic():  # noqa: PT012 - it is rolled back
        sessions.revoke_all(ada)
        raise FailError
    begun = [each.split()[1] for each in sent]
    publisher()._ended_at = 0.0
    ada.save()
    ended = [wire.understood(each.encode()) for each in sent[len(begun) :]]
    assert {*begun} <= {each.commitment for each in ended if each is not None and each.is_over}
    assert not publisher()._running
    assert who(client) == "ada"


@pytest.mark.parametrize("nested", [False, True])
def test_after_a_rollback_others_keep_the_session_again(memory: Memory, other: Peer, nested: bool):
    client = signed_in()
    other.run(
        "outer = transaction.atomic()\n"
        f"if {nested}: outer.__enter__()\n"
        "try:\n"
        "    with transaction.atomic():\n"
        "        sessions.revoke_all(User.objects.get())\n"
        "        raise KeyError\n"
        "except KeyError: pass\n"
        f"if {nested}: outer.__exit__(None, None, None)"
    )

    def is_served() -> bool:
        # The thread of that process notices, and announces it, while somebody asks it for sessions.
        other.run("listening.memory_of(Session).find('')")
        return queries(lambda: who(client)) == ("ada", 0)

    until(is_served)


def test_a_writer_that_dies_after_the_commit_has_announced_it(memory: Memory, other: Peer):
    """The change was announced before the commit, and without the announcement after it nothing is kept."""
    client = signed_in()
    as_read = snapshot(memory)
    other.run("from django_sessions_plus.backends.leasing.publishing import Publisher")
    other.run("import os; Publisher.end = lambda *_: os.kill(os.getpid(), 9)")
    other.send("sessions.revoke_all(User.objects.get())")
    other.process.wait(PATIENCE)
    heard(memory)
    assert not Session.objects.active().exists()
    assert who(client) == ""
    assert not is_kept(memory, as_read)


def test_a_writer_that_dies_before_the_commit_holds_for_the_age(memory: Memory, other: Peer):
    client = signed_in()
    with override_settings(SESSIONS_PLUS_CACHE_AGE=timedelta(seconds=1)):
        started()
        assert who(client) == "ada"
        other.run(
            "block = transaction.atomic(); block.__enter__(); sessions.revoke_all(User.objects.get())"
        )
        other.process.send_signal(signal.SIGKILL)
        other.process.wait(PATIENCE)
        assert who(client) == "ada"
        until(lambda: queries(lambda: who(client)) == ("ada", 0))


def test_a_new_connection_keeps_nothing_for_a_moment(
    site: Server, other: Peer, monkeypatch: pytest.MonkeyPatch
):
    """Somebody may have announced a change before there was this connection, and not committed it yet."""
    monkeypatch.setattr(redis_channel, "UNKNOWN", PATIENCE)
    memory = started()
    client = Client()
    client.post("/sign-in", {"user": "ada"})
    assert who(client) == who(client) == "ada"
    assert len(memory) == 0
    assert memory.figures.refused > 0


# Faults


def test_a_connection_that_is_ended_empties_the_memory(memory: Memory, site: Server):
    client = signed_in()
    with redis.Redis.from_url(site.url) as admin:
        before = memory._connections
        assert admin.client_kill_filter(_type="pubsub") == 1
        until(lambda: memory._connections > before)
        assert len(memory) == 0
    until(is_connected)
    until(lambda: queries(lambda: who(client)) == ("ada", 0))


def test_while_a_connection_is_lost_ends_are_not_missed(
    memory: Memory, site: Server, other: Peer, monkeypatch: pytest.MonkeyPatch
):
    client = signed_in()
    may_connect = threading.Event()
    subscribe = redis_channel.RedisConnection._subscribe

    def wait(found: Any) -> None:
        may_connect.wait(PATIENCE)
        subscribe(found)

    monkeypatch.setattr(redis_channel.RedisConnection, "_subscribe", wait)
    with redis.Redis.from_url(site.url) as admin:
        admin.client_kill_filter(_type="pubsub")
        until(lambda: admin.pubsub_numsub(PUBSUB)[0][1] == 1)
        other.run("sessions.revoke_all(User.objects.get())")
        until(lambda: memory.valid_until == 0.0)
        may_connect.set()
        assert who(client) == ""
        until(is_connected)
        assert who(client) == ""


def test_a_server_that_is_restarted(memory: Memory, site: Server):
    client = signed_in()
    site.stop()
    until(lambda: memory.valid_until == 0.0)
    assert who(client) == "ada"
    assert queries(lambda: who(client))[1] > 0
    site.start()
    until(is_connected)
    until(lambda: queries(lambda: who(client)) == ("ada", 0))


def test_while_the_server_is_silent_the_lease_ends_and_nothing_is_accepted_late(
    short: Memory, site: Server, ada: User
):
    client = signed_in()
    site.pause()
    try:
        until(lambda: short.valid_until <= now())
        # By somebody who tells nobody. With a valid lease that would not be noticed.
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {Session._meta.db_table} SET ended_at = %s", [timezone.now()])
        assert who(client) == ""
    finally:
        site.resume()
    assert who(client) == ""


def test_a_write_does_not_wait_long_for_a_silent_server_and_only_the_first_one(
    memory: Memory,
    site: Server,
    ada: User,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    signed_in()
    monkeypatch.setattr(circuit, "FIRST_DELAY", 3600.0)
    sent = recorded(monkeypatch)
    site.pause()
    try:
        began = time.monotonic()
        sessions.revoke_all(ada)
        took = time.monotonic() - began
        sessions.start(ada)
        sessions.revoke_all(ada)
    finally:
        site.resume()
    assert len(sent) == 1
    # A generous limit: without one of its own, redis-py would wait for five seconds or for ever.
    assert took < 4
    (record,) = reports(caplog)
    assert record.levelno == logging.ERROR


def test_a_replica_is_refused(site: Server, tmp_path: Path):
    (tmp_path / "replica").mkdir()
    replica = Server(tmp_path / "replica")
    replica.start()
    try:
        with redis.Redis.from_url(replica.url) as admin:
            admin.replicaof("127.0.0.1", str(site.port))
        with override_settings(SESSIONS_PLUS_LEASE_CHANNEL=replica.url):
            listening.memory_of(Session)
            (listener,) = listening.listeners()
            until(lambda: listener.error)
            assert "its role slave" in str(listener.error)
            assert listener.memory.valid_until == 0.0
            found = publisher()
            found.end(wire.new_token(), ["*"])
            assert found.unheard_for() is not None
    finally:
        listening.stop_all()
        replica.stop()


def test_a_primary_that_becomes_a_replica_is_noticed(memory: Memory, site: Server):
    (listener,) = listening.listeners()
    with redis.Redis.from_url(site.url) as admin:
        admin.replicaof("127.0.0.1", "1")
        listening.memory_of(Session)
        listener._is_asleep = True
        listener.wake()
        until(lambda: "its role slave" in str(listener.error))
        assert memory.valid_until == 0.0
        admin.replicaof("NO", "ONE")
    until(is_connected)


def test_a_server_that_has_been_a_replica_meanwhile_is_another_one(memory: Memory, site: Server):
    """As while nobody asked for sessions: what was published on the primary of that time may not have reached it."""
    signed_in()
    (listener,) = listening.listeners()
    before = memory._connections
    with redis.Redis.from_url(site.url) as admin:
        admin.replicaof("127.0.0.1", "1")
        admin.replicaof("NO", "ONE")
        assert admin.pubsub_numsub(PUBSUB)[0][1] == 1
    listener._is_asleep = True
    listener.wake()
    until(lambda: memory._connections > before)
    assert len(memory) == 0


def test_a_process_that_reads_too_slowly_is_cut_off_and_notices(memory: Memory, site: Server):
    signed_in()
    before = memory._connections
    with redis.Redis.from_url(site.url) as admin:
        admin.config_set("client-output-buffer-limit", "pubsub 100kb 100kb 1")
        # The thread cannot pass anything on meanwhile, and the sockets between have no room for as much.
        with memory._lock:
            deadline = time.monotonic() + PATIENCE
            while admin.publish(PUBSUB, "x" * 1_000_000):
                assert time.monotonic() < deadline
    until(lambda: memory._connections > before)
    until(is_connected)
    assert len(memory) == 0


def test_a_process_without_redis_py_cannot_settle(
    site: Server, ada: User, monkeypatch: pytest.MonkeyPatch
):
    redis_location.locate.cache_clear()
    monkeypatch.setattr(redis_location, "find_spec", lambda name: None)
    try:
        with pytest.raises(UnsettledError) as caught:
            sessions.revoke_all(ada, settled=True)
        assert caught.value.within == 60
    finally:
        redis_location.locate.cache_clear()


def test_another_server_behind_the_same_address_answers_no_echo(
    memory: Memory, site: Server, tmp_path: Path
):
    """As after a failover, where the connection that asks is a new one and that which listens an old one."""
    (tmp_path / "second").mkdir()
    second = Server(tmp_path / "second")
    second.start()
    try:
        (listener,) = listening.listeners()
        found: Any = listener._connection
        found._asking = redis_location.locate(second.url).connection(5.0)
        listener._is_asleep = True
        listener.wake()
        until(lambda: memory._connections > 1 or "another one" in str(listener.error))
    finally:
        second.stop()


def publisher() -> publishing.Publisher:
    found = listening.channel_of(Session, "default").publisher()
    assert found is not None
    return found


def test_a_publish_that_is_denied_is_loud_and_settled_says_when(
    site: Server,
    ada: User,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    started()
    monkeypatch.setattr(circuit, "FIRST_DELAY", 0.0)
    sent = recorded(monkeypatch)
    with redis.Redis.from_url(site.url) as admin:
        admin.acl_setuser("default", enabled=True, commands=["-publish"])
        try:
            sessions.start(ada)
            short = override_settings(SESSIONS_PLUS_LEASE=timedelta(seconds=LEASE))
            with short, pytest.raises(UnsettledError) as caught:
                sessions.revoke_all(ada, settled=True)
            assert 0 < caught.value.within <= 60
            assert len(sent) > 1
            (record,) = reports(caplog)
            assert "publish" in record.getMessage()
        finally:
            admin.acl_setuser("default", enabled=True, commands=["+publish"])


def test_few_permissions_are_enough(memory: Memory, site: Server):
    listening.stop_all()
    with redis.Redis.from_url(site.url) as admin:
        admin.execute_command(
            *("ACL", "SETUSER", "leases", "on", ">secret", "resetchannels"),
            *("&sessions-plus-lease:*", "+info", "+publish", "+subscribe", "+pubsub"),
        )
    url = site.url.replace("://", "://leases:secret@")
    with override_settings(SESSIONS_PLUS_LEASE_CHANNEL=url):
        started()
        client = signed_in()
        sessions.revoke_all(User.objects.get())
        assert publisher().unheard_for() is None
        assert who(client) == ""
        out = io.StringIO()
        call_command("sessions_lease", "status", stdout=out)
        assert f"{site.url}, a primary. Connections that listen: 1." in out.getvalue()


def test_the_command_tells_whether_redis_can_be_used(memory: Memory, site: Server, tmp_path: Path):
    def run(*arguments: str, **options: Any) -> str:
        out = io.StringIO()
        call_command("sessions_lease", *arguments, stdout=out, **options)
        return out.getvalue()

    assert json.loads(run("status", json=True)) == {"channel": site.url, "listening": 1}
    assert "Nothing has to be installed" in run("install")
    assert json.loads(run("install", json=True)) == {"channel": site.url, "changed": False}
    with redis.Redis.from_url(site.url) as admin:
        admin.replicaof("127.0.0.1", "1")
        with pytest.raises(CommandError, match="its role slave"):
            run("status")
        admin.replicaof("NO", "ONE")
    site.stop()
    with pytest.raises(CommandError, match=r"Sessions are not served .* cannot be used"):
        run("status")
    # It is not asked for.
    assert "Nothing has to be installed" in run("install")
    with override_settings(SESSIONS_PLUS_LEASE_CHANNEL="nothing"):
        with pytest.raises(CommandError, match="nor the name of a cache"):
            run("status")
        with pytest.raises(CommandError, match="nor the name of a cache"):
            run("install")


def test_once_redis_is_back_all_forget_what_they_were_not_told(memory: Memory, other: Peer):
    client = signed_in()
    other.run(
        "found = listening.channel_of(Session, 'default').publisher()\n"
        "send = found._send\n"
        "def fail(*_): raise OSError\n"
        "found._send = fail\n"
        "sessions.revoke_all(User.objects.get())\n"
    )
    assert other.run("answer = found.unheard_for()") > 0
    assert who(client) == "ada"
    other.run("found._send = send")

    def is_refused() -> bool:
        # By the thread of that process; nothing else is written.
        other.run("listening.memory_of(Session).find('')")
        return who(client) == ""

    until(is_refused)
    until(lambda: other.run("answer = found.unheard_for()") is None)


def test_a_process_that_is_forked_hears_for_itself(memory: Memory, site: Server, other: Peer):
    client = signed_in()
    (listener,) = listening.listeners()
    inherited: Any = listener._connection
    numbers = [each._sock.fileno() for each in (inherited._listening, inherited._asking)]
    reading, writing = os.pipe()
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            links = [str(Path(f"/proc/self/fd/{each}").readlink()) for each in numbers]
            assert links == [os.devnull] * len(numbers)
            fresh = started()
            assert fresh is not memory
            until(lambda: queries(lambda: who(client)) == ("ada", 0))
            os.write(writing, b"k")
            until(lambda: who(client) == "")
            os.write(writing, b"e")
        finally:
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b"k"
    other.run("sessions.revoke_all(User.objects.get())")
    assert os.read(reading, 1) == b"e"
    os.waitpid(child, 0)
    os.close(reading)
    heard(memory)
    assert who(client) == ""


# Whoever may publish


@pytest.mark.parametrize(
    "message",
    ["", "*", "before", "after x\n*", b"\xff\xfe", "x" * (wire.LONGEST + 1), "before " + 64 * "0"],
)
def test_what_is_not_understood_has_all_forgotten(memory: Memory, site: Server, message: Any):
    client = signed_in()
    publish(site, message)
    heard(memory)
    assert len(memory) == 0
    until(lambda: queries(lambda: who(client)) == ("ada", 0))


def test_nobody_else_can_say_that_a_change_is_over(memory: Memory, site: Server, other: Peer):
    signed_in()
    as_read = snapshot(memory)
    with redis.Redis.from_url(site.url) as spy, spy.pubsub() as spying:
        spying.subscribe(PUBSUB)
        other.run("block = transaction.atomic(); block.__enter__()")
        other.run("sessions.revoke_all(User.objects.get())")
        lines: list[str] = []

        def is_seen() -> bool:
            found = spying.get_message(timeout=0.1)
            if found is not None and found["type"] == "message":
                lines.append(found["data"].decode())
            return bool(lines)

        until(is_seen)
    commitment = lines[0].split("\n")[0].removeprefix("before ")
    session_id = as_read.session_id
    publish(site, f"after {commitment}\ns {session_id}")
    publish(site, f"after {commitment[:32]}\ns {session_id}")
    publish(site, f"before {commitment}\ns {session_id.int:032x}".replace("s ", "d ", 1))
    heard(memory)
    assert not is_kept(memory, as_read)


def test_a_number_that_was_not_asked_for_is_no_answer(
    memory: Memory, site: Server, monkeypatch: pytest.MonkeyPatch
):
    """The connection hears of another number only, because that of the echo is not published."""
    ask = redis_channel.ask

    def ask_without_publishing(connection: Any, *commands: Any) -> list[Any]:
        return [*ask(connection, *commands[:-1]), 1]

    channel: Any = listening.channel_of(Session, "default")
    monkeypatch.setattr(redis_channel, "TIMEOUT", 1.0)
    found = redis_channel.RedisConnection(channel, memory)
    try:
        found.echo()
        publish(site, wire.new_token(), found._private.decode())
        monkeypatch.setattr(redis_channel, "ask", ask_without_publishing)
        with pytest.raises((redis.TimeoutError, UnheardError)):
            found.echo()
    finally:
        found.close()


def test_what_the_server_sends_unasked_ends_the_connection(memory: Memory):
    (listener,) = listening.listeners()
    found: Any = listener._connection
    before = memory._connections
    # As redis-py's own PubSub does after it has connected again.
    found._listening.send_command("SUBSCRIBE", PUBSUB)
    listener._is_asleep = True
    listener.wake()
    until(lambda: memory._connections > before)


def test_a_flood_of_changes_that_never_end_is_bounded(memory: Memory, site: Server):
    from django_sessions_plus.backends.leasing.holds import MOST  # noqa: PLC0415

    with redis.Redis.from_url(site.url) as client:
        pipe = client.pipeline(transaction=False)
        for number in range(2 * MOST):
            pipe.publish(PUBSUB, f"before {number:064x}\nd x")
        pipe.execute()
    heard(memory)
    assert len(memory._holds._by_token) <= MOST + 1
    assert all(each.until <= now() + 60 for each in memory._holds._by_token.values())
