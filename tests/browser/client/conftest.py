"""The example site with short-lived access tokens, and browsers whose requests are noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.client.pages import Someone
from tests.browser.conftest import ADD_PEOPLE, PEOPLE
from tests.running import Site, example_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Request

EVERYBODY = 150
PASSIVE = "?passive=true"


@pytest.fixture(scope="session")
def client_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The example site with access tokens that expire after seconds."""
    people = ["shell", "-c", ADD_PEOPLE.replace(f"range({PEOPLE})", f"range({EVERYBODY})")]
    with example_site(
        tmp_path_factory.mktemp("client"),
        people,
        DJANGO_SETTINGS_MODULE="tests.browser.client.settings",
    ) as site:
        yield site


@pytest.fixture(scope="session")
def client_names() -> Iterator[str]:
    """The names of people whom no test has used yet."""
    return iter([f"visitor{number}" for number in range(1, EVERYBODY)])


@pytest.fixture
def someone(
    chromium: Browser, client_site: Site, client_names: Iterator[str]
) -> Iterator[Callable[..., Someone]]:
    """Make browsers of one person: ``someone()`` is another browser."""
    username = next(client_names)
    contexts: list[BrowserContext] = []

    def browser(script: str = "") -> Someone:
        context = chromium.new_context()
        context.set_default_timeout(30_000)
        if script:
            context.add_init_script(script)
        contexts.append(context)
        made = Someone(context, client_site.address, username)
        start = f"{client_site.address}/auth/"

        def note(request: Request) -> None:
            if request.url.startswith(start):
                path = request.url.removeprefix(start)
                made.requests.append(f"{request.method} {path.removesuffix(PASSIVE)}")
                if path.endswith(PASSIVE):
                    made.passive += 1

        context.on("request", note)
        return made

    yield browser
    for context in contexts:
        context.close()
