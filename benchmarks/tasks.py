"""What a worker is asked to do. Every function takes the site first and returns plain data."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import islice
from statistics import median
from typing import Any

from django.utils.module_loading import import_string

from benchmarks import credentials, keys, loads
from benchmarks.clocks import Stopwatch, server_pids
from benchmarks.config import MARIADB, SQLITE, is_local
from benchmarks.contenders import Contender
from benchmarks.counting import counting
from benchmarks.drivers import Answer, Request
from benchmarks.profiles import REQUESTS as PROFILED_REQUESTS
from benchmarks.profiles import Share
from benchmarks.profiles import profile as profile_of
from benchmarks.scenarios import JUNK, NOBODY, UNKNOWN, Scenario, scenario
from benchmarks.worker import Site

# Enough for a request to have taken every path that is taken but once.
WARM_UP = 5
MEMORY_REQUESTS = 15


class WrongAnswerError(Exception):
    """A contender served something else than what was asked for."""


def fill(site: Site) -> None:
    """Create the contender's tables and rows."""
    loads.fill(site.contender.load, site.sizes)


def open_site(site: Site, scenarios: list[str]) -> dict[str, str]:
    """Make ready for the first round; return, for each scenario that does not work, why."""
    numbers = keys.pool(site.sizes.sessions, site.sizes.pool)
    if site.contender.load == "plus":
        loads.refresh(numbers, always_due=site.contender.always_due)
    if site.contender.has_leases:
        import_string("benchmarks.leases.install_triggers")()
        _wait_for_lease(site)
    failures = {}
    for name in scenarios:
        try:
            _visit_all(site, scenario(name), numbers)
        except Exception as exc:  # noqa: BLE001  # whatever a contender raises is its result
            failures[name] = f"{type(exc).__name__}: {str(exc).strip().partition(chr(10))[0]}"
    has_server = site.flavour not in (SQLITE, MARIADB) and not site.is_async
    local = has_server and is_local(site.known.postgres) and is_local(site.known.redis)
    site.kept["stopwatch"] = Stopwatch(server_pids(is_local=local))
    # What is there by now stays; collecting garbage need not look at it again and again.
    gc.collect()
    gc.freeze()
    return failures


def batch(site: Site, name: str, count: int, seed: int) -> dict[str, float | None]:
    """Serve ``count`` requests and return what they cost, in seconds."""
    wanted = scenario(name)
    prepared = [site.driver.prepare(one) for one in _requests(site, wanted, count, seed)]
    _wait_for_lease(site)
    answers: list[Answer] = []
    # The collector runs as in production; what it costs is the contender's own. It only
    # must not have to clean up after the batch before.
    gc.collect()
    stopwatch: Stopwatch = site.kept["stopwatch"]
    cost = stopwatch.measure(lambda: answers.extend(site.driver.serve(prepared)))
    _require_success(answers)
    return cost._asdict()


def count(site: Site, name: str) -> dict[str, Any]:
    """Return the statements and Redis round trips of one request, its like having been served before."""
    wanted = scenario(name)
    visited = keys.pool(site.sizes.sessions, site.sizes.pool)[0]
    _wait_for_lease(site)
    with counting() as counter:
        for _ in range(2):
            counter.reset()
            _serve(site, wanted, [visited])
        return {
            "statements": len(counter.statements),
            "round_trips": counter.round_trips,
            "sql": counter.statements,
        }


def memory(site: Site, name: str) -> float:
    """Return the peak allocation of one request in KB: the median of several."""
    requests = _requests(site, scenario(name), WARM_UP + MEMORY_REQUESTS, seed=1)
    prepared = [site.driver.prepare(one) for one in requests]
    peaks = []
    tracemalloc.start()
    try:
        for one in prepared:
            gc.collect()
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            site.driver.serve([one])
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return median(islice(peaks, WARM_UP, None)) / 1024


def profile(site: Site, name: str) -> Share:
    """Return where the time of a request goes, see profiles.py."""
    requests = _requests(site, scenario(name), PROFILED_REQUESTS, seed=2)
    prepared = [site.driver.prepare(one) for one in requests]
    return profile_of(lambda: site.driver.serve(prepared), len(prepared))


def _visit_all(site: Site, wanted: Scenario, numbers: list[int]) -> None:
    """Visit every session in use, so that caches are as warm as they get; check each answer."""
    # One by one at first: an error is easier to understand when it is not the fifth.
    for start, stop in ((0, WARM_UP), (WARM_UP, None)):
        _serve(site, wanted, numbers[start:stop])


def _serve(site: Site, wanted: Scenario, numbers: list[int]) -> None:
    requests = [_request(site, wanted, number) for number in numbers]
    answers = site.driver.serve([site.driver.prepare(one) for one in requests])
    _require_success(answers)
    for number, answer in zip(numbers, answers, strict=True):
        expected = _expected(site.contender, wanted, keys.user_key(number, site.sizes.users))
        if expected not in answer.body.decode():
            raise WrongAnswerError(f"the answer is not {expected!r}")


def _require_success(answers: list[Answer]) -> None:
    for answer in answers:
        if answer.status != 200:
            raise WrongAnswerError(f"status {answer.status}")


def _expected(contender: Contender, wanted: Scenario, user: int) -> str:
    if contender.session_middleware is None:
        return "plain"
    return wanted.answer.format(user=f"user{user}", key=user)


def _requests(site: Site, wanted: Scenario, count: int, seed: int) -> list[Request]:
    numbers = keys.pool(site.sizes.sessions, site.sizes.pool)
    return [_request(site, wanted, number) for number in keys.visits(numbers, count, seed)]


def _request(site: Site, wanted: Scenario, number: int) -> Request:
    if wanted.visitor == NOBODY:
        return Request(wanted.path, {})
    if wanted.visitor in (UNKNOWN, JUNK):
        # Never the same twice: some store what they do not know.
        site.next_unknown += 1
        make = keys.junk if wanted.visitor == JUNK else keys.unknown_token
        return Request(wanted.path, credentials.cookie(make(site.next_unknown)))
    headers = credentials.headers_of(site.contender.credentials, number, site.sizes)
    return Request(wanted.path, headers)


def _wait_for_lease(site: Site) -> None:
    if site.contender.has_leases:
        # By its path, because other contenders have not installed this package.
        import_string("benchmarks.leases.wait_for_lease")()
