"""The server's pages in Firefox and WebKit: signing in and out, the devices page, the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.browser.engines.driving import Browser

END = ".dsp-session:not(:has(.dsp-badge)) button"
SIGN_OUT = ".who button"


def test_the_token_is_in_a_cookie_that_no_script_sees(browser: Browser, username: str):
    tab = browser.tab().open("/sign-in/")
    tab.submit(username)

    cookie = browser.cookies()["sessionid"]
    assert cookie["httpOnly"]
    assert cookie["secure"]
    assert cookie["sameSite"].lower() == "lax"
    assert "sessionid" not in tab.evaluate("document.cookie")


def test_the_devices_page_ends_the_session_of_another_device(
    browser: Browser, username: str, elsewhere: httpx.Client
):
    tab = browser.tab().open("/sign-in/")
    tab.submit(username)
    tab.open("/devices/")
    # What it calls itself is all that is known of the other.
    assert "Elsewhere/1.0" in tab.text("main")

    tab.click(END)

    tab.wait("document.querySelector('[role=status]')")
    assert "is signed out." in tab.text("[role=status]")
    assert elsewhere.get("sessions").json()["code"] == "session_ended"


def test_a_browser_that_is_ended_from_elsewhere_is_out_at_its_next_click(
    browser: Browser, username: str, elsewhere: httpx.Client
):
    tab = browser.tab().open("/sign-in/")
    tab.submit(username)

    elsewhere.post("sessions/revoke", json={"scope": "others"}).raise_for_status()
    tab.click("nav a[href='/devices/']")

    tab.wait_for("/sign-in/?next=/devices/")
    assert "sessionid" not in browser.cookies()


@pytest.mark.parametrize("path", ["/", "/devices/", "/password/"])
def test_the_way_back_after_a_sign_out_shows_nobody(browser: Browser, username: str, path: str):
    tab = browser.tab().open("/sign-in/")
    tab.submit(username)
    tab.open(path)

    tab.click(SIGN_OUT)
    tab.wait_for("/sign-in/")
    assert "sessionid" not in browser.cookies()
    tab.back()

    tab.wait_for(f"/sign-in/?next={path}")
    assert username not in tab.text()


@pytest.mark.parametrize("width", [320, 1280])
def test_no_page_is_wider_than_its_window(
    browser: Browser,
    username: str,
    elsewhere: httpx.Client,
    width: int,
    screenshots: Callable[[str], Path],
):
    tab = browser.tab().open("/sign-in/")
    # The windows of WebKitGTK's browser are no narrower than its bar of buttons, some 450 pixels.
    tab.resize(width, 900)
    tab.screenshot(screenshots(f"sign-in-{width}"))
    tab.submit(username)
    for path in ("/", "/devices/", "/devices/end-others/", "/password/", "/client/"):
        tab.open(path)
        tab.screenshot(screenshots(f"{path.strip('/').replace('/', '-') or 'home'}-{width}"))
        assert tab.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), path
        assert tab.evaluate("document.styleSheets.length > 0")
