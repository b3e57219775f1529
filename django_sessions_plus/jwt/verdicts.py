"""Decide what a presented refresh token is: the current one, the previous one, a retry, or reused. No I/O."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from django_sessions_plus.conf import config
from django_sessions_plus.jwt.refresh_token import RefreshToken, microseconds

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

MAX_REPLAYS = 5
"""How many retries of one rotation are answered after the grace."""


class Verdict(Enum):
    """How to answer a token of this site."""

    CURRENT = "current"
    """The current token: rotate it."""
    PRECEDING = "preceding"
    """The previous token, within the grace: answer with the same successor."""
    RETRIED = "retried"
    """The previous token, with the attempt that rotated it: count it, and answer with the same successor."""
    REUSED = "reused"
    """An earlier token of this family: somebody has a copy."""
    REPLACED = "replaced"
    """A token of a family that another one has replaced."""
    EXPIRED = "expired"
    """It would be valid, but its family has reached its deadline; the session may still be active."""


@dataclass(frozen=True, slots=True)
class StoredRefresh:
    """The columns of a session's row about its refresh tokens."""

    digest: str | None
    started_at: datetime | None
    refreshed_at: datetime | None
    attempt: str | None = None
    """The digest of the attempt of the last rotation."""
    replays_left: int = 0
    confirmed_refreshed_at: datetime | None = None
    """The time of the rotation whose response has reached the client: its tokens were used."""
    limited_until: datetime | None = None
    """The deadline of the family; None without one."""

    @classmethod
    def of(cls, row: AbstractSession) -> StoredRefresh:
        """Return the columns of ``row``."""
        return cls(
            row.refresh_digest,
            row.refresh_started_at,
            row.refreshed_at,
            row.refresh_attempt,
            row.refresh_replays_left,
            row.confirmed_refreshed_at,
            row.refresh_limited_until,
        )


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How long after a rotation the previous token is still answered."""

    grace: timedelta
    """Without an attempt."""
    retry_age: timedelta = timedelta(0)
    """With the attempt that rotated it."""
    leeway: timedelta = timedelta(0)
    """How much the clocks of two hosts may differ, in either direction."""


def judge(presented: RefreshToken, row: AbstractSession, now: datetime) -> Verdict:
    """Return how to answer ``presented`` by the row of its session and the current settings."""
    tolerance = Tolerance(config.REFRESH_GRACE, config.REFRESH_RETRY_AGE, config.JWT_LEEWAY)
    return decide(presented, StoredRefresh.of(row), now=now, tolerance=tolerance)


def decide(
    presented: RefreshToken, kept: StoredRefresh, *, now: datetime, tolerance: Tolerance
) -> Verdict:
    """Return how to answer ``presented``; ``kept`` is what the session's row stores."""
    verdict = _decide(presented, kept, now, tolerance)
    is_late = kept.limited_until is not None and kept.limited_until <= now
    # The deadline does not matter for a reused or replaced token.
    is_good = verdict in (Verdict.CURRENT, Verdict.PRECEDING, Verdict.RETRIED)
    return Verdict.EXPIRED if is_late and is_good else verdict


def _decide(
    presented: RefreshToken, kept: StoredRefresh, now: datetime, tolerance: Tolerance
) -> Verdict:
    if kept.digest is None or kept.started_at is None:
        return Verdict.REPLACED
    if hmac.compare_digest(presented.digest(), kept.digest):
        return Verdict.CURRENT
    if kept.refreshed_at is not None:
        since, leeway = now - kept.refreshed_at, tolerance.leeway
        is_recent = presented.is_lasting or is_within(tolerance.grace, since, leeway)
        is_retry = is_within(tolerance.retry_age, since, leeway) and _is_retry(presented, kept)
        if (is_recent or is_retry) and hmac.compare_digest(
            presented.successor(kept.refreshed_at).digest(), kept.digest
        ):
            return Verdict.PRECEDING if is_recent else Verdict.RETRIED
    is_of_this_family = presented.family == microseconds(kept.started_at)
    return Verdict.REUSED if is_of_this_family else Verdict.REPLACED


def is_within(age: timedelta, elapsed: timedelta, leeway: timedelta) -> bool:
    """Return whether a rotation that was ``elapsed`` ago is at most ``age`` old; an ``age`` of zero allows none.

    The clock of the host that rotated may be ahead of this host's by ``leeway``, or behind it.
    """
    return bool(age) and -leeway <= elapsed <= age + leeway


def attempt_to_keep(presented: RefreshToken, row: AbstractSession) -> tuple[str | None, int]:
    """Return the digest of its attempt that a rotation of the current token stores, and how many replays it allows.

    A client that sends the same attempt with the next token proves nothing by it. Such an attempt is
    stored only to recognize it a third time, and allows no replay.
    """
    attempt = presented.attempt
    if attempt is None:
        return None, 0
    kept = row.refresh_attempt
    is_repeated = kept is not None and hmac.compare_digest(attempt.of_previous, kept)
    return attempt.of_rotation, 0 if is_repeated else MAX_REPLAYS


def _is_retry(presented: RefreshToken, kept: StoredRefresh) -> bool:
    """Return whether the attempt is that of the last rotation, and may still be answered."""
    if presented.attempt is None or kept.attempt is None or kept.replays_left <= 0:
        return False
    is_same = hmac.compare_digest(presented.attempt.of_rotation, kept.attempt)
    return is_same and kept.confirmed_refreshed_at != kept.refreshed_at
