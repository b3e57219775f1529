"""A plugin of pytest that writes each test's outcome by id to the file ALLAUTH_SUITE_OUTCOMES names."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path

import pytest

_outcomes: dict[str, str] = {}


def pytest_collection() -> None:
    """Have sessions served from memory where the engine may do that."""
    # This plugin is imported before the settings.
    import_module("leases_in_tests").install()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the worst of a test's set-up, call and tear-down."""
    if report.failed or report.nodeid not in _outcomes or _outcomes[report.nodeid] == "passed":
        _outcomes[report.nodeid] = report.outcome


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Count a file that cannot be read as a test that fails."""
    if report.failed:
        _outcomes[report.nodeid] = "failed"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what is known; the workers of xdist have nothing to add."""
    if not hasattr(session.config, "workerinput"):
        Path(os.environ["ALLAUTH_SUITE_OUTCOMES"]).write_text(json.dumps(_outcomes))
