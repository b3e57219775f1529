"""The admin before the eyes of real browsers: what an administrator ends is out at its next click."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import ADD_PEOPLE, Visitor
from tests.browser.test_two_browsers import EDGE, FIREFOX, IPHONE, click_on, look_at, path_of
from tests.running import example_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

Person = Callable[..., Visitor]

LIST = "/admin/django_sessions_plus/session/"
WIDTHS = (390, 1280)
OPERA = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36 OPR/122.0.0.0"
)


@pytest.fixture
def ada(person: Person) -> Visitor:
    return person(name="ada", password="analytical-engine-1843", user_agent=FIREFOX)


@pytest.fixture(scope="module")
def own_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site for those who sign everyone out."""
    directory = tmp_path_factory.mktemp("own")
    with example_site(directory, ["shell", "-c", ADD_PEOPLE]) as site:
        yield site.address


def found(page: Page) -> list[str]:
    """Return the devices in the list."""
    return page.locator("#result_list .dsp-device").all_inner_texts()


def test_one_session_is_ended_and_its_browser_is_out_at_its_next_click(
    person: Person, ada: Visitor
):
    a, b = person(user_agent=EDGE), person(user_agent=IPHONE)
    stays, goes = a.sign_in(), b.sign_in()
    page = ada.sign_in()
    page.goto(f"{ada.site}{LIST}?q={a.username}&o=-7")
    assert sorted(found(page)) == ["Edge on Windows", "Safari on iOS"]

    page.locator("#result_list").get_by_role("link", name="Safari on iOS").click()
    page.locator(".dsp-timeline").wait_for()
    assert page.locator(".dsp-what").all_inner_texts()[-2:] == [
        "Last seen",
        "Expires, unless it is used before",
    ]
    page.get_by_role("link", name="End this session", exact=True).click()
    page.get_by_role("button", name="Yes, I’m sure").click()
    assert "1 session was ended." in page.locator(".messagelist").inner_text()

    assert click_on(goes, "Devices") == "/sign-in/?next=/devices/"
    assert click_on(stays, "Devices") == "/devices/"
    page.goto(f"{ada.site}{LIST}?state=ended&reason=revoked&q={a.username}")
    page.locator("#result_list").get_by_role("link", name="Safari on iOS").click()
    assert "by ada" in page.locator(".dsp-event.dsp-ended").inner_text()


def test_all_sessions_are_ended_from_the_users_page(person: Person, ada: Visitor):
    browsers = [person(user_agent=agent) for agent in (EDGE, FIREFOX, IPHONE)]
    tabs = [browser.sign_in() for browser in browsers]
    page = ada.sign_in()
    page.goto(f"{ada.site}/admin/auth/user/?q={browsers[0].username}")
    page.locator("#result_list").get_by_role("link", name=browsers[0].username, exact=True).click()
    page.locator(".dsp-user-sessions").wait_for()
    assert page.locator(".dsp-user-sessions tbody tr").count() == 3

    page.locator(".dsp-user-sessions").get_by_role("link", name="End all sessions").click()
    page.get_by_role("button", name="Yes, I’m sure").click()
    assert "3 sessions were ended." in page.locator(".messagelist").inner_text()
    assert {click_on(tab, "Session") for tab in tabs} == {"/sign-in/?next=/"}


