"""The browser client's page held against its source, and the names of npm against those of PyPI."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from django_sessions_plus.templatetags.sessions_plus import PARTS

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / "django_sessions_plus/static/django_sessions_plus"
SOURCE = (DIRECTORY / "client.js").read_text()
TYPES = (DIRECTORY / "client.d.ts").read_text()
PAGE = (ROOT / "docs/browser-client.md").read_text()
PACKAGE = json.loads((DIRECTORY / "package.json").read_text())


def first_cells(header: str) -> list[str]:
    """Return the names in the first column of the table with this header."""
    table = PAGE.partition(f"| {header} |")[2].partition("\n\n")[0]
    return [name for row in table.split("\n| ")[1:] for name in _names(row.partition(" | ")[0])]


def _names(cell: str) -> list[str]:
    return [name.partition("(")[0] for name in re.findall(r"`([^`]+)`", cell)]


def between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


@pytest.mark.docs
def test_every_option_is_described_and_typed():
    signature = between(SOURCE, "createSessionClient({\n", "\n} = {}")
    options = set(re.findall(r"^  (\w+)", signature, re.MULTILINE))
    assert options == set(first_cells("option"))
    typed = between(TYPES, "interface SessionClientOptions<U = User> {", "\n}")
    assert options == set(re.findall(r"^  (\w+)\?:", typed, re.MULTILINE))


@pytest.mark.docs
def test_every_verb_is_described_and_typed():
    verbs = set(
        re.findall(r"^    (?:async )?(\w+)[(:]", between(SOURCE, "const auth = {", "\n  };"), re.M)
    )
    assert verbs == set(first_cells("verb"))
    typed = between(TYPES, "interface SessionVerbs<U = User> {", "\n}")
    assert verbs == set(re.findall(r"^  (\w+)\(", typed, re.MULTILINE))


@pytest.mark.docs
def test_every_event_is_described_and_typed():
    files = "".join(path.read_text() for path in DIRECTORY.glob("*.js"))
    events = set(re.findall(r'emit\("([\w-]+)"', files)) - {"change"} | {"expired"}
    assert events == set(first_cells("event"))
    typed = between(TYPES, "interface SessionEvents<U = User> {", "\n}")
    assert events == set(re.findall(r'^  "?([\w-]+)"?: ', typed, re.MULTILINE))


def test_the_package_on_npm_has_the_name_and_version_of_the_package_on_pypi():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == PACKAGE["version"]
    assert project["name"] == PACKAGE["name"]


def test_no_module_needs_a_build_or_another_package():
    for path in DIRECTORY.glob("*.js"):
        imported = set(re.findall(r'(?:from |import\()"([^"]+)"', path.read_text()))
        assert imported <= {
            *(f"./{part}" for part in PARTS),
            *({"react"} if path.name == "react.js" else ()),
        }
