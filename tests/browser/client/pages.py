"""Pages with a browser client, for the tests of it; the site's access tokens live for seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.browser.conftest import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

START = """async (options) => {
    const { createSessionClient } = await import("/static/django_sessions_plus/client.js");
    window.told = [];
    window.toldAt = 0;
    // Pages get the focus when a test opens another, and would ask then.
    window.client = createSessionClient({ refetchOnWindowFocus: false, ...options });
    for (const type of ["signed-in", "signed-out", "expiring", "expired", "idle"]) {
        client.on(type, (detail) => {
            told.push({ type, reason: detail.reason });
            toldAt = Date.now();
        });
    }
    client.session.listen(() => {});
}"""

# Name, options of the client.
TRANSPORTS: dict[str, dict[str, Any]] = {
    "cookie": {"transport": "cookie"},
    "bearer in memory": {"transport": "bearer"},
    "bearer in local storage": {"transport": "bearer", "storage": "local"},
    "jwt by refresh cookie": {"transport": "jwt"},
    "jwt in memory": {"transport": "jwt", "refreshCookie": False},
    "jwt in local storage": {"transport": "jwt", "storage": "local"},
    "jwt in session storage": {"transport": "jwt", "storage": "session"},
}


@dataclass
class Tab:
    """A page with a client."""

    page: Page

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Return what a verb resolves to."""
        return self.page.evaluate(
            "([verb, sent]) => client.auth[verb](...sent)", [verb, list(arguments)]
        )

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Wait until an expression is true. Playwright's own way is not allowed by the site's policy."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < deadline, condition
            self.page.wait_for_timeout(20)

    def value(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def settled(self) -> str | None:
        """Return the name of who is signed in, once that is known."""
        self.wait("!client.session.isPending")
        name: str | None = self.value("client.session.data?.user.username ?? null")
        return name


@dataclass
class Someone:
    """A person with one browser, whose requests to the API are noted."""

    context: BrowserContext
    site: str
    username: str
    requests: list[str] = field(default_factory=list)
    passive: int = 0
    """How many of them said that they are no activity."""

    def tab(self, **options: Any) -> Tab:
        """Open a page with a client."""
        page = self.context.new_page()
        page.goto(f"{self.site}/sign-in/")
        return self.tab_on(page, **options)

    def tab_on(self, page: Page, **options: Any) -> Tab:
        """Start a client on a page."""
        page.evaluate(START, options)
        return Tab(page)

    def sign_in(self, tab: Tab, **more: Any) -> Any:
        return tab.ask("signIn", {"username": self.username, "password": PASSWORD, **more})

    def count(self, path: str) -> int:
        return self.requests.count(path)


Browsers = Callable[..., Someone]
