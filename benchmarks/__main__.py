"""The command: ``python -m benchmarks compare | contention | scale | report | clean``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from benchmarks import contention, machine, measure, report, scale
from benchmarks.config import (
    FLAVOURS,
    LABELS,
    MARIADB,
    POSTGRESQL,
    PREPARED,
    SQLITE,
    Services,
    Sizes,
    services,
)
from benchmarks.databases import Databases, server
from benchmarks.results import Results
from benchmarks.scenarios import COOKIE, FAMILIES
from benchmarks.terminal import say

USUAL = (SQLITE, POSTGRESQL, PREPARED, MARIADB)
# It has no way to copy a database, so that everyone's has to be filled for each run: only those
# take part who are in the goals, unless others are asked for.
_ON_MARIADB = frozenset({"floor", "plus_db"})
_QUICK = Sizes(sessions=5_000, users=1_000, pool=100)


def main() -> int:
    """Do what the arguments say and return the exit status."""
    arguments = _parser().parse_args()
    command: Callable[[argparse.Namespace, Services], int] = arguments.command
    return command(arguments, services(os.environ))


def compare(arguments: argparse.Namespace, known: Services) -> int:
    """Compare everyone on each database, in each family."""
    sizes = _QUICK if arguments.quick else Sizes(arguments.sessions, arguments.users)
    usual = measure.Plan(
        rounds=arguments.rounds or (5 if arguments.quick else 31),
        requests=arguments.requests or (10 if arguments.quick else 40),
        only=frozenset(arguments.contender or ()),
    )
    flavours = [one for one in arguments.database or USUAL if _is_reachable(one, known)]
    # What is not measured now is kept, with the date it was measured on.
    results = Results() if arguments.quick else Results.read()
    suites = results.data.setdefault("suites", {})
    for flavour in flavours:
        is_short = flavour == MARIADB and not usual.only
        plan = replace(usual, only=_ON_MARIADB) if is_short else usual
        for family in arguments.family or ((COOKIE,) if flavour == MARIADB else FAMILIES):
            suites[f"{flavour} {family}"] = measure.measure(flavour, family, known, sizes, plan)
            say(f"{LABELS[flavour]}, {family}: done")
            if not arguments.quick:
                results.write()
    return _conclude(results, "comparison", arguments.quick, known, set(flavours), sizes)


def contend(arguments: argparse.Namespace, known: Services) -> int:
    """Let many workers use one session."""
    if not _is_reachable(POSTGRESQL, known):
        return 0
    results = Results() if arguments.quick else Results.read()
    seconds = arguments.seconds or (2.0 if arguments.quick else 12.0)
    results.data["contention"] = contention.run(known, seconds=seconds, workers=arguments.workers)
    return _conclude(results, "contention", arguments.quick, known, {POSTGRESQL})


def grow(arguments: argparse.Namespace, known: Services) -> int:
    """Fill a table with millions of rows and see what stays flat."""
    if not _is_reachable(arguments.database, known):
        return 0
    results = Results() if arguments.quick else Results.read()
    flavour = arguments.database
    rows = arguments.rows or (50_000 if arguments.quick else scale.DEFAULT_ROWS[flavour])
    expired = arguments.expired or (10_000 if arguments.quick else 1_000_000)
    found = scale.run(known, rows=rows, expired=expired, flavour=flavour)
    results.data.setdefault("scale", {})[flavour] = found
    return _conclude(results, "scale", arguments.quick, known, {flavour})


def rewrite(arguments: argparse.Namespace, known: Services) -> int:
    """Write the report from the results there are."""
    report.write(Results.read())
    return 0


def clean(arguments: argparse.Namespace, known: Services) -> int:
    """Delete every database the benchmarks have made."""
    for flavour in (SQLITE, POSTGRESQL, MARIADB):
        if _is_reachable(flavour, known):
            number = Databases(flavour, known, Sizes()).drop_all()
            say(f"{LABELS[flavour]}: {number} databases deleted")
    return 0


def _conclude(
    results: Results,
    section: str,
    is_quick: bool,
    known: Services,
    flavours: set[str],
    sizes: Sizes | None = None,
) -> int:
    results.data.setdefault("about", {})[section] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine.describe(flavours, known, sizes),
    }
    if is_quick:
        say("\nA glance, not a measurement: few rounds, little data.\n")
        say(report.render(results, []))
        return 0
    results.write()
    report.write(results)
    say(f"Written: {report.PAGE.relative_to(report.DOCS.parent)}")
    return 0


def _is_reachable(flavour: str, known: Services) -> bool:
    if flavour == SQLITE:
        return True
    try:
        with server(flavour, known) as execute:
            execute("SELECT 1")
    except Exception as exc:  # noqa: BLE001  # each driver has errors of its own, or is missing
        say(f"{LABELS[flavour]} is left out: {str(exc).strip().partition(chr(10))[0]}")
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True)

    one = commands.add_parser("compare", help=compare.__doc__)
    one.add_argument("--database", choices=FLAVOURS, action="append")
    one.add_argument("--family", choices=FAMILIES, action="append")
    one.add_argument("--contender", action="append", help="with the baseline, only this one")
    one.add_argument("--rounds", type=int)
    one.add_argument("--requests", type=int, help="of each contender in each scenario of a round")
    one.add_argument("--sessions", type=int, default=Sizes.sessions)
    one.add_argument("--users", type=int, default=Sizes.users)
    one.set_defaults(command=compare)

    two = commands.add_parser("contention", help=contend.__doc__)
    two.add_argument("--seconds", type=float)
    two.add_argument("--workers", type=int, default=contention.WORKERS)
    two.set_defaults(command=contend)

    three = commands.add_parser("scale", help=grow.__doc__)
    three.add_argument("--rows", type=int)
    three.add_argument("--expired", type=int, help="rows for the purge to delete")
    three.add_argument("--database", choices=(POSTGRESQL, SQLITE), default=POSTGRESQL)
    three.set_defaults(command=grow)

    for sub in (one, two, three):
        sub.add_argument("--quick", action="store_true", help="few rounds; print, write nothing")
    commands.add_parser("report", help=rewrite.__doc__).set_defaults(command=rewrite)
    commands.add_parser("clean", help=clean.__doc__).set_defaults(command=clean)
    return parser


if __name__ == "__main__":
    sys.exit(main())
