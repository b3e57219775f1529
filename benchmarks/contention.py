"""Many workers on one session, on PostgreSQL: who waits, who writes, and whose writes are lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from benchmarks.config import POSTGRESQL, Services, Sizes
from benchmarks.contenders import contender
from benchmarks.databases import Databases, server
from benchmarks.processes import Worker, WorkerError
from benchmarks.terminal import say

WORKERS = 32
PROCESSES = 8
HOT = 0
"""The number of the session everybody uses."""
TABLES = {"plus": "django_sessions_plus_session", "django": "django_session"}

# Name of the run, contender, whether the first touch is due.
READERS = (
    ("stock_db", "stock_db", False),
    ("stock_every", "stock_every", False),
    ("plus_once", "plus_db", True),
    ("plus_due", "plus_due", True),
)
WRITERS = ("stock_db", "plus_db")
# A writer beside readers who make the engine write as well.
MIXED = ("stock_every", "plus_due")


def run(known: Services, *, seconds: float, workers: int = WORKERS) -> dict[str, Any]:
    """Do all contention runs and return their data."""
    databases = Databases(POSTGRESQL, known, Sizes(sessions=1_000, users=200, pool=20))
    found: dict[str, Any] = {"workers": workers, "processes": PROCESSES, "seconds": seconds}
    threads = max(1, workers // PROCESSES)
    found["readers"] = {
        label: _run(databases, name, is_due, [["read"] * threads] * PROCESSES, seconds)
        for label, name, is_due in READERS
    }
    found["writers"] = {
        name: _run(databases, name, False, [["count"] * threads] * PROCESSES, seconds)
        for name in WRITERS
    }
    crowd = [["count"] + ["read"] * (threads - 1)] + [["read"] * threads] * (PROCESSES - 1)
    found["mixed"] = {name: _run(databases, name, False, crowd, seconds) for name in MIXED}
    return found


def _run(
    databases: Databases, name: str, is_due: bool, jobs: list[list[str]], seconds: float
) -> dict[str, Any]:
    """Let every process do its jobs, one thread each, at the same time, and add up what happened."""
    say(f"contention: {name}", transient=True)
    load = contender(name).load
    database = databases.provide(load, f"contention_{name}")
    try:
        with ExitStack() as stack:
            workers = [
                stack.enter_context(Worker(name, POSTGRESQL, database, databases.sizes))
                for _ in jobs
            ]
            for worker in workers:
                worker.ask("contention_tasks.warm_up", hot=HOT)
            workers[0].ask("contention_tasks.set_up", hot=HOT, is_due=is_due)
            before = _updates(databases.known, database, TABLES[load])
            parts = _hammer(workers, jobs, seconds)
        return _summary(parts, seconds) | {
            "updates": _updates(databases.known, database, TABLES[load]) - before,
            "lost": _lost(name, database, databases.sizes, parts),
        }
    except WorkerError as exc:
        return {"error": str(exc)}
    finally:
        databases.drop(database)


def _hammer(workers: list[Worker], jobs: list[list[str]], seconds: float) -> list[dict[str, Any]]:
    start = time.time() + 0.5
    for number, (worker, mine) in enumerate(zip(workers, jobs, strict=True)):
        worker.send(
            "contention_tasks.hammer",
            hot=HOT,
            jobs=[f"{job}{number}_{thread}" for thread, job in enumerate(mine)],
            start=start,
            seconds=seconds,
        )
    return [worker.receive() for worker in workers]


def _summary(parts: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    served = sum(sum(part["served"].values()) for part in parts)
    return {
        "served": served,
        "refused": sum(part["refused"] for part in parts),
        "per_second": round(served / seconds, 1),
        "acknowledged": sum(sum(acknowledged(part["served"]).values()) for part in parts),
    }


def acknowledged(served: dict[str, int]) -> dict[str, int]:
    """Return, of all that was answered with success, the writes by key."""
    return {job: number for job, number in served.items() if job.startswith("count")}


def _lost(name: str, database: str, sizes: Sizes, parts: list[dict[str, Any]]) -> int:
    """Return how many of the writes that were acknowledged are not in the session."""
    with Worker(name, POSTGRESQL, database, sizes) as worker:
        stored = worker.ask("contention_tasks.stored", hot=HOT)
    return sum(
        number - stored.get(job, 0)
        for part in parts
        for job, number in acknowledged(part["served"]).items()
    )


def _updates(known: Services, database: str, table: str) -> int:
    # A backend tells at the latest when it ends, and ends a moment after its client.
    time.sleep(0.5)
    with server(POSTGRESQL, known, database) as execute:
        return int(
            execute(f"SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = '{table}'")[0][0]
        )
