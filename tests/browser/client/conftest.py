"""The example site with short-lived access tokens, and browsers whose requests are noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.browser.client.pages import Someone
from tests.browser.conftest import ADD_PEOPLE, PEOPLE
from tests.running import ROOT, Site, example_site

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


@pytest.fixture(scope="session")
def other_origin() -> Iterator[str]:
    """Another origin of the same site, whose pages are empty and have the modules of the client."""

    class Pages(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/":
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>Elsewhere</title><link rel=icon href=data:,>")

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    pages = partial(Pages, directory=str(ROOT / "django_sessions_plus"))
    with ThreadingHTTPServer(("127.0.0.1", 0), pages) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def strict_site(tmp_path_factory: pytest.TempPathFactory, other_origin: str) -> Iterator[Site]:
    """The same site without a grace for refreshes, and with pages of another origin."""
    people = ["shell", "-c", ADD_PEOPLE.replace(f"range({PEOPLE})", f"range({EVERYBODY})")]
    with example_site(
        tmp_path_factory.mktemp("strict"),
        people,
        DJANGO_SETTINGS_MODULE="tests.browser.client.strict_settings",
        OTHER_ORIGIN=other_origin,
    ) as site:
        yield site


@pytest.fixture
def someone(
    chromium: Browser, client_site: Site, client_names: Iterator[str]
) -> Iterator[Callable[..., Someone]]:
    """Make browsers of one person: ``someone()`` is another browser."""
    yield from browsers(chromium, client_site, next(client_names))


@pytest.fixture
def anyone(
    chromium: Browser, strict_site: Site, client_names: Iterator[str]
) -> Iterator[Callable[..., Someone]]:
    """Make browsers of one person on the strict site."""
    yield from browsers(chromium, strict_site, next(client_names))


def browsers(chromium: Browser, site: Site, username: str) -> Iterator[Callable[..., Someone]]:
    contexts: list[BrowserContext] = []

    def browser(script: str = "") -> Someone:
        context = chromium.new_context()
        context.set_default_timeout(30_000)
        if script:
            context.add_init_script(script)
        contexts.append(context)
        made = Someone(context, site.address, username)
        start = f"{site.address}/auth/"

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
