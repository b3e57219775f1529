"""Another process of the site, which does what a test tells it: each line is JSON, a text of Python.

    python -m tests.redis.peer DATABASE SETTINGS

The test's database has another name than that of the settings. SETTINGS is JSON, durations in seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Peer:
    """The process, as its test sees it."""

    def __init__(self, database: str, **settings: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.redis.peer", database, json.dumps(settings)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, code: str) -> None:
        """Have it run the code, and do not wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()

    def run(self, code: str) -> Any:
        """Have it run the code, and return what that assigns to ``answer``."""
        self.send(code)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process has ended"
        return json.loads(line)


@contextlib.contextmanager
def peer(database: str, **settings: Any) -> Iterator[Peer]:
    """Have another process until the block ends."""
    found = Peer(database, **settings)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.communicate()


def main(database: str, values: str) -> None:
    """Be that process, until standard input ends."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django  # noqa: PLC0415 - after the line above
    from django.conf import settings  # noqa: PLC0415

    settings.DATABASES["default"]["NAME"] = database
    for name, value in json.loads(values).items():
        is_duration = isinstance(value, (int, float))
        setattr(settings, name, timedelta(seconds=value) if is_duration else value)
    settings.ROOT_URLCONF = "tests.site"
    settings.ALLOWED_HOSTS = ["*"]
    django.setup()
    known: dict[str, Any] = {}
    for line in sys.stdin:
        known["answer"] = None
        exec(json.loads(line), known)
        sys.stdout.write(json.dumps(known["answer"]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
