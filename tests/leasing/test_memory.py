"""The memory alone: what it serves, what it keeps, what it forgets. No database, no thread, a clock of the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from django_sessions_plus.backends.leasing import memory as module
from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.backends.leasing.snapshots import Columns, Snapshot

NOTHING = Columns(None, (), (), False)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    found = Memory(size=3, max_age=60.0, clock=clock)
    found.extend(200.0)
    return found


def snapshot(
    digest: str = "d", *, user: str | None = "7", session_id: UUID | None = None
) -> Snapshot:
    return Snapshot(
        session_id=session_id or uuid4(),
        digest=digest,
        user_key=user,
        identity={},
        alias="default",
        read_at=100.0,
        row=NOTHING,
        user=None,
    )


def keep(memory: Memory, one: Snapshot) -> Snapshot:
    ticket = memory.begin()
    assert ticket is not None
    assert memory.keep(replace(one, read_at=ticket.at), ticket)
    return one


def test_what_is_kept_is_served_by_digest_and_by_id(memory):
    one = keep(memory, snapshot())
    for key in ("d", one.session_id):
        found = memory.find(key)
        assert found is not None
        assert found.session_id == one.session_id
    assert memory.find("other") is None
    assert memory.find(uuid4()) is None
    assert (memory.figures.hits, memory.figures.misses) == (2, 2)


@pytest.mark.parametrize("seconds", [200.0, 200.1, 1e9])
def test_nothing_is_served_at_the_end_of_the_lease_or_later(memory, clock, seconds):
    keep(memory, snapshot())
    clock.seconds = seconds
    assert memory.find("d") is None
    assert memory.begin() is None
    assert memory.figures.lapses == 1


def test_it_is_served_again_when_the_lease_is_extended_over_the_same_connection(memory, clock):
    keep(memory, snapshot())
    clock.seconds = 150.0
    memory.extend(120.0)
    assert memory.find("d") is None
    memory.extend(160.0)
    assert memory.find("d") is not None


def test_it_is_served_no_longer_than_its_age_counted_from_the_read(memory, clock):
    memory.extend(1e9)
    keep(memory, snapshot())
    clock.seconds = 159.9
    assert memory.find("d") is not None
    clock.seconds = 160.0
    assert memory.find("d") is None


def test_another_process_is_served_nothing(memory, monkeypatch):
    keep(memory, snapshot())
    ticket = memory.begin()
    monkeypatch.setattr(module.os, "getpid", lambda: -1)
    # As a thread of the parent may have left it.
    memory._lock.acquire()
    assert memory.find("d") is None
    assert memory.begin() is None
    assert not memory.keep(snapshot("other"), ticket)
    memory.hear("*")


@pytest.mark.parametrize(
    "announced",
    [lambda one: f"s {one.session_id}", lambda one: "u 7", lambda one: "*", lambda one: "other"],
    ids=["session", "user", "everything", "unknown"],
)
def test_what_is_announced_is_removed(memory, announced: Callable[[Snapshot], str]):
    one = keep(memory, snapshot())
    memory.hear(announced(one))
    assert memory.find("d") is None
    assert memory.find(one.session_id) is None
    assert len(memory) == 0


def test_nothing_else_is_removed(memory):
    keep(memory, snapshot())
    memory.hear(f"s {uuid4()}")
    memory.hear("u 8")
    memory.hear("u 77")
    assert memory.find("d") is not None


def test_all_sessions_of_a_user_are_removed_and_those_of_nobody_stay(memory):
    keep(memory, snapshot("one"))
    keep(memory, snapshot("two"))
    keep(memory, snapshot("nobody", user=None))
    memory.hear("u 7")
    assert memory.find("one") is None
    assert memory.find("two") is None
    assert memory.find("nobody") is not None
    memory.hear("u ")
    assert memory.find("nobody") is not None


@pytest.mark.parametrize(
    "announced",
    [lambda one: f"s {one.session_id}", lambda one: "u 7", lambda one: "*"],
    ids=["session", "user", "everything"],
)
def test_what_was_read_before_an_announcement_is_not_kept_after_it(
    memory, announced: Callable[[Snapshot], str]
):
    one, ticket = snapshot(), memory.begin()
    memory.hear(f"s {uuid4()}")
    memory.hear(announced(one))
    memory.hear("u 8")
    assert not memory.keep(one, ticket)
    assert memory.find("d") is None
    assert memory.figures.refused == 1


def test_what_was_read_while_others_were_announced_is_kept(memory):
    one, ticket = snapshot(), memory.begin()
    memory.hear(f"s {uuid4()}")
    memory.hear("u 8")
    assert memory.keep(one, ticket)


def test_what_was_read_before_more_announcements_than_are_remembered_is_not_kept(
    memory, monkeypatch
):
    monkeypatch.setattr(module, "REMEMBERED", 2)
    memory.__post_init__()
    memory.extend(200.0)
    one, ticket = snapshot(), memory.begin()
    memory.hear(f"s {one.session_id}")
    memory.hear("u 8")
    memory.hear("u 9")
    assert not memory.keep(one, ticket)


def test_a_new_connection_empties_it_and_ends_the_lease(memory):
    keep(memory, snapshot())
    ticket = memory.begin()
    memory.start()
    assert memory.find("d") is None
    memory.extend(200.0)
    assert memory.find("d") is None
    assert not memory.keep(snapshot(), ticket)
    keep(memory, snapshot())
    assert memory.find("d") is not None


def test_of_more_rows_than_it_has_room_for_the_one_goes_that_was_not_used_for_longest(memory):
    for digest in ("one", "two", "three"):
        keep(memory, snapshot(digest))
    assert memory.find("one") is not None
    keep(memory, snapshot("four"))
    assert memory.find("two") is None
    assert [memory.find(each) is not None for each in ("one", "three", "four")] == [True] * 3
    assert len(memory) == 3
    assert len(memory._ids) == 3
    assert sum(map(len, memory._ids_of_users.values())) == 3


def test_a_new_token_takes_the_place_of_the_old_one(memory):
    one = keep(memory, snapshot("old"))
    keep(memory, snapshot("new", session_id=one.session_id))
    assert memory.find("old") is None
    assert memory.find("new") is not None
    assert len(memory) == 1


def test_an_empty_memory_holds_nothing_of_what_it_had(memory):
    for number in range(10):
        one = keep(memory, snapshot(f"d{number}", user=str(number)))
        memory.hear(f"s {one.session_id}")
    assert [memory._snapshots, memory._ids, memory._ids_of_users] == [{}, {}, {}]
