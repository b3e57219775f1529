"""The worker's side of scale.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from benchmarks import credentials, figures, loads
from benchmarks.config import Sizes
from benchmarks.counting import counting
from benchmarks.drivers import Request
from benchmarks.scale_rows import sample, token
from benchmarks.scenarios import scenario
from benchmarks.worker import Site

MILLI = 1e3
ADMIN_PAGES = {
    "plus": "/admin/django_sessions_plus/session/",
    "stock": "/stock/django_sessions_plus/session/",
}
ADMIN_REQUESTS = 15
# A batch of a thousand keys is one line of a plan.
PLAN_WIDTH = 160


def create(site: Site, users: int) -> None:
    """Create the tables and the users, of whom the first may see the admin."""
    call_command("migrate", verbosity=0, interactive=False)
    with transaction.atomic():
        loads.insert_users(Sizes(0, users, 0))
    apps.get_model("auth.User").objects.filter(pk=1).update(is_staff=True, is_superuser=True)


def lookup(site: Site, rows: int, users: int) -> dict[str, float]:
    """Return what a request that reads its user takes."""
    numbers = sample(rows)
    path = scenario("read").path
    _time_requests(site, [(path, number) for number in numbers[:50]])
    return _times(_time_requests(site, [(path, number) for number in numbers]))


def user_list(site: Site, rows: int, users: int) -> dict[str, float]:
    """Return what the list of a user's own sessions takes, and how many statements that is."""
    list_for = import_module("django_sessions_plus.sessions").list_for
    people = apps.get_model("auth.User").objects.in_bulk(list(range(1, 101)))
    taken = []
    with counting() as counter:
        for user in people.values():
            started = time.perf_counter()
            list(list_for(user)[:50])
            taken.append(time.perf_counter() - started)
        statements = len(counter.statements) / len(people)
    return _times(taken) | {"statements": statements}


def admin_page(site: Site, rows: int, users: int) -> dict[str, Any]:
    """Return what page 1 of the change list takes, for this project's admin and Django's default."""
    return {
        name: _times(_time_requests(site, [(path, 0)] * ADMIN_REQUESTS))
        for name, path in ADMIN_PAGES.items()
    }


def plans(site: Site, rows: int, users: int) -> dict[str, list[str]]:
    """Return how the database finds what it is asked for, in its own words."""
    read = [(scenario("read").path, sample(rows)[1])]
    list_for = import_module("django_sessions_plus.sessions").list_for
    user = apps.get_model("auth.User").objects.get(pk=2)
    work: dict[str, Callable[[], object]] = {
        "lookup": lambda: _time_requests(site, read),
        "user_list": lambda: list(list_for(user)),
        "admin_page": lambda: _time_requests(site, [(ADMIN_PAGES["plus"], 0)]),
    }
    found = {}
    for name, run in work.items():
        run()
        with counting() as counter:
            run()
        statements = list(zip(counter.statements, counter.parameters, strict=True))
        found[name] = _explain(*_most_telling(statements))
    return found


def purge(site: Site, flag: str) -> dict[str, Any]:
    """Run the purge, tell the bystanders when it is over, and return its figures."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    rows = apps.get_model("django_sessions_plus.Session").objects
    before = rows.count()
    taken: list[float] = []
    kinds: dict[str, tuple[str, Any]] = {}

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        kinds.setdefault(sql.partition(" ")[0], (sql, params))
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            taken.append(time.perf_counter() - started)

    started = time.perf_counter()
    try:
        with connection.execute_wrapper(watch):
            store.clear_expired()
    finally:
        seconds = time.perf_counter() - started
        Path(flag).touch()
    return {
        "deleted": before - rows.count(),
        "seconds": round(seconds, 2),
        "statements": len(taken),
        "longest_ms": round(max(taken, default=0.0) * MILLI, 1),
        "plans": {
            kind: _explain(sql, params, run=False)
            for kind, (sql, params) in kinds.items()
            if kind in {"SELECT", "DELETE", "WITH"}
        },
    }


def prepare_bystander(site: Site, scenario: str, rows: int, users: int) -> None:
    """Make ready to be one who uses the site while others purge."""
    site.known.directory.mkdir(parents=True, exist_ok=True)
    site.kept["numbers"] = sample(rows)
    stand_by(site, scenario, 0.5)


def stand_by(site: Site, scenario: str, seconds: float) -> dict[str, float]:
    """Request for some time and return the latencies."""
    end = time.perf_counter() + seconds
    return _times(_requests_while(site, scenario, lambda: time.perf_counter() < end))


def stand_by_until_told(site: Site, scenario: str, flag: str) -> dict[str, float]:
    """Request until the file exists and return the latencies."""
    return _times(_requests_while(site, scenario, lambda: not Path(flag).exists()))


def _requests_while(site: Site, name: str, goes_on: Callable[[], bool]) -> list[float]:
    path = scenario(name).path
    taken: list[float] = []
    numbers = site.kept["numbers"]
    while goes_on():
        taken += _time_requests(site, [(path, numbers[len(taken) % len(numbers)])])
        # A site that is in use, not one that is overrun.
        time.sleep(0.002)
    return taken


def _time_requests(site: Site, requests: list[tuple[str, int]]) -> list[float]:
    taken = []
    for path, number in requests:
        prepared = [site.driver.prepare(Request(path, credentials.cookie(token(number))))]
        started = time.perf_counter()
        answer = site.driver.serve(prepared)[0]
        taken.append(time.perf_counter() - started)
        if answer.status != 200:
            raise LookupError(f"{path} answered {answer.status}")
    return taken


def _times(seconds: list[float]) -> dict[str, float]:
    return {
        "count": len(seconds),
        "median_ms": round(figures.middle(seconds) * MILLI, 3),
        "p99_ms": round(figures.percentile(seconds, 0.99) * MILLI, 3),
    }


def _most_telling(statements: list[tuple[str, Any]]) -> tuple[str, Any]:
    """Return the longest statement that reads in an order, for that is what is shown; else the longest."""
    ordered = [one for one in statements if "ORDER BY" in one[0]]
    return max(ordered or statements, key=lambda one: len(one[0]))


def _explain(sql: str, params: Any, *, run: bool = True) -> list[str]:
    how = "EXPLAIN QUERY PLAN "
    if connection.vendor == "postgresql":
        how = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) " if run else "EXPLAIN (COSTS OFF) "
    with connection.cursor() as cursor:
        cursor.execute(how + sql, params)
        return [str(row[-1])[:PLAN_WIDTH] for row in cursor.fetchall()]
