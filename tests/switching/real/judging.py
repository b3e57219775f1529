"""What must be so after a switch, and what was so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.switching.real.replay import Replay
from tests.switching.real.site import plan
from tests.switching.real.site.kinds.base import Kind
from tests.switching.real.site.plan import Visit

SHOWN = 5


@dataclass
class Verdict:
    """The figures of one engine."""

    title: str
    passed: int = 0
    failed: int = 0

    def say(self, text: str) -> None:
        """Print what is no judgement."""
        print(f"{self.title}: {text}", flush=True)

    def expect(self, what: str, figure: int, expected: int, examples: Iterable[str] = ()) -> None:
        """Print a figure; if it is not as expected, that, and some examples."""
        is_good = figure == expected
        self.passed += is_good
        self.failed += not is_good
        self.say(f"{what}: {figure}" + ("" if is_good else f", FAILED: {expected} expected"))
        if not is_good:
            for each in list(examples)[:SHOWN]:
                print(f"    {each}")

    def at_most(self, what: str, figure: float, most: float) -> None:
        """Print a figure, and that it is too high if it is."""
        is_good = figure <= most
        self.passed += is_good
        self.failed += not is_good
        self.say(
            f"{what}: {figure:.2f}" + ("" if is_good else f", FAILED: at most {most:g} expected")
        )

    def fail(self, text: str) -> None:
        """Print what went wrong."""
        self.failed += 1
        self.say(f"FAILED: {text}")


def judge_replay(verdict: Verdict, when: str, visits: list[Visit], found: Replay) -> None:
    """Judge the answers: each living session opened with its user and data, and no other."""
    states = Counter(visit.state for visit in visits)
    opened = Counter(visit.state for visit in found.opened)
    dead = opened.total() - opened[plan.LIVING]
    shut = [repr(each) for each in found.refused if each.state == plan.LIVING]
    verdict.expect(f"{when}, living opened", opened[plan.LIVING], states[plan.LIVING], shut)
    verdict.expect(f"{when}, expired, broken or ended let in", dead, 0, map(repr, found.opened))
    verdict.expect(f"{when}, answers that differ or are wrong", len(found.wrong), 0, found.wrong)
    verdict.say(f"{when}, requests a second: {found.rate:.0f}")


def judge_rows(verdict: Verdict, compared: dict[str, Any], living: int, left: int | None) -> None:
    """Judge the rows of the new site, and how many sessions are ``left`` in the old store, if that is known."""
    verdict.expect("rows", compared["rows"], living)
    differences = compared["differences"]
    verdict.expect("rows that are not as they should be", len(differences), 0, differences)
    if left is not None:
        verdict.expect("sessions in the old store", compared["left"], left)


def judge_log(verdict: Verdict, when: str, log: str, visits: list[Visit], kind: Kind) -> None:
    """Judge what the server has logged: that each broken session was refused, nothing else, and no key."""
    lines = log.splitlines()
    expected = kind.lines(sum(visit.state == plan.BROKEN for visit in visits))
    found = [line for line in lines if expected and kind.logged in line]
    others = [
        line
        for line in lines
        if line not in found and not any(text in line for text in kind.also_logged)
    ]
    verdict.expect(f"{when}, other lines in the log", len(others), 0, others)
    leaks = sum(visit.cookie in log for visit in visits)
    verdict.expect(f"{when}, keys in the log", leaks, 0)
    # Each process, and each of the requests that arrived together, may have written one.
    verdict.expect(f"{when}, lines for each broken one", min(len(found), expected), expected)
