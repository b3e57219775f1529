"""uv.lock pins what pyproject.toml asks for, and takes it from PyPI alone."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.style

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lock():
    return tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def locked(lock, project):
    """Return what the lock file says of this project."""
    (found,) = (each for each in lock["package"] if each["name"] == project["project"]["name"])
    return found


def asked(lines, *, extra=""):
    """Return the requirements as the lock file names them."""
    found = set()
    for line in lines:
        wanted = Requirement(line)
        assert wanted.marker is None, "the comparison does not know markers yet"
        marker = f"extra == '{extra}'" if extra else ""
        found.add((wanted.name, frozenset(wanted.extras), parts(str(wanted.specifier)), marker))
    return found


def noted(entries):
    """Return the requirements in the form of ``asked()``."""
    return {
        (
            each["name"],
            frozenset(each.get("extras", ())),
            parts(each["specifier"]),
            each.get("marker", ""),
        )
        for each in entries
    }


def parts(specifier):
    return frozenset(specifier.replace(" ", "").split(","))


def lines_of(groups, name):
    """Return the requirements of a dependency group, those of the groups that it includes as well."""
    for entry in groups[name]:
        if isinstance(entry, dict):
            yield from lines_of(groups, entry["include-group"])
        else:
            yield entry


def test_the_lock_file_is_of_this_version(lock, locked, project):
    assert locked["version"] == project["project"]["version"], "run uv lock"
    assert lock["requires-python"] == project["project"]["requires-python"], "run uv lock"


def test_the_lock_file_has_the_dependencies_of_the_package(locked, project):
    wanted = asked(project["project"]["dependencies"])
    for extra, lines in project["project"]["optional-dependencies"].items():
        wanted |= asked(lines, extra=extra)
    assert noted(locked["metadata"]["requires-dist"]) == wanted, "run uv lock"


def test_the_lock_file_has_every_dependency_group(locked, project):
    groups = project["dependency-groups"]
    wanted = {name: asked(lines_of(groups, name)) for name in groups}
    found = {name: noted(each) for name, each in locked["metadata"]["requires-dev"].items()}
    assert found == wanted, "run uv lock"


def test_everything_is_locked_from_pypi(lock, locked):
    sources = [each["source"] for each in lock["package"] if each is not locked]
    assert all(source == {"registry": "https://pypi.org/simple"} for source in sources)
    hosts = set(re.findall(r"[a-z]+://[^/\"]*", (ROOT / "uv.lock").read_text(encoding="utf-8")))
    assert hosts == {"https://pypi.org", "https://files.pythonhosted.org"}
