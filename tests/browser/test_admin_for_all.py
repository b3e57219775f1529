"""Every page of the admin that is ours, before the senses of those it is for, and without its scripts or a mouse.

The pages are Django's with something of ours in them. What axe-core finds in Django's part is
excepted by rule and element, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import ADD_PEOPLE, Visitor
from tests.browser.test_admin import LIST, WIDTHS, Person
from tests.browser.test_devices_page import ADD_SESSIONS
from tests.browser.test_two_browsers import FIREFOX, IPHONE, click_on, look_at
from tests.running import Site, example_site

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Check = Callable[..., None]

DJANGOS = (
    # The label of the search is a picture with a text of its own, which this rule does not count.
    ("label-title-only", "#changelist-search #searchbar"),
    # "Show all", beside how many were found.
    ("link-in-text-block", "#changelist-search a"),
    # Django 5.2; later ones have a list.
    ("link-in-text-block", ".breadcrumbs a"),
    # A user's form: pairs of date and time under one label, and what its script adds to lists.
    ("label", ".vDateField, .vTimeField"),
    ("aria-prohibited-attr", ".selector .help-tooltip"),
)


@pytest.fixture
def visitor(person: Person, running_site: Site) -> Visitor:
    """Somebody with a browser, a few tokens, and sessions that are over."""
    visitor = person(user_agent=IPHONE)
    visitor.sign_in()
    code = ADD_SESSIONS.format(username=visitor.username, count=8, has_history=True)
    running_site.manage("shell", "-c", code)
    return visitor


@pytest.fixture
def ada(person: Person) -> Visitor:
    return person(name="ada", password="analytical-engine-1843", user_agent=FIREFOX)


@pytest.fixture(scope="module")
def hasty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that signs everyone out in many short requests."""
    people = ["shell", "-c", ADD_PEOPLE]
    settings = {"DJANGO_SETTINGS_MODULE": "tests.browser.hasty_settings"}
    with example_site(tmp_path_factory.mktemp("hasty"), people, **settings) as site:
        yield site


def lists(page: Page, start: str, who: str) -> Iterator[str]:
    """Go to the list as it is, filtered, searched, of one person, of a day, and without a row."""
    for name, query in (
        ("list", ""),
        ("ended", "?state=ended&reason=refresh_reused"),
        ("filtered", "?access=app&staff=no&seen=day"),
        ("network", "?q=192.0.2.0/24"),
        ("nobody", "?q=nobody-at-all"),
    ):
        page.goto(f"{start}{query}")
        yield name
    page.goto(f"{start}?q={who}")
    page.locator("#result_list .field-person a").first.click()
    page.wait_for_url("**/?user=*")
    yield "one person"
    page.goto(start)
    page.locator(".dsp-card a", has_text="Signed in today").click()
    page.wait_for_url("**began=*")
    yield "day"


def single_sessions(page: Page, start: str, who: str) -> Iterator[str]:
    """Go to a session that lives, to one that is over, and to what asks before one ends."""
    page.goto(f"{start}?q={who}&state=ended")
    page.locator("#result_list .field-device a").first.click()
    page.locator(".dsp-event.dsp-ended").wait_for()
    yield "ended session"
    page.goto(f"{start}?q={who}")
    page.locator("#result_list").get_by_role("link", name="Safari on iOS").first.click()
    page.locator(".dsp-timeline").wait_for()
    yield "session"
    address = page.url
    page.get_by_role("link", name="End this session", exact=True).click()
    page.get_by_role("button", name="Yes, I’m sure").wait_for()
    yield "end"
    page.goto(address)
    page.get_by_role("link", name="End all sessions of this user").click()
    page.get_by_text("These devices are signed out at once").wait_for()
    yield "end all"


def pages_of_a_user(page: Page, site: str, who: str) -> Iterator[str]:
    """Go to the user's page and to what issues a token, by the links that lead there."""
    page.goto(f"{site}/admin/auth/user/?q={who}")
    yield "users"
    page.locator("#result_list").get_by_role("link", name=who, exact=True).click()
    page.locator(".dsp-user-sessions tbody tr").first.wait_for()
    yield "user"
    page.get_by_role("link", name="Issue a token").click()
    page.get_by_label("Name").fill("nightly export")
    page.get_by_label("Days").fill("0")
    page.get_by_role("button", name="Issue the token").click()
    page.locator("input:invalid").wait_for()
    yield "issue"
    page.get_by_label("Days").fill("1")
    page.get_by_role("button", name="Issue the token").click()
    page.locator(".dsp-token input").wait_for()
    yield "issued"
    look_at(page, "admin-issued", widths=(256, *WIDTHS))


def sign_everyone_out(page: Page, start: str) -> Iterator[str]:
    """Go to the page that asks for a word, and give it another one."""
    page.goto(start)
    page.get_by_role("link", name="Sign everyone out").click()
    page.get_by_label("Type “everyone”").fill("all")
    yield "everyone"
    page.get_by_role("button", name="Sign everyone out").click()
    page.locator(".errorlist").wait_for()
    yield "everyone, and another word"
    look_at(page, "admin-everyone-wrong", widths=(256, *WIDTHS))


