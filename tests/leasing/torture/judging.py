"""Whether what was decided keeps the promise. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf

CALM = "none"


@dataclass(frozen=True)
class Revocation:
    """What ended a session, or that it was not to end, and when; times are those of the board's clock."""

    number: int
    kind: str
    begun: float
    """When the statement was sent; before, nobody may refuse the session."""
    acked: float | None
    """When the commit had been acknowledged; None if nothing ended it."""
    is_announced: bool = True
    """Whether the writer could announce it; if not, it knows, and says so, and no lease is promised."""


@dataclass(frozen=True)
class Fault:
    """Something that was done to the processes or to the connections between them."""

    kind: str
    began: float
    ended: float
    happened: bool


@dataclass
class Row:
    """What is said of one kind of revocation or fault."""

    revocations: int = 0
    used: int = 0
    """How many had been accepted by any decision: those that were not show nothing."""
    late: int = 0
    """How many were accepted by a decision that began later than the lease after the acknowledged commit."""
    wrong: int = 0
    """How many were refused before anybody ended them."""
    lags: list[float] = field(default_factory=list)
    """For each, how long after the commit the last decision began that accepted it; 0 if there was none."""

    def add(self, lag: float, lease: float, *, is_used: bool, is_wrong: bool) -> None:
        """Count one."""
        self.revocations += 1
        self.used += is_used
        self.late += lag > lease
        self.wrong += is_wrong
        self.lags.append(lag)


@dataclass
class Verdict:
    """What a run has shown."""

    by_kind: dict[str, Row]
    by_fault: dict[str, Row]
    total: Row

    @property
    def violations(self) -> int:
        """How many sessions were accepted too late, or refused too early."""
        return self.total.late + self.total.wrong


def judge(
    revocations: Iterable[Revocation],
    faults: Sequence[Fault],
    decided: Callable[[int], tuple[float, float]],
    lease: float,
) -> Verdict:
    """Return what is to be said of a run.

    ``decided`` gives, for the number of a session, when the last decision that accepted it began, and when the first
    that refused it ended; 0 for never. A revocation counts for each fault that lasted, or was just over, meanwhile.
    """
    verdict = Verdict({}, {}, Row())
    for each in revocations:
        accepted, refused = decided(each.number)
        lag = 0.0 if each.acked is None else max(0.0, accepted - each.acked)
        is_wrong = 0 < refused < each.begun
        rows = [verdict.by_kind.setdefault(each.kind, Row())]
        if each.acked is not None:
            rows.append(verdict.total)
            until = max(each.acked + lease, accepted)
            kinds = {fault.kind for fault in faults if _touches(fault, each.begun, until, lease)}
            rows += [verdict.by_fault.setdefault(kind, Row()) for kind in kinds or {CALM}]
        elif is_wrong:
            verdict.total.wrong += 1
        for row in rows:
            limit = lease if each.is_announced else inf
            row.add(lag, limit, is_used=accepted > 0, is_wrong=is_wrong)
    return verdict


def _touches(fault: Fault, since: float, until: float, lease: float) -> bool:
    return fault.began <= until and since <= fault.ended + lease


def share(values: Sequence[float], part: float) -> float:
    """Return the smallest value that this part of the values does not exceed; 0 if there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
