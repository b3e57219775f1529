"""Tens of millions of rows: what stays flat, and what a purge does to those beside it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.config import POSTGRESQL, SQLITE, Services, Sizes
from benchmarks.databases import Databases
from benchmarks.processes import Worker, WorkerError
from benchmarks.terminal import say

USERS = 20_000
SMALLEST = 10_000
DEFAULT_ROWS = {POSTGRESQL: 10_000_000, SQLITE: 1_000_000}
# The admin needs these, and they change no request that is measured.
_ADMIN = {
    "EXTRA_APPS": ["django.contrib.admin", "django.contrib.staticfiles"],
    "ROOT_URLCONF": "benchmarks.site.admin_urls",
}
IDLE_SECONDS = 5.0
FLAG = "purged"
"""The file that tells the bystanders that the purge is over."""


def steps(rows: int) -> list[int]:
    """Return the sizes to measure at: ten thousand, and ten times more until ``rows``."""
    sizes = []
    size = SMALLEST
    while size < rows:
        sizes.append(size)
        size *= 10
    return [*sizes, rows]


def run(known: Services, *, rows: int, expired: int, flavour: str = POSTGRESQL) -> dict[str, Any]:
    """Fill the table step by step, measure at each, then purge ``expired`` rows beside others' requests."""
    databases = Databases(flavour, known, Sizes(rows, USERS, 500))
    database = databases.create("run_scale")
    found: dict[str, Any] = {"database": flavour, "rows": rows, "users": USERS, "steps": []}
    with ExitStack() as stack:
        stack.callback(databases.drop, database)

        def start() -> Worker:
            worker = Worker("plus_db", flavour, database, databases.sizes, more=_ADMIN)
            return stack.enter_context(worker)

        worker = start()
        worker.ask("scale_tasks.create", users=USERS)
        before = 0
        for size in steps(rows):
            say(f"scale: filling up to {size:,} rows", transient=True)
            filled = worker.ask("scale_rows.grow", first=before, last=size, users=USERS)
            found["steps"].append({"rows": size, "fill_seconds": filled} | _measure(worker, size))
            before = size
        found["plans"] = worker.ask("scale_tasks.plans", rows=rows, users=USERS)
        found["purge"] = _purge(
            [worker, start(), start()], known.directory / FLAG, rows=rows, expired=expired
        )
    return found


def _measure(worker: Worker, size: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for task in ("lookup", "user_list", "admin_page"):
        say(f"scale: {task} at {size:,} rows", transient=True)
        try:
            found[task] = worker.ask(f"scale_tasks.{task}", rows=size, users=USERS)
        except WorkerError as exc:
            found[task] = {"error": str(exc)}
    return found


def _purge(workers: list[Worker], flag: Path, *, rows: int, expired: int) -> dict[str, Any]:
    """Purge while two bystanders go on, one reading and one writing sessions."""
    worker, reader, writer = workers
    say(f"scale: {expired:,} expired rows", transient=True)
    worker.ask("scale_rows.add_expired", first=rows, last=rows + expired, users=USERS)
    bystanders = {"read": reader, "write": writer}
    for name, one in bystanders.items():
        one.ask("scale_tasks.prepare_bystander", scenario=name, rows=rows, users=USERS)
    idle = {
        name: one.ask("scale_tasks.stand_by", scenario=name, seconds=IDLE_SECONDS)
        for name, one in bystanders.items()
    }
    together = _both(bystanders, IDLE_SECONDS)
    say("scale: purging", transient=True)
    flag.unlink(missing_ok=True)
    for name, one in bystanders.items():
        one.send("scale_tasks.stand_by_until_told", scenario=name, flag=str(flag))
    time.sleep(0.5)
    purged: dict[str, Any] = worker.ask("scale_tasks.purge", flag=str(flag))
    during = {name: one.receive() for name, one in bystanders.items()}
    return purged | {"idle": idle, "together": together, "during": during}


def _both(bystanders: dict[str, Worker], seconds: float) -> dict[str, Any]:
    """Return the bystanders' latencies when they stand by each other and nobody purges."""
    for name, one in bystanders.items():
        one.send("scale_tasks.stand_by", scenario=name, seconds=seconds)
    return {name: one.receive() for name, one in bystanders.items()}
