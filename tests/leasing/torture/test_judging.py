"""The judge of the torture of leased_db sees what it has to see."""

import pytest

from tests.leasing.torture.judging import Fault, Revocation, judge, share

LEASE = 0.25


@pytest.mark.parametrize(
    ("decided", "late", "wrong"),
    [
        pytest.param((10.2, 11.0), 0, 0, id="accepted within the lease"),
        pytest.param((10.3, 11.0), 1, 0, id="accepted later"),
        pytest.param((10.3, 10.1), 1, 0, id="accepted again after it was refused"),
        pytest.param((8.0, 8.9), 0, 1, id="refused before it was ended"),
        pytest.param((9.0, 9.5), 0, 0, id="refused between statement and acknowledgement"),
        pytest.param((0.0, 0.0), 0, 0, id="never asked for"),
    ],
)
def test_a_session_is_judged_by_when_decisions_began_and_ended(decided, late, wrong):
    verdict = judge([Revocation(1, "sql", 9.0, 10.0)], [], lambda number: decided, LEASE)

    assert (verdict.total.late, verdict.total.wrong) == (late, wrong)
    assert verdict.violations == late + wrong
    assert verdict.total.used == (decided[0] > 0)


def test_a_session_that_nobody_ended_must_not_be_refused():
    kept = Revocation(1, "not ended", 9.0, None)

    assert judge([kept], [], lambda number: (8.0, 8.5), LEASE).violations == 1
    assert judge([kept], [], lambda number: (8.9, 9.1), LEASE).violations == 0


def test_a_late_decision_counts_for_the_fault_that_lasted_meanwhile():
    faults = [Fault("hold", 9.5, 10.4, True), Fault("restart", 12.0, 13.0, True)]

    verdict = judge([Revocation(1, "sql", 9.0, 10.0)], faults, lambda number: (10.4, 0.0), LEASE)

    assert {kind: row.late for kind, row in verdict.by_fault.items()} == {"hold": 1}


def test_what_the_writer_knows_to_be_unannounced_has_no_lease():
    ended = Revocation(1, "sql", 9.0, 10.0, is_announced=False)

    verdict = judge([ended], [], lambda number: (12.0, 0.0), LEASE)

    assert verdict.total.late == 0
    assert verdict.total.lags == [2.0]


def test_a_share_is_a_value_of_the_list():
    assert share([], 0.5) == 0.0
    assert share([3.0, 1.0, 2.0], 0.5) == 2.0
    assert share([3.0, 1.0, 2.0], 1.0) == 3.0
