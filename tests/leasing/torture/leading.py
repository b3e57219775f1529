"""Lead all runs, and print what they have shown."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from django.core.management import call_command
from django.db import connection

from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.sessions import session_model
from tests.leasing.torture.faults import FAULTS, FAULTS_OF_REDIS, HELD_COMMIT
from tests.leasing.torture.judging import CALM, Row, share
from tests.leasing.torture.postgres import Server
from tests.leasing.torture.redis_server import Redis
from tests.leasing.torture.running import LEASE, WORKERS, Form, Outcome, run
from tests.leasing.torture.writers import SURVIVOR, UNANNOUNCED, WRITERS
from tests.ports import free_port

VARIANTS: dict[str, tuple[str, ...]] = {
    "no lease": ("packets held", "answers held", "listener's backend frozen"),
    "silent reconnect": ("listeners terminated", "packets dropped"),
    "refill unchecked": (),
}
"""The broken variants, and the faults that show each."""
VARIANTS_OF_REDIS: dict[str, tuple[str, ...]] = {
    "no lease": ("packets held", "answers held", "Redis frozen"),
    "silent reconnect": ("Redis ends listeners", "packets dropped"),
    "refill unchecked": (),
}
VARIANT_SECONDS = 10.0
ATTEMPTS = 3


def main(
    port: str,
    directory: str,
    seconds: str,
    revocations: str,
    seed: str,
    slots: str,
    variants: str,
    *faults: str,
) -> int:
    """Run all and return the exit code."""
    server = Server(int(port), Path(directory))
    call_command("migrate", verbosity=0)
    redis_port = os.environ.get("TORTURE_REDIS_PORT")
    if redis_port is None:
        triggers.install(session_model(), "default")
    connection.close()
    form = Form(
        seconds=float(seconds),
        revocations=int(revocations),
        faults=faults or tuple(FAULTS if redis_port is None else FAULTS_OF_REDIS),
        seed=int(seed),
        slots=int(slots),
    )
    forms = [form]
    if variants == "1":
        forms += [
            Form(VARIANT_SECONDS, 0, kinds, variant=variant, seed=int(seed))
            for variant, kinds in (VARIANTS if redis_port is None else VARIANTS_OF_REDIS).items()
        ]
    redis = None if redis_port is None else Redis(int(redis_port))
    is_kept = True
    with tempfile.TemporaryDirectory(prefix="torture-lease-board-") as name:
        for each in forms:
            is_kept &= _try(each, server, redis, Path(name))
    if redis is not None:
        redis.stop()
    print("\nThe promise was kept." if is_kept else "\nFAILED")
    return 0 if is_kept else 1


def _try(form: Form, server: Server, redis: Redis | None, directory: Path) -> bool:
    """Run and print one form; return whether it ended as it has to.

    One that has shown too little is run again, because a busy machine may leave a fault no time, or a variant no chance
    to be wrong. A promise that was broken once is broken.
    """
    for attempt in range(ATTEMPTS):
        place = directory / f"{form.variant or 'engine'}-{attempt}".replace(" ", "-")
        place.mkdir()
        # A proxy of its own, so that nothing that one run has held reaches the next.
        with _proxy(server, redis) as (proxy, ports):
            again = replace(form, seed=form.seed + attempt)
            outcome = run(again, server, redis, proxy, ports, place)
        is_right = _print_variant(outcome) if form.variant else _print(outcome)
        if is_right or (outcome.verdict.violations and not form.variant):
            return is_right
    return False


@contextmanager
def _proxy(
    server: Server, redis: Redis | None
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Put a proxy before the channel; yield it, and the ports for the workers."""
    port = free_port()
    command = [sys.executable, "-m", "tests.leasing.torture.proxy", str(port)]
    if redis is None:
        ports = {"TORTURE_PORT": str(port)}
        command += [str(server.port)]
    else:
        ports = {"TORTURE_PORT": str(server.port), "TORTURE_REDIS_PORT": str(port)}
        command += [str(redis.port), ""]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process, ports
        finally:
            process.terminate()


def _print(outcome: Outcome) -> bool:
    """Print the figures of the engine itself; return whether it kept its promise."""
    counts, verdict = outcome.counts, outcome.verdict
    asked = counts["hits"] + counts["misses"] + counts["lapses"]
    print(
        f"leased_db, lease {LEASE * 1000:.0f} ms, {WORKERS} workers and their children, seed {outcome.form.seed}:"
        f" {outcome.seconds:.0f} s"
    )
    print(
        f"  {counts['decisions']} decisions: {counts['accepted']} accepted, {counts['refused']} refused,"
        f" {counts['errors']} errors while the server was away\n"
        f"  {counts['hits'] / max(1, asked):.1%} from memory, {counts['misses'] / max(1, asked):.1%} not in it,"
        f" {counts['lapses'] / max(1, asked):.1%} without a lease\n"
        f"  {counts['echoes']} echoes answered, {counts['heard']} announcements heard,"
        f" {counts['outdated']} outdated reads not kept, {counts['bounded']} reads kept in a full memory"
    )
    _print_rows("ended by", [*WRITERS, UNANNOUNCED, HELD_COMMIT, SURVIVOR], verdict.by_kind, {})
    happened = {
        kind: f"{sum(each.happened for each in outcome.faults if each.kind == kind)}"
        f"/{sum(each.kind == kind for each in outcome.faults)}"
        for kind in outcome.form.faults
    }
    _print_rows("during", [CALM, *outcome.form.faults], verdict.by_fault, happened)
    _print_rows("", ["all"], {"all": verdict.total}, {})
    for problem in outcome.problems:
        print(f"  PROBLEM: {problem}")
    return verdict.violations == 0 and not outcome.problems


def _print_rows(
    title: str, names: list[str], rows: dict[str, Row], happened: dict[str, str]
) -> None:
    print(
        f"\n  {title:<28}{'happened':>10}{'sessions':>10}{'in use':>8}{'too late':>10}{'too early':>11}"
        f"{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}"
    )
    for name in names:
        row = rows.get(name, Row())
        lags = [1000 * lag for lag in row.lags]
        times = happened.get(name, "")
        print(
            f"  {name:<28}{times:>10}{row.revocations:>10}{row.used:>8}{row.late:>10}{row.wrong:>11}"
            f"{share(lags, 0.5):>9.1f}{share(lags, 0.99):>9.1f}{max(lags, default=0.0):>9.1f}"
        )


def _print_variant(outcome: Outcome) -> bool:
    """Print whether a broken variant was caught; return that."""
    total = outcome.verdict.total
    is_caught = total.late > 0
    print(
        f"\nvariant {outcome.form.variant!r}: {total.late} of {total.revocations} too late,"
        f" {1000 * max(total.lags, default=0.0):.0f} ms at most:"
        f" {'caught' if is_caught else 'NOT CAUGHT'}"
    )
    for problem in outcome.problems:
        print(f"  PROBLEM: {problem}")
    return is_caught and not outcome.problems
