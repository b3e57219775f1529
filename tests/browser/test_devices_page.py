"""The devices page before the eyes, and other senses, of those it is for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import PASSWORD, Visitor
from tests.browser.test_two_browsers import (
    EDGE,
    FIREFOX,
    IPHONE,
    click_on,
    devices_of,
    look_at,
    path_of,
)
from tests.running import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

Person = Callable[..., Visitor]

STRICTEST = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

# What would take hours: a sign-in of an hour ago, and the devices of a long life.
GROW_STALE = """
from datetime import timedelta
from django.utils import timezone
from django_sessions_plus.models import Session
Session.objects.filter(user__username={username!r}).update(
    authenticated_at=timezone.now() - timedelta(hours=1)
)
"""
ADD_SESSIONS = """
from datetime import timedelta
from django.contrib.auth import get_user_model
from django.utils import timezone
from django_sessions_plus import tokens
from django_sessions_plus.models import Session
from example_project import demo_data as demo
user = get_user_model().objects.get(username={username!r})
now, minute = timezone.now(), timedelta(minutes=1)
agents = [
    demo.SAFARI_MACOS, demo.SAFARI_IPHONE, demo.CHROME_ANDROID, demo.EDGE_WINDOWS, "nightly export",
    demo.FIREFOX_LINUX, demo.SAFARI_IPAD, demo.CURL, "<script>alert(1)</script>" * 20, None,
]
Session.objects.bulk_create(
    Session(
        token_digest=tokens.digest(tokens.make_token()),
        user=user,
        user_agent=agents[n % 10],
        ip_address="192.0.2.%d" % (n % 250) if n % 7 else "2001:db8:85a3:1234:5678:8a2e:370:7334",
        created_at=now - 29 * n * minute,
        authenticated_at=None if n % 10 == 4 else now - 29 * n * minute,
        refresh_started_at=now if n % 10 == 7 else None,
        last_seen_at=now - 5 * n * minute,
        expires_at=now - n * minute if n % 3 == 2 and {has_history} else now + 5000 * minute,
        ended_at=now - n * minute if n % 3 == 2 and {has_history} else None,
        ended_by=user if n % 2 else None,
        end_reason=(
            ["revoked", "signed_out", "password_changed", "refresh_reused"][n % 4]
            if n % 3 == 2 and {has_history} else ""
        ),
    )
    for n in range(1, {count} + 1)
)
"""


@pytest.fixture
def grow_stale(running_site: Site) -> Callable[[Visitor], None]:
    """Let a person's last authentication be an hour ago."""

    def grow(visitor: Visitor) -> None:
        running_site.manage("shell", "-c", GROW_STALE.format(username=visitor.username))

    return grow


@pytest.fixture
def add_sessions(running_site: Site) -> Callable[..., None]:
    """Give a person more sessions, some of them over."""

    def add(visitor: Visitor, count: int, *, has_history: bool = True) -> None:
        code = ADD_SESSIONS.format(username=visitor.username, count=count, has_history=has_history)
        running_site.manage("shell", "-c", code)

    return add


def open_devices(visitor: Visitor) -> Page:
    page = visitor.sign_in()
    click_on(page, "Devices")
    return page


def everywhere(visitor: Visitor) -> Iterator[tuple[str, Page]]:
    """Go to every page of the site that is its own or the package's, with what can be seen there."""
    page = visitor.open("/sign-in/")
    yield "sign-in", page
    page.get_by_label("Username").fill(visitor.username)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    yield "sign-in-wrong", page
    page.close()
    page = open_devices(visitor)
    page.locator("summary").click()
    yield "devices-history", page
    page.get_by_role("button", name="End session").first.click()
    page.get_by_role("status").wait_for()
    yield "device-ended", page
    page.get_by_role("link", name="End session").first.click()
    yield "end-token", page
    page.goto(f"{visitor.site}/devices/end-others/")
    yield "end-others", page
    page.goto(f"{visitor.site}/devices/confirm-password/?next=/devices/")
    yield "confirm-password", page
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Go on").click()
    page.locator(".errorlist").wait_for()
    yield "confirm-password-wrong", page
    page.goto(f"{visitor.site}/")
    yield "home", page
    page.goto(f"{visitor.site}/password/")
    yield "password", page


def test_no_page_shuts_anybody_out(
    person: Person,
    add_sessions: Callable[..., None],
    check: Callable[[Page], None],
    complaints: list[str],
):
    visitor = person(user_agent=FIREFOX)
    add_sessions(visitor, 30)
    for _, page in everywhere(visitor):
        check(page)
    assert complaints == []


