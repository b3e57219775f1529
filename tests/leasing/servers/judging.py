"""Whether a server was tried, and whether it kept the promise. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

HALF = 0.5
STOPPED_WITHIN = 10.0
"""Seconds that a server has to stop: the thread that listens must not keep it."""


class Decision(NamedTuple):
    """What a server has answered to a question with the token of one session."""

    began: float
    ended: float
    pid: int
    is_accepted: bool
    is_from_memory: bool


@dataclass
class Shown:
    """What was seen of one server; times in seconds."""

    processes: int
    runs_between: bool = True
    begins: bool = False
    asked: int = 0
    """How often a living session was asked for."""
    from_memory: int = 0
    """How often it was served from memory."""
    seldom_asked: int = 0
    """How often it was asked for after a pause that is long for a thread, and short for the lease."""
    seldom_from_memory: int = 0
    ends: int = 0
    late: int = 0
    """How many decisions that began later than allowed accepted what had ended."""
    latest: float = 0.0
    """How long after the acknowledged commit the last decision began that accepted what had ended."""
    unrefused: int = 0
    """How many ends after which nothing was refused, so that they show nothing."""
    errors: int = 0
    answered_in_freeze: int = 0
    """How many processes answered while their listener waited for a server that did not answer."""
    connections: int = 0
    stopped_after: float = 0.0
    left: int = 0
    """How many listening connections there were after the stop."""
    complaints: list[str] = field(default_factory=list)

    def add_end(self, decisions: Iterable[Decision], acked: float, allowed: float) -> None:
        """Count what was decided about a session whose end was acknowledged then."""
        self.ends += 1
        is_refused = False
        for each in decisions:
            is_refused |= not each.is_accepted and each.began > acked
            if each.is_accepted and each.began > acked:
                self.latest = max(self.latest, each.began - acked)
                self.late += each.began > acked + allowed
        self.unrefused += not is_refused

    def judge(self) -> list[str]:
        """Return what is wrong; nothing if all is well."""
        share = self.from_memory / max(self.asked, 1)
        seldom = self.seldom_from_memory / max(self.seldom_asked, 1)
        wrong = {
            f"{self.late} accepted too late": self.late,
            f"{self.unrefused} ends showed nothing": self.unrefused or not self.ends,
            f"{self.errors} questions failed": self.errors,
            f"{share:.0%} from memory": share < HALF,
            f"{seldom:.0%} from memory if asked seldom": self.runs_between and seldom < HALF,
            f"{self.connections} connections": self.connections != self.processes + self.begins,
            "requests waited for the listener": self.answered_in_freeze < self.processes,
            f"stopped after {self.stopped_after:.0f} s": self.stopped_after > STOPPED_WITHIN,
            f"{self.left} connections left": self.left,
        }
        return self.complaints + [text for text, is_so in wrong.items() if is_so]
