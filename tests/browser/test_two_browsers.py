"""The main promise, kept before the eyes of real browsers on the running example site."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import (
    COME_TO_REST,
    PASSWORD,
    SCHEMES,
    SCREENSHOTS,
    Visitor,
    sign_in_with,
)
from tests.running import Site, need

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

Person = Callable[..., Visitor]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0"
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36 Edg/137.0.0.0"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)


def devices_of(page: Page) -> list[str]:
    """Return the names on the devices page, without the badge."""
    names = page.locator("section .dsp-session h3").all_inner_texts()
    return [name.replace("This device", "").strip() for name in names]


def click_on(page: Page, link: str) -> str:
    """Click on a link in the site's navigation and return the path that leads to."""
    page.get_by_role("navigation").get_by_role("link", name=link).click()
    page.wait_for_load_state()
    return path_of(page)


def path_of(page: Page) -> str:
    return re.sub(r"^https?://[^/]+", "", page.url)


def test_one_browser_ends_the_other_which_is_out_at_its_next_click(person: Person):
    a, b = person(user_agent=FIREFOX), person(user_agent=IPHONE)
    here, there = a.sign_in(), b.sign_in()

    click_on(here, "Devices")
    assert sorted(devices_of(here)) == ["Firefox on Linux", "Safari on iOS"]
    click_on(there, "Devices")
    assert sorted(devices_of(there)) == ["Firefox on Linux", "Safari on iOS"]

    here.get_by_role("button", name="End session Safari on iOS").click()
    assert here.get_by_role("status").inner_text() == "Safari on iOS is signed out."
    assert devices_of(here) == ["Firefox on Linux"]

    assert click_on(there, "Session") == "/sign-in/?next=/"
    assert click_on(here, "Session") == "/"


def test_the_ended_browser_keeps_no_cookie_and_can_sign_in_again(person: Person):
    a, b = person(), person(user_agent=IPHONE)
    here, there = a.sign_in(), b.sign_in()
    here.goto(f"{a.site}/devices/")
    here.get_by_role("button", name="End session").click()

    click_on(there, "Devices")

    assert "sessionid" not in {cookie["name"] for cookie in b.context.cookies()}
    b.sign_in()
    here.reload()
    assert len(devices_of(here)) == 2


def test_ending_all_others_leaves_the_browser_that_asked(person: Person):
    a, b, c = person(user_agent=FIREFOX), person(user_agent=EDGE), person(user_agent=IPHONE)
    here, second, third = a.sign_in(), b.sign_in(), c.sign_in()

    click_on(here, "Devices")
    here.get_by_role("link", name="End all others").click()
    here.get_by_role("button", name="End all others").click()

    assert here.get_by_role("status").inner_text() == "2 other sessions are ended."
    assert devices_of(here) == ["Firefox on Linux"]
    assert here.get_by_text("You are signed in nowhere else.").is_visible()
    assert click_on(second, "Password") == "/sign-in/?next=/password/"
    assert click_on(third, "Devices") == "/sign-in/?next=/devices/"
    assert click_on(here, "Session") == "/"


def test_a_changed_password_ends_the_other_browser_and_not_this_one(person: Person):
    a, b = person(), person()
    here, there = a.sign_in(), b.sign_in()
    session_id = here.locator("dd code").inner_text()
    token = token_of(a)

    click_on(here, "Password")
    here.get_by_label("Old password").fill(PASSWORD)
    here.get_by_label("New password", exact=True).fill("flow-matic-1955-x")
    here.get_by_label("New password confirmation").fill("flow-matic-1955-x")
    here.get_by_role("button", name="Change password").click()

    assert "All your other devices are signed out." in here.get_by_role("status").inner_text()
    assert click_on(there, "Session") == "/sign-in/?next=/"
    click_on(here, "Session")
    assert here.locator("dd code").inner_text() == session_id
    assert token_of(a) != token


def test_tabs_that_load_different_pages_at_once_lose_no_visit(person: Person):
    visitor = person()
    visitor.sign_in().close()
    rounds, pages = 15, {"home": "/", "password": "/password/"}
    tabs = {name: visitor.open("/sign-in/") for name in pages}

    # Each tab loads its page again and again; all have begun before the first is awaited.
    for name, path in pages.items():
        tabs[name].evaluate(
            """([path, rounds]) => {
                window.finished = (async () => {
                    const statuses = [];
                    for (let round = 0; round < rounds; round += 1) {
                        statuses.push((await fetch(path)).status);
                    }
                    return statuses;
                })();
            }""",
            [path, rounds],
        )
    for tab in tabs.values():
        assert tab.evaluate("window.finished") == [200] * rounds

    last = visitor.open("/")
    counted = {name: int(last.locator(f"[data-visits={name}]").inner_text()) for name in pages}
    # The home page was also seen after sign-in and just now.
    assert counted == {"home": rounds + 2, "password": rounds}


