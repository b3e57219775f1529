"""A site that keeps the CSRF token where no script can read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.client.pages import Someone
from tests.browser.conftest import ADD_PEOPLE, PASSWORD
from tests.running import example_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site_without_csrf_cookie(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with example_site(
        tmp_path_factory.mktemp("csrf"),
        ["shell", "-c", ADD_PEOPLE],
        DJANGO_SETTINGS_MODULE="tests.browser.client.session_csrf_settings",
    ) as site:
        yield site.address


def test_the_client_follows_the_token_through_sign_ins_of_either_tab(
    chromium: Browser, site_without_csrf_cookie: str
):
    context = chromium.new_context()
    here = Someone(context, site_without_csrf_cookie, "visitor1")
    tab, other = here.tab(), here.tab()
    assert here.sign_in(tab)["error"] is None
    assert "csrf" not in tab.value("document.cookie")
    other.wait("client.session.data")
    # The token has been renewed since this tab was told one.
    assert other.ask("reauthenticate", {"password": PASSWORD})["error"] is None
    assert tab.ask("revokeOtherSessions")["error"] is None
    answered = "client.fetch('/auth/sign-out', { method: 'POST' }).then(({ status }) => status)"
    assert tab.value(answered) == 204
    context.close()
