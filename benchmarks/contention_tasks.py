"""The worker's side of contention.py: threads that all use one session."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.utils import timezone

from benchmarks import credentials, keys, loads
from benchmarks.drivers import Request
from benchmarks.worker import Site
from django_sessions_plus import tokens


def set_up(site: Site, hot: int, is_due: bool) -> None:
    """Make the hot session just seen, or make it due to be touched."""
    if site.contender.load != "plus":
        return
    loads.refresh([hot], always_due=False)
    if is_due:
        rows = apps.get_model("django_sessions_plus.Session").objects
        moment = timezone.now() - timedelta(days=2)
        digest = tokens.digest(keys.session_token(hot))
        rows.filter(token_digest=digest).update(
            updated_at=moment, last_seen_at=moment, expires_at=moment + timedelta(days=14)
        )
    connections.close_all()


def warm_up(site: Site, hot: int) -> None:
    """Import and compile everything, on another session than the one that matters."""
    for path in ("/read/", "/count/"):
        headers = credentials.headers_of("cookie", hot + 1, site.sizes)
        site.driver.serve([site.driver.prepare(Request(path, headers, "key=warm"))])
    connections.close_all()


def hammer(site: Site, hot: int, jobs: list[str], start: float, seconds: float) -> dict[str, Any]:
    """Request until the time is over, one thread for each job; return how often with success."""
    refused = 0

    def work(job: str) -> int:
        nonlocal refused
        headers = credentials.headers_of("cookie", hot, site.sizes)
        path = "/count/" if job.startswith("count") else "/read/"
        request = Request(path, headers, f"key={job}")
        time.sleep(max(0.0, start - time.time()))
        end, successes = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            status = site.driver.serve([site.driver.prepare(request)])[0].status
            if status == 200:
                successes += 1
            else:
                refused += 1
        connections.close_all()
        return successes

    with ThreadPoolExecutor(len(jobs)) as threads:
        served = dict(zip(jobs, threads.map(work, jobs), strict=True))
    return {"served": served, "refused": refused}


def stored(site: Site, hot: int) -> dict[str, int]:
    """Return the counters that the hot session holds."""
    store = import_module(settings.SESSION_ENGINE).SessionStore(keys.session_token(hot))
    return {key: value for key, value in store.items() if key.startswith("count")}
