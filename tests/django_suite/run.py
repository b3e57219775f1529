"""Run Django's session and auth tests on this engine.

The tests come from the source distribution of exactly the Django that is
installed. In a copy of them Django's database engine, session model, session app
and the two middlewares are replaced by ours; everything else stays as it is.

Every test must pass but those in exceptions.toml, and those must fail: a line
there that has become wrong is an error too.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import django

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Which one: SUITE_ENGINE=leased_db has sessions served from memory.
ENGINE = os.environ.get("SUITE_ENGINE", "db")

SESSION_APP = '"django.contrib.sessions"'
SESSION_MIDDLEWARE = '"django.contrib.sessions.middleware.SessionMiddleware"'
AUTH_MIDDLEWARE = '"django.contrib.auth.middleware.AuthenticationMiddleware"'
OUR_APP = '"django_sessions_plus"'
OUR_SESSION_MIDDLEWARE = '"django_sessions_plus.middleware.SessionMiddleware"'
OUR_AUTH_MIDDLEWARE = '"django_sessions_plus.middleware.AuthenticationMiddleware"'

MIDDLEWARE_IMPORT = "from django.contrib.sessions.middleware import SessionMiddleware"
OUR_MIDDLEWARE_IMPORT = "from django_sessions_plus.middleware import SessionMiddleware"

RUNNER = {
    f"{SESSION_MIDDLEWARE},": f"{OUR_SESSION_MIDDLEWARE},",
    f"{AUTH_MIDDLEWARE},": f"{OUR_AUTH_MIDDLEWARE},",
    '"sessions": None,': f'"sessions": None, {OUR_APP}: None,',
}

CACHED_DB = "from django.contrib.sessions.backends.cached_db import SessionStore as CacheDBSession"

# Django's other engines are tested beside ours.
SESSIONS = {
    "runtests.py": {**RUNNER, f"    {SESSION_APP},": f"    {SESSION_APP}, {OUR_APP},"},
    "sessions_tests/tests.py": {
        "from django.contrib.sessions.backends.db import SessionStore as DatabaseSession": (
            f"from django_sessions_plus.backends.{ENGINE} import SessionStore as DatabaseSession"
        ),
        CACHED_DB: CACHED_DB.replace("django.contrib.sessions", "django_sessions_plus"),
        # A copy is made when the row is committed, which in a TestCase it never is.
        "class CacheDBSessionTests(SessionTestsMixin, TestCase):": (
            "class CacheDBSessionTests(SessionTestsMixin, TransactionTestCase):\n"
            '    available_apps = ["django.contrib.auth", "django.contrib.contenttypes",'
            ' "django.contrib.sessions", "django_sessions_plus", "sessions_tests"]'
        ),
        "from django.test import (": "from django.test import (\n    TransactionTestCase,",
        MIDDLEWARE_IMPORT: OUR_MIDDLEWARE_IMPORT,
        "from django.contrib.sessions.models import Session": (
            "from django_sessions_plus.models import Session"
        ),
        'session_engine = "django.contrib.sessions.backends.db"': (
            f'session_engine = "django_sessions_plus.backends.{ENGINE}"'
        ),
    },
}

AUTH = {
    "runtests.py": {**RUNNER, f"    {SESSION_APP},": f"    {OUR_APP},"},
    "auth_tests/settings.py": {
        SESSION_MIDDLEWARE: OUR_SESSION_MIDDLEWARE,
        AUTH_MIDDLEWARE: OUR_AUTH_MIDDLEWARE,
    },
    "auth_tests/test_checks.py": {
        MIDDLEWARE_IMPORT: OUR_MIDDLEWARE_IMPORT,
        "from django.contrib.auth.middleware import (\n    AuthenticationMiddleware,": (
            "from django_sessions_plus.middleware import AuthenticationMiddleware\n"
            "from django.contrib.auth.middleware import ("
        ),
        SESSION_MIDDLEWARE: OUR_SESSION_MIDDLEWARE,
        AUTH_MIDDLEWARE: OUR_AUTH_MIDDLEWARE,
    },
    "auth_tests/test_middleware.py": {
        "from django.contrib.auth.middleware import (\n    AuthenticationMiddleware,": (
            "from django_sessions_plus.middleware import AuthenticationMiddleware\n"
            "from django.contrib.auth.middleware import ("
        ),
        SESSION_MIDDLEWARE: OUR_SESSION_MIDDLEWARE,
        AUTH_MIDDLEWARE: OUR_AUTH_MIDDLEWARE,
    },
    "auth_tests/test_views.py": {MIDDLEWARE_IMPORT: OUR_MIDDLEWARE_IMPORT},
}

SUITES = {"sessions_tests": SESSIONS, "auth_tests": AUTH}


@dataclass(frozen=True)
class Verdict:
    """What a suite's outcomes mean, beside the exceptions written down for it."""

    passed: int
    skipped: int
    excepted: list[str]
    failed: list[str]
    wrongly_listed: list[str]

    @property
    def is_good(self) -> bool:
        """Tell whether every test did what is written down for it."""
        return self.passed > 0 and not self.failed and not self.wrongly_listed


