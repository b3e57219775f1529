"""What is published of a change, and what a memory makes of what anybody may have published. No Redis."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus.backends.leasing import wire
from django_sessions_plus.backends.leasing.holds import MOST
from django_sessions_plus.backends.leasing.memory import Memory
from tests.leasing.test_memory import Clock, keep, snapshot

ID = UUID(int=7)
CHANGE = [f"s {ID}"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    found = Memory(size=10, max_age=60.0, clock=clock)
    found.extend(float("inf"))
    return found


def pass_on(memory: Memory, message: str | bytes) -> None:
    wire.pass_on(message.encode() if isinstance(message, str) else message, memory)


def may_keep(memory: Memory, one: Any) -> bool:
    ticket = memory.begin()
    assert ticket is not None
    return memory.keep(one, ticket)


def test_both_messages_are_understood():
    token = wire.new_token()
    for text, is_over in ((wire.before(token, CHANGE), False), (wire.after(token, CHANGE), True)):
        found = wire.understood(text.encode())
        assert found == (wire.commitment_to(token), is_over, tuple(CHANGE))


def test_the_token_is_not_published_before_the_change_is_over():
    token = wire.new_token()
    assert token not in wire.before(token, CHANGE)


def test_the_most_that_is_ever_sent_is_understood():
    digests = [f"d {number:064x}" for number in range(wire.MOST_NAMED)]
    found = wire.understood(wire.before(wire.new_token(), digests).encode())
    assert found is not None
    assert len(found.announcements) == wire.MOST_NAMED


def test_from_before_a_write_until_after_it_nothing_is_kept(memory: Memory):
    one, two = keep(memory, snapshot(session_id=ID)), keep(memory, snapshot("e"))
    token = wire.new_token()
    pass_on(memory, wire.before(token, CHANGE))
    assert memory.find(one.session_id) is None
    assert memory.find(two.session_id) == two
    assert not may_keep(memory, one)
    early = memory.begin()
    pass_on(memory, wire.after(token, CHANGE))
    assert early is not None
    assert not memory.keep(one, early)
    assert may_keep(memory, one)


def test_a_change_without_an_end_is_held_for_the_age(memory: Memory, clock: Clock):
    pass_on(memory, wire.before(wire.new_token(), CHANGE))
    clock.seconds += 59.9
    assert not may_keep(memory, snapshot(session_id=ID))
    early = memory.begin()
    clock.seconds += 0.2
    assert early is not None
    assert not memory.keep(snapshot(session_id=ID), early)
    assert may_keep(memory, snapshot(session_id=ID))


TOKEN = "0123456789abcdef" * 2
COMMITMENT = wire.commitment_to(TOKEN)


@pytest.mark.parametrize(
    "message",
    [
        *("", "*", "s", f"s {ID}", "before", f"before {COMMITMENT}", f"after {TOKEN}"),
        *(f"before {TOKEN}\ns {ID}", f"before {COMMITMENT.upper()}\ns {ID}"),
        *(f"after {COMMITMENT}\ns {ID}", f"After {TOKEN}\ns {ID}", f"after {TOKEN}\n\n"),
        *(f" before {COMMITMENT}\ns {ID}", f"before {COMMITMENT} \ns {ID}"),
        f"after {TOKEN}\ns not-an-id",
        f"after {TOKEN}\n" + "\n".join(["d x"] * (wire.MOST_NAMED + 1)),
        f"after {TOKEN}\nd " + "x" * wire.LONGEST,
        b"\xff\x00\xfe",
    ],
)
def test_what_is_none_of_ours_has_all_forgotten(memory: Memory, message: Any):
    keep(memory, snapshot("other"))
    pass_on(memory, message)
    assert len(memory) == 0


def test_who_has_only_listened_cannot_end_a_hold_nor_narrow_it(memory: Memory):
    one = snapshot(session_id=ID)
    pass_on(memory, wire.before(TOKEN, CHANGE))
    pass_on(memory, f"after {COMMITMENT}\ns {ID}")
    pass_on(memory, f"after {COMMITMENT[:32]}\ns {ID}")
    pass_on(memory, f"before {COMMITMENT}\nd other")
    assert not may_keep(memory, one)


def test_many_changes_are_held_together_and_not_for_ever(memory: Memory, clock: Clock):
    for _ in range(MOST + 1):
        pass_on(memory, wire.before(wire.new_token(), ["d x"]))
    # One of this process, in a transaction that may last.
    memory.hold("own", CHANGE, seconds=float("inf"))
    assert not may_keep(memory, snapshot("any"))
    assert len(memory._holds._by_token) <= MOST + 1
    clock.seconds += 60
    memory.release("own", CHANGE)
    assert may_keep(memory, snapshot("any"))


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(
                lambda head, lines: "\n".join((head, *lines)).encode(),
                st.sampled_from(
                    [
                        f"before {COMMITMENT}",
                        f"after {COMMITMENT}",
                        f"after {'0' * 32}",
                        f"before {'0' * 64}",
                    ]
                ),
                st.lists(st.sampled_from([f"s {ID}", "d x", "*", "u 1", ""]), max_size=3),
            ),
        ),
        max_size=8,
    )
)
def test_whatever_anybody_publishes_what_is_held_is_not_kept(messages: list[bytes]):
    memory = Memory(size=10, max_age=60.0, clock=Clock())
    memory.extend(float("inf"))
    pass_on(memory, wire.before(TOKEN, CHANGE))
    for each in messages:
        pass_on(memory, each)
    assert not may_keep(memory, snapshot(session_id=ID))