def test_the_pages_are_there_to_be_looked_at(person: Person, add_sessions: Callable[..., None]):
    visitor = person(user_agent=FIREFOX)
    add_sessions(visitor, 8)
    for name, page in everywhere(visitor):
        look_at(page, name)


@pytest.mark.parametrize("others", [0, 4, 999])
def test_the_list_is_there_to_be_looked_at(
    person: Person, add_sessions: Callable[..., None], others: int
):
    visitor = person(user_agent=FIREFOX)
    add_sessions(visitor, others, has_history=False)
    page = open_devices(visitor)
    look_at(page, f"devices-{others + 1}")
    page.evaluate("document.documentElement.dir = 'rtl'")
    look_at(page, f"devices-{others + 1}-rtl")
    page.emulate_media(forced_colors="active")
    look_at(page, f"devices-{others + 1}-forced-colors", widths=[390])
    page.emulate_media(forced_colors="none", contrast="more")
    look_at(page, f"devices-{others + 1}-more-contrast", widths=[390])
    assert len(devices_of(page)) == min(others, 20) + 1
    if others > 20:
        page.get_by_role("link", name="Less recent").click()
        page.get_by_role("link", name="More recent").wait_for()
        assert len(devices_of(page)) == 21


def test_the_policy_of_the_pages_allows_no_script_at_all(person: Person, complaints: list[str]):
    page = open_devices(person())
    answer = page.reload()
    assert answer is not None
    assert answer.headers["content-security-policy"] == STRICTEST
    assert complaints == []


def test_the_password_is_asked_again_and_one_goes_on_where_one_was(
    person: Person, grow_stale: Callable[[Visitor], None]
):
    a, b = person(user_agent=FIREFOX), person(user_agent=IPHONE)
    here, there = open_devices(a), b.sign_in()
    here.reload()
    grow_stale(a)

    here.get_by_role("button", name="End session Safari on iOS").click()
    here.get_by_role("heading", name="Is it still you?").wait_for()
    here.locator("#id_password:focus").wait_for()
    here.get_by_label("Password").fill("wrong")
    here.keyboard.press("Enter")
    here.get_by_text("That is not your password. Try again.").wait_for()
    assert "Safari on iOS" in devices_of(open_tab(b))
    here.get_by_label("Password").fill(PASSWORD)
    here.keyboard.press("Enter")
    here.get_by_role("heading", name="End this session?").wait_for()
    here.get_by_role("button", name="End session").click()

    assert here.get_by_role("status").inner_text() == "Safari on iOS is signed out."
    assert click_on(there, "Session") == "/sign-in/?next=/"
    assert path_of(here) == "/devices/"


def open_tab(visitor: Visitor) -> Page:
    return visitor.open("/devices/")


def test_all_others_after_the_password_again(person: Person, grow_stale: Callable[[Visitor], None]):
    a, b, c = person(user_agent=FIREFOX), person(user_agent=EDGE), person(user_agent=IPHONE)
    here, second, third = open_devices(a), b.sign_in(), c.sign_in()
    here.reload()
    grow_stale(a)

    here.get_by_role("link", name="End all others").click()
    here.get_by_label("Password").fill(PASSWORD)
    here.get_by_role("button", name="Go on").click()
    here.get_by_text("2 sessions end immediately.").wait_for()
    here.get_by_role("button", name="End all others").click()

    # Only the page that follows has it, and the list is read at once.
    here.get_by_text("Ended in the last 7 days").wait_for()
    assert devices_of(here) == ["Firefox on Linux"]
    for page in (second, third):
        assert click_on(page, "Session") == "/sign-in/?next=/"
    here.get_by_text("Ended in the last 7 days").click()
    assert here.get_by_text("Ended by you.").count() == 2


