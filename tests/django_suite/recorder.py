"""A test runner that writes down how every test ended."""

import json
import os
import unittest
from pathlib import Path
from types import TracebackType
from typing import Any

from django.test.runner import DiscoverRunner

from tests.django_suite import leases_in_tests

Problem = tuple[type[BaseException], BaseException, TracebackType]


class RecordingResult(unittest.TextTestResult):
    """Keeps one outcome for each test id; a failure is never overwritten."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcomes: dict[str, str] = {}

    def record(self, test: unittest.TestCase, outcome: str) -> None:
        if self.outcomes.get(test.id()) != "failed":
            self.outcomes[test.id()] = outcome

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.record(test, "passed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self.record(test, "failed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self.record(test, "failed")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.record(test, "failed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self.record(test, "skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.record(test, "passed")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self.record(test, "failed")


class RecordingRunner(DiscoverRunner):
    """Django's runner, which leaves the outcomes in the file DJANGO_SUITE_OUTCOMES names."""

    def run_suite(self, *args: Any, **kwargs: Any) -> Any:
        leases_in_tests.install()
        return super().run_suite(*args, **kwargs)

    def get_resultclass(self) -> type[RecordingResult]:
        return RecordingResult

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> int:
        Path(os.environ["DJANGO_SUITE_OUTCOMES"]).write_text(json.dumps(result.outcomes))
        failures: int = super().suite_result(suite, result, **kwargs)
        return failures
