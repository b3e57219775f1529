"""What a page that loads, or comes back, asks the site for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.browser.client.pages import TRANSPORTS, Browsers, Someone
from tests.browser.conftest import CHROMIUM
from tests.running import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

SIGN_OUT = """() => {
    const token = document.cookie.match(/csrftoken=([^;]+)/)[1];
    return fetch("/auth/sign-out", { method: "POST", headers: { "X-CSRFToken": token } }).then(({ status }) => status);
}"""


@pytest.mark.parametrize("name", ["cookie", "jwt by refresh cookie", "jwt in local storage"])
def test_a_page_that_nobody_is_signed_in_to_writes_no_error_to_the_console(
    someone: Browsers, name: str
):
    here = someone()
    errors: list[str] = []
    here.context.on("console", lambda message: errors.append(message.text))
    tab = here.tab(**TRANSPORTS[name])
    assert tab.settled() is None
    here.sign_in(tab)
    tab.ask("signOut")
    assert here.tab(**TRANSPORTS[name]).settled() is None
    assert errors == []


@pytest.fixture
def with_page_cache(chromium: Browser) -> Iterator[Browser]:
    """Chromium with its cache of pages, which Playwright turns off."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    browser = chromium.browser_type.launch(
        executable_path=path,
        args=["--no-sandbox"],
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield browser
    browser.close()


def test_back_after_a_sign_out_of_another_page_shows_nobody(
    with_page_cache: Browser, client_site: Site, client_names: Iterator[str]
):
    context = with_page_cache.new_context()
    here = Someone(context, client_site.address, next(client_names))
    # No pages that are not to be stored, as those of the site.
    static = f"{client_site.address}/static/django_sessions_plus"
    page = context.new_page()
    page.goto(f"{static}/devices.css")
    tab = here.tab_on(page)
    here.sign_in(tab)
    page.evaluate("addEventListener('pageshow', ({ persisted }) => (window.fromCache = persisted))")
    page.goto(f"{static}/admin.css")
    assert page.evaluate(SIGN_OUT) == 204
    # Not go_back(), which waits for the page to load.
    page.evaluate("void history.back()")
    page.wait_for_url(f"{static}/devices.css", wait_until="commit")
    # Without the cache the page would have no client.
    tab.wait("window.fromCache")
    tab.wait("!client.session.data")
