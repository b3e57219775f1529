"""The circuit breaker: when a cache that fails is asked again, and what is invalidated in it first."""

from __future__ import annotations

import pytest

from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.backends.caching.circuit import Circuit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [1000.0]
    monkeypatch.setattr(circuit, "monotonic", lambda: moment[0])
    return moment


def test_nothing_is_pending_for_a_cache_that_works():
    found = Circuit()
    assert found.may_call()
    assert found.pending() is None
    assert not found.has_pending


def test_one_thread_is_sent_ahead_after_the_delay(clock: list[float]):
    failing = Circuit()
    failing.note_failure()
    assert not failing.may_call()
    clock[0] += circuit.FIRST_DELAY
    assert [failing.may_call() for _ in range(3)] == [True, False, False]


def test_each_failure_doubles_the_delay_up_to_the_longest(clock: list[float]):
    failing = Circuit()
    for delay in (1, 2, 4, 8, 16, 30, 30):
        failing.note_failure()
        clock[0] += delay - 0.5
        assert not failing.may_call()
        clock[0] += 0.5
        assert failing.may_call()


def test_the_delay_does_not_grow_while_invalidations_are_pending(clock: list[float]):
    failing = Circuit()
    for _ in range(10):
        failing.note_failure()
    failing.add_pending({"one"})
    clock[0] += circuit.FIRST_DELAY
    assert failing.may_call()
    failing.note_failure()
    clock[0] += circuit.FIRST_DELAY
    assert failing.may_call()


def test_an_outage_of_days_is_only_an_outage():
    failing = Circuit()
    for _ in range(5_000):
        failing.note_failure()
    assert not failing.may_call()


def test_what_is_added_while_others_are_invalidated_stays_pending():
    failing = Circuit()
    failing.note_failure()
    failing.add_pending({"one"})
    done = failing.pending()
    failing.add_pending({"two"})
    failing.note_success(done)
    pending = failing.pending()
    assert pending is not None
    assert pending.digests == {"one", "two"}
    failing.note_success(pending)
    assert failing.pending() is None
    assert failing.may_call()


def test_of_too_many_digests_it_is_remembered_that_it_is_everything(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(circuit, "MAX_DIGESTS", 2)
    failing = Circuit()
    failing.add_pending({"one", "two"})
    failing.add_pending({"three"})
    pending = failing.pending()
    assert pending is not None
    assert pending.digests is None
    assert failing.has_pending


def test_a_success_that_began_before_a_failure_closes_nothing():
    found = Circuit()
    before = found.pending()
    found.note_failure()
    found.note_success(before)
    assert not found.may_call()
