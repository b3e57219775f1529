"""The goals, each with what was measured for it and whether that meets it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.config import MARIADB, POSTGRESQL, PREPARED, SQLITE
from benchmarks.results import Results
from benchmarks.scenarios import API, ASYNC, COOKIE

Measured = Callable[[Results], float | None]
MILLION = 1_000_000


@dataclass(frozen=True)
class Bar:
    """A goal: at most ``bar``, or at least where ``at_least``; ``moonshot`` is the same, dreamt."""

    label: str
    bar: float
    moonshot: float | None
    measured: Measured
    unit: str = ""
    at_least: bool = False

    def is_met_by(self, value: float, goal: float) -> bool:
        """Tell whether ``value`` reaches ``goal``; both as they are printed."""
        shown = round(value, 2)
        return shown >= goal if self.at_least else shown <= goal


def ratio(
    flavour: str, family: str, scenario: str, *, who: str = "plus_db", base: str | None = None
) -> Measured:
    """Return what reads the median ratio from results."""

    def read(results: Results) -> float | None:
        found = results.ratio(flavour, family, who, scenario, base=base)
        return None if found is None else found.middle

    return read


def count(flavour: str, scenario: str, key: str = "statements") -> Measured:
    """Return what reads an exact count, or the peak allocation, of a request with a cookie."""

    def read(results: Results) -> float | None:
        found = results.measured(flavour, COOKIE, "plus_db", scenario).get(key)
        return None if found is None else float(found)

    return read


def hot_session(results: Results) -> float | None:
    """Return the requests per second on one hot session against SAVE_EVERY_REQUEST."""
    mine = contention(results, "readers", "plus_once", "per_second")
    other = contention(results, "readers", "stock_every", "per_second")
    return None if mine is None or not other else mine / other


def contention(results: Results, kind: str, run: str, key: str) -> float | None:
    """Return one figure of a contention run."""
    found = results.data.get("contention", {}).get(kind, {}).get(run, {}).get(key)
    return None if found is None else float(found)


def contended(kind: str, run: str, key: str) -> Measured:
    """Return what reads one figure of a contention run."""
    return lambda results: contention(results, kind, run, key)


def scaled(flavour: str, read: Callable[[dict[str, Any]], float]) -> Measured:
    """Return what reads a figure of the scale run at a million rows or more."""

    def find(results: Results) -> float | None:
        steps = results.data.get("scale", {}).get(flavour, {}).get("steps", [])
        big = [step for step in steps if step["rows"] >= MILLION]
        return _found(big[0], read) if big else None

    return find


def purged(flavour: str, read: Callable[[dict[str, Any]], float]) -> Measured:
    """Return what reads a figure of the purge of a million rows or more."""

    def find(results: Results) -> float | None:
        purge = results.data.get("scale", {}).get(flavour, {}).get("purge", {})
        return _found(purge, read) if purge.get("deleted", 0) >= MILLION else None

    return find


def _found(data: dict[str, Any], read: Callable[[dict[str, Any]], float]) -> float | None:
    try:
        return read(data)
    except KeyError:
        return None


def _admin_ratio(step: dict[str, Any]) -> float:
    pages = step["admin_page"]
    return float(pages["plus"]["median_ms"] / pages["stock"]["median_ms"])


def _slowdown(scenario: str) -> Callable[[dict[str, Any]], float]:
    return lambda purge: float(
        purge["during"][scenario]["p99_ms"] / purge["together"][scenario]["p99_ms"]
    )


BARS: tuple[Bar, ...] = (
    Bar("read user, SQLite", 0.36, 0.27, ratio(SQLITE, COOKIE, "read")),
    Bar("read user, PostgreSQL", 0.50, 0.42, ratio(POSTGRESQL, COOKIE, "read")),
    Bar("read user, PostgreSQL prepared", 0.32, 0.24, ratio(PREPARED, COOKIE, "read")),
    Bar(
        "read user, PostgreSQL prepared, against stock db not prepared",
        0.32,
        0.24,
        ratio(PREPARED, COOKIE, "read", base="stock_unprepared"),
    ),
    Bar("read user, MariaDB", 0.40, 0.30, ratio(MARIADB, COOKIE, "read")),
    Bar(
        "leased_db, read user, PostgreSQL",
        0.15,
        0.10,
        ratio(POSTGRESQL, COOKIE, "read", who="plus_leased"),
    ),
    Bar(
        "leased_db, async view with `auser()`, PostgreSQL",
        0.50,
        0.42,
        ratio(POSTGRESQL, ASYNC, "async_read", who="plus_leased"),
    ),
    *(
        Bar(
            f"leased_db, DRF, {label} against simplejwt's stateless, PostgreSQL",
            1.15,
            1.0,
            ratio(
                POSTGRESQL,
                API,
                "api",
                who=f"api_plus_leased_{name}",
                base="api_jwt_stateless",
            ),
        )
        for name, label in (("jwt", "checked JWT"), ("bearer", "session token"))
    ),
    Bar("write one key, SQLite", 0.40, 0.30, ratio(SQLITE, COOKIE, "write")),
    Bar("write one key, PostgreSQL", 0.62, 0.45, ratio(POSTGRESQL, COOKIE, "write")),
    Bar("unknown cookie, SQLite", 0.55, 0.30, ratio(SQLITE, COOKIE, "unknown")),
    Bar("unknown cookie, PostgreSQL", 0.80, 0.30, ratio(POSTGRESQL, COOKIE, "unknown")),
    Bar("junk cookie, statements", 0, 0, count(SQLITE, "junk")),
    Bar("DRF view, SQLite", 0.43, 0.34, ratio(SQLITE, API, "api", who="api_plus_bearer")),
    Bar("DRF view, PostgreSQL", 0.56, 0.45, ratio(POSTGRESQL, API, "api", who="api_plus_bearer")),
    Bar(
        "DRF view, PostgreSQL prepared",
        0.40,
        0.30,
        ratio(PREPARED, API, "api", who="api_plus_bearer"),
    ),
    Bar(
        "DRF view, PostgreSQL prepared, against stock db not prepared",
        0.40,
        0.30,
        ratio(PREPARED, API, "api", who="api_plus_bearer", base="api_unprepared"),
    ),
    Bar(
        "DRF, our checked JWT against simplejwt's stateless, SQLite",
        1.35,
        1.1,
        ratio(SQLITE, API, "api", who="api_plus_jwt", base="api_jwt_stateless"),
    ),
    Bar(
        "DRF, our checked JWT against simplejwt's stateless, PostgreSQL prepared",
        2.0,
        1.5,
        ratio(PREPARED, API, "api", who="api_plus_jwt", base="api_jwt_stateless"),
    ),
    Bar("async view with `auser()`, SQLite", 0.70, 0.60, ratio(SQLITE, ASYNC, "async_read")),
    Bar(
        "async view with `auser()`, PostgreSQL",
        0.76,
        0.66,
        ratio(POSTGRESQL, ASYNC, "async_read"),
    ),
    Bar("untouched session, SQLite", 1.03, 0.95, ratio(SQLITE, COOKIE, "untouched")),
    Bar("untouched session, PostgreSQL", 1.03, 0.95, ratio(POSTGRESQL, COOKIE, "untouched")),
    Bar("untouched session, statements", 0, None, count(POSTGRESQL, "untouched")),
    Bar("anonymous, SQLite", 1.03, 0.95, ratio(SQLITE, COOKIE, "anonymous")),
    Bar("anonymous, PostgreSQL", 1.03, 0.95, ratio(POSTGRESQL, COOKIE, "anonymous")),
    Bar("anonymous, statements", 0, None, count(POSTGRESQL, "anonymous")),
    Bar(
        "with sliding, against SAVE_EVERY_REQUEST, SQLite",
        0.25,
        0.17,
        ratio(SQLITE, COOKIE, "read", base="stock_every"),
    ),
    Bar(
        "with sliding, against SAVE_EVERY_REQUEST, PostgreSQL",
        0.27,
        0.12,
        ratio(POSTGRESQL, COOKIE, "read", base="stock_every"),
    ),
    Bar(
        "with last seen, against allauth's activity tracking, SQLite",
        0.16,
        0.11,
        ratio(SQLITE, COOKIE, "read", base="allauth"),
    ),
    Bar(
        "with last seen, against allauth's activity tracking, PostgreSQL",
        0.20,
        0.09,
        ratio(POSTGRESQL, COOKIE, "read", base="allauth"),
    ),
    Bar(
        "cached_db on Redis, against stock cached_db on Redis, PostgreSQL",
        0.80,
        0.65,
        ratio(POSTGRESQL, COOKIE, "read", who="plus_cached", base="stock_cached_redis"),
    ),
    Bar("peak allocation, read", 18, 14, count(SQLITE, "read", "peak_kb"), "KB"),
    Bar("peak allocation, write", 24, 17, count(SQLITE, "write", "peak_kb"), "KB"),
    Bar(
        "one hot session, requests/s against SAVE_EVERY_REQUEST",
        4,
        8,
        hot_session,
        "times",
        at_least=True,
    ),
    Bar(
        "UPDATEs of one session in one interval",
        1,
        None,
        contended("readers", "plus_once", "updates"),
    ),
    Bar("lost acknowledged writes, distinct keys", 0, 0, contended("writers", "plus_db", "lost")),
    Bar(
        "lost acknowledged writes, readers beside a writer",
        0,
        0,
        contended("mixed", "plus_due", "lost"),
    ),
    Bar(
        "list of own sessions at 1,000,000 rows, statements",
        1,
        None,
        scaled(POSTGRESQL, lambda step: float(step["user_list"]["statements"])),
    ),
    Bar(
        "admin page 1 at 1,000,000 rows against a default ModelAdmin, PostgreSQL",
        0.15,
        0.05,
        scaled(POSTGRESQL, _admin_ratio),
    ),
    Bar(
        "admin page 1 at 1,000,000 rows against a default ModelAdmin, SQLite",
        0.25,
        0.15,
        scaled(SQLITE, _admin_ratio),
    ),
    Bar(
        "purge of 1,000,000 rows, longest statement",
        500,
        None,
        purged(POSTGRESQL, lambda purge: float(purge["longest_ms"])),
        "ms",
    ),
    Bar(
        "readers' p99 during the purge against without it",
        2,
        None,
        purged(POSTGRESQL, _slowdown("read")),
        "times",
    ),
    Bar(
        "writers' p99 during the purge against without it",
        2,
        None,
        purged(POSTGRESQL, _slowdown("write")),
        "times",
    ),
)
