"""The browser client in a real browser: every verb by every transport, against the example site."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.client.pages import START, TRANSPORTS, Browsers
from tests.browser.conftest import PASSWORD

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("options", TRANSPORTS.values(), ids=TRANSPORTS)
def test_every_verb_works_by_every_transport(someone: Browsers, options: dict[str, Any]):
    here, there = someone(), someone()
    tab, other = here.tab(**options), there.tab(**options)
    assert tab.settled() is None
    assert tab.ask("getSession") == {"data": None, "error": None}
    assert tab.ask("listSessions")["error"]["code"] == "not_authenticated"
    wrong = tab.ask("signIn", {"username": here.username, "password": "wrong"})
    assert wrong["data"] is None
    assert wrong["error"]["code"] == "invalid_credentials"

    signed_in = here.sign_in(tab, remember=True)
    assert signed_in["error"] is None
    assert signed_in["data"]["user"]["username"] == here.username
    assert signed_in["data"]["session"]["expiresAt"]
    assert signed_in["data"]["session"]["device"]["browser"]
    assert tab.ask("getSession") == signed_in
    assert tab.value("client.session.data === client.session.get().data")

    there.sign_in(other)
    there.sign_in(other)
    listed = tab.ask("listSessions")["data"]
    assert [each["isCurrent"] for each in listed["results"]].count(True) == 1
    assert listed["next"] is None
    theirs = other.value("client.session.data.session.id")

    again = tab.ask("reauthenticate", {"password": PASSWORD})
    assert again["data"]["session"]["id"] == signed_in["data"]["session"]["id"]
    assert tab.ask("reauthenticate", {"password": "wrong"})["error"]["status"] == 403
    assert tab.ask("revokeSession", theirs) == {"data": None, "error": None}
    assert other.ask("getSession") == {"data": None, "error": None}
    assert tab.ask("revokeOtherSessions")["error"] is None
    assert tab.ask("refresh")["data"]["session"]["id"] == signed_in["data"]["session"]["id"]
    assert tab.value("client.fetch('/auth/sessions').then((answer) => answer.status)") == 200
    assert tab.ask("revokeSession", "unknown")["error"]["code"] == "not_found"

    assert tab.ask("signOut") == {"data": None, "error": None}
    assert tab.settled() is None
    assert tab.ask("getSession") == {"data": None, "error": None}
    here.sign_in(tab)
    assert tab.ask("revokeSessions")["data"] == {"revoked": 1}
    assert tab.settled() is None
    assert tab.value("told.map(({ type }) => type)") == ["signed-in", "signed-out"] * 2
    assert tab.value("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0


@pytest.mark.parametrize(
    "name",
    [
        "cookie",
        "bearer in local storage",
        "jwt by refresh cookie",
        "jwt in local storage",
        "jwt in session storage",
    ],
)
def test_a_reload_keeps_the_session(someone: Browsers, name: str):
    here = someone()
    tab = here.tab(**TRANSPORTS[name])
    here.sign_in(tab)
    tab.page.reload()
    tab.page.evaluate(START, TRANSPORTS[name])
    assert tab.settled() == here.username
