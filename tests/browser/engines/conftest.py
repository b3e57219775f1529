"""Firefox and WebKitGTK, the example site by HTTPS, and people with browsers.

Without the engines and what drives them the tests are skipped, except in CI, where that is a failure.
"""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.browser.conftest import ADD_PEOPLE, PASSWORD, PEOPLE
from tests.browser.engines.driving import Browser
from tests.browser.engines.fault_proxy import FaultProxy
from tests.running import example_site, need

if TYPE_CHECKING:
    from tests.browser.engines.firefox import Firefox
    from tests.browser.engines.webkit import Display

EVERYBODY = 100
ENGINES = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("firefox", "webkit")]

DRIVERS = ("selenium", "trustme", "websocket")

Launch = Callable[[str], Browser]


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    """The running example site, by a way that speaks TLS and may lose answers."""
    need_drivers()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    import_module("trustme").CA().issue_cert("127.0.0.1").configure_cert(tls)
    people = ["shell", "-c", ADD_PEOPLE.replace(f"range({PEOPLE})", f"range({EVERYBODY})")]
    with (
        example_site(
            tmp_path_factory.mktemp("engines"),
            people,
            DJANGO_SETTINGS_MODULE="tests.browser.engines.settings",
        ) as site,
        FaultProxy(site.address, tls) as proxy,
    ):
        yield proxy


@pytest.fixture(scope="session")
def start_firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Firefox]]:
    """What starts a Firefox, with preferences if they are given."""
    need_drivers()
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    need(path, "Firefox")
    module = import_module("tests.browser.engines.firefox")
    started: list[Firefox] = []

    def start(**preferences: Any) -> Firefox:
        started.append(module.Firefox(path, tmp_path_factory.mktemp("firefox"), preferences))
        return started[-1]

    yield start
    for firefox in started:
        firefox.close()
    # A policy that is violated is an error of the console.
    problems = [text for firefox in started for text in firefox.problems]
    assert [text for text in problems if "Content-Security-Policy" in text] == []


@pytest.fixture(scope="session")
def display() -> Iterator[Display]:
    """A display for windows that nobody has to see."""
    need_drivers()
    path = shutil.which("Xvfb")
    need(path, "Xvfb")
    made = import_module("tests.browser.engines.webkit").Display(path)
    yield made
    made.close()


@pytest.fixture(scope="session", params=ENGINES)
def launch(request: pytest.FixtureRequest) -> Launch:
    """What opens a browser of an engine on a site."""
    need_drivers()
    if request.param == "firefox":
        firefox: Firefox = request.getfixturevalue("start_firefox")()
        return firefox.browser
    driver = shutil.which("WebKitWebDriver")
    need(driver, "the driver of WebKitGTK")
    display = request.getfixturevalue("display")
    module = import_module("tests.browser.engines.webkit")
    return lambda site: module.WebKitBrowser(driver, display, site)


def need_drivers() -> None:
    """Skip without what drives the engines; imports come after it."""
    need(all(map(find_spec, DRIVERS)), " or ".join(DRIVERS))


@pytest.fixture(scope="session")
def names() -> Iterator[str]:
    """The names of people whom no test has used yet."""
    return iter([f"visitor{number}" for number in range(EVERYBODY)])


@pytest.fixture
def username(names: Iterator[str]) -> str:
    """Somebody who has never signed in."""
    return next(names)


@pytest.fixture
def browser(launch: Launch, proxy: FaultProxy) -> Iterator[Browser]:
    """A browser that has never been on the site."""
    opened = launch(proxy.address)
    yield opened
    opened.close()
    proxy.lose_nothing()


@pytest.fixture
def elsewhere(proxy: FaultProxy, username: str) -> Iterator[httpx.Client]:
    """Another device of the same person, signed in by bearer token."""
    with httpx.Client(
        base_url=f"http://{proxy.upstream}/auth/",
        headers={"User-Agent": "Elsewhere/1.0"},
        timeout=60,
    ) as client:
        answer = client.post(
            "sign-in",
            json={"username": username, "password": PASSWORD, "transport": "bearer"},
        )
        client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['token']}"
        yield client


@pytest.fixture
def screenshots(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Return where pictures of a page are to be put, for who wants to look at them."""
    folder = Path(request.config.rootpath) / ".screenshots"
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    engine = request.node.callspec.params["launch"]
    return lambda name: folder / f"{engine}-{name}.png"
