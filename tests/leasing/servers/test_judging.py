"""The judge of the servers sees what it has to see."""

import pytest

from tests.leasing.servers.judging import Decision, Shown

LEASE = 0.25


def seen(**changes):
    """Return what a server that works has shown, but for ``changes``."""
    good = {
        "asked": 100,
        "from_memory": 100,
        "seldom_asked": 20,
        "seldom_from_memory": 19,
        "ends": 1,
        "answered_in_freeze": 2,
        "connections": 2,
        "stopped_after": 1.0,
    }
    return Shown(**{"processes": 2, **good, **changes})


def test_a_server_that_works_is_well():
    assert seen().judge() == []
    assert seen(runs_between=False, seldom_from_memory=0).judge() == []
    assert seen(begins=True, connections=3).judge() == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"late": 1}, "1 accepted too late"),
        ({"unrefused": 1}, "1 ends showed nothing"),
        ({"ends": 0}, "0 ends showed nothing"),
        ({"errors": 3}, "3 questions failed"),
        ({"from_memory": 40}, "40% from memory"),
        ({"seldom_from_memory": 5}, "25% from memory if asked seldom"),
        ({"connections": 1}, "1 connections"),
        ({"begins": True}, "2 connections"),
        ({"answered_in_freeze": 1}, "requests waited for the listener"),
        ({"stopped_after": 20.0}, "stopped after 20 s"),
        ({"left": 1}, "1 connections left"),
        ({"complaints": ["waited in vain for an answer"]}, "waited in vain for an answer"),
    ],
)
def test_what_is_wrong_is_said(changes, complaint):
    assert seen(**changes).judge() == [complaint]


@pytest.mark.parametrize(
    ("began", "allowed", "late"),
    [(10.2, LEASE, 0), (10.3, LEASE, 1), (9.9, 0.0, 0), (10.01, 0.0, 1)],
)
def test_what_was_accepted_is_judged_by_when_the_decision_began(began, allowed, late):
    shown = seen(ends=0)

    shown.add_end(
        [Decision(began, 11.0, 1, True, True), Decision(10.9, 11.0, 1, False, False)], 10.0, allowed
    )

    assert (shown.ends, shown.late, shown.unrefused) == (1, late, 0)


def test_an_end_after_which_nothing_was_refused_shows_nothing():
    shown = seen(ends=0)

    shown.add_end([Decision(9.8, 9.9, 1, False, False)], 10.0, LEASE)

    assert shown.unrefused == 1
