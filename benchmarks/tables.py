"""Markdown tables of what was measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import figures
from benchmarks.bars import BARS, Bar
from benchmarks.config import SQLITE
from benchmarks.profiles import AREAS
from benchmarks.results import Results, basis_of, seconds
from benchmarks.scenarios import SCENARIOS

NOTHING = "-"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its figures to the right."""
    lines = [_line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    return "\n".join(lines + [_line(row) for row in rows])


def number(value: float) -> str:
    """Return a figure as people read it: three significant digits at most, no empty decimals."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def bars_table(results: Results) -> str:
    """Return every goal with what was measured for it."""
    return table(
        ["measure", "bar", "moonshot", "measured", "met"],
        [_bar_row(bar, results) for bar in BARS],
    )


def first_table(results: Results, flavour: str, family: str) -> str:
    """Return the comparison in its first scenario, with everything there is to know."""
    suite = results.suite(flavour, family) or {}
    name = SCENARIOS[family][0].name
    check = "cpu" if basis_of(flavour) == "wall" else "wall"
    header = ["contender", "q", "ratio", "quartiles", f"ratio by {_clock(check)}", "µs", "peak KB"]
    rows = []
    for key, one in suite.get("contenders", {}).items():
        measured = results.measured(flavour, family, key, name)
        spread = results.ratio(flavour, family, key, name)
        if not measured or spread is None:
            rows.append([one["label"], why_not(one, name), *[NOTHING] * 5])
            continue
        rows.append(
            [
                one["label"],
                cost(measured),
                f"{spread.middle:.2f}",
                f"{spread.low:.2f}-{spread.high:.2f}",
                _checked(results, flavour, family, key, name),
                number(figures.middle(seconds(measured, basis_of(flavour)))),
                number(measured["peak_kb"]) if "peak_kb" in measured else NOTHING,
            ]
        )
    return table(header, rows)


def other_table(results: Results, flavour: str, family: str) -> str:
    """Return the comparison in all further scenarios: ratio, and queries in brackets."""
    suite = results.suite(flavour, family) or {}
    scenarios = SCENARIOS[family][1:]
    rows = []
    for key, one in suite.get("contenders", {}).items():
        if one["status"] != "ran":
            rows.append([one["label"], why_not(one, ""), *[NOTHING] * (len(scenarios) - 1)])
            continue
        cells = [_cell(results, flavour, family, key, scenario.name) for scenario in scenarios]
        if any(cell != NOTHING for cell in cells):
            rows.append([one["label"], *cells])
    return table(["contender", *[scenario.label for scenario in scenarios]], rows)


def profile_table(results: Results, flavour: str, family: str) -> str:
    """Return where the time goes of those that were profiled; empty where nobody was."""
    suite = results.suite(flavour, family) or {}
    header, columns = [], []
    for scenario in SCENARIOS[family]:
        for key, one in suite.get("contenders", {}).items():
            found = results.measured(flavour, family, key, scenario.name).get("profile")
            if found is not None:
                header.append(f"{one['label']}, {scenario.label}")
                columns.append(found)
    rows = [
        [area, *[_share(column.get(area)) for column in columns]]
        for area in AREAS
        if any(area in column for column in columns)
    ]
    sums = [[sum(share[i] for share in column.values()) for i in (0, 1)] for column in columns]
    return table(["", *header], [*rows, ["all", *[_share(each) for each in sums]]]) if rows else ""


def _share(share: Sequence[float] | None) -> str:
    return NOTHING if share is None else f"{share[1]:,.0f} µs ({share[0]:,.0f})"


def cost(measured: dict[str, Any]) -> str:
    """Return statements, and Redis round trips where there are any."""
    statements, trips = measured.get("statements"), measured.get("round_trips")
    if statements is None:
        return NOTHING
    return f"{statements}+{trips}" if trips else str(statements)


def why_not(one: dict[str, Any], scenario: str) -> str:
    """Return why there is no figure."""
    if one["status"] != "ran":
        return f"{one['status']}: {one['reason']}".replace("|", "/")
    failed = one["scenarios"].get(scenario, {}).get("error")
    return f"cannot run: {failed}".replace("|", "/") if failed else NOTHING


def _cell(results: Results, flavour: str, family: str, contender: str, scenario: str) -> str:
    measured = results.measured(flavour, family, contender, scenario)
    spread = results.ratio(flavour, family, contender, scenario)
    if spread is not None:
        return f"{spread.middle:.2f} ({cost(measured)})"
    suite = results.suite(flavour, family) or {}
    return why_not(suite["contenders"][contender], scenario)


def _checked(results: Results, flavour: str, family: str, contender: str, scenario: str) -> str:
    """Return the ratio by the other clock: of all processes together where they are known."""
    names = ["wall"] if flavour == SQLITE else ["busy", "cpu"]
    for basis in names:
        found = results.ratio(flavour, family, contender, scenario, basis=basis)
        if found is not None:
            return f"{found.middle:.2f}"
    return NOTHING


def _clock(basis: str) -> str:
    return {"wall": "wall clock", "cpu": "CPU time"}[basis]


def _bar_row(bar: Bar, results: Results) -> list[str]:
    value = bar.measured(results)
    unit = f" {bar.unit}" if bar.unit else ""
    moonshot = NOTHING if bar.moonshot is None else number(bar.moonshot) + unit
    if value is None:
        return [bar.label, number(bar.bar) + unit, moonshot, "not measured", NOTHING]
    is_met = "yes" if bar.is_met_by(value, bar.bar) else "**no**"
    if is_met == "yes" and bar.moonshot is not None and bar.is_met_by(value, bar.moonshot):
        is_met = "moonshot"
    return [bar.label, number(bar.bar) + unit, moonshot, number(round(value, 2)) + unit, is_met]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