def test_signing_out_in_one_tab_signs_out_the_others_and_the_way_back_shows_nothing(
    person: Person,
):
    visitor = person()
    tab, other = visitor.sign_in(), visitor.open("/devices/")

    tab.get_by_role("banner").get_by_role("button", name="Sign out").click()

    assert path_of(tab) == "/sign-in/"
    assert "sessionid" not in {cookie["name"] for cookie in visitor.context.cookies()}
    assert click_on(other, "Session") == "/sign-in/?next=/"
    tab.go_back()
    assert tab.get_by_role("heading", name="Hello").count() == 0


def test_the_token_is_out_of_reach_of_scripts_and_on_no_page(person: Person):
    visitor = person()
    page = visitor.sign_in()
    cookie = session_cookie(visitor)

    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    for path in ("/", "/devices/", "/password/"):
        page.goto(visitor.site + path)
        assert cookie["value"] not in page.content()
        assert cookie["value"] not in page.evaluate("document.cookie")


def test_remember_me_decides_whether_the_cookie_outlives_the_browser(person: Person):
    kept, passing = person(), person()
    kept.sign_in(remember=True)
    passing.sign_in(remember=False)

    assert session_cookie(kept)["expires"] > 0
    assert session_cookie(passing)["expires"] == -1


def test_everything_can_be_done_with_the_keyboard_and_without_scripts(
    chromium: Browser, person: Person
):
    visitor = person()
    visitor.context.close()
    visitor.context = chromium.new_context(java_script_enabled=False)
    page = visitor.open("/sign-in/")

    page.locator("#id_username:focus").wait_for()
    page.keyboard.type(visitor.username)
    page.keyboard.press("Tab")
    page.keyboard.type(visitor.password)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Hello").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert path_of(page) == "/#main"
    visitor.context.close()


def test_the_commands_of_the_guide_work_when_pasted(running_site: Site, tmp_path: Path):
    need(shutil.which("curl"), "curl")
    commands = running_site.guide.split("Paste this into a terminal:\n", 1)[1]
    commands = commands.split("\n    It signs in", 1)[0]

    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout

    assert '"is_current":true' in said
    assert re.search(r'"revoked":[1-9]', said)
    assert '"code":"session_ended"' in said


def session_cookie(visitor: Visitor) -> Any:
    return next(c for c in visitor.context.cookies() if c["name"] == "sessionid")


def token_of(visitor: Visitor) -> str:
    value: str = session_cookie(visitor)["value"]
    return value


def test_no_page_is_wider_than_the_window_and_its_pictures_are_there_to_be_looked_at(
    person: Person,
):
    grace = person(name="grace", password="nanosecond-wire-1952", user_agent=FIREFOX)
    page = grace.open("/sign-in/")
    look_at(page, "sign-in")
    sign_in_with(page, "grace", "wrong")
    look_at(page, "sign-in-wrong")
    page.close()
    page = grace.sign_in()
    look_at(page, "home")
    click_on(page, "Password")
    look_at(page, "password")
    page.get_by_label("Old password").fill("wrong")
    page.get_by_label("New password", exact=True).fill("12345678")
    page.get_by_label("New password confirmation").fill("123")
    page.get_by_role("button", name="Change password").click()
    look_at(page, "password-wrong")


def test_the_head_of_the_site_is_one_line_on_a_desk(person: Person):
    """Also for staff, who have one link more."""
    page = person(name="ada", password="analytical-engine-1843", user_agent=FIREFOX).sign_in()
    for width in (1280, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        middles = page.locator(".brand, .top nav a, .who-name, .who button").evaluate_all(
            "all => all.map(each => each.getBoundingClientRect()).map(r => (r.top + r.bottom) / 2)"
        )
        assert len(middles) == 9
        assert max(middles) - min(middles) < 3, width


def look_at(page: Page, name: str, widths: Sequence[int] = (256, 390, 1280)) -> None:
    """Take pictures of a page, light and dark, and hold it to the width of its window."""
    SCREENSHOTS.mkdir(exist_ok=True)
    (SCREENSHOTS / ".gitignore").write_text("*\n")
    page.wait_for_load_state()
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.evaluate(COME_TO_REST)
            page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.emulate_media(color_scheme="light")
