"""The example site in a process of its own, Chromium, and people to sign in as.

The tests reach the site as a visitor does and never its database. Without Playwright or
Chromium they are skipped, except in CI, where that is a failure.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "compiler-debugger-1947"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PEOPLE = 20
STARTUP = 30
SCREENSHOTS = ROOT / ".screenshots"

ADD_PEOPLE = f"""
from django.contrib.auth import get_user_model
model = get_user_model()
first = model(username="visitor0")
first.set_password({PASSWORD!r})
model.objects.bulk_create(
    model(username=f"visitor{{number}}", password=first.password) for number in range({PEOPLE})
)
"""


@dataclass
class Visitor:
    """A person with one browser: a context of its own, hence cookies of its own."""

    context: BrowserContext
    site: str
    username: str
    password: str = PASSWORD

    def open(self, path: str = "/") -> Page:
        """Open a new tab."""
        page = self.context.new_page()
        page.goto(self.site + path)
        return page

    def sign_in(self, *, remember: bool = True) -> Page:
        """Sign in by the form, in a new tab, and return it."""
        page = self.open("/sign-in/")
        page.get_by_label("Remember me on this device").set_checked(remember)
        sign_in_with(page, self.username, self.password)
        page.get_by_role("heading", name="Hello").wait_for()
        return page


def sign_in_with(page: Page, username: str, password: str) -> None:
    """Fill in and send the sign-in form."""
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def need(thing: object, name: str) -> None:
    """Skip if there is no such thing; fail in CI, which must not pass by testing nothing."""
    if thing:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing")
    pytest.skip(f"{name} is missing")


@dataclass
class Site:
    """The running example site: its address, and the guide that ``add_demo_data`` printed."""

    address: str
    guide: str


@pytest.fixture(scope="session")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start the site on a database of its own, by the commands that ``make demo`` runs."""
    database = tmp_path_factory.mktemp("site") / "db.sqlite3"
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
        "DEBUG": "1",
    }
    port = _free_port()
    environment["PORT"] = str(port)

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
    manage("shell", "-c", ADD_PEOPLE)
    log = (database.parent / "server.log").open("w")
    server = subprocess.Popen(
        _manage("runserver", "--noreload", f"127.0.0.1:{port}"),
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=log,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}", server)
        yield Site(f"http://127.0.0.1:{port}", guide)
    finally:
        server.terminate()
        server.wait()
        log.close()


@pytest.fixture(scope="session")
def site(running_site: Site) -> str:
    """The address of the running example site."""
    return running_site.address


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The Chromium of the machine; Playwright's own download is not needed."""
    need(sync_playwright, "Playwright")
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    need(path, "Chromium")
    with sync_playwright() as playwright:
        # Root may not have a sandbox, and CI is often root.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def usernames() -> Iterator[str]:
    """The names of people whom no test has used yet."""
    return iter([f"visitor{number}" for number in range(PEOPLE)])


@pytest.fixture
def complaints() -> list[str]:
    """What the browsers of a test wrote to their consoles; none of it may be about the policy."""
    return []


@pytest.fixture
def person(
    chromium: Browser, site: str, usernames: Iterator[str], complaints: list[str]
) -> Iterator[Callable[..., Visitor]]:
    """Make browsers of one person, who has never signed in before: ``person()`` is another browser."""
    username = next(usernames)
    contexts: list[BrowserContext] = []

    def browser(
        *, user_agent: str | None = None, name: str = username, password: str = PASSWORD
    ) -> Visitor:
        size: ViewportSize = {"width": 1280, "height": 900}
        context = chromium.new_context(user_agent=user_agent, viewport=size)
        context.set_default_timeout(10_000)
        context.on("console", lambda message: complaints.append(_complaint(message)))
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        contexts.append(context)
        return Visitor(context, site, name, password)

    yield browser
    for context in contexts:
        context.close()
    assert not [text for text in complaints if "Content Security Policy" in text]


def _complaint(message: ConsoleMessage) -> str:
    return f"{message.text} {message.location['url']}"


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTUP
    while time.monotonic() < deadline:
        assert server.poll() is None, "the example site does not start"
        try:
            urllib.request.urlopen(f"{address}/sign-in/", timeout=5).close()
        except (URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the example site does not answer")
