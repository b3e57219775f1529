"""The declarations hold what a project relies on, however its modules are resolved."""

import pytest

from tests.npm.conftest import run

pytestmark = [pytest.mark.npm, pytest.mark.slow]

RESOLUTIONS = {
    "bundler": ("--module", "esnext", "--moduleResolution", "bundler"),
    "node16": ("--module", "node16", "--moduleResolution", "node16"),
    "nodenext": ("--module", "nodenext", "--moduleResolution", "nodenext"),
}


@pytest.mark.parametrize("options", RESOLUTIONS.values(), ids=RESOLUTIONS)
def test_the_sample_compiles_in_strict_mode(project, options):
    folder = project("types")
    files = ["sample.ts"] if "bundler" in options else ["sample.ts", "common.cts"]
    strict = (
        "--strict",
        "--noEmit",
        "--target",
        "es2022",
        "--lib",
        "es2022,dom",
        "--types",
        "react",
    )
    run("npx", "tsc", *strict, *options, *files, cwd=folder)
