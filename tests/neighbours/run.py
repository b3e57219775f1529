"""Run each module of this directory as its docstring says, in a process of its own.

Every neighbour needs other settings, and settings are read once per process. A module whose package
or database is missing is passed over, but not in CI.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NOTHING_RAN = 5


def main() -> int:
    """Run the modules that were named, or all, and return the exit code."""
    named = set(sys.argv[1:])
    failed = []
    for path in sorted(HERE.glob("test_*.py")):
        if named and path.stem.removeprefix("test_") not in named:
            continue
        print(f"== {path.stem.removeprefix('test_')}", flush=True)
        code = subprocess.run(command_of(path), cwd=ROOT, check=False).returncode
        is_left_out = code == NOTHING_RAN and os.environ.get("CI") != "true"
        if code and not is_left_out:
            failed.append(path.name)
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


def command_of(path: Path) -> list[str]:
    """Return the command that the docstring of a module gives."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    found = re.search(r"^ {4}python (-m pytest .+)$", docstring, re.MULTILINE)
    assert found is not None, f"{path.name} does not say how it is run"
    return [sys.executable, *shlex.split(found[1]), "-q"]


if __name__ == "__main__":
    sys.exit(main())
