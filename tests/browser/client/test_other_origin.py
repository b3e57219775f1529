"""Pages of another origin than the API, with the settings of docs/browser-client.md."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from tests.browser.client.pages import START, Browsers, Tab
from tests.browser.conftest import PASSWORD
from tests.running import need

pytestmark = pytest.mark.browser

# Options of the client, and whether a reload keeps the session.
WAYS: dict[str, tuple[dict[str, Any], bool]] = {
    "cookie": ({}, True),
    "bearer": ({"transport": "bearer"}, False),
    "jwt": ({"transport": "jwt"}, False),
    "jwt by refresh cookie": ({"transport": "jwt", "refreshCookie": True}, True),
    "jwt in local storage": ({"transport": "jwt", "storage": "local"}, True),
}


@pytest.mark.parametrize("name", WAYS)
def test_the_client_works_at_another_origin_as_the_documentation_says(
    anyone: Browsers, other_origin: str, name: str
):
    need(find_spec("corsheaders"), "django-cors-headers")
    here = anyone()
    said: list[Any] = []
    here.context.on("console", lambda message: said.append(message.text))
    options, lasts = WAYS[name]
    options = {**options, "baseUrl": f"{here.site}/auth/"}
    page = here.context.new_page()
    page.goto(other_origin)
    tab = Tab(page)
    page.evaluate(START, options)
    assert tab.settled() is None
    assert here.sign_in(tab)["error"] is None
    assert tab.ask("getSession")["data"]["user"]["username"] == here.username
    assert tab.ask("reauthenticate", {"password": PASSWORD})["error"] is None
    assert tab.ask("revokeOtherSessions")["error"] is None
    assert tab.ask("refresh")["error"] is None
    status = f"client.fetch('{here.site}/auth/sessions').then(({{ status }}) => status)"
    assert tab.value(status) == 200
    page.reload()
    page.evaluate(START, options)
    assert tab.settled() == (here.username if lasts else None)
    assert tab.ask("signOut") == {"data": None, "error": None}
    assert said == []


def test_a_page_of_another_origin_reads_the_headers_that_the_client_needs(
    anyone: Browsers, other_origin: str
):
    need(find_spec("corsheaders"), "django-cors-headers")
    here = anyone()
    page = here.context.new_page()
    page.goto(other_origin)
    read = (
        "([path, name]) => fetch(path, { credentials: 'omit' })"
        ".then(({ headers }) => headers.get(name))"
    )
    assert "Bearer" in page.evaluate(read, [f"{here.site}/auth/sessions", "WWW-Authenticate"])
    assert page.evaluate(read, [f"{here.site}/auth/session", "X-CSRFToken"])


def test_an_api_that_does_not_admit_the_page_is_named_in_the_error(
    someone: Browsers, other_origin: str
):
    here = someone()
    page = here.context.new_page()
    page.goto(other_origin)
    page.evaluate(START, {"baseUrl": f"{here.site}/auth/", "transport": "jwt"})
    error = here.sign_in(Tab(page))["error"]
    assert error["code"] == "network_error"
    assert here.site in error["detail"]
    assert "CORS" in error["detail"]