def main() -> int:
    """Run the suites that were asked for and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", nargs="*", choices=[*SUITES, []], help="default: both")
    parser.add_argument("--sdist", type=Path, help="use this source distribution of Django")
    options = parser.parse_args()
    exceptions = tomllib.loads((HERE / "exceptions.toml").read_text())
    good = True
    with tempfile.TemporaryDirectory(prefix="django-suite-") as directory:
        work = Path(directory)
        source = unpack(options.sdist or download(work), work / "source")
        for suite in options.suite or SUITES:
            outcomes = run(suite, source, work)
            verdict = judge(outcomes, listed_for(suite, exceptions))
            report(suite, verdict)
            good = good and verdict.is_good
    return 0 if good else 1


def download(work: Path) -> Path:
    """Fetch the source distribution of the installed Django and return its path."""
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps"]
    wanted = ["--no-binary", "django", f"django=={django.__version__}"]
    subprocess.run([*command, "--dest", str(work), *wanted], check=True)
    return next(work.glob("*.tar.gz"))


def unpack(sdist: Path, target: Path) -> Path:
    """Unpack the tests of a source distribution and return their directory."""
    with tarfile.open(sdist) as archive:
        members = [entry for entry in archive if entry.name.split("/")[1:2] == ["tests"]]
        if hasattr(tarfile, "data_filter"):
            archive.extractall(target, members, filter="data")
        else:  # Python 3.11 before 3.11.4
            archive.extractall(target, members)
    (tests,) = target.glob("*/tests")
    return tests


def run(suite: str, source: Path, work: Path) -> dict[str, str]:
    """Run one suite in its own copy of the tests and return each test's outcome by id."""
    tests = work / suite
    shutil.copytree(source, tests)
    for name, replacements in SUITES[suite].items():
        adapt(tests / name, replacements)
    if suite == "sessions_tests":
        shutil.copyfile(HERE / "custom_session.py", tests / suite / "models.py")
    outcomes = work / f"{suite}.json"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SUITE_OUTCOMES": str(outcomes),
    }
    command = [sys.executable, "runtests.py", "--settings=tests.django_suite.settings"]
    command += ["--parallel=1", "--verbosity=1", "--noinput", suite]
    print(f"== Django {django.__version__}: {suite}", flush=True)
    finished = subprocess.run(command, cwd=tests, env=environment, check=False)
    if not outcomes.exists():
        sys.exit(f"{suite} did not run: exit code {finished.returncode}")
    found: dict[str, str] = json.loads(outcomes.read_text())
    return found


def adapt(path: Path, replacements: dict[str, str]) -> None:
    """Replace texts in a file; one that is not there would leave Django's code under test."""
    text = path.read_text()
    for old, new in replacements.items():
        if old not in text:
            sys.exit(f"{path.name} of Django {django.__version__} no longer contains: {old}")
        text = text.replace(old, new)
    path.write_text(text)


def listed_for(suite: str, exceptions: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the exceptions of a suite that hold for the installed Django."""
    listed: dict[str, str] = {}
    for title, tests in exceptions.items():
        name, _, since = title.partition(" from ")
        major, _, minor = since.partition(".")
        if name == suite and (int(major or 0), int(minor or 0)) <= django.VERSION:
            listed |= tests
    return listed


def judge(outcomes: dict[str, str], listed: dict[str, str]) -> Verdict:
    """Compare what happened with what is written down."""
    failed = {test for test, outcome in outcomes.items() if outcome == "failed"}
    return Verdict(
        passed=sum(outcome == "passed" for outcome in outcomes.values()),
        skipped=sum(outcome == "skipped" for outcome in outcomes.values()),
        excepted=sorted(failed & listed.keys()),
        failed=sorted(failed - listed.keys()),
        wrongly_listed=sorted(listed.keys() - failed),
    )


def report(suite: str, verdict: Verdict) -> None:
    """Print the verdict; its last line counts."""
    for test in verdict.excepted:
        print(f"failed as written down in exceptions.toml: {test}")
    for test in verdict.failed:
        print(f"FAILED: {test}")
    for test in verdict.wrongly_listed:
        print(f"FAILED: listed in exceptions.toml, but it passes or does not exist: {test}")
    failures = len(verdict.failed) + len(verdict.wrongly_listed)
    print(f"{suite} on Django {django.__version__}, {len(verdict.excepted)} excepted:")
    print(f"{verdict.passed} passed, {failures} failed, {verdict.skipped} skipped", flush=True)


if __name__ == "__main__":
    sys.exit(main())
