"""The plots of the report, as SVG."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.config import LABELS
from benchmarks.results import Results
from benchmarks.scenarios import FAMILY_LABELS, SCENARIOS

OURS, THEIRS, GRID = "#2563eb", "#94a3b8", "#e2e8f0"
# Readable on a light and on a dark page, for an SVG in Markdown cannot know which it is on.
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "performance",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
}


def draw_all(results: Results, directory: Path) -> list[str]:
    """Draw what there are results for and return the names of the files."""
    # Chosen before pyplot is imported by anybody: there is no screen.
    import_module("matplotlib").use("svg")
    pyplot = import_module("matplotlib.pyplot")
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("performance-*.svg"):
        old.unlink()
    figures: dict[str, Any] = {}
    with pyplot.rc_context(_STYLE):
        for flavour, family, _ in results.suites():
            name = f"performance-{flavour}-{family}.svg"
            figures[name] = _ratios(pyplot, results, flavour, family)
        if (contention := results.data.get("contention")) is not None:
            figures["performance-contention.svg"] = _contention(pyplot, contention)
        for flavour, scale in results.data.get("scale", {}).items():
            figures[f"performance-scale-{flavour}.svg"] = _scale(pyplot, scale, LABELS[flavour])
        for name, figure in figures.items():
            _save(figure, directory / name)
            pyplot.close(figure)
    return list(figures)


def _save(figure: Any, file: Path) -> None:
    # Without a date, so that the same results give the same file.
    figure.savefig(file, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line.rstrip() for line in lines) + "\n")


def plain(label: str) -> str:
    """Return a label without its Markdown."""
    return label.replace("**", "").replace("`", "")


def bar_data(
    results: Results, flavour: str, family: str, scenario: str
) -> list[tuple[str, bool, float, float, float]]:
    """Return label, whether it is ours, and the ratio's quartiles of all who have one, the fastest first."""
    suite = results.suite(flavour, family) or {}
    found = []
    for key, one in suite.get("contenders", {}).items():
        spread = results.ratio(flavour, family, key, scenario)
        if spread is not None:
            is_ours = key.startswith(("plus", "api_plus"))
            found.append((plain(one["label"]), is_ours, *spread))
    return sorted(found, key=lambda one: one[3])


def _ratios(pyplot: Any, results: Results, flavour: str, family: str) -> Any:
    scenario = SCENARIOS[family][0]
    data = bar_data(results, flavour, family, scenario.name)
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.32 * len(data)))
    labels = [one[0] for one in data]
    middles = [one[3] for one in data]
    errors = [[one[3] - one[2] for one in data], [one[4] - one[3] for one in data]]
    colors = [OURS if one[1] else THEIRS for one in data]
    bars = axes.barh(labels, middles, color=colors, xerr=errors, ecolor="#475569", capsize=2)
    axes.bar_label(bars, [f"{value:.2f}" for value in middles], padding=4)
    axes.axvline(1, color="#475569", linewidth=0.8, linestyle="--")
    axes.invert_yaxis()
    axes.grid(axis="x", color=GRID)
    axes.set_xlabel("time against Django's db sessions, the whole handler with a trivial view")
    axes.set_title(f"{LABELS[flavour]}: {plain(FAMILY_LABELS[family])}, {scenario.label}")
    return figure


def _contention(pyplot: Any, data: dict[str, Any]) -> Any:
    runs = {name: run for name, run in data["readers"].items() if "error" not in run}
    names = {
        "stock_db": "stock db, never slides",
        "stock_every": "stock db, SAVE_EVERY_REQUEST",
        "plus_once": "django-sessions-plus, due at the start",
        "plus_due": "django-sessions-plus, due every time",
    }
    figure, axes = pyplot.subplots(figsize=(8, 2.2))
    colors = [OURS if name.startswith("plus") else THEIRS for name in runs]
    values = [run["per_second"] for run in runs.values()]
    bars = axes.barh([names[name] for name in runs], values, color=colors)
    axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=4)
    axes.invert_yaxis()
    axes.grid(axis="x", color=GRID)
    axes.set_xlabel("requests a second, the whole handler with a trivial view")
    axes.set_title(f"PostgreSQL: one session, {data['workers']} workers")
    return figure


def _scale(pyplot: Any, scale: dict[str, Any], label: str) -> Any:
    figure, axes = pyplot.subplots(figsize=(8, 3.4))
    lines: dict[str, tuple[str, tuple[str, ...]]] = {
        "request that reads its user": (OURS, ("lookup",)),
        "list of own sessions": ("#0d9488", ("user_list",)),
        "admin, page 1": ("#7c3aed", ("admin_page", "plus")),
        "Django's default admin, page 1": (THEIRS, ("admin_page", "stock")),
    }
    for name, (color, path) in lines.items():
        points = [(step["rows"], _median(step, path)) for step in scale["steps"]]
        known = [(rows, value) for rows, value in points if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), marker="o", color=color, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(color=GRID)
    axes.set_xlabel("rows")
    axes.set_ylabel("median, ms")
    axes.set_title(f"{label}: time over the size of the table")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _median(step: dict[str, Any], path: tuple[str, ...]) -> float | None:
    found: Any = step
    for key in path:
        found = found.get(key, {})
    value: float | None = found.get("median_ms")
    return value
