"""The browser client in Firefox and WebKit: its main stories, by every transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.browser.client.pages import TRANSPORTS
from tests.browser.client.test_ends import DENIED
from tests.browser.engines.driving import Browser, Tab
from tests.browser.engines.fault_proxy import FaultProxy

# Whether a reload finds the session again.
KEPT = {name: "memory" not in name for name in TRANSPORTS}
REFRESHING = ["jwt by refresh cookie", "jwt in local storage"]
SIGN_OUT_PLAINLY = """(async () => {
    const page = await (await fetch("/devices/")).text();
    const form = new DOMParser().parseFromString(page, "text/html").querySelector(".who");
    document.body.append(form);
    form.submit();
})()"""


def client_tab(browser: Browser, **options: Any) -> Tab:
    """Open a page with a client, once it knows who is signed in."""
    tab = browser.tab().open("/plain/").start(**options)
    tab.settled()
    return tab


def reopen(tab: Tab, **options: Any) -> Tab:
    """Load the page again, with a client that knows who is signed in."""
    tab.reload()
    tab.start(**options)
    tab.settled()
    return tab


@pytest.mark.parametrize("name", ["cookie", "jwt by refresh cookie", "bearer in local storage"])
def test_all_tabs_see_a_sign_in_and_the_sign_out(browser: Browser, username: str, name: str):
    tab, other = (client_tab(browser, **TRANSPORTS[name]) for _ in range(2))
    assert tab.sign_in(username)["error"] is None
    other.wait("client.session.data")
    assert other.settled() == username
    assert other.ask("listSessions")["data"]["results"][0]["isCurrent"]

    assert other.ask("signOut")["error"] is None

    tab.wait("!client.session.data")
    assert tab.evaluate("told.at(-1)") == {"type": "signed-out", "reason": "signed_out"}
    assert tab.evaluate("Object.keys(localStorage)") == []


def test_a_page_notices_that_another_browser_has_ended_its_session(
    browser: Browser, username: str, elsewhere: httpx.Client
):
    other = client_tab(browser)
    tab = client_tab(browser, refetchInterval=1)
    tab.look()
    tab.sign_in(username)
    other.wait("client.session.data")

    elsewhere.post("sessions/revoke", json={"scope": "others"}).raise_for_status()

    for each in (tab, other):
        each.wait("!client.session.data")
        assert each.evaluate("told.at(-1)") == {"type": "signed-out", "reason": "revoked"}


def test_the_client_knows_who_signed_in_by_the_form_of_the_site(browser: Browser, username: str):
    tab = browser.tab().open("/sign-in/")
    tab.submit(username)
    assert tab.open("/plain/").start().settled() == username


def test_the_way_back_after_a_plain_sign_out_shows_nobody(browser: Browser, username: str):
    tab = browser.tab().open("/sign-in/")
    tab.submit(username)
    tab.open("/plain/").start()
    assert tab.settled() == username

    tab.evaluate(f"void {SIGN_OUT_PLAINLY}")
    tab.wait_for("/sign-in/")
    tab.back()

    # The page is the one that was left: it has its client.
    tab.wait("location.pathname === '/plain/' && client")
    tab.wait("!client.session.data && !client.session.isRefetching")
    assert tab.evaluate("told.at(-1).type") == "signed-out"


@pytest.mark.parametrize("name", TRANSPORTS)
def test_sign_in_reload_refresh_and_sign_out(browser: Browser, username: str, name: str):
    options = TRANSPORTS[name]
    tab = client_tab(browser, **options)
    assert tab.sign_in(username)["error"] is None
    reopen(tab, **options)
    assert tab.settled() == (username if KEPT[name] else None)
    if not KEPT[name]:
        tab.sign_in(username)
    before = tab.evaluate("client.session.data.session.id")

    refreshed = tab.ask("refresh")

    assert refreshed["error"] is None
    assert refreshed["data"]["session"]["id"] == before
    assert tab.evaluate("client.fetch('/auth/sessions').then((answer) => answer.status)") == 200
    assert tab.ask("signOut") == {"data": None, "error": None}
    assert reopen(tab, **options).settled() is None
    # What sets the CSRF token's cookie stays; what was the person's is gone.
    assert set(browser.cookies()) <= {"csrftoken"}
    assert (
        tab.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
    )


@pytest.mark.parametrize("name", REFRESHING)
def test_lost_answers_to_a_refresh_are_survived(
    browser: Browser, username: str, proxy: FaultProxy, name: str
):
    tab = client_tab(browser, **TRANSPORTS[name])
    tab.sign_in(username)
    before = tab.evaluate("client.session.data.session.id")
    proxy.lose("/auth/token/refresh", 2)

    # How often a verb tries by itself is its own business.
    tab.wait("client.auth.refresh().then(({ error }) => !error)")

    assert proxy.lost == [200, 200]
    assert tab.ask("refresh")["error"] is None
    assert tab.ask("getSession")["data"]["session"]["id"] == before
    assert reopen(tab, **TRANSPORTS[name]).settled() == username


@pytest.mark.parametrize("name", REFRESHING)
def test_a_page_that_is_left_while_it_refreshes_goes_on_when_it_is_opened_again(
    browser: Browser, username: str, proxy: FaultProxy, name: str
):
    tab = client_tab(browser, **TRANSPORTS[name])
    tab.sign_in(username)
    # However often it tries, nothing arrives before the page is gone.
    proxy.lose("/auth/token/refresh", 1000)
    tab.evaluate("void client.auth.refresh()")
    proxy.wait_for_loss()
    tab.reload()
    proxy.lose_nothing()

    tab.start(**TRANSPORTS[name])

    assert tab.settled() == username
    assert tab.ask("refresh")["error"] is None


@pytest.mark.parametrize("name", REFRESHING)
def test_tabs_that_refresh_at_once_take_turns(browser: Browser, username: str, name: str):
    tabs = [client_tab(browser, **TRANSPORTS[name]) for _ in range(3)]
    tabs[0].sign_in(username)
    for tab in tabs:
        tab.wait("client.session.data")
    for tab in tabs:
        tab.evaluate("void (window.refreshed = client.auth.refresh())")
    assert [tab.evaluate("refreshed.then(({ error }) => error)") for tab in tabs] == [None] * 3
    assert [tab.settled() for tab in tabs] == [username] * 3


@pytest.mark.parametrize("name", ["bearer in local storage", "jwt in local storage"])
def test_storage_that_is_denied_costs_no_more_than_the_reload(
    browser: Browser, username: str, name: str
):
    tab = browser.tab().open("/plain/")
    tab.evaluate(f"(() => {{ {DENIED} }})()")
    tab.start(**TRANSPORTS[name])
    tab.settled()
    assert tab.sign_in(username)["error"] is None
    assert tab.ask("refresh")["error"] is None
    assert tab.ask("getSession")["data"]["user"]["username"] == username
    assert tab.ask("signOut")["error"] is None
    assert reopen(tab, **TRANSPORTS[name]).settled() is None


@pytest.fixture(scope="module")
def denying(start_firefox: Callable[..., Any], proxy: FaultProxy) -> Browser:
    """A Firefox that keeps neither cookies nor any other data of sites."""
    firefox = start_firefox(**{"network.cookie.cookieBehavior": 2})
    browser: Browser = firefox.browser(proxy.address)
    return browser


@pytest.mark.firefox
@pytest.mark.parametrize("name", ["bearer in local storage", "jwt in local storage"])
def test_a_browser_that_denies_sites_all_data_signs_in_by_token(
    denying: Browser, username: str, name: str
):
    tab = client_tab(denying, **TRANSPORTS[name])
    with pytest.raises(AssertionError):
        tab.wait("localStorage", 0)
    assert tab.sign_in(username)["error"] is None
    assert tab.ask("refresh")["error"] is None
    assert tab.ask("getSession")["data"]["user"]["username"] == username
    assert tab.ask("signOut")["error"] is None


@pytest.mark.parametrize("transport", ["cookie", "bearer", "jwt"])
def test_the_example_page_works_under_the_policy_of_the_site(
    browser: Browser, username: str, transport: str
):
    tab = browser.tab().open(f"/client/?transport={transport}")
    tab.wait("!document.querySelector('[data-sign-in]').hidden")
    tab.type("#client-username", username)
    tab.type("#client-password", "compiler-debugger-1947")
    tab.click("[data-sign-in] button")
    tab.wait(f"document.querySelector('[data-user]').innerText === '{username}'")
    tab.wait("document.querySelectorAll('[data-sessions] li').length === 1")
    tab.click("[data-act-refresh]")
    tab.click("[data-act-sign-out]")
    tab.wait("!document.querySelector('[data-sign-in]').hidden")
    assert f"{username} signed out: signed_out" in tab.text("[data-events]")
