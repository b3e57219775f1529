"""Write ``docs/performance.md`` from the results, and nothing from anywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.config import LABELS
from benchmarks.results import Results
from benchmarks.scenarios import FAMILY_LABELS, SCENARIOS
from benchmarks.tables import (
    NOTHING,
    bars_table,
    first_table,
    number,
    other_table,
    profile_table,
    table,
)

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "performance.md"
IMAGES = DOCS / "images"
# What the figures mean, where that takes somebody's judgement.
NOTES = Path(__file__).parent / "notes.md"

_INTRODUCTION = """# Performance

This page is written by `make bench`; whoever runs it gets figures of their own machine.

Every ratio compares **the whole handler with a trivial view**: Django's WSGI or ASGI handler with its
usual middleware (security, session, common, CSRF, authentication, messages), called directly, without a
server or a network in front. 1.00 is the same request with Django's own `db` sessions, and 0.33 means
that it takes a third of that. A view that does real work adds the same to both sides, and the ratio of a
real page is nearer to 1.
"""

_METHOD = """## How it is measured

One process for each contender, each with a database of its own, filled alike. In every round each
contender serves the same requests, in random order, and the ratio to the baseline is taken inside the
round, so that whatever disturbed the machine then disturbed both. The tables show the median over the
rounds, and the quartiles around it.

Three clocks are read. On SQLite the ratios are those of **CPU time**: the database is a library in the
same process, so that this is the whole cost, and it does not depend on who else uses the machine. On
servers they are those of the **wall clock**, for the server works while the process waits, and the
wake-ups in between are part of what a request costs; beside it stands the CPU time of the process and of
the servers behind it together, where the system tells. Where it does not, as under ASGI, it is that of the
process alone.

The garbage collector runs for all alike: what is alive before the rounds is frozen, each batch begins
after a collection, and what the collector does during the batch counts. Peak allocation is measured by
`tracemalloc` in a pass of its own. "q" is the exact number of SQL statements, plus Redis round trips, of a
request whose like was served before.

Prepared statements are `"OPTIONS": {"server_side_binding": True, "prepare_threshold": 1}`. There the
baseline is stock Django with the same options, which helps it as well; a row shows it without them.

