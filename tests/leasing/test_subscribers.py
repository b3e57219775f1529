"""Who is called when a session may have ended, while it holds a connection open."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test import AsyncRequestFactory, override_settings

from django_sessions_plus import leases, sessions
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.leasing import listening, subscribers, triggers
from django_sessions_plus.backends.leasing.memory import Memory, now
from django_sessions_plus.backends.leasing.subscribers import Subscribers, subscribers_of
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.middleware import aget_user
from django_sessions_plus.models import Session
from tests.leasing.conftest import ENGINE, PATIENCE, until
from tests.leasing.test_listening import elsewhere, listener, on_postgresql, started
from tests.test_docs import DOCS, blocks


class Receiver:
    """Counts how often it is called, and waits or raises if a test wants it to."""

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self.calls = 0
        self.work = work

    def __call__(self) -> None:
        self.calls += 1
        self.work()

    def is_called_since(self, before: int) -> bool:
        return self.calls > before

    def expect_call(self, cause: Callable[[], object]) -> None:
        before = self.calls
        cause()
        until(lambda: self.is_called_since(before))


def wait_for_calls(ours: Subscribers, memory: Memory) -> None:
    """Wait until everything that the memory has heard so far has been passed on."""
    last, key = Receiver(), f"s {uuid4()}"
    subscription = ours.add(last, [key])
    # The first calls may be of a batch that is not over yet.
    for _ in range(3):
        last.expect_call(lambda: memory.hear(key))
    ours.remove(subscription)


def is_running() -> bool:
    return subscribers.THREAD_NAME in [each.name for each in threading.enumerate()]


# With a memory of the test


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """One whose lease lasts, and which hears what the test tells it."""
    found = Memory(size=100, max_age=60.0)
    found.extend(float("inf"))
    monkeypatch.setattr(subscribers, "memory_of", lambda model: found)
    return found


@pytest.fixture
def ours(memory: Memory) -> Iterator[Subscribers]:
    found = Subscribers(Session)
    yield found
    for each in list(found._all):
        found.remove(each)
    until(lambda: not is_running())


@pytest.fixture
def settle(ours: Subscribers, memory: Memory) -> Callable[[], None]:
    """Return a function that waits until everything that was heard so far has been passed on."""

    def wait() -> None:
        wait_for_calls(ours, memory)

    wait()
    return wait


def test_a_receiver_is_called_once_at_first_for_what_it_has_missed(
    ours: Subscribers, settle: Callable[[], None]
):
    receiver = Receiver()
    ours.add(receiver, ["u 7"])
    settle()
    assert receiver.calls == 1


@pytest.mark.parametrize(
    ("heard", "called"),
    [
        ("s 0192e4a0-0000-7000-8000-000000000001", True),
        ("s 0192E4A0-0000-7000-8000-000000000001", True),
        ("s 0192e4a0-0000-7000-8000-000000000002", False),
        ("u 7", True),
        ("u 77", False),
        # Whose token it is, nobody knows here.
        ("d 1234", True),
        ("*", True),
        ("what others announce", True),
    ],
)
def test_a_receiver_is_called_for_what_concerns_it(
    ours: Subscribers, memory: Memory, settle: Callable[[], None], heard: str, called: bool
):
    receiver = Receiver()
    ours.add(receiver, ["s 0192e4a0-0000-7000-8000-000000000001", "u 7"])
    settle()
    memory.hear(heard)
    settle()
    assert receiver.calls == 1 + called


def test_a_user_whose_announcement_is_not_known_is_any_user(
    ours: Subscribers, memory: Memory, settle: Callable[[], None]
):
    receiver = Receiver()
    ours.add(receiver, [subscribers.ANY_USER])
    settle()
    memory.hear("u ada@example.org")
    settle()
    assert receiver.calls == 2


def test_a_change_is_passed_on_once_it_is_committed(
    ours: Subscribers, memory: Memory, settle: Callable[[], None]
):
    receiver = Receiver()
    ours.add(receiver, ["u 7"])
    settle()
    memory.hold("a change", ["u 7"], seconds=60.0)
    settle()
    assert receiver.calls == 1
    memory.release("a change", ["u 7"])
    settle()
    assert receiver.calls == 2


def test_one_that_is_neither_committed_nor_known_to_be_rolled_back_is_passed_on_in_the_end(
    ours: Subscribers, memory: Memory, settle: Callable[[], None]
):
    receiver = Receiver()
    ours.add(receiver, ["u 7"])
    settle()
    memory.hold("a change", ["u 7"], seconds=0.0)
    memory.begin()
    settle()
    assert receiver.calls == 2


def test_all_are_called_when_the_connection_is_another_one(
    ours: Subscribers,
    memory: Memory,
    settle: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(subscribers, "LAPSE_INTERVAL", 3600.0)
    receiver = Receiver()
    ours.add(receiver, ["u 7"])
    settle()
    memory.stop()
    memory.extend(float("inf"))
    settle()
    assert receiver.calls == 2


def test_all_are_called_again_and_again_while_the_lease_is_not_valid(
    ours: Subscribers,
    memory: Memory,
    settle: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
):
    receiver = Receiver()
    ours.add(receiver, ["u 7"])
    settle()
    monkeypatch.setattr(subscribers, "LAPSE_INTERVAL", 0.01)
    memory.extend(now() + 0.05)
    settle()
    until(lambda: receiver.calls >= 5)
    memory.extend(float("inf"))
    settle()
    before = receiver.calls
    settle()
    assert receiver.calls == before


def test_however_much_is_heard_while_a_receiver_is_slow_it_is_called_once_more(
    ours: Subscribers, memory: Memory, settle: Callable[[], None]
):
    is_over = threading.Event()
    receiver = Receiver(is_over.wait)
    receiver.expect_call(lambda: ours.add(receiver, ["u 7"]))
    for _ in range(5_000):
        memory.hear("u 7")
        memory.hear(f"u {uuid4()}")
    assert len(ours._due) == 1
    is_over.set()
    settle()
    assert receiver.calls == 2


@pytest.mark.parametrize("error", [ValueError("of a receiver"), SystemExit(1)])
def test_a_receiver_that_fails_is_logged_and_the_others_are_called(
    ours: Subscribers,
    memory: Memory,
    settle: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
):
    caplog.set_level(logging.ERROR, "django.dispatch")

    def fail() -> None:
        raise error

    failing, *others = Receiver(fail), Receiver(), Receiver()
    for each in (others[0], failing, others[1]):
        ours.add(each, ["u 7"])
    settle()
    memory.hear("u 7")
    settle()
    assert [each.calls for each in (failing, *others)] == [2, 2, 2]
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error, error]


def test_a_filter_of_the_log_that_fails_does_not_end_the_thread(
    ours: Subscribers, settle: Callable[[], None]
):
    def fail(*args: Any) -> bool:
        raise ValueError

    subscribers.logger.addFilter(fail)
    try:
        ours.add(Receiver(fail), ["u 7"])
        settle()
    finally:
        subscribers.logger.removeFilter(fail)


def test_the_connections_of_the_receivers_are_closed_after_them(
    ours: Subscribers, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    done: list[tuple[str, str]] = []

    def note(what: str) -> Callable[[], None]:
        return lambda: done.append((what, threading.current_thread().name))

    monkeypatch.setattr(connections, "close_all", note("close"))
    ours.add(note("call"), ["u 7"])
    until(lambda: len(done) >= 2)
    assert [what for what, thread in done[:2]] == ["call", "close"]
    assert {thread for what, thread in done} == {subscribers.THREAD_NAME}


def test_after_the_end_of_a_subscription_it_is_not_called(
    ours: Subscribers, memory: Memory, settle: Callable[[], None]
):
    receiver = Receiver()
    subscription = ours.add(receiver, ["u 7"])
    settle()
    for _ in range(2):
        ours.remove(subscription)
    memory.hear("u 7")
    memory.hear("*")
    settle()
    assert receiver.calls == 1
    assert "u 7" not in ours._by_announcement


def test_one_that_is_removed_by_another_of_the_same_batch_is_not_called(
    ours: Subscribers, memory: Memory, settle: Callable[[], None]
):
    calls: list[str] = []
    made: dict[str, Any] = {}

    def receiver(name: str, other: str) -> Callable[[], None]:
        def receive() -> None:
            calls.append(name)
            if len(made) == 2:
                ours.remove(made[other])

        return receive

    both = [("a", "b"), ("b", "a")]
    found = {name: ours.add(receiver(name, other), ["u 7"]) for name, other in both}
    settle()
    calls.clear()
    made.update(found)
    memory.hear("u 7")
    settle()
    assert len(calls) == 1


def test_a_receiver_may_end_its_own_subscription_and_begin_another(
    ours: Subscribers, memory: Memory
):
    second = Receiver()
    ids: list[Any] = []

    def replace() -> None:
        until(lambda: ids)
        ours.remove(ids[0])
        ours.add(second, ["u 8"])

    ids.append(ours.add(replace, ["u 7"]))
    until(lambda: second.calls == 1)
    second.expect_call(lambda: memory.hear("u 8"))


def test_without_subscriptions_nothing_runs_and_nothing_is_passed_on(
    ours: Subscribers, memory: Memory
):
    assert not is_running()
    assert memory.on_heard is None
    receiver = Receiver()
    for _ in range(2):
        before = receiver.calls
        subscription = ours.add(receiver, ["u 7"])
        until(partial(receiver.is_called_since, before))
        assert is_running()
        assert memory.on_heard is not None
        ours.remove(subscription)
        until(lambda: not is_running())
    ours.remove(ours.add(receiver, ["u 7"]))
    until(lambda: not is_running())
    # What a receiver refers to is let go.
    assert ours._due == ours._all == set()


def test_a_fork_waits_for_no_lock_that_a_thread_of_its_parent_had(
    ours: Subscribers, memory: Memory, settle: Callable[[], None]
):
    subscription = ours.add(Receiver(), ["u 7"])
    with subscribers._lock, ours._condition:
        child = os.fork()
        if child == 0:
            ours.remove(subscription)
            subscribers_of(Session)
            os._exit(0)
    assert waited_for(child) == 0
    assert subscription in ours._all


def waited_for(child: int) -> int:
    """Return the exit code of a process, which is ended if it does not end by itself."""
    codes: list[int] = []

    def is_over() -> bool:
        pid, status = os.waitpid(child, os.WNOHANG)
        codes.append(os.waitstatus_to_exitcode(status))
        return pid == child

    try:
        until(is_over)
    except AssertionError:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return codes[-1]


def test_a_router_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(model: Any) -> Memory:
        raise ValueError

    monkeypatch.setattr(subscribers, "memory_of", fail)
    monkeypatch.setattr(subscribers, "LAPSE_INTERVAL", 0.01)
    ours, receiver = Subscribers(Session), Receiver()
    subscription = ours.add(receiver, ["u 7"])
    until(lambda: receiver.calls > 3)
    ours.remove(subscription)
    until(lambda: not is_running())
    assert caplog.text.count("Could not listen for sessions that end") == 1


# What is subscribed to


@pytest.mark.parametrize(
    "engine",
    [
        "django_sessions_plus.backends.db",
        "django_sessions_plus.backends.cached_db",
        "django.contrib.sessions.backends.cache",
    ],
)
def test_with_an_engine_that_announces_nothing_it_is_refused(engine: str):
    with (
        override_settings(SESSION_ENGINE=engine),
        pytest.raises(ConfigurationError, match=engine),
    ):
        leases.subscribe(Receiver(), Session(user_id=7))
    assert not is_running()


@pytest.mark.parametrize(
    ("user_id", "announcements"),
    [(7, ["u 7"]), (None, []), ("Ada", [subscribers.ANY_USER]), (True, [subscribers.ANY_USER])],
)
def test_the_announcements_of_a_session_are_those_of_its_row_and_user(
    user_id: Any, announcements: list[str]
):
    session = Session(user_id=user_id)
    assert leases._announcements_of(session) == [f"s {session.pk}", *announcements]


# One process


@pytest.fixture
def ours_in_process(ada: User) -> Iterator[Session]:
    with override_settings(SESSION_ENGINE=ENGINE, SESSIONS_PLUS_LEASE_CHANNEL="process"):
        sessions.start(ada)
        yield Session.objects.get()
    listening.stop_all()


@pytest.mark.django_db(transaction=True)
def test_what_this_process_ends_calls_the_receiver_after_the_commit(ours_in_process: Session):
    receiver, memory = Receiver(), listening.memory_of(Session)
    unsubscribe = leases.subscribe(receiver, ours_in_process)
    wait_for_calls(subscribers_of(Session), memory)
    try:
        with transaction.atomic():
            sessions.revoke(ours_in_process)
            wait_for_calls(subscribers_of(Session), memory)
            before = receiver.calls
        until(lambda: receiver.calls > before)
        receiver.expect_call(lambda: Session.objects.all().delete())
    finally:
        unsubscribe()
    until(lambda: not is_running())


@pytest.mark.django_db(transaction=True)
def test_the_stream_of_the_documentation_ends_with_its_session_and_leaves_nothing(
    ada: User, ours_in_process: Session
):
    (block,) = (each for each in blocks(DOCS / "leases.md", "python") if "event-stream" in each)
    defined: dict[str, Any] = {"__name__": "documentation"}
    exec(compile(block, "documentation", "exec"), defined)
    token = sessions.start(ada).session_key

    async def answer() -> Any:
        request: Any = AsyncRequestFactory().get("/events")
        request.session = new_store(token)
        request.auser = partial(aget_user, request)
        return await defined["events"](request)

    async def story() -> None:
        stream = aiter(await answer())
        assert await anext(stream) == b"data: still signed in\n\n"
        await sessions.arevoke_all(ada)
        async for each in stream:
            assert each == b"data: still signed in\n\n"
        assert (await answer()).status_code == 204

    async def story_in_time() -> None:
        await asyncio.wait_for(story(), PATIENCE)

    async_to_sync(story_in_time)()
    until(lambda: not is_running())


# PostgreSQL


@pytest.fixture
def session(ada: User) -> Iterator[Session]:
    """A session, with a thread that listens, and triggers. The lease is long, so that only announcements count."""
    with override_settings(SESSION_ENGINE=ENGINE, SESSIONS_PLUS_LEASE=timedelta(minutes=5)):
        triggers.install(Session, "default")
        sessions.start(ada)
        try:
            yield Session.objects.get()
        finally:
            left = subscribers_of(Session)
            for each in list(left._all):
                left.remove(each)
            until(lambda: not is_running())
            listening.stop_all()
            triggers.remove(Session, "default")


def subscribed(session: Session, receiver: Receiver) -> Callable[[], None]:
    """Subscribe, and wait until all is called that is called at the beginning."""
    undo = leases.subscribe(receiver, session)
    started()
    ours = subscribers_of(Session)
    until(lambda: receiver.calls and not ours._due and not ours._are_all_due)
    return undo


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE django_sessions_plus_session SET ended_at = now()",
        "DELETE FROM django_sessions_plus_session",
        "UPDATE auth_user SET is_active = false",
        "TRUNCATE django_sessions_plus_session CASCADE",
    ],
    ids=["end", "delete", "deactivate", "truncate"],
)
def test_a_statement_elsewhere_calls_the_receiver_which_finds_the_session_ended(
    session: Session, sql: str
):
    answers: list[bool] = []
    rows = Session.objects.active().filter(pk=session.pk, user__is_active=True)
    subscribed(session, Receiver(lambda: answers.append(rows.exists())))
    until(lambda: True in answers)
    elsewhere(sql)
    until(lambda: False in answers)


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_verb_in_another_process_calls_the_receiver_and_a_fork_inherits_no_subscription(
    session: Session,
):
    receiver = Receiver()
    subscribed(session, receiver)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = receiver.calls
            inside = Receiver()
            is_alone = not subscribers_of(Session)._all and not is_running()
            subscribed(session, inside)
            os.write(writing, f"ready {is_alone}".encode())
            calls = inside.calls
            until(lambda: inside.calls > calls)
            os.write(writing, f"over {receiver.calls - before}".encode())
        finally:
            os._exit(0)
    # Now it ends with the child.
    os.close(writing)
    assert os.read(reading, 1000) == b"ready True"
    receiver.expect_call(lambda: sessions.revoke(session))
    assert os.read(reading, 1000) == b"over 0"
    os.close(reading)
    assert waited_for(child) == 0


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_cut_calls_the_receiver(session: Session):
    receiver = Receiver()
    subscribed(session, receiver)
    receiver.expect_call(
        lambda: elsewhere(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'sessions-plus-lease' AND datname = current_database()"
        )
    )


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_echoes_are_sent_though_no_request_asks_until_nobody_subscribes(session: Session):
    with override_settings(SESSIONS_PLUS_LEASE=timedelta(milliseconds=20)):
        started()
        # Also one that sleeps is woken.
        until(lambda: listener()._is_asleep)
        receiver = Receiver()
        undo = leases.subscribe(receiver, session)
        sent_at = listener().heard_at
        until(lambda: listener().heard_at > sent_at + 0.5)
        assert not listener()._is_asleep
        undo()
        until(lambda: listener()._is_asleep)
        assert listener().memory.on_heard is None
