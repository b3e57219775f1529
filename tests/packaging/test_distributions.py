"""What is inside the wheel and the source distribution."""

import email
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import Distributions
from tests.translations.catalogs import DIRECTORIES

pytestmark = [pytest.mark.packaging, pytest.mark.slow]

# Made by Python, or fetched from npm for tests of the browser client.
FETCHED = {"__pycache__", "node_modules", "vendor"}
REQUIRED = {"django", "djangorestframework", "pyjwt", "user-agents"}


def test_the_wheel_holds_the_whole_package_and_nothing_else(
    distributions: Distributions, root: Path
) -> None:
    with zipfile.ZipFile(distributions.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = root / "django_sessions_plus"
    expected = {
        path.relative_to(root).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert "django_sessions_plus/py.typed" in names
    client = "django_sessions_plus/static/django_sessions_plus"
    for file in (
        "client.js",
        "client.d.ts",
        "codes.d.ts",
        "react.js",
        "server.js",
        "tokens.js",
        "package.json",
    ):
        assert f"{client}/{file}" in names
    for directory in DIRECTORIES.values():
        for suffix in (".po", ".mo"):
            assert f"django_sessions_plus/locale/{directory}/LC_MESSAGES/django{suffix}" in names


def test_the_source_distribution_holds_all_that_the_tests_need(
    distributions: Distributions, root: Path
) -> None:
    with tarfile.open(distributions.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "manage.py"}
    assert files <= names
    for directory in ("django_sessions_plus", "docs", "example_project", "npm", "tests"):
        expected = {
            path.relative_to(root).as_posix()
            for path in (root / directory).rglob("*")
            if path.is_file() and not FETCHED & set(path.parts)
        }
        assert expected <= names


def test_the_wheel_requires_four_packages(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    required = {
        line.partition(">")[0] for line in metadata.get_all("Requires-Dist", []) if ";" not in line
    }
    assert required == REQUIRED


def test_the_index_would_accept_both(distributions: Distributions) -> None:
    files = [str(distributions.sdist), str(distributions.wheel)]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)


def test_the_wheel_bears_the_version_of_pyproject(distributions: Distributions, root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert distributions.wheel.name.split("-")[1] == project["version"]
