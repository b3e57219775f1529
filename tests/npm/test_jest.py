"""Jest, which requires what it imports."""

import pytest

from tests.npm.conftest import QUIET, run

pytestmark = [pytest.mark.npm, pytest.mark.slow]


@pytest.mark.parametrize("react", ["18.3.1", "19.3.1"])
def test_jest_imports_the_client_as_it_is(project, tarball, react):
    folder = project("jest")
    packages = (f"react@{react}", f"react-dom@{react}")
    run("npm", "install", *QUIET, "--no-save", *packages, tarball, cwd=folder)
    said = run("npx", "jest", cwd=folder)
    assert "3 passed" in said, said
