"""What is in the npm package, and whether other programs can read it."""

import json
import tarfile
import tomllib

import pytest

from tests.npm.conftest import ROOT, run

pytestmark = [pytest.mark.npm, pytest.mark.slow]

STATIC = ROOT / "django_sessions_plus/static/django_sessions_plus"


@pytest.fixture(scope="module")
def names(tarball):
    with tarfile.open(tarball) as archive:
        return {name.removeprefix("package/") for name in archive.getnames()}


def test_it_has_readme_and_licence_and_the_modules_as_django_serves_them(tarball, names):
    assert {"README.md", "LICENSE", "package.json"} <= names
    modules = sorted(name for name in names if name.endswith((".js", ".d.ts")))
    assert {"client.js", "client.d.ts", "codes.d.ts", "react.js", "tokens.js"} <= set(modules)
    with tarfile.open(tarball) as archive:
        for name in modules:
            packed = archive.extractfile(f"package/{name}")
            assert packed.read() == (STATIC / name).read_bytes()


def test_it_has_nothing_of_the_pages(names):
    assert not [name for name in names if name.endswith(".css")]
    assert not {"copy_token.js", "go_on.js"} & names


def test_every_module_has_a_copy_for_require(names):
    modules = {name for name in names if name.endswith(".js")}
    assert {name.removesuffix(".js") + ".cjs" for name in modules} <= names


def test_what_is_reacts_says_in_both_forms_that_it_is_the_clients(package):
    for name in ("react.js", "react.cjs"):
        prologue = [line for line in (package / name).read_text().splitlines() if line][:2]
        assert '"use client";' in prologue, name


def test_it_bears_the_version_of_the_python_package(package):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert json.loads((package / "package.json").read_text())["version"] == version


def test_publint_has_nothing_to_say(project, tarball):
    said = run("npx", "publint", "run", tarball, "--strict", cwd=project("tools"))
    assert "All good!" in said


def test_its_types_are_those_of_its_modules_wherever_they_are_resolved(project, tarball):
    """By "are the types wrong"; without exports, as before Node 16, there is no second entry."""
    said = run("npx", "attw", tarball, "--profile", "node16", cwd=project("tools"))
    assert "No problems found" in said
