"""Run the tests of django-allauth on this engine: python -m tests.allauth_suite.run

They come from the source distribution of exactly the allauth that is installed. Its projects get
our app, engine and middlewares in the place of Django's; everything else stays as it is.

What fails is run once more with Django's sessions. Only what passes there counts, and must be
listed in exceptions.toml; a line there that has become wrong is an error too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

from tests.django_suite.run import judge, report

HERE = Path(__file__).resolve().parent
# The projects of allauth that differ in what sessions have to do, and the tests that are for each.
PROJECTS = {"regular": "tests/apps", "headless_only": "tests/apps/headless"}
MIDDLEWARE_IMPORT = "from django.contrib.sessions.middleware import SessionMiddleware"
OUR_MIDDLEWARE_IMPORT = "from django_sessions_plus.middleware import SessionMiddleware"


def main() -> int:
    """Run the projects that were asked for and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("project", nargs="*", choices=[*PROJECTS, []], help="default: all")
    parser.add_argument("--sdist", type=Path, help="use this source distribution of allauth")
    parser.add_argument("--workers", default="2", help="how many processes run tests")
    options = parser.parse_args()
    exceptions = tomllib.loads((HERE / "exceptions.toml").read_text())
    good = True
    with tempfile.TemporaryDirectory(prefix="allauth-suite-") as directory:
        work = Path(directory)
        sdist = options.sdist or download(work)
        theirs, ours = unpack(sdist, work / "theirs"), unpack(sdist, work / "ours")
        adapt(ours)
        for project in options.project or PROJECTS:
            print(f"== allauth {version('django-allauth')}: {project}", flush=True)
            wanted = ["-n", options.workers, PROJECTS[project]]
            outcomes = run(ours, project, "our_settings", wanted)
            failed = [test for test, outcome in outcomes.items() if outcome == "failed"]
            if failed:
                print("== What failed, with Django's sessions", flush=True)
                stock = run(theirs, project, f"tests.projects.{project}.settings", failed)
                outcomes |= {test: "skipped" for test in failed if stock.get(test) == "failed"}
            verdict = judge(outcomes, exceptions[project])
            report(f"allauth, {project},", verdict)
            good = good and verdict.is_good
    return 0 if good else 1


def download(work: Path) -> Path:
    """Fetch the source distribution of the installed allauth and return its path."""
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", str(work)]
    command += ["--no-binary", "django-allauth", f"django-allauth=={version('django-allauth')}"]
    subprocess.run(command, check=True)
    return next(work.glob("*.tar.gz"))


def unpack(sdist: Path, target: Path) -> Path:
    """Unpack the tests of a source distribution and return the directory that holds them."""
    wanted = {"tests", "pytest.ini"}
    with tarfile.open(sdist) as archive:
        members = [entry for entry in archive if wanted & set(entry.name.split("/")[1:2])]
        if hasattr(tarfile, "data_filter"):
            archive.extractall(target, members, filter="data")
        else:  # Python 3.11 before 3.11.4
            archive.extractall(target, members)
    (directory,) = target.iterdir()
    return directory


def adapt(directory: Path) -> None:
    """Have tests that use the session middleware by itself use ours."""
    adapted = 0
    for path in directory.rglob("*.py"):
        text = path.read_text()
        if MIDDLEWARE_IMPORT in text:
            path.write_text(text.replace(MIDDLEWARE_IMPORT, OUR_MIDDLEWARE_IMPORT))
            adapted += 1
    if not adapted:
        sys.exit(f"the tests of allauth no longer contain: {MIDDLEWARE_IMPORT}")


def run(directory: Path, project: str, settings: str, arguments: list[str]) -> dict[str, str]:
    """Run tests with these settings and return each one's outcome by id."""
    outcomes = directory / "outcomes.json"
    outcomes.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "django_suite")]),
        "ALLAUTH_SUITE_OUTCOMES": str(outcomes),
        "ALLAUTH_SUITE_SETTINGS": f"tests.projects.{project}.settings",
    }
    # Their order is theirs, and so are the warnings. Only the verdict counts, so pytest gives no figures.
    command = [sys.executable, "-m", "pytest", "-qq", "-p", "no:randomly", "-p", "outcomes"]
    command += ["-W", "ignore", f"--ds={settings}", *arguments]
    finished = subprocess.run(command, cwd=directory, env=environment, check=False)
    if not outcomes.exists():
        sys.exit(f"the tests of allauth did not run: exit code {finished.returncode}")
    found: dict[str, str] = json.loads(outcomes.read_text())
    return found


if __name__ == "__main__":
    sys.exit(main())