@pytest.mark.parametrize("part", ["lists", "sessions", "user", "everyone"])
def test_no_page_of_the_admin_shuts_anybody_out(
    ada: Visitor, visitor: Visitor, check: Check, complaints: list[str], part: str
):
    page = ada.sign_in()
    start, who = f"{ada.site}{LIST}", visitor.username
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "lists": lambda: lists(page, start, who),
        "sessions": lambda: single_sessions(page, start, who),
        "user": lambda: pages_of_a_user(page, ada.site, who),
        "everyone": lambda: sign_everyone_out(page, start),
    }
    for _ in parts[part]():
        check(page, not_ours=DJANGOS)
    # Django's admin names no icon, so the browser asks for this one.
    assert {text.split()[-1] for text in complaints} <= {f"{ada.site}/favicon.ico"}


def test_an_issued_token_is_copied_by_the_keyboard(ada: Visitor, visitor: Visitor):
    page = ada.sign_in()
    steps = pages_of_a_user(page, ada.site, visitor.username)
    while next(steps) != "issued":
        pass
    field = page.locator(".dsp-token input")
    assert field.evaluate("field => field === document.activeElement")
    selected = "field => field.value.slice(field.selectionStart, field.selectionEnd)"
    assert field.evaluate(selected) == field.input_value()
    ada.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == field.input_value()


def test_a_result_has_the_focus(ada: Visitor, visitor: Visitor):
    page = ada.sign_in()
    page.goto(f"{ada.site}{LIST}?q={visitor.username}")
    page.locator("#result_list .field-device a").first.click()
    page.get_by_role("link", name="End this session").click()
    page.get_by_role("button", name="Yes").click()
    page.locator(".messagelist").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('role')") == "status"


def test_the_work_of_signing_everyone_out_is_told_as_it_goes_on_and_can_be_stopped(
    hasty_site: Site, person: Person, ada: Visitor, check: Check, complaints: list[str]
):
    grace = person(name="grace", password="nanosecond-wire-1952", user_agent=IPHONE)
    grace.site = ada.site = hasty_site.address
    code = ADD_SESSIONS.format(username="grace", count=1600, has_history=False)
    hasty_site.manage("shell", "-c", code)
    tab, page = grace.sign_in(), ada.sign_in()
    # Held back, for the page would go on before anybody could look at it.
    page.route("**/go_on.js", lambda route: route.abort())
    page.goto(f"{hasty_site.address}{LIST}everyone/")
    page.get_by_label("Type “everyone”").fill("everyone")
    page.get_by_role("button", name="Sign everyone out").click()

    progress = page.get_by_role("progressbar", name="Progress")
    progress.wait_for()
    check(page, not_ours=DJANGOS)
    look_at(page, "admin-everyone-progress", widths=WIDTHS)
    told = int(page.get_by_role("status").inner_text().split()[0])
    assert told > 0
    page.get_by_role("button", name="Stop here").click()
    page.locator("#changelist").wait_for()
    # Those who signed in last are the last to go.
    assert click_on(tab, "Devices") == "/devices/"

    page.unroute("**/go_on.js")
    page.get_by_role("link", name="Sign everyone out").click()
    page.get_by_label("Type “everyone”").fill("everyone")
    page.get_by_role("button", name="Sign everyone out").click()
    page.get_by_text("Yours is the one that is left.").wait_for()
    assert click_on(tab, "Devices") == "/sign-in/?next=/devices/"
    rest = [text for text in complaints if "favicon.ico" not in text]
    assert all("go_on.js" in text for text in rest), rest


def test_the_list_fits_beside_menu_and_filter(ada: Visitor, visitor: Visitor):
    """With addresses of IPv6 at their longest, and sessions that ended for all reasons."""
    page = ada.sign_in()
    for name, query in (("person", f"?q={visitor.username}&state=all"), ("all", "?state=all")):
        page.goto(f"{ada.site}{LIST}{query}")
        hidden = "(list) => list.scrollWidth - list.clientWidth"
        assert page.locator("#changelist-form .results").evaluate(hidden) == 0, query
        look_at(page, f"admin-list-{name}", widths=WIDTHS)
        page.set_viewport_size({"width": 1280, "height": 900})


def test_on_a_phone_no_field_leaves_a_hole(ada: Visitor, visitor: Visitor):
    page = ada.sign_in()
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(f"{ada.site}{LIST}?q={visitor.username}")
    page.locator("#result_list .field-device a").first.click()
    page.locator(".dsp-timeline").wait_for()
    heights = page.locator(".form-multiline > div").evaluate_all(
        "(all) => all.map((each) => each.getBoundingClientRect().height)"
    )
    assert len(heights) == 13
    assert max(heights) < 100
