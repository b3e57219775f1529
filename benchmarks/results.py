"""The results as they are kept: one JSON file, from which the report is written anew each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.config import SQLITE
from benchmarks.contenders import BASELINES
from benchmarks.figures import Spread

FILE = Path(__file__).parent / "results" / "latest.json"

# CPU alone is the whole cost where the database is a library in the same process, and it does
# not depend on who else uses the machine. A server works while the worker waits: only the
# clock on the wall holds both, with the wake-ups in between.
BASES = {SQLITE: "cpu"}
DEFAULT_BASIS = "wall"


class Results:
    """What was measured: suites by database and family, contention and scale runs."""

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self.data = data or {}

    @classmethod
    def read(cls, file: Path = FILE) -> Results:
        """Return what is kept; nothing if there is no file."""
        return cls(json.loads(file.read_text()) if file.exists() else None)

    def write(self, file: Path = FILE) -> None:
        """Keep the results."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.data, indent=None, separators=(",", ":")) + "\n")

    def suite(self, flavour: str, family: str) -> dict[str, Any] | None:
        """Return the contenders of one comparison."""
        found: dict[str, Any] | None = self.data.get("suites", {}).get(f"{flavour} {family}")
        return found

    def suites(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return every comparison with its database and family."""
        found = []
        for name, suite in self.data.get("suites", {}).items():
            flavour, family = name.split(" ")
            found.append((flavour, family, suite))
        return found

    def measured(self, flavour: str, family: str, contender: str, scenario: str) -> dict[str, Any]:
        """Return the samples and counts of one contender in one scenario; empty if there are none."""
        suite = self.suite(flavour, family) or {}
        one = suite.get("contenders", {}).get(contender, {})
        found: dict[str, Any] = one.get("scenarios", {}).get(scenario, {})
        return {} if "error" in found else found

    def ratio(
        self,
        flavour: str,
        family: str,
        contender: str,
        scenario: str,
        *,
        base: str | None = None,
        basis: str | None = None,
    ) -> Spread | None:
        """Return how many times the base's time a contender takes; None where either is missing."""
        basis = basis or basis_of(flavour)
        mine = self.measured(flavour, family, contender, scenario)
        other = self.measured(flavour, family, base or BASELINES[family], scenario)
        pairs = figures.ratios(seconds(mine, basis), seconds(other, basis))
        return figures.spread(pairs) if pairs else None


def basis_of(flavour: str) -> str:
    """Return the clock whose ratios are the headline on this database."""
    return BASES.get(flavour, DEFAULT_BASIS)


def seconds(measured: dict[str, Any], basis: str) -> Sequence[float]:
    """Return the rounds of one clock; ``busy`` is this process and the servers behind it together."""
    if basis != "busy":
        found: Sequence[float] = measured.get(basis, [])
        return found
    servers = measured.get("server", [])
    if not servers or None in servers:
        return []
    return [own + other for own, other in zip(measured["cpu"], servers, strict=True)]