None of the sessions in use is due to be touched while it is measured, as most requests in life are not;
what a request costs that is due has a row of its own. The time of a request ends when its response is
closed, so it includes a write that follows the response, for which no client waits. Under ASGI each
request has a thread and a connection of its own, which on PostgreSQL comes from psycopg's pool.
"""


def write(results: Results, page: Path = PAGE, images: Path = IMAGES) -> None:
    """Write the page and its images."""
    names = plots.draw_all(results, images)
    page.write_text(render(results, names))


def render(results: Results, images: list[str]) -> str:
    """Return the page as Markdown; ``images`` are the names of the plots there are."""
    parts = [_INTRODUCTION, "## Goals\n", bars_table(results) + "\n", NOTES.read_text()]
    for flavour, label in LABELS.items():
        parts += _flavour(results, flavour, label, images)
    parts += _contention(results.data.get("contention"), images)
    for flavour, scale in results.data.get("scale", {}).items():
        parts += _scale(LABELS[flavour], scale, images, f"performance-scale-{flavour}.svg")
    parts += [_METHOD, *_machine(results.data.get("about", {}))]
    return "\n".join(parts).rstrip() + "\n"


def _flavour(results: Results, flavour: str, label: str, images: list[str]) -> list[str]:
    parts = []
    for family, title in FAMILY_LABELS.items():
        suite = results.suite(flavour, family)
        if suite is None:
            continue
        parts += [f"## {label}: {title}\n"]
        parts += _image(images, f"performance-{flavour}-{family}.svg", f"{label}, {title}")
        parts += [
            (
                f"{SCENARIOS[family][0].label.capitalize()}, the whole handler with a trivial view; "
                f"median of {suite['rounds']} rounds of {suite['requests']} requests.\n"
            ),
            first_table(results, flavour, family) + "\n",
        ]
        if len(SCENARIOS[family]) > 1:
            parts += [
                "The other scenarios: the ratio, and in brackets statements (plus Redis round trips).\n",
                other_table(results, flavour, family) + "\n",
            ]
        if profiles := profile_table(results, flavour, family):
            parts += [
                (
                    "Where the time of a request goes by Python's profiler, and in brackets how many function "
                    "calls that is. It makes calls dearer than they are: compare columns, not with figures above.\n"
                ),
                profiles + "\n",
            ]
    return parts


def _image(images: list[str], name: str, title: str) -> list[str]:
    return [f"![{title}: ratio to Django's db sessions](images/{name})\n"] if name in images else []


_RUNS = {
    "readers": "All read their user",
    "writers": "Each writes a key of its own",
    "mixed": "One writes, the others read",
}
_RUN_LABELS = {
    "stock_db": "stock db",
    "stock_every": "stock db, `SESSION_SAVE_EVERY_REQUEST`",
    "plus_once": "django-sessions-plus, due at the start",
    "plus_due": "django-sessions-plus, due every time",
    "plus_db": "django-sessions-plus",
}


def _contention(data: dict[str, Any] | None, images: list[str]) -> list[str]:
    if data is None:
        return []
    parts = [
        "## One session, many workers\n",
        (
            f"{data['workers']} workers in {data['processes']} processes use one session for "
            f"{number(data['seconds'])} s, on PostgreSQL, through the whole handler with a trivial view. Refused "
            "are requests that were answered with an error; lost are writes that were answered with success and "
            "are not in the session afterwards.\n"
        ),
    ]
    parts += _image(images, "performance-contention.svg", "One hot session")
    header = ["contender", "requests/s", "UPDATEs", "refused", "writes acknowledged", "lost"]
    for kind, title in _RUNS.items():
        rows = [_contention_row(run, found) for run, found in data[kind].items()]
        parts += [f"### {title}\n", table(header, rows) + "\n"]
    return parts


def _contention_row(run: str, found: dict[str, Any]) -> list[str]:
    if "error" in found:
        return [_RUN_LABELS[run], f"cannot run: {found['error']}", *[NOTHING] * 4]
    keys = ("per_second", "updates", "refused", "acknowledged", "lost")
    return [_RUN_LABELS[run], *[number(found[key]) for key in keys]]


def _scale(label: str, scale: dict[str, Any], images: list[str], image: str) -> list[str]:
    header = [
        "rows",
        "request that reads its user",
        "list of own sessions",
        "admin, page 1",
        "default admin",
    ]
    parts = [
        f"## {label}: {scale['rows']:,} rows\n",
        (
            f"Sessions of {scale['users']:,} users; median (p99) in milliseconds on an otherwise idle server. The "
            "request and the admin's pages go through the whole handler.\n"
        ),
        *([f"![{label}: time over rows](images/{image})\n"] if image in images else []),
        table(header, [_scale_row(step) for step in scale["steps"]]) + "\n",
    ]
    if "purge" in scale:
        parts += _purge(scale["purge"])
    plans = scale.get("plans", {}) | {
        f"purge, {kind}": plan for kind, plan in scale.get("purge", {}).get("plans", {}).items()
    }
    for name, plan in plans.items():
        parts += [
            f"How the database goes about it ({name.replace('_', ' ')}):\n",
            "```text",
            *plan,
            "```\n",
        ]
    return parts


def _scale_row(step: dict[str, Any]) -> list[str]:
    pages = step["admin_page"]
    return [
        f"{step['rows']:,}",
        _latency(step["lookup"]),
        _latency(step["user_list"]),
        _latency(pages.get("plus", pages)),
        _latency(pages.get("stock", pages)),
    ]


def _latency(found: dict[str, Any]) -> str:
    if "error" in found:
        return f"cannot run: {found['error']}"
    return f"{number(found['median_ms'])} ({number(found['p99_ms'])})"


def _purge(purge: dict[str, Any]) -> list[str]:
    rows = [
        [
            f"one who {'reads' if name == 'read' else 'writes'}",
            *[_latency(purge[when][name]) for when in ("idle", "together", "during")],
        ]
        for name in ("read", "write")
    ]
    return [
        "### Purge beside other requests\n",
        (
            f"{purge['deleted']:,} rows deleted in {number(purge['seconds'])} s by {purge['statements']:,} statements, "
            f"the longest of which took {number(purge['longest_ms'])} ms. Two processes go on with their requests, "
            "whose latency in milliseconds is, median (p99):\n"
        ),
        table(["who", "alone", "the two of them", "during the purge"], rows) + "\n",
    ]


def _machine(about: dict[str, Any]) -> list[str]:
    if not about:
        return []
    dates = ", ".join(f"{section} on {found['date']}" for section, found in about.items())
    # What several sections say alike is said once; a later section adds what it alone knows.
    merged: dict[str, str] = {}
    for found in about.values():
        merged |= found["machine"]
    rows = [[name, value] for name, value in merged.items()]
    return [f"## The machine\n\nMeasured: {dates}.\n", table(["what", "which"], rows) + "\n"]
