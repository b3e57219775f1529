"""Follow the README's "Add it to your project" in a new project.

A fenced block belongs to the file last named in backticks before it, and is added
to the end of that file; a block in sh is run. So the README has to show whole
settings: a list is given completely or extended with ``+=``, never with "...".
"""

import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTION = "Add it to your project"
STEPS = 6
SHELLS = {"bash", "console", "sh", "shell"}

_SECTION = re.compile(rf"^## {SECTION}\s*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^(?:#+ )?\d+\. ", re.MULTILINE)
_BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_CHECKOUT = re.compile(r"^/path/to/django-sessions-plus(?=\[|$)")
_FILE_NAME = re.compile(r"`(?:[\w.-]+/)*([\w-]+\.py)`")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the file it belongs to or None."""

    language: str
    text: str
    file: str | None


def section(readme: str) -> str:
    """Return the section that explains how to add the package to a project."""
    found = _SECTION.search(readme)
    if found is None:
        raise LookupError(f'README.md has no section "{SECTION}"')
    return found[1]


def count_steps(readme: str) -> int:
    """Return how many numbered steps the section has."""
    return len(_STEP.findall(_BLOCK.sub("", section(readme))))


def blocks(readme: str) -> Iterator[Block]:
    """Yield the section's blocks in order."""
    text = section(readme)
    end = 0
    for found in _BLOCK.finditer(text):
        names = _FILE_NAME.findall(text[end : found.start()])
        end = found.end()
        yield Block(found[2], textwrap.dedent(found[3]), names[-1] if names else None)


def follow(readme: str, project: Path, python: Path, wheel: Path) -> None:
    """Do in ``project`` what the README says, with ``wheel`` in the place of the checkout.

    Raises:
        LookupError: a block of Python names no file of a new project.
        RuntimeError: a command fails.
    """
    files = {path.name: path for path in project.rglob("*.py")}
    for block in blocks(readme):
        if block.language in SHELLS:
            for command in commands(block.text, python, wheel):
                run(command, project)
        elif block.language == "python":
            if block.file not in files:
                raise LookupError(f"README.md names no file of the project for:\n{block.text}")
            with files[block.file].open("a") as file:
                file.write(f"\n{block.text}")


def run(command: list[str], directory: Path, **variables: str) -> None:
    """Run a command as somebody would in a shell of their own.

    Raises:
        RuntimeError: it fails.
    """
    finished = subprocess.run(command, cwd=directory, env=environment(**variables), check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"exit code {finished.returncode}: {shlex.join(command)}")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without what belongs to its own tests."""
    ours = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in ours} | variables


def commands(text: str, python: Path, wheel: Path) -> Iterator[list[str]]:
    """Yield a shell block's commands, with ``python`` and ``wheel`` put in."""
    for line in text.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if not words or "runserver" in words:
            continue
        if words[0] in {"pip", "pip3"}:
            words[:1] = [str(python), "-m", "pip"]
        elif words[0] in {"python", "python3"}:
            words[0] = str(python)
        yield [_CHECKOUT.sub(str(wheel), word) for word in words]