def test_the_users_of_chosen_sessions_are_signed_out_by_the_action(person: Person, ada: Visitor):
    a, b = person(user_agent=EDGE), person(user_agent=IPHONE)
    tabs = [a.sign_in(), b.sign_in()]
    page = ada.sign_in()
    page.goto(f"{ada.site}{LIST}?q={a.username}")
    page.locator("#result_list input[name=_selected_action]").first.check()
    page.get_by_label("Action:").select_option("end_all_of_users")
    # "Go" in Django 5.2, "Run" in later ones.
    page.locator(".actions button[type=submit]").click()
    assert "2 sessions were ended." in page.locator(".messagelist").inner_text()
    assert {click_on(tab, "Session") for tab in tabs} == {"/sign-in/?next=/"}


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_everyone_is_signed_out_after_the_word_is_typed(
    own_site: str, chromium: Browser, person: Person, scripts: bool, complaints: list[str]
):
    visitor, ada = person(user_agent=IPHONE), person(name="ada", password="analytical-engine-1843")
    ada.context.close()
    ada.context = chromium.new_context(java_script_enabled=scripts)
    visitor.site = ada.site = own_site
    tab, page = visitor.sign_in(), ada.sign_in()
    page.goto(own_site + LIST)
    page.get_by_role("link", name="Sign everyone out").click()
    page.get_by_label("Type “everyone”").fill("all")
    page.get_by_role("button", name="Sign everyone out").click()
    assert "Nothing was ended" in page.locator(".errorlist").inner_text()
    assert click_on(tab, "Devices") == "/devices/"

    page.get_by_label("Type “everyone”").fill("everyone")
    page.get_by_role("button", name="Sign everyone out").click()
    page.get_by_text("Yours is the one that is left.").wait_for()
    assert click_on(tab, "Session") == "/sign-in/?next=/"
    assert page.locator("#result_list tbody tr").count() == 1
    ada.context.close()
    assert not [text for text in complaints if "Content Security" in text]


def test_the_counts_lead_to_what_they_count_and_the_pictures_are_there_to_be_looked_at(
    ada: Visitor, complaints: list[str]
):
    page = ada.sign_in()
    page.goto(ada.site + LIST)
    look_at(page, "admin-sessions", widths=WIDTHS)
    page.get_by_role("link", name="Signed in today").click()
    page.wait_for_url("**/?*state=users*")
    shown = page.locator(".dsp-card", has_text="Signed in today").locator(".dsp-number")
    # Of more than a page, too, for other tests sign people in on this site.
    total = page.locator(".paginator").inner_text().split()[-2]
    assert shown.inner_text().replace(",", "") == total
    look_at(page, "admin-day", widths=WIDTHS)
    page.goto(f"{ada.site}{LIST}?q=2001:db8:4f2:1::9c")
    page.locator("#result_list tbody .field-device a").click()
    page.get_by_text("before: 192.0.2.17").wait_for()
    look_at(page, "admin-session-moved", widths=WIDTHS)
    page.goto(f"{ada.site}{LIST}?state=ended")
    look_at(page, "admin-ended", widths=WIDTHS)
    page.locator("#result_list tbody .field-device a").first.click()
    page.locator(".dsp-timeline").wait_for()
    look_at(page, "admin-session", widths=WIDTHS)
    page.goto(f"{ada.site}/admin/auth/user/?q=grace")
    page.locator("#result_list").get_by_role("link", name="grace", exact=True).click()
    page.locator(".dsp-user-sessions").wait_for()
    look_at(page, "admin-user", widths=WIDTHS)
    page.goto(f"{ada.site}{LIST}everyone/")
    look_at(page, "admin-everyone", widths=WIDTHS)
    # Django's admin names no icon, so the browser asks for this one.
    assert {text.split()[-1] for text in complaints} <= {f"{ada.site}/favicon.ico"}


def test_the_keyboard_reaches_the_counts(ada: Visitor):
    page = ada.sign_in()
    page.goto(ada.site + LIST)
    page.locator(".dsp-card a").first.focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?*reason=refresh_reused*")


def test_an_administrator_who_was_signed_out_signs_in_and_is_back(person: Person, ada: Visitor):
    other = person(name="ada", password="analytical-engine-1843", user_agent=OPERA)
    page, there = ada.sign_in(), other.sign_in()
    there.goto(other.site + LIST)
    page.goto(f"{ada.site}{LIST}?q=ada")
    page.locator("#result_list").get_by_role("link", name="Opera on Windows").click()
    page.get_by_role("link", name="End this session", exact=True).click()
    page.get_by_role("button", name="Yes, I’m sure").click()

    there.reload()
    assert "/admin/login/" in there.url
    there.locator("#id_username").fill("ada")
    there.locator("#id_password").fill("analytical-engine-1843")
    there.locator("#id_password").press("Enter")
    there.locator(".dsp-cards").wait_for()
    assert path_of(there) == LIST
