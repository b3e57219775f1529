"""The example site in a process of its own, Chromium, and people to sign in as.

The tests reach the site as a visitor does; only what takes hours is put into its database. Without Playwright or
Chromium they are skipped, except in CI, where that is a failure.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.running import ROOT, Site, example_site, need

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment]

PASSWORD = "compiler-debugger-1947"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PEOPLE = 300
AXE = "axe_playwright_python"
SCREENSHOTS = ROOT / ".screenshots"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# Until colours have come to rest, which the admin lets change slowly.
COME_TO_REST = """async () => {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    await Promise.allSettled(document.getAnimations().map((each) => each.finished));
}"""
# Style sheets are not loaded once more, into styles that the policy forbids.
RUN_AXE = "axe.run({preload: false})"

# What a violation may be about without being ours: the rule of axe, and a selector.
Exceptions = Sequence[tuple[str, str]]

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


@pytest.fixture(scope="session")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start the site on a database of its own."""
    people = ["shell", "-c", ADD_PEOPLE]
    with example_site(tmp_path_factory.mktemp("site"), people) as site:
        yield site


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


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which finds what shuts people out."""
    found = find_spec(AXE)
    need(found, "axe-playwright-python")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def check(axe: str) -> Callable[..., None]:
    """Hold a page to what axe-core knows, on a phone and a desk, by day and by night."""

    def run(page: Page, *, not_ours: Exceptions = ()) -> None:
        # Not as a script of the page, which the policy forbids.
        page.evaluate(axe)
        for width in (256, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                page.evaluate(COME_TO_REST)
                found: dict[str, Any] = page.evaluate(RUN_AXE)
                problems = [
                    (each["id"], node["target"], node["failureSummary"])
                    for each in found["violations"]
                    for node in each["nodes"]
                    if not _is_excepted(page, each["id"], node["target"], not_ours)
                ]
                assert problems == [], (page.url, width, scheme)
                assert len(found["passes"]) > 10

    return run


def _is_excepted(page: Page, rule: str, target: list[str], not_ours: Exceptions) -> bool:
    return any(
        rule == excepted
        and page.locator(target[0]).evaluate("(node, it) => node.matches(it)", selector)
        for excepted, selector in not_ours
    )


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
        context.set_default_timeout(30_000)
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
