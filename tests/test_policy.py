"""The rules of a session's life, at their boundaries and for any values."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus import policy
from django_sessions_plus.policy import Status

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
spans = st.timedeltas(timedelta(0), timedelta(days=4000))


def judge(**facts):
    given_facts = {
        "ended_at": None,
        "expires_at": NOW + HOUR,
        "since": NOW - HOUR,
        "absolute_age": DAY,
        "now": NOW,
    }
    return policy.status(**given_facts | facts)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, Status.ACTIVE),
        ({"expires_at": NOW + TICK}, Status.ACTIVE),
        ({"expires_at": NOW}, Status.EXPIRED),
        ({"expires_at": NOW - TICK}, Status.EXPIRED),
        ({"since": NOW - DAY + TICK}, Status.ACTIVE),
        ({"since": NOW - DAY}, Status.EXPIRED),
        ({"since": NOW - DAY - TICK}, Status.EXPIRED),
        ({"since": None}, Status.ACTIVE),
        ({"since": NOW - 1000 * DAY, "absolute_age": None}, Status.ACTIVE),
        ({"since": NOW + HOUR}, Status.ACTIVE),
        ({"ended_at": NOW}, Status.ENDED),
        ({"ended_at": NOW - DAY}, Status.ENDED),
        ({"ended_at": NOW + HOUR}, Status.ENDED),
        ({"ended_at": NOW, "expires_at": NOW - DAY}, Status.ENDED),
        ({"ended_at": NOW, "since": NOW - 9 * DAY}, Status.ENDED),
        ({"ended_at": NOW, "end_reason": "revoked"}, Status.ENDED),
        ({"ended_at": NOW, "end_reason": "idle_timeout"}, Status.EXPIRED),
        ({"ended_at": NOW, "end_reason": "absolute_timeout"}, Status.EXPIRED),
        ({"ended_at": NOW, "end_reason": "timeout of my own"}, Status.ENDED),
    ],
)
def test_a_session_is_active_until_it_ends_or_either_timeout_strikes(facts, expected):
    assert judge(**facts) is expected


def test_the_words_of_the_status_are_plain_text():
    assert [str(status) for status in Status] == ["active", "ended", "expired"]


@pytest.mark.parametrize(
    ("authenticated_at", "absolute_age", "expected"),
    [(NOW, DAY, NOW + DAY), (None, DAY, None), (NOW, None, None), (None, None, None)],
)
def test_the_absolute_limit_needs_a_sign_in_and_a_setting(authenticated_at, absolute_age, expected):
    assert policy.deadline(authenticated_at, absolute_age) == expected


@pytest.mark.parametrize(
    ("explicit", "limit", "expected"),
    [
        (None, None, NOW + HOUR),
        (None, NOW + DAY, NOW + HOUR),
        (None, NOW + TICK, NOW + TICK),
        # Until the browser closes: the row has its idle timeout all the same.
        (0, None, NOW + HOUR),
        (0, NOW + TICK, NOW + TICK),
        (1, None, NOW + timedelta(seconds=1)),
        (7200, None, NOW + 2 * HOUR),
        (7200, NOW + HOUR, NOW + HOUR),
        (-5, None, NOW - timedelta(seconds=5)),
        (NOW + 9 * DAY, None, NOW + 9 * DAY),
        (NOW + 9 * DAY, NOW + DAY, NOW + DAY),
        (NOW - DAY, NOW + DAY, NOW - DAY),
        (None, NOW - DAY, NOW - DAY),
    ],
)
def test_the_limit_caps_what_was_asked_for_and_that_goes_before_the_idle_timeout(
    explicit, limit, expected
):
    found = policy.next_expiry(explicit=explicit, idle_age=HOUR, limit=limit, now=NOW)
    assert found == expected


@given(
    explicit=st.one_of(st.none(), st.integers(-(10**6), 10**8), moments),
    idle_age=spans,
    limit=moments,
    now=moments,
)
def test_no_expiry_is_ever_after_the_limit(explicit, idle_age, limit, now):
    found = policy.next_expiry(explicit=explicit, idle_age=idle_age, limit=limit, now=now)
    assert found <= limit
    free = policy.next_expiry(explicit=explicit, idle_age=idle_age, limit=None, now=now)
    assert found == min(free, limit)


@given(expiry=moments, authenticated_at=moments, absolute_age=spans, idle_age=spans, now=moments)
def test_a_session_is_active_exactly_until_its_next_expiry(
    expiry, authenticated_at, absolute_age, idle_age, now
):
    expires_at = policy.next_expiry(
        explicit=expiry,
        idle_age=idle_age,
        limit=policy.deadline(authenticated_at, absolute_age),
        now=now,
    )
    found = policy.status(
        ended_at=None,
        expires_at=expires_at,
        since=authenticated_at,
        absolute_age=absolute_age,
        now=now,
    )
    assert found is (Status.ACTIVE if now < expires_at else Status.EXPIRED)


@pytest.mark.parametrize(
    ("started_by", "used_by", "expected"),
    [
        ("cookie", "cookie", True),
        ("cookie", "bearer", True),
        ("cookie", "jwt", False),
        ("bearer", "cookie", True),
        ("bearer", "bearer", True),
        ("bearer", "jwt", False),
        ("jwt", "cookie", True),
        ("jwt", "bearer", True),
        ("jwt", "jwt", True),
    ],
)
def test_a_pair_lengthens_only_what_started_with_one(started_by, used_by, expected):
    assert policy.may_lengthen(started_by=started_by, used_by=used_by) is expected


MINUTE = timedelta(minutes=1)


def slides(left, would_have, update_age=DAY):
    """Tell whether a use moves the expiry of a session that has ``left`` and then ``would_have``."""
    return policy.is_slide_due(
        expires_at=NOW + left, next_expiry=NOW + would_have, update_age=update_age, now=NOW
    )


@pytest.mark.parametrize(
    ("left", "would_have", "update_age", "expected"),
    [
        # Under one and the same timeout: what it has lost since is how long ago it was moved.
        (29 * DAY + TICK, 30 * DAY, DAY, False),
        (29 * DAY, 30 * DAY, DAY, True),
        (29 * DAY - TICK, 30 * DAY, DAY, True),
        # A fifth of the idle timeout at the latest, or a short one would never move.
        (48 * MINUTE + TICK, HOUR, DAY, False),
        (48 * MINUTE, HOUR, DAY, True),
        (30 * DAY, 30 * DAY, timedelta(0), True),
        (30 * DAY, 30 * DAY, DAY, False),
        # A lengthened timeout, of which the row knows nothing.
        (55 * MINUTE, 14 * DAY, DAY, True),
        (13 * DAY + HOUR, 14 * DAY, DAY, False),
        (59 * MINUTE, 70 * MINUTE, DAY, False),
        (56 * MINUTE, 70 * MINUTE, DAY, True),
        # A shortened one.
        (14 * DAY, HOUR, DAY, True),
        (HOUR + MINUTE + TICK, HOUR, DAY, True),
        (30 * TICK, 10 * TICK, DAY, True),
        # Another host's clock is ahead.
        (HOUR + MINUTE, HOUR, DAY, False),
        (12 * TICK, 10 * TICK, DAY, False),
        # Close to the absolute timeout, which leaves less to be gained than the update age.
        (9 * HOUR, 10 * HOUR, DAY, False),
        (HOUR, 2 * HOUR, DAY, True),
    ],
)
def test_the_expiry_moves_by_what_is_left_of_the_row_s_own_life(
    left, would_have, update_age, expected
):
    assert slides(left, would_have, update_age) is expected


ages = st.timedeltas(timedelta(seconds=1), 400 * DAY)


def use_every(interval, *, old, new, limit, update_age):
    """Return for each of 40 uses whether the session was there, and what it has left after the last.

    It was made under the timeout ``old``; ``new`` holds from then on. ``limit`` is the absolute one.
    """
    now, expires_at = NOW, min(NOW + old, limit)
    seen = []
    for _ in range(40):
        now += interval
        seen.append(now < expires_at)
        if not seen[-1]:
            break
        expiry = policy.next_expiry(explicit=None, idle_age=new, limit=limit, now=now)
        if policy.is_slide_due(
            expires_at=expires_at, next_expiry=expiry, update_age=update_age, now=now
        ):
            expires_at = expiry
    return seen, expires_at - now


@given(was=ages, idle_age=ages, update_age=spans, passed=spans, cap=st.none() | spans)
def test_what_is_too_early_to_slide_would_not_slide(was, idle_age, update_age, passed, cap):
    moved_at = NOW - passed
    limit = None if cap is None else NOW + max(cap, was - passed)
    for lasted in (was, idle_age):
        expires_at = policy.capped(moved_at + lasted, limit)
        is_too_early = policy.is_too_early_to_slide(
            moved_at=moved_at,
            expires_at=expires_at,
            idle_age=idle_age,
            update_age=update_age,
            now=NOW,
        )
        later = policy.next_expiry(explicit=None, idle_age=idle_age, limit=limit, now=NOW)
        is_due = policy.is_slide_due(
            expires_at=expires_at, next_expiry=later, update_age=update_age, now=NOW
        )
        assert not (is_too_early and is_due)
        if lasted == idle_age and limit is None:
            assert is_too_early is not is_due


@given(old=ages, new=ages, update_age=spans, part=st.floats(0.001, 0.79))
def test_whatever_the_timeout_becomes_nobody_active_is_signed_out(old, new, update_age, part):
    """Active is who uses the session within four fifths of both timeouts; see docs/timeouts.md."""
    interval, limit = min(old, new) * part, NOW + 1_000_000 * DAY
    seen, _ = use_every(interval, old=old, new=new, limit=limit, update_age=update_age)
    assert all(seen)


@given(old=ages, new=ages, update_age=spans, part=st.floats(0.001, 0.79))
def test_an_absolute_timeout_is_reached_by_who_stays_active(old, new, update_age, part):
    limit = NOW + max(old, new)
    interval = min(old, new) * part
    seen, left = use_every(interval, old=old, new=new, limit=limit, update_age=update_age)
    reached = NOW + interval * len(seen)
    assert all(seen) or reached >= limit - interval
    assert reached + left <= limit


@given(old=ages, new=ages, update_age=spans, part=st.floats(0.001, 0.79))
def test_after_a_use_nobody_has_more_than_the_timeout_of_now(old, new, update_age, part):
    interval, limit = min(old, new) * part, NOW + 1_000_000 * DAY
    _, left = use_every(interval, old=old, new=new, limit=limit, update_age=update_age)
    assert left <= new + min(policy.CLOCK_SKEW, new / policy.LARGEST_UPDATE_SHARE)


@pytest.mark.parametrize(
    ("passed", "interval", "expected"),
    [
        (HOUR - TICK, HOUR, False),
        (HOUR, HOUR, True),
        (timedelta(0), timedelta(0), True),
        (-HOUR, HOUR, False),
    ],
)
def test_last_activity_is_written_once_per_interval(passed, interval, expected):
    found = policy.is_last_seen_due(last_seen_at=NOW - passed, interval=interval, now=NOW)
    assert found is expected


@pytest.mark.parametrize(
    ("authenticated_at", "expected"),
    [
        (None, False),
        (NOW, True),
        (NOW - HOUR + TICK, True),
        (NOW - HOUR, False),
        (NOW - HOUR - TICK, False),
    ],
)
def test_freshness_ends_at_its_age(authenticated_at, expected):
    found = policy.is_fresh(authenticated_at=authenticated_at, fresh_age=HOUR, now=NOW)
    assert found is expected


@pytest.mark.parametrize(
    ("reason", "ended_at", "expected"),
    [
        ("signed_out", NOW, True),
        ("signed_out", NOW - policy.SUCCESSION_WINDOW + TICK, True),
        ("signed_out", NOW - policy.SUCCESSION_WINDOW, False),
        ("signed_out", None, False),
        ("revoked", NOW, False),
        ("", NOW, False),
    ],
)
def test_only_who_signed_out_a_moment_ago_may_have_signed_in_since(reason, ended_at, expected):
    assert policy.is_just_signed_out(reason, ended_at, NOW) is expected


def test_moments_without_a_time_zone_work_as_well():
    now = NOW.replace(tzinfo=None)
    assert judge(now=now, expires_at=now + HOUR, since=now) is Status.ACTIVE
    assert judge(now=now, expires_at=now, since=now) is Status.EXPIRED
    limit = policy.deadline(now, DAY)
    for explicit in (None, 3600, now + HOUR):
        found = policy.next_expiry(explicit=explicit, idle_age=HOUR, limit=limit, now=now)
        assert found == now + HOUR
    assert policy.is_fresh(authenticated_at=now, fresh_age=HOUR, now=now)
    assert policy.is_slide_due(
        expires_at=now, next_expiry=now + DAY, update_age=timedelta(0), now=now
    )


def test_the_time_zone_of_a_moment_does_not_matter():
    there = timezone(timedelta(hours=-11))
    assert judge(expires_at=(NOW + TICK).astimezone(there)) is Status.ACTIVE
    assert judge(expires_at=NOW.astimezone(there)) is Status.EXPIRED