def test_everything_is_done_with_the_keyboard_alone_and_without_scripts(
    chromium: Browser, person: Person
):
    a, b = person(), person(user_agent=IPHONE)
    a.context.close()
    a.context = chromium.new_context(java_script_enabled=False, user_agent=FIREFOX)
    b.sign_in()
    here = open_devices(a)
    press_until(here, "End session Safari on iOS")
    # What happened has the focus, where a screen reader begins to read.
    assert here.locator("[role=status]:focus").inner_text() == "Safari on iOS is signed out."
    assert devices_of(here) == ["Firefox on Linux"]

    b.sign_in()
    here.reload()
    press_until(here, "End all others")
    here.get_by_role("heading", name="End all other sessions?").wait_for()
    press_until(here, "End all others")
    assert here.locator("[role=status]:focus").inner_text() == "1 other session is ended."

    press_until(here, "Ended in the last 7 days")
    assert here.locator("details[open]").count() == 1
    here.locator("section .dsp-act button").focus()
    here.keyboard.press("Enter")
    here.wait_for_url("**/sign-in/")
    assert "sessionid" not in {cookie["name"] for cookie in a.context.cookies()}
    a.context.close()


def press_until(page: Page, name: str) -> None:
    """Go on with the tabulator key to what has this name, and press it."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        label = focused.get_attribute("aria-label") or focused.inner_text()
        if label.strip() == name:
            page.keyboard.press("Enter")
            page.wait_for_load_state()
            return
    pytest.fail(f"{name} cannot be reached")


def test_a_screen_reader_hears_which_session_a_button_ends(person: Person):
    a, b = person(user_agent=FIREFOX), person(user_agent=IPHONE)
    b.sign_in()
    page = open_devices(a)
    heard = page.get_by_role("main").aria_snapshot()
    assert re.search(r'heading "Your devices" \[level=1\]', heard)
    assert re.search(r'heading "Firefox on Linux This device" \[level=3\]', heard)
    assert 'button "End session Safari on iOS"' in heard
    button = page.get_by_role("button", name="End session")
    described = button.get_attribute("aria-describedby")
    assert "Last active" in page.locator(f"[id='{described}']").inner_text()


def test_on_paper_no_row_is_on_two_pages_and_there_is_nothing_to_press(person: Person):
    page = person().sign_in()
    page.goto(page.url.rstrip("/") + "/devices/")
    page.emulate_media(media="print")
    row = page.locator(".dsp-session").first
    assert row.evaluate("row => getComputedStyle(row).breakInside") == "avoid"
    assert not row.get_by_role("button").is_visible()


def test_japanese_lines_end_between_phrases(person: Person):
    page = open_devices(person())
    broken = "of => [getComputedStyle(of).lineBreak, getComputedStyle(of).wordBreak]"
    assert page.locator(".dsp").evaluate(broken) == ["auto", "normal"]
    page.get_by_label("Language").select_option("ja")
    page.locator(".language button").click()
    page.locator("html[lang=ja]").wait_for()
    assert page.locator(".dsp").evaluate(broken) == ["strict", "auto-phrase"]


def test_the_way_back_after_the_sign_out_shows_nothing(person: Person):
    visitor = person(user_agent=FIREFOX)
    page = open_devices(visitor)
    page.locator("section .dsp-act button").click()
    assert path_of(page) == "/sign-in/"
    page.go_back()
    assert "Firefox on Linux" not in page.content()
    assert path_of(page) == "/sign-in/?next=/devices/"


def test_a_session_that_ended_between_page_and_click_is_told(person: Person):
    a, b = person(user_agent=FIREFOX), person(user_agent=IPHONE)
    there = b.sign_in()
    here = open_devices(a)
    there.get_by_role("banner").get_by_role("button", name="Sign out").click()
    here.get_by_role("button", name="End session Safari on iOS").click()
    assert here.get_by_role("status").inner_text() == "Safari on iOS was signed out already."


def test_the_terminal_shows_the_mail_about_a_new_device_and_its_link_leads_here(
    person: Person, running_site: Site
):
    grace = person(name="grace", password="nanosecond-wire-1952", user_agent=EDGE)
    page = grace.sign_in()
    assert page.get_by_text("it is in the terminal").is_visible()
    written = running_site.log.read_text().rpartition("To: grace@example.com")[2]
    assert "Device: Edge on Windows" in written
    link = re.search(r"Your devices:\s+(\S+)", written)
    assert link is not None
    page.goto(link[1])
    assert "Edge on Windows" in devices_of(page)


def test_a_browser_that_passes_for_another_one_is_asked_for_the_password(person: Person):
    a, b = person(user_agent=FIREFOX), person(user_agent=IPHONE)
    b.sign_in()
    page = open_devices(a)
    a.context.route(
        "**", lambda it: it.continue_(headers={**it.request.headers, "user-agent": EDGE})
    )
    page.get_by_role("button", name="End session Safari on iOS").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="End session").click()
    assert page.get_by_role("status").inner_text() == "Safari on iOS is signed out."
