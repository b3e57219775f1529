"""The example site in a process of its own, for tests that visit it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
STARTUP = 120


@dataclass
class Site:
    """The running example site: its address, and the guide that ``add_demo_data`` printed."""

    address: str
    guide: str
    manage: Callable[..., str]
    """Run a command of ``manage.py`` on the site's database and return what it prints."""
    log: Path
    """What its terminal would show."""
    _serve: Callable[[], subprocess.Popen[bytes]]
    _server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve, and wait until there are answers."""
        self._server = self._serve()
        wait_for(self.address, self._server, "/sign-in/")

    def stop(self) -> None:
        """Serve no more: connections are refused."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait()


@contextmanager
def example_site(directory: Path, *commands: list[str], **environment: str) -> Iterator[Site]:
    """Serve the site on a database in ``directory``, by the commands that ``make demo`` runs."""
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "tests.example_settings",
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
        "DEBUG": "1",
        "PORT": str(port),
        **environment,
    }

    def manage(*arguments: str) -> str:
        return subprocess.run(
            _manage(*arguments),
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    manage("migrate", "--verbosity", "0")
    guide = manage("add_demo_data")
    for command in commands:
        manage(*command)
    address = f"http://127.0.0.1:{port}"
    with (directory / "server.log").open("w") as log:

        def serve() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                _manage("runserver", "--noreload", address.removeprefix("http://")),
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )

        site = Site(address, guide, manage, Path(log.name), serve)
        try:
            site.start()
            yield site
        finally:
            site.stop()


def need(thing: object, name: str) -> None:
    """Skip if there is no such thing; fail in CI, which must not pass by testing nothing."""
    if thing:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing")
    pytest.skip(f"{name} is missing")


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def wait_for(address: str, server: subprocess.Popen[bytes], page: str) -> None:
    """Wait until the server answers with the page."""
    deadline = time.monotonic() + STARTUP
    while time.monotonic() < deadline:
        assert server.poll() is None, "the example site does not start"
        try:
            urllib.request.urlopen(f"{address}{page}", timeout=5).close()
        except (URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the example site does not answer")
