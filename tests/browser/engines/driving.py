"""What the stories ask of a browser, whichever engine it has and whoever drives it."""

from __future__ import annotations

import json
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tests.browser.client.pages import START
from tests.browser.conftest import PASSWORD

PATIENCE = 60


class Tab(ABC):
    """A tab of a browser, on the site under test."""

    def __init__(self, site: str) -> None:
        self.site = site

    @abstractmethod
    def goto(self, url: str) -> None:
        """Open an address, and wait until the page has loaded."""

    @abstractmethod
    def reload(self) -> None:
        """Load the page again, and wait for it."""

    @abstractmethod
    def back(self) -> None:
        """Go one page back; where that leads is to be waited for."""

    @abstractmethod
    def evaluate(self, expression: str) -> Any:
        """Return what an expression of JavaScript is, or what it resolves to, as JSON has it.

        Raises:
            ScriptError: the expression has thrown.
        """

    @abstractmethod
    def click(self, selector: str) -> None:
        """Click on the element as a person does."""

    @abstractmethod
    def type(self, selector: str, text: str) -> None:
        """Type into the element as a person does."""

    @abstractmethod
    def look(self) -> None:
        """Bring the tab to the front."""

    @abstractmethod
    def resize(self, width: int, height: int) -> None:
        """Give the page the size."""

    @abstractmethod
    def screenshot(self, path: Path) -> None:
        """Take a picture of what is seen."""

    def open(self, path: str) -> Tab:
        """Open a page of the site."""
        self.goto(self.site + path)
        return self

    def wait(self, condition: str, seconds: float = PATIENCE) -> None:
        """Wait until an expression is true, or resolves to what is."""
        deadline = time.monotonic() + seconds
        # The page may be on its way to another, which has not what is asked for.
        while not self._is_true(condition):
            assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
            time.sleep(0.05)

    def _is_true(self, condition: str) -> bool:
        try:
            return bool(self.evaluate(f"Boolean(await ({condition}))"))
        except ScriptError:
            return False

    def wait_for(self, path: str) -> None:
        """Wait until the page of the path has loaded."""
        self.wait(
            f"location.pathname + location.search === {json.dumps(path)}"
            " && document.readyState === 'complete'"
        )

    def text(self, selector: str = "body") -> str:
        """Return what can be read in an element."""
        text: str = self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
        return text

    def submit(self, username: str, password: str = PASSWORD) -> None:
        """Sign in by the form of the sign-in page, which is open."""
        self.type("[name=username]", username)
        self.type("[name=password]", password)
        self.click("main button[type=submit]")
        self.wait_for("/")

    def start(self, **options: Any) -> Tab:
        """Start a browser client on the page."""
        self.evaluate(f"({START})({json.dumps(options)})")
        return self

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Return what a verb of the client resolves to."""
        return self.evaluate(f"client.auth[{json.dumps(verb)}](...{json.dumps(arguments)})")

    def sign_in(self, username: str) -> Any:
        """Sign in by the client."""
        return self.ask("signIn", {"username": username, "password": PASSWORD})

    def settled(self) -> str | None:
        """Return the name of who is signed in, once that is known."""
        self.wait("!client.session.isPending")
        name: str | None = self.evaluate("client.session.data?.user.username ?? null")
        return name


class Browser(ABC):
    """A browser with cookies of its own."""

    site: str

    @abstractmethod
    def tab(self) -> Tab:
        """Open a tab."""

    @abstractmethod
    def cookies(self) -> dict[str, dict[str, Any]]:
        """Return the cookies by their names, as the engine describes them."""

    @abstractmethod
    def close(self) -> None:
        """End it, and what runs for it."""


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, whatever it is busy with."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class ScriptError(Exception):
    """What was evaluated in a page has thrown, or the page was left meanwhile."""
