"""What a batch of requests costs: on the wall, in this process, and in the servers behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

_PROC = Path("/proc")


class Cost(NamedTuple):
    """Seconds. ``server`` is the CPU time of the servers' processes; None where it is unknown."""

    wall: float
    cpu: float
    server: float | None


class Stopwatch:
    """Measure a block on three clocks."""

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self.pids = tuple(pids)

    def measure(self, work: Callable[[], object]) -> Cost:
        """Return what ``work`` costs."""
        server = server_cpu(self.pids)
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        after = server_cpu(self.pids)
        return Cost(wall, cpu, None if server is None or after is None else after - server)


def server_cpu(pids: Iterable[int]) -> float | None:
    """Return the CPU seconds these processes have used; None where the kernel does not tell."""
    total = 0
    known = False
    for pid in pids:
        try:
            total += int((_PROC / str(pid) / "schedstat").read_text().split()[0])
        except (OSError, ValueError):
            return None
        known = True
    return total / 1e9 if known else None


def server_pids(*, is_local: bool) -> list[int]:
    """Return the processes that work for this one: its PostgreSQL backends, and Redis if it is used.

    None are returned for servers on other machines and in other process namespaces.
    """
    if not is_local:
        return []
    pids = _postgres_pids() if connection.vendor == "postgresql" else []
    if pids and "redis" in settings.CACHES["default"]["BACKEND"]:
        pids += _redis_pids()
    return pids


def _postgres_pids() -> list[int]:
    application: Any = connection.settings_dict["OPTIONS"].get("application_name")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s", [application]
        )
        return [pid for (pid,) in cursor.fetchall() if _is_process(pid, "postgres")]


def _redis_pids() -> list[int]:
    client = import_module("redis").Redis.from_url(settings.CACHES["default"]["LOCATION"])
    pid = int(client.info("server")["process_id"])
    client.close()
    return [pid] if _is_process(pid, "redis") else []


def _is_process(pid: int, name: str) -> bool:
    try:
        return name in (_PROC / str(pid) / "comm").read_text()
    except OSError:
        return False
