"""The comparison: everyone the same work, in turn, in random order, round by round."""

from __future__ import annotations

import random
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.config import Services, Sizes
from benchmarks.contenders import BASELINES, Contender, taking_part
from benchmarks.databases import Databases, empty_redis
from benchmarks.processes import Worker, WorkerError
from benchmarks.scenarios import ASYNC, SCENARIOS, Scenario
from benchmarks.terminal import say

CLOCKS = ("wall", "cpu", "server")
# Whose time is told apart, and in which scenario: ours, and what it is compared with.
PROFILED = {
    *[(who, name) for who in ("stock_db", "plus_db") for name in ("read", "write")],
    *[(who, "api") for who in ("api_session", "api_plus_bearer", "api_plus_jwt")],
    ("api_jwt_stateless", "api"),
}
MICRO = 1e6


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 31
    requests: int = 40
    only: frozenset[str] = frozenset()
    """The contenders to compare, beside the baseline; empty for all."""


@dataclass
class Entry:
    """A contender in a suite: its process, and what has been measured so far."""

    contender: Contender
    scenarios: list[Scenario]
    status: str = "ran"
    reason: str = ""
    worker: Worker | None = None
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)

    def fail(self, reason: str, status: str = "cannot run") -> None:
        """Take it out of the comparison and remember why."""
        self.status, self.reason = status, reason
        if self.worker is not None:
            self.worker.close()
        self.worker = None

    def works_in(self, name: str) -> bool:
        """Tell whether it can still be measured in this scenario."""
        found = self.measured.get(name)
        return self.worker is not None and found is not None and "error" not in found

    def as_data(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            "label": self.contender.label,
            "status": self.status,
            "reason": self.reason,
            "scenarios": self.measured,
        }


def measure(flavour: str, family: str, known: Services, sizes: Sizes, plan: Plan) -> dict[str, Any]:
    """Run one comparison and return its data."""
    databases = Databases(flavour, known, sizes)
    entries = _entries(flavour, family, plan)
    empty_redis(known)
    with ExitStack() as stack:
        stack.callback(empty_redis, known)
        for entry in entries:
            _start(entry, flavour, family, databases, stack)
        for number in range(plan.rounds):
            say(f"{flavour} {family}: round {number + 1} of {plan.rounds}", transient=True)
            _round(entries, family, number, plan.requests)
        for entry in entries:
            _finish(entry)
    return {
        "baseline": BASELINES[family],
        "rounds": plan.rounds,
        "requests": plan.requests,
        "contenders": {entry.contender.name: entry.as_data() for entry in entries},
    }


def _entries(flavour: str, family: str, plan: Plan) -> list[Entry]:
    wanted = plan.only | {BASELINES[family]} if plan.only else None
    entries = []
    for contender in taking_part(family, flavour):
        if wanted is not None and contender.name not in wanted:
            continue
        allowed = contender.only
        scenarios = [one for one in SCENARIOS[family] if allowed is None or one.name in allowed]
        entries.append(Entry(contender, scenarios))
    return entries


def _start(entry: Entry, flavour: str, family: str, databases: Databases, stack: ExitStack) -> None:
    contender = entry.contender
    if (reason := contender.unavailable()) is not None:
        is_ours = "django_sessions_plus" in reason or "SESSIONS_PLUS" in reason
        entry.fail(reason, "not available" if is_ours else "cannot run")
        return
    say(f"{flavour} {family}: preparing {contender.name}", transient=True)
    try:
        database = databases.provide(contender.load, contender.name)
        stack.callback(databases.drop, database)
        entry.worker = stack.enter_context(
            Worker(contender.name, flavour, database, databases.sizes, is_async=family == ASYNC)
        )
        names = [scenario.name for scenario in entry.scenarios]
        failures = entry.worker.ask("tasks.open_site", scenarios=names)
    except WorkerError as exc:
        entry.fail(str(exc))
        return
    for name in names:
        entry.measured[name] = {"error": failures[name]} if name in failures else _no_samples()


def _no_samples() -> dict[str, Any]:
    return {clock: [] for clock in CLOCKS}


def _round(entries: list[Entry], family: str, number: int, requests: int) -> None:
    """Have everyone serve the same requests of each scenario, in an order that is new each time."""
    # The same seeds in every run: what is random is who comes first.
    order = random.Random(number)
    for scenario in order.sample(SCENARIOS[family], len(SCENARIOS[family])):
        for entry in order.sample(entries, len(entries)):
            if entry.works_in(scenario.name):
                _batch(entry, scenario.name, requests, seed=number)


def _batch(entry: Entry, name: str, requests: int, seed: int) -> None:
    assert entry.worker is not None
    try:
        cost = entry.worker.ask("tasks.batch", name=name, count=requests, seed=seed)
    except WorkerError as exc:
        entry.measured[name] = {"error": str(exc)}
        return
    for clock in CLOCKS:
        value = cost[clock]
        entry.measured[name][clock].append(
            None if value is None else round(value / requests * MICRO, 1)
        )


def _finish(entry: Entry) -> None:
    """Count and weigh, after the rounds: tracing memory makes everything else slow."""
    for scenario in entry.scenarios:
        if not entry.works_in(scenario.name) or entry.worker is None:
            continue
        found = entry.measured[scenario.name]
        try:
            found |= entry.worker.ask("tasks.count", name=scenario.name)
            if scenario.measure_memory:
                found["peak_kb"] = round(entry.worker.ask("tasks.memory", name=scenario.name), 1)
            if (entry.contender.name, scenario.name) in PROFILED:
                found["profile"] = entry.worker.ask("tasks.profile", name=scenario.name)
        except WorkerError as exc:
            entry.measured[scenario.name] = {"error": str(exc)}
        with suppress(KeyError):
            del found["sql"]
